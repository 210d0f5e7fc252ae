"""The syntax tree of an expression. `position` is an offset into the source, `depth` the height of the tree below."""

from typing import final


class Expr:
    """Any expression."""

    def __init__(self, position: int, depth: int) -> None:
        self.position = position
        self.depth = depth


@final
class Literal(Expr):
    def __init__(self, position: int, value: object) -> None:
        super().__init__(position, 1)
        self.value = value


@final
class Ident(Expr):
    """A root name; `absolute` if it was written with a leading dot, which passes by the variables of macros."""

    def __init__(self, position: int, name: str, absolute: bool) -> None:
        super().__init__(position, 1)
        self.name = name
        self.absolute = absolute


@final
class Select(Expr):
    """operand.field, or operand.?field if `optional`."""

    def __init__(self, position: int, operand: Expr, field: str, optional: bool) -> None:
        super().__init__(position, operand.depth + 1)
        self.operand = operand
        self.field = field
        self.optional = optional


@final
class Index(Expr):
    """operand[key], or operand[?key] if `optional`."""

    def __init__(self, position: int, operand: Expr, key: Expr, optional: bool) -> None:
        super().__init__(position, max(operand.depth, key.depth) + 1)
        self.operand = operand
        self.key = key
        self.optional = optional


@final
class Call(Expr):
    """name(arguments), or target.name(arguments): a function or a macro."""

    def __init__(self, position: int, target: Expr | None, name: str, arguments: list[Expr]) -> None:
        super().__init__(position, max(_height(arguments), target.depth if target is not None else 0) + 1)
        self.target = target
        self.name = name
        self.arguments = arguments


@final
class Unary(Expr):
    """operator is "!" or "-"."""

    def __init__(self, position: int, operator: str, operand: Expr) -> None:
        super().__init__(position, operand.depth + 1)
        self.operator = operator
        self.operand = operand


@final
class Binary(Expr):
    """operator is one of == != < <= > >= in + - * / %."""

    def __init__(self, position: int, operator: str, left: Expr, right: Expr) -> None:
        super().__init__(position, max(left.depth, right.depth) + 1)
        self.operator = operator
        self.left = left
        self.right = right


@final
class Logical(Expr):
    """Two or more operands joined by the same operator, "&&" or "||"; flat, so that a long chain is not a deep tree."""

    def __init__(self, position: int, operator: str, operands: list[Expr]) -> None:
        super().__init__(position, _height(operands) + 1)
        self.operator = operator
        self.operands = operands
        self.open = True  # while being parsed: not yet closed by parentheses

    def append(self, operand: Expr) -> None:
        self.operands.append(operand)
        self.depth = max(self.depth, operand.depth + 1)


@final
class Conditional(Expr):
    def __init__(self, position: int, condition: Expr, truthy: Expr, falsy: Expr) -> None:
        super().__init__(position, max(condition.depth, truthy.depth, falsy.depth) + 1)
        self.condition = condition
        self.truthy = truthy
        self.falsy = falsy


@final
class ListExpr(Expr):
    """`optional[i]` tells that element i was written with a leading question mark."""

    def __init__(self, position: int, elements: list[Expr], optional: list[bool]) -> None:
        super().__init__(position, _height(elements) + 1)
        self.elements = elements
        self.optional = optional


@final
class MapExpr(Expr):
    def __init__(self, position: int, keys: list[Expr], values: list[Expr], optional: list[bool]) -> None:
        super().__init__(position, max(_height(keys), _height(values)) + 1)
        self.keys = keys
        self.values = values
        self.optional = optional


@final
class MessageExpr(Expr):
    """pkg.Type{field: value, ...}."""

    def __init__(
        self, position: int, type_name: str, fields: list[str], values: list[Expr], optional: list[bool]
    ) -> None:
        super().__init__(position, _height(values) + 1)
        self.type_name = type_name
        self.fields = fields
        self.values = values
        self.optional = optional


def _height(children: list[Expr]) -> int:
    height = 0
    for child in children:
        if child.depth > height:
            height = child.depth
    return height


def qualified_name(expr: Expr) -> str | None:
    """The dotted name that `expr` spells (`pkg.Type`), or None if it is anything else."""
    names: list[str] = []
    while isinstance(expr, Select) and not expr.optional:
        names.append(expr.field)
        expr = expr.operand
    if not isinstance(expr, Ident):
        return None
    names.append(expr.name)
    names.reverse()
    return ".".join(names)
