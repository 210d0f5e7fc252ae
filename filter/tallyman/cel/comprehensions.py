"""The macros that walk a list or the keys of a map (cel-spec langdef.md, "Macros"), one node each.

Each keeps the current element in its own place of the activation's frame.
"""

from typing import final

from tallyman.cel.activation import Activation
from tallyman.cel.errors import CelError
from tallyman.cel.nodes import Node
from tallyman.cel.values import NONE, Optional, Value, no_overload


def _elements(macro: str, value: Value) -> list[Value]:
    if isinstance(value, list):
        return value
    if isinstance(value, dict):
        return list(value)
    raise no_overload(macro, value)


@final
class Quantifier(Node):
    """all (`decisive` is False) and exists (True): one decisive element settles it, even where others are errors."""

    def __init__(self, decisive: bool, variable: int, operand: Node, predicate: Node) -> None:
        self.decisive = decisive
        self.variable = variable
        self.operand = operand
        self.predicate = predicate

    def eval(self, activation: Activation) -> Value:
        decisive = self.decisive
        macro = "exists" if decisive else "all"
        frame = activation.frame
        failure: CelError | None = None
        for element in _elements(macro, self.operand.eval(activation)):
            frame[self.variable] = element
            value = self.predicate.outcome(activation)
            if isinstance(value, bool):
                if value == decisive:
                    return decisive
            elif isinstance(value, CelError):
                failure = value
            else:
                failure = no_overload(macro, value)
        if failure is not None:
            raise failure.with_traceback(None)
        return not decisive


@final
class ExistsText(Node):
    """operand.exists(v, v == "constant")."""

    def __init__(self, operand: Node, text: str) -> None:
        self.operand = operand
        self.text = text

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        if isinstance(operand, list):
            return self.text in operand
        if isinstance(operand, dict):
            return self.text in operand
        raise no_overload("exists", operand)


@final
class ExistsOne(Node):
    """exists_one: exactly one element for which the predicate holds; any error is an error of the whole."""

    def __init__(self, variable: int, operand: Node, predicate: Node) -> None:
        self.variable = variable
        self.operand = operand
        self.predicate = predicate

    def eval(self, activation: Activation) -> Value:
        frame = activation.frame
        count = 0
        for element in _elements("exists_one", self.operand.eval(activation)):
            frame[self.variable] = element
            if _holds("exists_one", self.predicate.eval(activation)):
                count += 1
        return count == 1


@final
class Map(Node):
    """map(v, transform), and map(v, predicate, transform)."""

    def __init__(self, variable: int, operand: Node, predicate: Node | None, transform: Node) -> None:
        self.variable = variable
        self.operand = operand
        self.predicate = predicate
        self.transform = transform

    def eval(self, activation: Activation) -> Value:
        frame = activation.frame
        predicate = self.predicate
        result: list[Value] = []
        for element in _elements("map", self.operand.eval(activation)):
            frame[self.variable] = element
            if predicate is None or _holds("map", predicate.eval(activation)):
                result.append(self.transform.eval(activation))
        return result


@final
class Filter(Node):
    def __init__(self, variable: int, operand: Node, predicate: Node) -> None:
        self.variable = variable
        self.operand = operand
        self.predicate = predicate

    def eval(self, activation: Activation) -> Value:
        frame = activation.frame
        result: list[Value] = []
        for element in _elements("filter", self.operand.eval(activation)):
            frame[self.variable] = element
            if _holds("filter", self.predicate.eval(activation)):
                result.append(element)
        return result


@final
class OptionalMap(Node):
    """operand.optMap(v, transform), or with `flat` operand.optFlatMap(v, transform)."""

    def __init__(self, variable: int, operand: Node, transform: Node, flat: bool) -> None:
        self.variable = variable
        self.operand = operand
        self.transform = transform
        self.flat = flat

    def eval(self, activation: Activation) -> Value:
        operand = self.operand.eval(activation)
        if not isinstance(operand, Optional):
            raise no_overload("optMap", operand)
        if not operand.present:
            return NONE
        activation.frame[self.variable] = operand.value
        value = self.transform.eval(activation)
        if not self.flat:
            return Optional(True, value)
        if isinstance(value, Optional):
            return value
        raise no_overload("optFlatMap", value)


def _holds(macro: str, value: Value) -> bool:
    if isinstance(value, bool):
        return value
    raise no_overload(macro, value)
