"""Timestamps and durations: text forms and calendar fields (RFC 3339; protobuf's JSON form of Duration).

Civil dates are counted as in Howard Hinnant's "chrono-compatible low-level date algorithms".
"""

import re
from typing import Final

from tallyman.cel.errors import INVALID_ARGUMENT, RANGE, CelError
from tallyman.cel.values import Duration, Timestamp

SECOND: Final = 1_000_000_000

_MIN_TIMESTAMP: Final = -62135596800 * SECOND
_MAX_TIMESTAMP: Final = 253402300800 * SECOND - 1
_MAX_DURATION: Final = 315576000000 * SECOND

# Regular expressions that `re` compiles, and keeps, when they are first used: no VM pays for them when it starts.
_RFC3339: Final = (
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})[Tt]([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?"
    r"(?:[Zz]|([-+])([0-9]{2}):([0-9]{2}))"
)
_OFFSET: Final = r"([-+]?)([0-9]{1,2}):([0-9]{2})"
_DURATION: Final = r"([0-9]{0,20})(?:\.([0-9]{0,20}))?(ns|us|µs|μs|ms|s|m|h)"
_UNITS: Final = {
    "ns": 1,
    "us": 1_000,
    "µs": 1_000,
    "μs": 1_000,
    "ms": 1_000_000,
    "s": SECOND,
    "m": 60 * SECOND,
    "h": 3600 * SECOND,
}


def timestamp(nanoseconds: int) -> Timestamp:
    """The timestamp at `nanoseconds` of Unix time. Raises CelError outside years 1 to 9999."""
    if not _MIN_TIMESTAMP <= nanoseconds <= _MAX_TIMESTAMP:
        raise CelError(RANGE, "timestamp outside years 1 to 9999")
    return Timestamp(nanoseconds)


def duration(nanoseconds: int) -> Duration:
    """The duration of `nanoseconds`. Raises CelError beyond 10,000 years."""
    if not -_MAX_DURATION <= nanoseconds <= _MAX_DURATION:
        raise CelError(RANGE, "duration longer than 10,000 years")
    return Duration(nanoseconds)


def parse_timestamp(text: str) -> Timestamp:
    """RFC 3339, section 5.6. Raises CelError."""
    match = re.fullmatch(_RFC3339, text)
    if match is None:
        raise CelError(INVALID_ARGUMENT, "timestamp() takes RFC 3339, such as 2026-01-31T23:59:59Z")
    year, month, day = int(match[1]), int(match[2]), int(match[3])
    hour, minute, second = int(match[4]), int(match[5]), int(match[6])
    if not (1 <= month <= 12 and 1 <= day <= _days_in_month(year, month) and hour < 24 and minute < 60 and second < 60):
        raise CelError(INVALID_ARGUMENT, "timestamp() was given a date or time that does not exist")
    seconds = _days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second
    if match[8] is not None:
        offset = int(match[9]) * 3600 + int(match[10]) * 60
        seconds += offset if match[8] == "-" else -offset
    fraction = match[7]
    nanoseconds = int(fraction.ljust(9, "0")) if fraction is not None else 0
    return timestamp(seconds * SECOND + nanoseconds)


def format_timestamp(value: Timestamp) -> str:
    """RFC 3339 in UTC, with as many digits of fraction as needed."""
    days, rest = divmod(value.nanoseconds, 86400 * SECOND)
    year, month, day = civil_from_days(days)
    seconds, fraction = divmod(rest, SECOND)
    text = f"{year:04d}-{month:02d}-{day:02d}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
    return text + _fraction(fraction) + "Z"


def parse_duration(text: str) -> Duration:
    """Decimal numbers with units h, m, s, ms, us, ns, and an optional sign: 1h30m, -1.5s. Raises CelError."""
    body = text[1:] if text[:1] in ("-", "+") else text
    total = 0
    index = 0
    if body != "0":
        while True:
            match = re.compile(_DURATION).match(body, index)
            if match is None or not (match[1] or match[2]) or index > 200:
                raise CelError(INVALID_ARGUMENT, "duration() takes numbers with units, such as 1h30m or 1.5s")
            unit = _UNITS[match[3]]
            total += int(match[1] or "0") * unit
            fraction = match[2]
            if fraction:
                total += int(fraction) * unit // int("1" + "0" * len(fraction))
            index = match.end()
            if index == len(body):
                break
    return duration(-total if text[:1] == "-" else total)


def format_duration(value: Duration) -> str:
    """Seconds with as many digits of fraction as needed: 90s, -1.5s."""
    seconds, fraction = divmod(abs(value.nanoseconds), SECOND)
    return f"{'-' if value.nanoseconds < 0 else ''}{seconds}{_fraction(fraction)}s"


def _fraction(nanoseconds: int) -> str:
    return "." + f"{nanoseconds:09d}".rstrip("0") if nanoseconds else ""


def local_nanoseconds(value: Timestamp, zone: str) -> int:
    """Nanoseconds since 1970-01-01T00:00:00 on the clock of `zone`, UTC or an offset like -08:00. Raises CelError."""
    if zone in ("UTC", "Z", "GMT", "Etc/UTC", "Etc/GMT", ""):
        return value.nanoseconds
    match = re.fullmatch(_OFFSET, zone)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        raise CelError(INVALID_ARGUMENT, "a time zone must be UTC or a fixed offset such as +02:00")
    offset = (int(match[2]) * 3600 + int(match[3]) * 60) * SECOND
    return value.nanoseconds - offset if match[1] == "-" else value.nanoseconds + offset


def day_of_year(days: int) -> int:
    """Days since 1 January of the year in which day `days` after 1970-01-01 lies, from 0."""
    year, _, _ = civil_from_days(days)
    return days - _days_from_civil(year, 1, 1)


def civil_from_days(days: int) -> tuple[int, int, int]:
    """Year, month (from 1) and day (from 1) of the day `days` after 1970-01-01."""
    shifted = days + 719468
    era = shifted // 146097
    day_of_era = shifted - era * 146097
    year_of_era = (day_of_era - day_of_era // 1460 + day_of_era // 36524 - day_of_era // 146096) // 365
    day_of_shifted_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    shifted_month = (5 * day_of_shifted_year + 2) // 153
    day = day_of_shifted_year - (153 * shifted_month + 2) // 5 + 1
    month = shifted_month + 3 if shifted_month < 10 else shifted_month - 9
    return year_of_era + era * 400 + (1 if month <= 2 else 0), month, day


def _days_from_civil(year: int, month: int, day: int) -> int:
    if month <= 2:
        year -= 1
    era = year // 400
    year_of_era = year - era * 400
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146097 + day_of_era - 719468


def _days_in_month(year: int, month: int) -> int:
    if month == 2:
        return 29 if year % 4 == 0 and (year % 100 != 0 or year % 400 == 0) else 28
    return 30 if month in (4, 6, 9, 11) else 31
