"""Conditions and variables of limits, and the expressions behind metric labels: CEL over `descriptors` and `limit`.

What an evaluation without a value means is Limitador's contract, and differs by the reason: a key that is missing or a
name that is not bound says "this does not apply"; anything else (an index past the list, a wrong type) is an error.
"""

from collections.abc import Mapping, Sequence
from typing import TypeAlias

from tallyman.cel.activation import Activation
from tallyman.cel.environment import Environment
from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, NO_SUCH_KEY, CelError
from tallyman.cel.values import UInt

Descriptors: TypeAlias = Sequence[Mapping[str, str]]
"""The descriptors of one request, each a map of entry key to entry value."""

_ENVIRONMENT = Environment()
_ABSENT = frozenset({NO_SUCH_KEY, NO_SUCH_ATTRIBUTE})
_REQUEST_NAMES = frozenset({"descriptors"})
_CONDITION_NAMES = frozenset({"descriptors", "limit"})


class EvaluationError(Exception):
    """An expression that has neither a value nor a reason to be passed over. `source` is the expression."""

    def __init__(self, source: str, detail: str) -> None:
        super().__init__(f"{source}: {detail}")
        self.source = source
        self.detail = detail


class ConditionError(EvaluationError):
    """A condition that cannot be decided: whether its limit applies is not known."""


class RequestActivation(Activation):
    """What an expression can name: `descriptors`, a list of maps of text to text, and, once a limit is bound, `limit`
    with its `name` and `id`."""

    def __init__(self, descriptors: Descriptors) -> None:
        super().__init__(_ENVIRONMENT)
        self._attributes: dict[str, object] = {"descriptors": [dict(descriptor) for descriptor in descriptors]}

    def bind_limit(self, name: str | None, id: str | None) -> None:
        """Let `limit` stand for the limit whose conditions are evaluated next."""
        self._attributes["limit"] = {"name": name, "id": id}
        self.forget_under(("limit",))

    def fetch(self, path: tuple[str, ...]) -> object:
        """Raises CelError if the path's first name is not bound, or a later one is no key."""
        value = self._attributes.get(path[0])
        if value is None:
            raise CelError(NO_SUCH_ATTRIBUTE, path[0])
        for key in path[1:]:
            if not isinstance(value, dict) or key not in value:
                raise CelError(NO_SUCH_KEY, key)
            value = value[key]
        return value


class Expression:
    """A compiled expression. Two are equal if their sources are.

    Raises `tallyman.cel.errors.CelSyntaxError` if `source` is not valid CEL.
    """

    __slots__ = ("_names", "_program", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        self._program = _ENVIRONMENT.compile(source)
        self._names = frozenset(_ENVIRONMENT.paths[slot][0] for slot in self._program.slots)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Expression) and self.source == other.source

    def __hash__(self) -> int:
        return hash(self.source)

    def __repr__(self) -> str:
        return f"Expression({self.source!r})"

    def holds(self, request: RequestActivation) -> bool:
        """The expression as a condition. Raises ConditionError, also if the value is no bool."""
        if not self._names <= _CONDITION_NAMES:
            return False
        try:
            value = self._program.evaluate(request)
        except CelError as error:
            if error.reason in _ABSENT:
                return False
            raise ConditionError(self.source, str(error)) from error
        if isinstance(value, bool):
            return value
        raise ConditionError(self.source, f"a condition must be a bool, not {type(value).__name__}")

    def text(self, request: RequestActivation) -> str | None:
        """The value as text (a counter's variable, a metric label), or None if what it names is not there.

        Raises EvaluationError, also for values without a text: lists, maps, bytes, timestamps, durations.
        """
        if not self._names <= _REQUEST_NAMES:
            return None
        try:
            value = self._program.evaluate(request)
        except CelError as error:
            if error.reason in _ABSENT:
                return None
            raise EvaluationError(self.source, str(error)) from error
        if isinstance(value, str):
            return value
        if isinstance(value, bool):
            return "true" if value else "false"
        if value is None:
            return "null"
        if isinstance(value, UInt):
            return str(value.value)
        if isinstance(value, int):
            return str(value)
        if isinstance(value, float):
            # Limitador's text of a double has no exponent and no ".0".
            return str(int(value)) if value.is_integer() else repr(value)
        raise EvaluationError(self.source, f"a value of type {type(value).__name__} has no text")

    def texts(self, request: RequestActivation) -> dict[str, str]:
        """Those entries of a map that are text to text; nothing if the value is no map or there is none."""
        if not self._names <= _REQUEST_NAMES:
            return {}
        try:
            value = self._program.evaluate(request)
        except CelError:
            return {}
        if not isinstance(value, dict):
            return {}
        return {key: text for key, text in value.items() if isinstance(key, str) and isinstance(text, str)}
