"""Stands for `typing` inside the VM, where nothing looks at types: the real module costs a fifth of the start-up time.

It knows the names a typed filter needs at run time. A filter that imports any other gets the real module.
"""

TYPE_CHECKING = False


class _Form:
    """A special form: may be subscripted, called and joined with `|`, and means nothing."""

    def __getitem__(self, parameters: object) -> object:
        return self

    def __or__(self, other: object) -> object:
        return self

    __ror__ = __or__


class TypeVar(_Form):
    def __init__(
        self,
        name: str,
        *constraints: object,
        bound: object = None,
        covariant: bool = False,
        contravariant: bool = False,
    ) -> None:
        self.__name__ = name


class Generic:
    def __class_getitem__(cls, parameters: object) -> object:
        return cls


class Protocol(Generic):
    pass


def _same(value: object) -> object:
    return value


def cast(kind: object, value: object) -> object:
    return value


def NewType(name: str, kind: object) -> object:
    return kind


final = overload = runtime_checkable = override = _same
Any = Annotated = Callable = ClassVar = Final = Literal = Optional = Self = TypeAlias = Union = _Form()
