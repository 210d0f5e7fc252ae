"""Nodes that build lists, maps and messages."""

from typing import final

from tallyman.cel.activation import Activation
from tallyman.cel.errors import DUPLICATE_KEY, CelError
from tallyman.cel.nodes import Node
from tallyman.cel.values import Message, Optional, UInt, Value, no_overload


@final
class ListNode(Node):
    def __init__(self, elements: list[Node], optional: list[bool]) -> None:
        self.elements = elements
        self.optional = optional

    def eval(self, activation: Activation) -> Value:
        values: list[Value] = []
        for index in range(len(self.elements)):
            value = self.elements[index].eval(activation)
            if self.optional[index]:
                element = _unwrapped(value)
                if element.present:
                    values.append(element.value)
            else:
                values.append(value)
        return values


@final
class MapNode(Node):
    def __init__(self, keys: list[Node], values: list[Node], optional: list[bool]) -> None:
        self.keys = keys
        self.values = values
        self.optional = optional

    def eval(self, activation: Activation) -> Value:
        entries: dict[Value, Value] = {}
        for index in range(len(self.keys)):
            key = self.keys[index].eval(activation)
            value = self.values[index].eval(activation)
            if self.optional[index]:
                entry = _unwrapped(value)
                if not entry.present:
                    continue
                value = entry.value
            _add_entry(entries, key, value)
        return entries


def _add_entry(entries: dict[Value, Value], key: Value, value: Value) -> None:
    """Sets a new key of a map under construction. Raises CelError for a key twice, or of a type that cannot be one."""
    if not isinstance(key, (str, int, UInt)):
        raise no_overload("{}", key)
    if key in entries:
        # Python takes true for 1 and false for 0; a map that has both is refused rather than kept wrong.
        raise CelError(DUPLICATE_KEY, "a map names the same key twice, or both a bool and the int that is its like")
    entries[key] = value


@final
class MessageNode(Node):
    def __init__(self, type_name: str, fields: list[str], values: list[Node], optional: list[bool]) -> None:
        self.type_name = type_name
        self.fields = fields
        self.values = values
        self.optional = optional

    def eval(self, activation: Activation) -> Value:
        fields: dict[str, Value] = {}
        for index in range(len(self.fields)):
            value = self.values[index].eval(activation)
            if self.optional[index]:
                entry = _unwrapped(value)
                if not entry.present:
                    continue
                value = entry.value
            fields[self.fields[index]] = value
        return Message(self.type_name, fields)


def _unwrapped(value: Value) -> Optional:
    if isinstance(value, Optional):
        return value
    raise no_overload("?", value)
