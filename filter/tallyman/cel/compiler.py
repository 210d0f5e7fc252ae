"""Syntax tree to nodes: names become slots and indexes, constants fold, common shapes get a node of their own."""

from typing import Final, final

from tallyman.cel import operators, strings, syntax
from tallyman.cel.activation import Activation, AttributeTable
from tallyman.cel.comprehensions import ExistsOne, ExistsText, Filter, Map, OptionalMap, Quantifier
from tallyman.cel.construction import ListNode, MapNode, MessageNode
from tallyman.cel.errors import CelError, CelSyntaxError
from tallyman.cel.functions import FUNCTIONS, METHODS, Function
from tallyman.cel.nodes import (
    Attribute,
    Call,
    Conditional,
    Constant,
    Equal,
    EqualsText,
    HasAttribute,
    HasField,
    HostCall,
    Index,
    InTexts,
    Logical,
    MatchesPattern,
    Node,
    Not,
    OptionalAttribute,
    OptionalIndex,
    OptionalSelect,
    OrElse,
    Select,
    StartsWithText,
    Variable,
)
from tallyman.cel.re2 import MAX_PROGRAM, Pattern, PatternError
from tallyman.cel.syntax import Expr, Ident, Literal
from tallyman.cel.values import TYPE_NAMES, TypeValue, Value

# Served by the host; with a constant argument they are attributes like any other, with path (name, argument).
HOST_FUNCTIONS: Final = frozenset(("requestBodyJSON", "responseBodyJSON"))

_BINARY: Final[dict[str, Function]] = {
    "+": operators.add,
    "-": operators.subtract,
    "*": operators.multiply,
    "/": operators.divide,
    "%": operators.modulo,
    "!=": operators.not_equal,
    "<": operators.less,
    "<=": operators.less_equal,
    ">": operators.greater,
    ">=": operators.greater_equal,
    "in": operators.contained,
}
_NAMESPACES: Final = frozenset(("optional", "strings"))
_MACROS: Final = frozenset(("all", "exists", "exists_one", "existsOne", "map", "filter", "optMap", "optFlatMap"))


