"""The operators of CEL on values (cel-spec langdef.md, "Arithmetic", "Ordering", "Indexing"). All raise CelError."""

import math
from typing import Final

from tallyman.cel import times
from tallyman.cel.errors import DIVIDE_BY_ZERO, INDEX_OUT_OF_RANGE, NO_SUCH_KEY, OVERFLOW, CelError
from tallyman.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Message,
    Timestamp,
    UInt,
    Value,
    equals,
    has_key,
    nearest_double,
    no_overload,
    type_name,
)

_NAN: Final = float("nan")


def checked_int(value: int) -> int:
    """`value` itself if it fits 64 bits."""
    if INT_MIN <= value <= INT_MAX:
        return value
    raise CelError(OVERFLOW, "result outside the range of int")


def checked_uint(value: int) -> UInt:
    """`value` as a uint if it fits."""
    if 0 <= value <= UINT_MAX:
        return UInt(value)
    raise CelError(OVERFLOW, "result outside the range of uint")


def add(left: Value, right: Value) -> Value:
    if isinstance(left, str):
        if isinstance(right, str):
            return left + right
    elif isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, int):
        if isinstance(right, int):
            return checked_int(left + right)
    elif isinstance(left, UInt):
        if isinstance(right, UInt):
            return checked_uint(left.value + right.value)
    elif isinstance(left, float):
        if isinstance(right, float):
            return left + right
    elif isinstance(left, list):
        if isinstance(right, list):
            return left + right
    elif isinstance(left, bytes):
        if isinstance(right, bytes):
            return left + right
    elif isinstance(left, Timestamp):
        if isinstance(right, Duration):
            return times.timestamp(left.nanoseconds + right.nanoseconds)
    elif isinstance(left, Duration):
        if isinstance(right, Duration):
            return times.duration(left.nanoseconds + right.nanoseconds)
        if isinstance(right, Timestamp):
            return times.timestamp(left.nanoseconds + right.nanoseconds)
    raise no_overload("+", left, right)


def subtract(left: Value, right: Value) -> Value:
    if isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, int):
        if isinstance(right, int):
            return checked_int(left - right)
    elif isinstance(left, UInt):
        if isinstance(right, UInt):
            return checked_uint(left.value - right.value)
    elif isinstance(left, float):
        if isinstance(right, float):
            return left - right
    elif isinstance(left, Timestamp):
        if isinstance(right, Timestamp):
            return times.duration(left.nanoseconds - right.nanoseconds)
        if isinstance(right, Duration):
            return times.timestamp(left.nanoseconds - right.nanoseconds)
    elif isinstance(left, Duration) and isinstance(right, Duration):
        return times.duration(left.nanoseconds - right.nanoseconds)
    raise no_overload("-", left, right)


def multiply(left: Value, right: Value) -> Value:
    if isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, int):
        if isinstance(right, int):
            return checked_int(left * right)
    elif isinstance(left, UInt):
        if isinstance(right, UInt):
            return checked_uint(left.value * right.value)
    elif isinstance(left, float) and isinstance(right, float):
        return left * right
    raise no_overload("*", left, right)


def divide(left: Value, right: Value) -> Value:
    """Integers truncate toward zero; doubles follow IEEE 754."""
    if isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, int):
        if isinstance(right, int):
            return checked_int(_truncated(left, right))
    elif isinstance(left, UInt):
        if isinstance(right, UInt):
            return UInt(_truncated(left.value, right.value))
    elif isinstance(left, float) and isinstance(right, float):
        if right != 0.0:
            return left / right
        if left == 0.0 or math.isnan(left):
            return _NAN
        return math.copysign(math.inf, left) * math.copysign(1.0, right)
    raise no_overload("/", left, right)


def modulo(left: Value, right: Value) -> Value:
    """The remainder has the sign of the dividend."""
    if isinstance(left, bool) or isinstance(right, bool):
        pass
    elif isinstance(left, int):
        if isinstance(right, int):
            return left - right * _truncated(left, right)
    elif isinstance(left, UInt) and isinstance(right, UInt):
        return UInt(left.value - right.value * _truncated(left.value, right.value))
    raise no_overload("%", left, right)


