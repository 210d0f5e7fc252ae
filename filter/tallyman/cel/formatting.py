"""string.format() and strings.quote() of cel-go's strings extension. All raise CelError."""

import math
import re
from typing import Final

from tallyman.cel import conversions
from tallyman.cel.errors import INVALID_ARGUMENT, TOO_DEEP, CelError
from tallyman.cel.values import MAX_VALUE_DEPTH, TypeValue, UInt, Value, nearest_double, no_overload

MAX_PRECISION: Final = 100

_CLAUSE: Final = r"%(?:(%)|(?:\.([0-9]{1,4}))?([a-zA-Z]))?"
_QUOTED: Final = {
    "\a": "\\a",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
    "\v": "\\v",
    "\\": "\\\\",
    '"': '\\"',
}
_QUOTE_TABLE: Final = str.maketrans(_QUOTED)


def quote(text: Value) -> str:
    """`text` in double quotes, its control characters, quotes and backslashes escaped."""
    if isinstance(text, str):
        return '"' + text.translate(_QUOTE_TABLE) + '"'
    raise no_overload("strings.quote", text)


def format_string(template: Value, arguments: Value) -> str:
    """`template` with its clauses %s %d %f %e %b %o %x %X (and %.3f, %%) replaced by `arguments` in turn."""
    if not isinstance(template, str) or not isinstance(arguments, list):
        raise no_overload("format", template, arguments)
    parts: list[str] = []
    position = 0
    used = 0
    while True:
        start = template.find("%", position)
        if start < 0:
            parts.append(template[position:])
            return "".join(parts)
        parts.append(template[position:start])
        match = re.compile(_CLAUSE).match(template, start)
        assert match is not None
        position = match.end()
        if match.group(1) is not None:
            parts.append("%")
            continue
        verb = match.group(3)
        if verb is None:
            raise CelError(INVALID_ARGUMENT, "format() found a % without a verb")
        if used >= len(arguments):
            raise CelError(INVALID_ARGUMENT, f"format() has more clauses than its {used} arguments")
        precision = 6 if match.group(2) is None else int(match.group(2))
        if precision > MAX_PRECISION:
            raise CelError(INVALID_ARGUMENT, f"format() takes a precision of {MAX_PRECISION} at most")
        parts.append(_formatted(verb, precision, arguments[used]))
        used += 1


def _formatted(verb: str, precision: int, value: Value) -> str:
    if verb == "s":
        return _text(value, MAX_VALUE_DEPTH)
    if verb == "f" or verb == "e":
        return _floating(verb, precision, value)
    if verb == "x" or verb == "X":
        if isinstance(value, str):
            digits = value.encode(errors="surrogatepass").hex()
        elif isinstance(value, bytes):
            digits = value.hex()
        else:
            digits = f"{_integer(verb, value):x}"
        return digits.upper() if verb == "X" else digits
    if verb == "d":
        if isinstance(value, float) and not math.isfinite(value):
            return conversions.format_double(value)
        return str(_integer(verb, value))
    if verb == "o":
        return f"{_integer(verb, value):o}"
    if verb == "b":
        return f"{int(value) if isinstance(value, bool) else _integer(verb, value):b}"
    raise CelError(INVALID_ARGUMENT, f"format() has no verb %{verb}")


def _integer(verb: str, value: Value) -> int:
    if isinstance(value, UInt):
        return value.value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    raise no_overload(f"format %{verb}", value)


def _floating(verb: str, precision: int, value: Value) -> str:
    if not isinstance(value, (int, float, UInt)) or isinstance(value, bool):
        raise no_overload(f"format %{verb}", value)
    if isinstance(value, UInt):
        value = value.value
    number = nearest_double(value) if isinstance(value, int) else value
    if not math.isfinite(number):
        return conversions.format_double(number)
    return f"{number:.{precision}f}" if verb == "f" else f"{number:.{precision}e}"


def _text(value: Value, depth: int) -> str:
    if depth == 0:
        raise CelError(TOO_DEEP, f"format() of values nested more than {MAX_VALUE_DEPTH} levels deep")
    if isinstance(value, list):
        return "[" + ", ".join([_text(element, depth - 1) for element in value]) + "]"
    if isinstance(value, dict):
        entries: list[str] = []
        for key, element in value.items():
            entries.append(f"{_text(key, depth - 1)}: {_text(element, depth - 1)}")
        return "{" + ", ".join(sorted(entries)) + "}"
    if value is None:
        return "null"
    if isinstance(value, TypeValue):
        return value.name
    try:
        return conversions.to_string(value)
    except CelError:
        raise no_overload("format %s", value) from None
