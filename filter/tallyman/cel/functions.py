"""The library: which functions there are, by name, style and number of arguments.

A method's receiver is its first argument. Every function is pure, so a call with constant arguments is folded.
"""

from collections.abc import Callable
from typing import Final, TypeAlias

from tallyman.cel import conversions, formatting, strings, times
from tallyman.cel.errors import INVALID_ARGUMENT, CelError
from tallyman.cel.re2 import MAX_DYNAMIC_PROGRAM, Pattern, PatternError
from tallyman.cel.values import NONE, Duration, Optional, Timestamp, UInt, Value, no_overload

Function: TypeAlias = Callable[..., Value]

_MILLISECOND: Final = 1_000_000
_DAY: Final = 86400 * times.SECOND


def size(value: Value) -> int:
    """Code points of a string, octets of bytes, elements of a list, entries of a map."""
    if isinstance(value, (str, bytes, list, dict)):
        return len(value)
    raise no_overload("size", value)


def matches(text: Value, pattern: Value) -> bool:
    """Whether the RE2 `pattern` matches anywhere in `text`."""
    if not isinstance(text, str) or not isinstance(pattern, str):
        raise no_overload("matches", text, pattern)
    try:
        return Pattern(pattern, MAX_DYNAMIC_PROGRAM).search(text)
    except PatternError as error:
        raise CelError(INVALID_ARGUMENT, f"matches(): {error}") from None


def _local(function: str, value: Value, zone: Value) -> int:
    if isinstance(value, Timestamp) and isinstance(zone, str):
        return times.local_nanoseconds(value, zone)
    raise no_overload(function, value, zone)


