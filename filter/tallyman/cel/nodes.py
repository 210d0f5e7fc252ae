"""The compiled form of an expression: a tree of nodes, each of which evaluates itself against an activation.

`eval` raises CelError. What names could tell was settled by the compiler: attributes are slots, variables are indexes
into the frame, functions are bound.
"""

from typing import final

from tallyman.cel import operators
from tallyman.cel.activation import Activation
from tallyman.cel.errors import INVALID_ARGUMENT, NO_SUCH_ATTRIBUTE, NO_SUCH_KEY, CelError
from tallyman.cel.functions import Function
from tallyman.cel.re2 import Pattern
from tallyman.cel.values import NONE, Optional, Value, equals, has_key, no_overload


class Node:
    """A compiled expression."""

    def eval(self, activation: Activation) -> Value:
        raise CelError(INVALID_ARGUMENT, "an abstract node has no value")

    def outcome(self, activation: Activation) -> Value | CelError:
        """The value, or the error that stands for it, not raised: for where errors are absorbed.

        Missing attributes are common there and raising is slow, so the nodes that meet them first override this.
        """
        try:
            return self.eval(activation)
        except CelError as error:
            return error.with_traceback(None)


@final
class Constant(Node):
    def __init__(self, value: Value) -> None:
        self.value = value

    def eval(self, activation: Activation) -> Value:
        return self.value


@final
class Attribute(Node):
    def __init__(self, slot: int) -> None:
        self.slot = slot

    def eval(self, activation: Activation) -> Value:
        return activation.get(self.slot)

    def outcome(self, activation: Activation) -> Value | CelError:
        return activation.outcome(self.slot)


@final
class HasAttribute(Node):
    """has(a.b.c) of an attribute: whether it can be resolved."""

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def eval(self, activation: Activation) -> Value:
        return not _is_absent(activation.outcome(self.slot))


@final
class OptionalAttribute(Node):
    """a.b.?c of an attribute."""

    def __init__(self, slot: int) -> None:
        self.slot = slot

    def eval(self, activation: Activation) -> Value:
        outcome = activation.outcome(self.slot)
        return NONE if _is_absent(outcome) else Optional(True, outcome)


def _is_absent(outcome: Value | CelError) -> bool:
    """Whether an attribute is missing. Raises any other error that came of fetching it."""
    if not isinstance(outcome, CelError):
        return False
    if outcome.reason == NO_SUCH_KEY or outcome.reason == NO_SUCH_ATTRIBUTE:
        return True
    raise outcome.with_traceback(None)


@final
class Variable(Node):
    """A variable of a macro."""

    def __init__(self, index: int) -> None:
        self.index = index

    def eval(self, activation: Activation) -> Value:
        return activation.frame[self.index]


@final
class Select(Node):
    def __init__(self, operand: Node, field: str) -> None:
        self.operand = operand
        self.field = field

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        if isinstance(operand, Optional):
            return select_optional(operand, self.field)
        return operators.select(operand, self.field)


@final
class OptionalSelect(Node):
    def __init__(self, operand: Node, field: str) -> None:
        self.operand = operand
        self.field = field

    def eval(self, activation: Activation) -> Value:
        return select_optional(self.operand.eval(activation), self.field)


def select_optional(operand: Value, field: str) -> Value:
    """operand.?field, where operand may itself be optional."""
    if isinstance(operand, Optional):
        if not operand.present:
            return NONE
        operand = operand.value
    if operators.has_field(operand, field):
        return Optional(True, operators.select(operand, field))
    return NONE


@final
class HasField(Node):
    def __init__(self, operand: Node, field: str) -> None:
        self.operand = operand
        self.field = field

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        if isinstance(operand, Optional):
            return operand.present and operators.has_field(operand.value, self.field)
        return operators.has_field(operand, self.field)


@final
class Index(Node):
    def __init__(self, operand: Node, key: Node) -> None:
        self.operand = operand
        self.key = key

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        key = self.key.eval(activation)
        if isinstance(operand, Optional):
            return index_optional(operand, key)
        return operators.index(operand, key)


@final
class OptionalIndex(Node):
    def __init__(self, operand: Node, key: Node) -> None:
        self.operand = operand
        self.key = key

    def eval(self, activation: Activation) -> Value:
        return index_optional(self.operand.eval(activation), self.key.eval(activation))


def index_optional(operand: Value, key: Value) -> Value:
    """operand[?key], where operand may itself be optional."""
    if isinstance(operand, Optional):
        if not operand.present:
            return NONE
        operand = operand.value
    if isinstance(operand, dict):
        if not has_key(operand, key):
            return NONE
    elif isinstance(operand, list) and isinstance(key, int) and not 0 <= key < len(operand):
        return NONE
    return Optional(True, operators.index(operand, key))