@final
class Compiler:
    """Compiles one expression; afterwards `slots`, `calls` and `frame_size` tell what its evaluation needs."""

    def __init__(self, source: str, table: AttributeTable) -> None:
        self.source = source
        self.table = table
        self.slots: set[int] = set()
        self.calls: set[str] = set()
        self.frame_size = 0
        self.variables: list[str] = []

    def compile(self, expr: Expr) -> Node:
        """The node of `expr`. Raises CelSyntaxError."""
        if isinstance(expr, Literal):
            return Constant(expr.value)
        if isinstance(expr, Ident):
            return self._ident(expr)
        if isinstance(expr, syntax.Select):
            return self._select(expr)
        if isinstance(expr, syntax.Call):
            return self._call(expr)
        if isinstance(expr, syntax.Binary):
            return self._binary(expr.operator, self.compile(expr.left), self.compile(expr.right))
        if isinstance(expr, syntax.Logical):
            return self._logical(expr)
        if isinstance(expr, syntax.Index):
            return self._index(expr)
        if isinstance(expr, syntax.Unary):
            operand = self.compile(expr.operand)
            if expr.operator == "!":
                return _folded(Not(operand), [operand])
            return _folded(Call(operators.negate, [operand]), [operand])
        if isinstance(expr, syntax.Conditional):
            return self._conditional(expr)
        if isinstance(expr, syntax.ListExpr):
            elements = self._all(expr.elements)
            return _folded(ListNode(elements, expr.optional), elements)
        if isinstance(expr, syntax.MapExpr):
            keys = self._all(expr.keys)
            values = self._all(expr.values)
            return _folded(MapNode(keys, values, expr.optional), keys + values)
        assert isinstance(expr, syntax.MessageExpr)
        return MessageNode(expr.type_name, expr.fields, self._all(expr.values), expr.optional)

    def _all(self, exprs: list[Expr]) -> list[Node]:
        return [self.compile(expr) for expr in exprs]

    def _ident(self, expr: Ident) -> Node:
        if not expr.absolute and expr.name in self.variables:
            return Variable(self._variable(expr.name))
        if expr.name in TYPE_NAMES:
            return Constant(TypeValue(expr.name))
        return Attribute(self._slot([expr.name]))

    def _variable(self, name: str) -> int:
        index = len(self.variables) - 1
        while self.variables[index] != name:
            index -= 1
        return index

    def _slot(self, path: list[str]) -> int:
        slot = self.table.slot(tuple(path))
        self.slots.add(slot)
        return slot

    def _path(self, expr: Expr) -> list[str] | None:
        """The path that `expr` spells: selections and constant string keys, from a root that is no variable."""
        names: list[str] = []
        while True:
            if isinstance(expr, syntax.Select) and not expr.optional:
                names.append(expr.field)
                expr = expr.operand
            elif (
                isinstance(expr, syntax.Index)
                and not expr.optional
                and isinstance(expr.key, Literal)
                and isinstance(expr.key.value, str)
            ):
                names.append(expr.key.value)
                expr = expr.operand
            elif isinstance(expr, Ident):
                if not expr.absolute and expr.name in self.variables:
                    return None
                names.append(expr.name)
                names.reverse()
                return names
            else:
                return None

    def _select(self, expr: syntax.Select) -> Node:
        if expr.optional:
            path = self._path(expr.operand)
            if path is not None:
                return OptionalAttribute(self._slot([*path, expr.field]))
            return OptionalSelect(self.compile(expr.operand), expr.field)
        path = self._path(expr)
        if path is not None:
            name = ".".join(path)
            if name in TYPE_NAMES:
                return Constant(TypeValue(name))
            return Attribute(self._slot(path))
        operand = self.compile(expr.operand)
        return _folded(Select(operand, expr.field), [operand])

    def _index(self, expr: syntax.Index) -> Node:
        key = expr.key
        if expr.optional:
            path = self._path(expr.operand)
            if path is not None and isinstance(key, Literal) and isinstance(key.value, str):
                return OptionalAttribute(self._slot([*path, key.value]))
            return OptionalIndex(self.compile(expr.operand), self.compile(key))
        path = self._path(expr)
        if path is not None:
            return Attribute(self._slot(path))
        arguments = [self.compile(expr.operand), self.compile(key)]
        return _folded(Index(arguments[0], arguments[1]), arguments)

    def _binary(self, operator: str, left: Node, right: Node) -> Node:
        if operator == "==":
            if isinstance(left, Constant):
                left, right = right, left
            if isinstance(right, Constant) and isinstance(right.value, str):
                return _folded(EqualsText(left, right.value), [left])
            return _folded(Equal(left, right), [left, right])
        if operator == "in" and isinstance(right, Constant):
            texts = _texts(right.value)
            if texts is not None:
                return _folded(InTexts(left, texts), [left])
        return _folded(Call(_BINARY[operator], [left, right]), [left, right])

    def _logical(self, expr: syntax.Logical) -> Node:
        decisive = expr.operator == "||"
        operands: list[Node] = []
        for operand in self._all(expr.operands):
            if isinstance(operand, Constant) and isinstance(operand.value, bool):
                if operand.value == decisive:
                    return operand
            elif isinstance(operand, Logical) and operand.decisive == decisive:
                operands.extend(operand.operands)
            else:
                operands.append(operand)
        if not operands:
            return Constant(not decisive)
        return Logical(decisive, operands)

    def _conditional(self, expr: syntax.Conditional) -> Node:
        condition = self.compile(expr.condition)
        truthy = self.compile(expr.truthy)
        falsy = self.compile(expr.falsy)
        if isinstance(condition, Constant) and isinstance(condition.value, bool):
            return truthy if condition.value else falsy
        return Conditional(condition, truthy, falsy)

    def _call(self, expr: syntax.Call) -> Node:
        target = expr.target
        if target is None:
            if expr.name == "has":
                return self._has(expr)
            if expr.name in HOST_FUNCTIONS:
                return self._host_call(expr)
            return self._function(expr, FUNCTIONS, expr.name, expr.arguments)
        if expr.name in _MACROS:
            return self._macro(expr, target)
        if isinstance(target, Ident) and target.name in _NAMESPACES and target.name not in self.variables:
            return self._function(expr, FUNCTIONS, f"{target.name}.{expr.name}", expr.arguments)
        if expr.name == "or" or expr.name == "orValue":
            if len(expr.arguments) != 1:
                raise self._error(expr, f"{expr.name}() takes 1 argument, found {len(expr.arguments)}")
            return OrElse(self.compile(target), self.compile(expr.arguments[0]), expr.name == "orValue")
        return self._function(expr, METHODS, expr.name, [target, *expr.arguments])

    def _function(
        self, expr: syntax.Call, library: dict[tuple[str, int], Function], name: str, operands: list[Expr]
    ) -> Node:
        function = library.get((name, len(operands)))
        if function is None:
            raise self._unknown(expr, library, name, len(expr.arguments))
        arguments = self._all(operands)
        if len(arguments) == 2 and isinstance(arguments[1], Constant) and isinstance(arguments[1].value, str):
            text = arguments[1].value
            if function is strings.starts_with:
                return _folded(StartsWithText(arguments[0], text), [arguments[0]])
            if name == "matches":
                return _folded(MatchesPattern(arguments[0], self._pattern(expr, text)), [arguments[0]])
        return _folded(Call(function, arguments), arguments)

    def _pattern(self, expr: syntax.Call, pattern: str) -> Pattern:
        try:
            return Pattern(pattern, MAX_PROGRAM)
        except PatternError as error:
            raise self._error(expr.arguments[-1], f"matches() was given no RE2 pattern: {error}") from None

    def _unknown(
        self, expr: syntax.Call, library: dict[tuple[str, int], Function], name: str, found: int
    ) -> CelSyntaxError:
        receiver = 1 if library is METHODS else 0
        counts = sorted(count - receiver for known, count in library if known == name)
        if counts:
            expected = " or ".join([str(count) for count in counts])
            return self._error(expr, f"{name}() takes {expected} argument{'s'[: counts[-1] != 1]}, found {found}")
        other = FUNCTIONS if library is METHODS else METHODS
        for known, _ in other:
            if known == name:
                usage = f"{name}(x)" if library is METHODS else f"x.{name}()"
                return self._error(expr, f"{name}() is written {usage}")
        near = sorted({known for known, _ in library if known.lower() == name.lower()})
        hint = f"; did you mean {near[0]}()?" if near else ""
        return self._error(expr, f"there is no {'method' if library is METHODS else 'function'} {name}(){hint}")

    def _host_call(self, expr: syntax.Call) -> Node:
        if len(expr.arguments) != 1:
            raise self._error(expr, f"{expr.name}() takes 1 argument (a JSON pointer), found {len(expr.arguments)}")
        argument = self.compile(expr.arguments[0])
        if isinstance(argument, Constant) and isinstance(argument.value, str):
            return Attribute(self._slot([expr.name, argument.value]))
        self.calls.add(expr.name)
        return HostCall(expr.name, [argument])

    def _has(self, expr: syntax.Call) -> Node:
        argument = expr.arguments[0] if len(expr.arguments) == 1 else None
        if not isinstance(argument, syntax.Select):
            raise self._error(expr, "has() takes a field selection, such as has(request.headers.host)")
        if not argument.optional:
            path = self._path(argument)
            if path is not None:
                return HasAttribute(self._slot(path))
        operand = self.compile(argument.operand)
        return _folded(HasField(operand, argument.field), [operand])

    def _macro(self, expr: syntax.Call, target: Expr) -> Node:
        name = expr.name
        arguments = expr.arguments
        count = len(arguments)
        if not (count == 2 or (count == 3 and name == "map")):
            bodies_expected = "1 or 2 expressions" if name == "map" else "an expression"
            raise self._error(expr, f"{name}() takes a variable and {bodies_expected}")
        variable = arguments[0]
        if not isinstance(variable, Ident) or variable.absolute:
            raise self._error(variable, f"the first argument of {name}() must be the name of a variable")
        operand = self.compile(target)
        index = len(self.variables)
        self.variables.append(variable.name)
        self.frame_size = max(self.frame_size, len(self.variables))
        bodies = self._all(arguments[1:])
        self.variables.pop()
        body = bodies[0]
        if name == "exists":
            if isinstance(body, EqualsText) and isinstance(body.operand, Variable) and body.operand.index == index:
                return _folded(ExistsText(operand, body.text), [operand])
            return Quantifier(True, index, operand, body)
        if name == "all":
            return Quantifier(False, index, operand, body)
        if name == "map":
            return Map(index, operand, body if count == 3 else None, bodies[-1])
        if name == "filter":
            return Filter(index, operand, body)
        if name == "optMap" or name == "optFlatMap":
            return OptionalMap(index, operand, body, name == "optFlatMap")
        return ExistsOne(index, operand, body)

    def _error(self, expr: Expr, message: str) -> CelSyntaxError:
        return CelSyntaxError(message, self.source, expr.position)


def _texts(value: Value) -> frozenset[str] | None:
    if not isinstance(value, list):
        return None
    texts: list[str] = []
    for element in value:
        if not isinstance(element, str):
            return None
        texts.append(element)
    return frozenset(texts)


def _folded(node: Node, operands: list[Node]) -> Node:
    """`node`, or its value if that is the same for every activation. An error stays where it is: it may be absorbed."""
    for operand in operands:
        if not isinstance(operand, Constant):
            return node
    try:
        return Constant(node.eval(_NOWHERE))
    except CelError:
        return node


_NOWHERE: Final = Activation(AttributeTable())