def get_full_year(value: Value, zone: Value = "UTC") -> int:
    return times.civil_from_days(_local("getFullYear", value, zone) // _DAY)[0]


def get_month(value: Value, zone: Value = "UTC") -> int:
    """From 0."""
    return times.civil_from_days(_local("getMonth", value, zone) // _DAY)[1] - 1


def get_date(value: Value, zone: Value = "UTC") -> int:
    """The day of the month from 1."""
    return times.civil_from_days(_local("getDate", value, zone) // _DAY)[2]


def get_day_of_month(value: Value, zone: Value = "UTC") -> int:
    """From 0."""
    return times.civil_from_days(_local("getDayOfMonth", value, zone) // _DAY)[2] - 1


def get_day_of_week(value: Value, zone: Value = "UTC") -> int:
    """From 0, which is Sunday."""
    return (_local("getDayOfWeek", value, zone) // _DAY + 4) % 7


def get_day_of_year(value: Value, zone: Value = "UTC") -> int:
    """From 0."""
    return times.day_of_year(_local("getDayOfYear", value, zone) // _DAY)


def get_hours(value: Value, zone: Value = "UTC") -> int:
    """The hour of the day; of a duration, all its hours."""
    if isinstance(value, Duration):
        return _whole(value, 3600 * times.SECOND)
    return _local("getHours", value, zone) // (3600 * times.SECOND) % 24


def get_minutes(value: Value, zone: Value = "UTC") -> int:
    if isinstance(value, Duration):
        return _whole(value, 60 * times.SECOND)
    return _local("getMinutes", value, zone) // (60 * times.SECOND) % 60


def get_seconds(value: Value, zone: Value = "UTC") -> int:
    if isinstance(value, Duration):
        return _whole(value, times.SECOND)
    return _local("getSeconds", value, zone) // times.SECOND % 60


def get_milliseconds(value: Value, zone: Value = "UTC") -> int:
    """The milliseconds within the second, of a timestamp and of a duration alike."""
    if isinstance(value, Duration):
        milliseconds = _whole(value, _MILLISECOND)
        return milliseconds % 1000 if milliseconds >= 0 else -(-milliseconds % 1000)
    return _local("getMilliseconds", value, zone) // _MILLISECOND % 1000


def _whole(value: Duration, unit: int) -> int:
    whole = abs(value.nanoseconds) // unit
    return -whole if value.nanoseconds < 0 else whole


def optional_of(value: Value) -> Optional:
    return Optional(True, value)


def optional_of_non_zero(value: Value) -> Optional:
    """Nothing for the zero value of its type: false, 0, "", an empty list or map, null."""
    if isinstance(value, UInt):
        return NONE if value.value == 0 else Optional(True, value)
    if isinstance(value, Duration):
        return NONE if value.nanoseconds == 0 else Optional(True, value)
    return Optional(True, value) if value else NONE


def optional_none() -> Optional:
    return NONE


def has_value(value: Value) -> bool:
    if isinstance(value, Optional):
        return value.present
    raise no_overload("hasValue", value)


def optional_value(value: Value) -> Value:
    if isinstance(value, Optional):
        if value.present:
            return value.value
        raise CelError(INVALID_ARGUMENT, "value() of an optional that has none")
    raise no_overload("value", value)


FUNCTIONS: Final[dict[tuple[str, int], Function]] = {
    ("size", 1): size,
    ("matches", 2): matches,
    ("int", 1): conversions.to_int,
    ("uint", 1): conversions.to_uint,
    ("double", 1): conversions.to_double,
    ("string", 1): conversions.to_string,
    ("bytes", 1): conversions.to_bytes,
    ("bool", 1): conversions.to_bool,
    ("timestamp", 1): conversions.to_timestamp,
    ("duration", 1): conversions.to_duration,
    ("dyn", 1): conversions.to_dyn,
    ("type", 1): conversions.type_of,
    ("queryMap", 1): strings.query_map,
    ("queryMap", 2): strings.query_map,
    ("strings.quote", 1): formatting.quote,
    ("optional.of", 1): optional_of,
    ("optional.ofNonZeroValue", 1): optional_of_non_zero,
    ("optional.none", 0): optional_none,
}

METHODS: Final[dict[tuple[str, int], Function]] = {
    ("size", 1): size,
    ("matches", 2): matches,
    ("contains", 2): strings.contains,
    ("startsWith", 2): strings.starts_with,
    ("endsWith", 2): strings.ends_with,
    ("charAt", 2): strings.char_at,
    ("indexOf", 2): strings.index_of,
    ("indexOf", 3): strings.index_of,
    ("lastIndexOf", 2): strings.last_index_of,
    ("lastIndexOf", 3): strings.last_index_of,
    ("join", 1): strings.join,
    ("join", 2): strings.join,
    ("lowerAscii", 1): strings.lower_ascii,
    ("upperAscii", 1): strings.upper_ascii,
    ("replace", 3): strings.replace,
    ("replace", 4): strings.replace,
    ("split", 2): strings.split,
    ("split", 3): strings.split,
    ("substring", 2): strings.substring,
    ("substring", 3): strings.substring,
    ("trim", 1): strings.trim,
    ("format", 2): formatting.format_string,
    ("reverse", 1): strings.reverse,
    ("queryMap", 1): strings.query_map,
    ("queryMap", 2): strings.query_map,
    ("getFullYear", 1): get_full_year,
    ("getFullYear", 2): get_full_year,
    ("getMonth", 1): get_month,
    ("getMonth", 2): get_month,
    ("getDate", 1): get_date,
    ("getDate", 2): get_date,
    ("getDayOfMonth", 1): get_day_of_month,
    ("getDayOfMonth", 2): get_day_of_month,
    ("getDayOfWeek", 1): get_day_of_week,
    ("getDayOfWeek", 2): get_day_of_week,
    ("getDayOfYear", 1): get_day_of_year,
    ("getDayOfYear", 2): get_day_of_year,
    ("getHours", 1): get_hours,
    ("getHours", 2): get_hours,
    ("getMinutes", 1): get_minutes,
    ("getMinutes", 2): get_minutes,
    ("getSeconds", 1): get_seconds,
    ("getSeconds", 2): get_seconds,
    ("getMilliseconds", 1): get_milliseconds,
    ("getMilliseconds", 2): get_milliseconds,
    ("hasValue", 1): has_value,
    ("value", 1): optional_value,
}