@final
class Not(Node):
    def __init__(self, operand: Node) -> None:
        self.operand = operand

    def eval(self, activation: Activation) -> Value:
        value = self.operand.eval(activation)
        if isinstance(value, bool):
            return not value
        raise no_overload("!", value)


@final
class Logical(Node):
    """&& and ||, n-ary. `decisive` (False for &&) as any operand decides, even where others are errors."""

    def __init__(self, decisive: bool, operands: list[Node]) -> None:
        self.decisive = decisive
        self.operands = operands

    def eval(self, activation: Activation) -> Value:
        outcome = self.outcome(activation)
        if isinstance(outcome, CelError):
            raise outcome.with_traceback(None)
        return outcome

    def outcome(self, activation: Activation) -> Value | CelError:
        decisive = self.decisive
        failure: CelError | None = None
        for operand in self.operands:
            value = operand.outcome(activation)
            if isinstance(value, bool):
                if value == decisive:
                    return decisive
            elif isinstance(value, CelError):
                failure = value
            else:
                failure = no_overload("||" if decisive else "&&", value)
        return not decisive if failure is None else failure


@final
class Conditional(Node):
    def __init__(self, condition: Node, truthy: Node, falsy: Node) -> None:
        self.condition = condition
        self.truthy = truthy
        self.falsy = falsy

    def eval(self, activation: Activation) -> Value:
        condition = self.condition.eval(activation)
        if isinstance(condition, bool):
            return self.truthy.eval(activation) if condition else self.falsy.eval(activation)
        raise no_overload("?:", condition)


@final
class Equal(Node):
    def __init__(self, left: Node, right: Node) -> None:
        self.left = left
        self.right = right

    def eval(self, activation: Activation) -> Value:
        return equals(self.left.eval(activation), self.right.eval(activation))


@final
class EqualsText(Node):
    """operand == "constant"."""

    def __init__(self, operand: Node, text: str) -> None:
        self.operand = operand
        self.text = text

    def eval(self, activation: Activation) -> Value:
        value = self.operand.eval(activation)
        return isinstance(value, str) and value == self.text

    def outcome(self, activation: Activation) -> Value | CelError:
        value = self.operand.outcome(activation)
        if isinstance(value, CelError):
            return value
        return isinstance(value, str) and value == self.text


@final
class StartsWithText(Node):
    """operand.startsWith("constant")."""

    def __init__(self, operand: Node, text: str) -> None:
        self.operand = operand
        self.text = text

    def eval(self, activation: Activation) -> Value:
        value = self.operand.eval(activation)
        if isinstance(value, str):
            return value.startswith(self.text)
        raise no_overload("startsWith", value, self.text)


@final
class InTexts(Node):
    """operand in ["some", "constants"]."""

    def __init__(self, operand: Node, texts: frozenset[str]) -> None:
        self.operand = operand
        self.texts = texts

    def eval(self, activation: Activation) -> Value:
        value = self.operand.eval(activation)
        return isinstance(value, str) and value in self.texts


@final
class MatchesPattern(Node):
    """operand.matches("constant")."""

    def __init__(self, operand: Node, pattern: Pattern) -> None:
        self.operand = operand
        self.pattern = pattern

    def eval(self, activation: Activation) -> Value:
        value = self.operand.eval(activation)
        if isinstance(value, str):
            return self.pattern.search(value)
        raise no_overload("matches", value, "")


@final
class Call(Node):
    """An operator or function of the library."""

    def __init__(self, function: Function, arguments: list[Node]) -> None:
        self.function = function
        self.arguments = arguments
        self.count = len(arguments)

    def eval(self, activation: Activation) -> Value:
        arguments = self.arguments
        count = self.count
        if count == 2:
            return self.function(arguments[0].eval(activation), arguments[1].eval(activation))
        if count == 1:
            return self.function(arguments[0].eval(activation))
        return self.function(*[argument.eval(activation) for argument in arguments])


@final
class HostCall(Node):
    """A host function with an argument that is known only at run time."""

    def __init__(self, name: str, arguments: list[Node]) -> None:
        self.name = name
        self.arguments = arguments

    def eval(self, activation: Activation) -> Value:
        return activation.call(self.name, [argument.eval(activation) for argument in self.arguments])


@final
class OrElse(Node):
    """operand.or(alternative), or with `unwrap` operand.orValue(alternative)."""

    def __init__(self, operand: Node, alternative: Node, unwrap: bool) -> None:
        self.operand = operand
        self.alternative = alternative
        self.unwrap = unwrap

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        if not isinstance(operand, Optional):
            raise no_overload("orValue" if self.unwrap else "or", operand)
        if operand.present:
            return operand.value if self.unwrap else operand
        alternative = self.alternative.eval(activation)
        if not self.unwrap and not isinstance(alternative, Optional):
            raise no_overload("or", operand, alternative)
        return alternative
