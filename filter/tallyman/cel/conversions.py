"""Type conversions (cel-spec langdef.md, "List of Standard Definitions"). All raise CelError."""

import re
from typing import Final

from tallyman.cel import times
from tallyman.cel.errors import INVALID_ARGUMENT, RANGE, CelError
from tallyman.cel.values import (
    INT_MAX,
    INT_MIN,
    UINT_MAX,
    Duration,
    Timestamp,
    TypeValue,
    UInt,
    Value,
    nearest_double,
    no_overload,
    type_name,
)

# Compiled by `re` at first use, like those of `times`.
_INTEGER: Final = r"[-+]?[0-9]{1,100}"
_DOUBLE: Final = r"(?i)[-+]?(?:(?:[0-9]{1,400}\.?[0-9]{0,400}|\.[0-9]{1,400})(?:[eE][-+]?[0-9]{1,9})?|inf|infinity|nan)"
_TRUE: Final = ("true", "True", "TRUE", "t", "1")
_FALSE: Final = ("false", "False", "FALSE", "f", "0")


def to_int(value: Value) -> Value:
    """Doubles truncate toward zero; a timestamp gives seconds of Unix time."""
    if isinstance(value, bool):
        raise no_overload("int", value)
    if isinstance(value, int):
        return value
    if isinstance(value, UInt):
        number = value.value
    elif isinstance(value, float):
        number = _truncated("int", value)
    elif isinstance(value, str):
        number = _parsed("int", value)
    elif isinstance(value, Timestamp):
        return value.nanoseconds // times.SECOND
    else:
        raise no_overload("int", value)
    if INT_MIN <= number <= INT_MAX:
        return number
    raise CelError(RANGE, "int()")


def to_uint(value: Value) -> Value:
    if isinstance(value, UInt):
        return value
    if isinstance(value, bool):
        raise no_overload("uint", value)
    if isinstance(value, int):
        number = value
    elif isinstance(value, float):
        number = _truncated("uint", value)
    elif isinstance(value, str):
        number = _parsed("uint", value)
    else:
        raise no_overload("uint", value)
    if 0 <= number <= UINT_MAX:
        return UInt(number)
    raise CelError(RANGE, "uint()")


def _truncated(function: str, value: float) -> int:
    # The next double below 2**64 is well inside; NaN and infinities fail both comparisons.
    if -9223372036854775809.0 < value < 18446744073709551616.0 and not (
        function == "int" and not -9223372036854775808.0 < value < 9223372036854775808.0
    ):
        return int(value)
    raise CelError(RANGE, f"{function}()")


def _parsed(function: str, text: str) -> int:
    if re.fullmatch(_INTEGER, text) is None:
        raise CelError(INVALID_ARGUMENT, f"{function}() of a string takes decimal digits")
    return int(text)


def to_double(value: Value) -> Value:
    if isinstance(value, float):
        return value
    if isinstance(value, bool):
        raise no_overload("double", value)
    if isinstance(value, int):
        return nearest_double(value)
    if isinstance(value, UInt):
        return float(value.value)
    if isinstance(value, str):
        if re.fullmatch(_DOUBLE, value) is None:
            raise CelError(INVALID_ARGUMENT, "double() of a string takes a decimal number")
        return float(value)
    raise no_overload("double", value)


def to_string(value: Value) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, UInt):
        return str(value.value)
    if isinstance(value, float):
        return format_double(value)
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            raise CelError(INVALID_ARGUMENT, "string() of bytes that are not UTF-8") from None
    if isinstance(value, Timestamp):
        return times.format_timestamp(value)
    if isinstance(value, Duration):
        return times.format_duration(value)
    raise no_overload("string", value)


def format_double(value: float) -> str:
    """The shortest decimal that reads back as `value`; no fraction where there is none."""
    if value != value:
        return "NaN"
    text = repr(value)
    if text.endswith(".0"):
        return text[:-2]
    return text.replace("inf", "Infinity") if "inf" in text else text


def to_bytes(value: Value) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise CelError(INVALID_ARGUMENT, "bytes() of a string with lone surrogates") from None
    raise no_overload("bytes", value)


def to_bool(value: Value) -> bool:
    if isinstance(value, bool):
        return value
    if isinstance(value, str):
        if value in _TRUE:
            return True
        if value in _FALSE:
            return False
        raise CelError(INVALID_ARGUMENT, "bool() of a string takes true or false")
    raise no_overload("bool", value)


def to_timestamp(value: Value) -> Timestamp:
    """From RFC 3339, or from seconds of Unix time."""
    if isinstance(value, Timestamp):
        return value
    if isinstance(value, str):
        return times.parse_timestamp(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return times.timestamp(value * times.SECOND)
    raise no_overload("timestamp", value)


def to_duration(value: Value) -> Duration:
    """From text such as 1h30m, or from seconds."""
    if isinstance(value, Duration):
        return value
    if isinstance(value, str):
        return times.parse_duration(value)
    if isinstance(value, int) and not isinstance(value, bool):
        return times.duration(value * times.SECOND)
    raise no_overload("duration", value)


def to_dyn(value: Value) -> Value:
    return value


def type_of(value: Value) -> TypeValue:
    return TypeValue(type_name(value))
