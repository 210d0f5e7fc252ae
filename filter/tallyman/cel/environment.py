"""Expressions as the rest of the filter sees them: compiled in an environment, evaluated against an activation."""

from typing import final

from tallyman.cel import strings
from tallyman.cel.activation import Activation, AttributeTable
from tallyman.cel.compiler import Compiler
from tallyman.cel.comprehensions import ExistsText
from tallyman.cel.nodes import Attribute, Call, Constant, EqualsText, InTexts, Node, StartsWithText
from tallyman.cel.parser import parse
from tallyman.cel.syntax import Expr, Logical
from tallyman.cel.values import Value, no_overload


@final
class Program:
    """A compiled expression.

    `slots` are the attributes it may read, `calls` the host functions it may call with arguments that are not constant:
    one sees before evaluation what it depends on. Raises CelSyntaxError.
    """

    def __init__(self, source: str, expr: Expr, table: AttributeTable) -> None:
        compiler = Compiler(source, table)
        root = compiler.compile(expr)
        self.source = source
        self.slots: tuple[int, ...] = tuple(sorted(compiler.slots))
        self.calls: tuple[str, ...] = tuple(sorted(compiler.calls))
        self.is_constant = isinstance(root, Constant)
        self.constant: Value = root.value if isinstance(root, Constant) else None
        self._expr = expr
        self._table = table
        self._root: Node = root
        self._frame_size = compiler.frame_size

    def evaluate(self, activation: Activation) -> Value:
        """The value of the expression. Raises CelError."""
        if self._frame_size == 0:
            return self._root.eval(activation)
        # A fetch may evaluate another program on the same activation: each has a frame of its own.
        outer = activation.frame
        activation.frame = [None] * self._frame_size
        try:
            return self._root.eval(activation)
        finally:
            activation.frame = outer

    def test(self, activation: Activation) -> bool:
        """The value of a predicate. Raises CelError, also if the value is no bool."""
        value = self.evaluate(activation)
        if isinstance(value, bool):
            return value
        raise no_overload("predicate", value)

    def conjuncts(self) -> "list[Program]":
        """Predicates that are all true exactly when this one is: the operands of a top-level &&, or itself alone."""
        operands = _conjuncts(self._expr)
        if len(operands) == 1:
            return [self]
        return [Program(self.source, operand, self._table) for operand in operands]

    def equality(self) -> tuple[int, str] | None:
        """Slot and constant of `attribute == "constant"`."""
        root = self._root
        if isinstance(root, EqualsText) and isinstance(root.operand, Attribute):
            return root.operand.slot, root.text
        return None

    def membership(self) -> tuple[int, frozenset[str]] | None:
        """Slot and constants of `attribute in ["some", "constants"]`."""
        root = self._root
        if isinstance(root, InTexts) and isinstance(root.operand, Attribute):
            return root.operand.slot, root.texts
        return None

    def prefix(self) -> tuple[int, str] | None:
        """Slot and constant of `attribute.startsWith("constant")`."""
        root = self._root
        if isinstance(root, StartsWithText) and isinstance(root.operand, Attribute):
            return root.operand.slot, root.text
        return None

    def element(self) -> tuple[int, str, str] | None:
        """Slot, separator and constant of `attribute.split("separator").exists(v, v == "constant")`."""
        root = self._root
        if not isinstance(root, ExistsText):
            return None
        call = root.operand
        if not isinstance(call, Call) or call.function is not strings.split or len(call.arguments) != 2:
            return None
        attribute, separator = call.arguments
        if isinstance(attribute, Attribute) and isinstance(separator, Constant) and isinstance(separator.value, str):
            return attribute.slot, separator.value, root.text
        return None


def _conjuncts(expr: Expr) -> list[Expr]:
    if not isinstance(expr, Logical) or expr.operator != "&&":
        return [expr]
    conjuncts: list[Expr] = []
    for operand in expr.operands:
        conjuncts.extend(_conjuncts(operand))
    return conjuncts


class Environment(AttributeTable):
    """Compiles expressions that share one table of attributes."""

    def compile(self, source: str) -> Program:
        """The program of `source`. Raises CelSyntaxError."""
        return Program(source, parse(source), self)
