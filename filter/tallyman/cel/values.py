"""The values of CEL (cel-spec langdef.md, "Values") as Python objects.

int is `int` within 64 bits, double is `float`, bool, string, bytes and null_type are `bool`, `str`, `bytes` and `None`,
list and map are `list` and `dict`; uint, timestamp, duration, type, message and optional have a class here. Values are
never changed once they exist.
"""

import math
from typing import Any, Final, TypeAlias, final

from tallyman.cel.errors import INVALID_ARGUMENT, NO_SUCH_OVERLOAD, TOO_DEEP, CelError

Value: TypeAlias = object

INT_MIN: Final = -(2**63)
INT_MAX: Final = 2**63 - 1
UINT_MAX: Final = 2**64 - 1

MAX_VALUE_DEPTH: Final = 200

_LIKE_BOOLS: Final[frozenset[object]] = frozenset((0, 1))


@final
class UInt:
    """An unsigned 64-bit integer. Equal, also as a key of a map, to the int or double of the same value."""

    def __init__(self, value: int) -> None:
        self.value = value

    def __eq__(self, other: object) -> bool:
        if isinstance(other, UInt):
            return self.value == other.value
        if isinstance(other, bool):
            return False
        return isinstance(other, (int, float)) and self.value == other

    def __hash__(self) -> int:
        return hash(self.value)

    def __repr__(self) -> str:
        return f"{self.value}u"


@final
class Timestamp:
    """A point in time, in nanoseconds since 1970-01-01T00:00:00Z; years 1 to 9999."""

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Timestamp) and self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __repr__(self) -> str:
        return f"Timestamp({self.nanoseconds})"


@final
class Duration:
    """A span of time in nanoseconds, at most 10,000 years either way."""

    def __init__(self, nanoseconds: int) -> None:
        self.nanoseconds = nanoseconds

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Duration) and self.nanoseconds == other.nanoseconds

    def __hash__(self) -> int:
        return hash(self.nanoseconds)

    def __repr__(self) -> str:
        return f"Duration({self.nanoseconds})"


@final
class TypeValue:
    """The type of a value, itself a value: `type(1) == int`."""

    def __init__(self, name: str) -> None:
        self.name = name

    def __eq__(self, other: object) -> bool:
        return isinstance(other, TypeValue) and self.name == other.name

    def __hash__(self) -> int:
        return hash(self.name)

    def __repr__(self) -> str:
        return f"TypeValue({self.name})"


@final
class Message:
    """A protobuf message as constructed by an expression: the fields that were set, as CEL values, in their order."""

    def __init__(self, type_name: str, fields: dict[str, Value]) -> None:
        self.type_name = type_name
        self.fields = fields

    def __repr__(self) -> str:
        return f"Message({self.type_name}, {self.fields})"


@final
class Optional:
    """optional_type: a value or nothing."""

    def __init__(self, present: bool, value: Value) -> None:
        self.present = present
        self.value = value

    def __repr__(self) -> str:
        return f"Optional({self.value!r})" if self.present else "Optional()"


NONE: Final = Optional(False, None)

TYPE_NAMES: Final = frozenset(
    (
        "bool",
        "bytes",
        "double",
        "int",
        "list",
        "map",
        "null_type",
        "string",
        "type",
        "uint",
        "optional_type",
        "google.protobuf.Duration",
        "google.protobuf.Timestamp",
    )
)


def nearest_double(value: int) -> float:
    """`value` as a double; infinite if it is beyond all of them (JSON in a request may hold an int of any size)."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def type_name(value: Value) -> str:
    """CEL's name of the type of `value`. Raises CelError for an object that is no CEL value."""
    if isinstance(value, str):
        return "string"
    if isinstance(value, bool):
        return "bool"
    if isinstance(value, int):
        return "int"
    if isinstance(value, float):
        return "double"
    if value is None:
        return "null_type"
    if isinstance(value, list):
        return "list"
    if isinstance(value, dict):
        return "map"
    return _rare_type_name(value)


def _rare_type_name(value: Value) -> str:
    if isinstance(value, UInt):
        return "uint"
    if isinstance(value, bytes):
        return "bytes"
    if isinstance(value, Timestamp):
        return "google.protobuf.Timestamp"
    if isinstance(value, Duration):
        return "google.protobuf.Duration"
    if isinstance(value, TypeValue):
        return "type"
    if isinstance(value, Message):
        return value.type_name
    if isinstance(value, Optional):
        return "optional_type"
    raise CelError(INVALID_ARGUMENT, f"Python's {type(value).__name__} is not a CEL value")


def no_overload(function: str, *arguments: Value) -> CelError:
    """The error for an operator or function that does not take these types."""
    types = ", ".join([type_name(argument) for argument in arguments])
    return CelError(NO_SUCH_OVERLOAD, f"{function}({types})")


def equals(left: Value, right: Value) -> bool:
    """CEL's ==: numbers by value whatever their types, other unlike types unequal. Raises CelError if too deep."""
    return _equals(left, right, MAX_VALUE_DEPTH)


def _equals(left: Value, right: Value, depth: int) -> bool:
    if isinstance(left, str):
        return isinstance(right, str) and left == right
    if isinstance(left, bool) or isinstance(right, bool):
        return isinstance(left, bool) and isinstance(right, bool) and left == right
    if isinstance(left, list):
        if not isinstance(right, list) or len(left) != len(right):
            return False
        if depth == 0:
            raise CelError(TOO_DEEP, f"values nested more than {MAX_VALUE_DEPTH} levels deep cannot be compared")
        return all(_equals(left[index], right[index], depth - 1) for index in range(len(left)))
    if isinstance(left, dict):
        return isinstance(right, dict) and _maps_equal(left, right, depth)
    if isinstance(left, Message):
        return (
            isinstance(right, Message)
            and left.type_name == right.type_name
            and _maps_equal(left.fields, right.fields, depth)
        )
    if isinstance(left, Optional):
        if not isinstance(right, Optional) or left.present != right.present:
            return False
        if depth == 0:
            raise CelError(TOO_DEEP, f"values nested more than {MAX_VALUE_DEPTH} levels deep cannot be compared")
        return _equals(left.value, right.value, depth - 1)
    # The rest compare as Python does: numbers by value (UInt.__eq__ takes part), unlike types unequal.
    return not isinstance(right, (list, dict)) and left == right


def _maps_equal(left: dict[Any, Value], right: dict[Any, Value], depth: int) -> bool:
    if len(left) != len(right):
        return False
    if depth == 0:
        raise CelError(TOO_DEEP, f"values nested more than {MAX_VALUE_DEPTH} levels deep cannot be compared")
    for key, value in left.items():
        if not has_key(right, key) or not _equals(value, right[key], depth - 1):
            return False
    return True


def has_key(mapping: dict[Value, Value], key: Value) -> bool:
    """Whether `mapping` has `key` (string, int, uint, bool, or a double of integral value)."""
    if isinstance(key, str):
        return key in mapping
    if isinstance(key, (list, dict, Message, Optional)) or key not in mapping:
        return False
    if key in _LIKE_BOOLS:
        # Python takes True for 1: see that the key found is a bool if and only if the key sought is.
        for found in mapping:
            if found == key:
                return isinstance(found, bool) == isinstance(key, bool)
    return True