def _truncated(dividend: int, divisor: int) -> int:
    if divisor == 0:
        raise CelError(DIVIDE_BY_ZERO, "integer division or remainder by zero")
    quotient = abs(dividend) // abs(divisor)
    return quotient if (dividend < 0) == (divisor < 0) else -quotient


def negate(operand: Value) -> Value:
    if isinstance(operand, int) and not isinstance(operand, bool):
        return checked_int(-operand)
    if isinstance(operand, float):
        return -operand
    raise no_overload("-", operand)


def not_equal(left: Value, right: Value) -> bool:
    return not equals(left, right)


def less(left: Value, right: Value) -> bool:
    """Numbers compare across their types; nothing else does."""
    if isinstance(left, str):
        if isinstance(right, str):
            return left < right
    elif isinstance(left, bool):
        if isinstance(right, bool):
            return not left and right
    elif isinstance(left, bytes):
        if isinstance(right, bytes):
            return left < right
    elif isinstance(left, (int, float, UInt)):
        if isinstance(right, (int, float, UInt)) and not isinstance(right, bool):
            return _order(left, right) < 0
    elif isinstance(left, Timestamp):
        if isinstance(right, Timestamp):
            return left.nanoseconds < right.nanoseconds
    elif isinstance(left, Duration) and isinstance(right, Duration):
        return left.nanoseconds < right.nanoseconds
    raise no_overload("<", left, right)


def less_equal(left: Value, right: Value) -> bool:
    if (
        isinstance(left, (int, float, UInt))
        and isinstance(right, (int, float, UInt))
        and not isinstance(left, bool)
        and not isinstance(right, bool)
    ):
        return _order(left, right) <= 0
    # `less` comes first because it refuses unlike types.
    return less(left, right) or equals(left, right)


def _order(left: int | float | UInt, right: int | float | UInt) -> int:
    """Negative, 0 or positive as `left` is less, equal or greater; positive both ways for NaN.

    An integer is rounded to a double before it is compared with one, as in the reference implementation.
    """
    a: int | float = left.value if isinstance(left, UInt) else left
    b: int | float = right.value if isinstance(right, UInt) else right
    if isinstance(a, float):
        if isinstance(b, int):
            b = nearest_double(b)
    elif isinstance(b, float):
        a = nearest_double(a)
    return -1 if a < b else 0 if a == b else 1


def greater(left: Value, right: Value) -> bool:
    return less(right, left)


def greater_equal(left: Value, right: Value) -> bool:
    return less_equal(right, left)


def contained(element: Value, container: Value) -> bool:
    """element in container: the elements of a list, or the keys of a map."""
    if isinstance(container, dict):
        return has_key(container, element)
    if isinstance(container, list):
        if isinstance(element, str):
            return element in container
        return any(equals(element, candidate) for candidate in container)
    raise no_overload("in", element, container)


def index(container: Value, key: Value) -> Value:
    """container[key]."""
    if isinstance(container, dict):
        if isinstance(key, (str, bool, int, float, UInt)):
            if has_key(container, key):
                return container[key]
            raise CelError(NO_SUCH_KEY, "the map does not have the key")
    elif isinstance(container, list):
        position = _list_index(key)
        if position is not None:
            if 0 <= position < len(container):
                return container[position]
            raise CelError(INDEX_OUT_OF_RANGE, f"the list has {len(container)} elements")
    raise no_overload("[]", container, key)


def _list_index(key: Value) -> int | None:
    if isinstance(key, bool):
        return None
    if isinstance(key, int):
        return key
    if isinstance(key, UInt):
        return key.value
    if isinstance(key, float) and key.is_integer():
        return int(key)
    return None


def select(operand: Value, field: str) -> Value:
    """operand.field."""
    if isinstance(operand, dict):
        if field in operand:
            return operand[field]
        raise CelError(NO_SUCH_KEY, field)
    if isinstance(operand, Message):
        if field in operand.fields:
            return operand.fields[field]
        raise CelError(NO_SUCH_KEY, f"{operand.type_name}.{field} is not set")
    raise CelError(NO_SUCH_KEY, f"{field} (its operand is a {type_name(operand)}, not a map)")


def has_field(operand: Value, field: str) -> bool:
    """has(operand.field)."""
    if isinstance(operand, dict):
        return field in operand
    if isinstance(operand, Message):
        return field in operand.fields
    raise no_overload("has", operand)
