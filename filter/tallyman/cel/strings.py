"""String functions: the standard ones and cel-go's strings extension. Offsets count code points. All raise CelError."""

import re
from typing import Final

from tallyman.cel.errors import INDEX_OUT_OF_RANGE, TOO_LARGE, CelError
from tallyman.cel.values import UInt, Value, no_overload

MAX_TEXT: Final = 1 << 20

# Unicode's White_Space, which is not quite what str.strip() takes off.
_WHITE_SPACE: Final = (
    " \t\n\v\f\r\x85\xa0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)
_LOWER: Final = {code: code + 32 for code in range(ord("A"), ord("Z") + 1)}
_UPPER: Final = {code: code - 32 for code in range(ord("a"), ord("z") + 1)}
_ESCAPED_OCTET: Final = rb"%([0-9A-Fa-f]{2})"


def contains(text: Value, part: Value) -> bool:
    if isinstance(text, str) and isinstance(part, str):
        return part in text
    raise no_overload("contains", text, part)


def starts_with(text: Value, part: Value) -> bool:
    if isinstance(text, str) and isinstance(part, str):
        return text.startswith(part)
    raise no_overload("startsWith", text, part)


def ends_with(text: Value, part: Value) -> bool:
    if isinstance(text, str) and isinstance(part, str):
        return text.endswith(part)
    raise no_overload("endsWith", text, part)


def char_at(text: Value, offset: Value) -> str:
    """The character at `offset`; "" at the very end."""
    if isinstance(text, str):
        position = _integer(offset)
        if position is not None:
            _within(text, position)
            return text[position : position + 1]
    raise no_overload("charAt", text, offset)


def index_of(text: Value, part: Value, offset: Value = 0) -> int:
    """The first offset of `part` at or after `offset`, or -1."""
    if isinstance(text, str) and isinstance(part, str):
        start = _integer(offset)
        if start is not None:
            _within(text, start)
            return text.find(part, start)
    raise no_overload("indexOf", text, part, offset)


def last_index_of(text: Value, part: Value, offset: Value = None) -> int:
    """The last offset of `part` at or before `offset`, or -1."""
    if isinstance(text, str) and isinstance(part, str):
        if offset is None:
            return text.rfind(part)
        start = _integer(offset)
        if start is not None:
            _within(text, start)
            return text.rfind(part, 0, start + len(part))
    raise no_overload("lastIndexOf", text, part, offset)


def join(parts: Value, separator: Value = "") -> str:
    if isinstance(parts, list) and isinstance(separator, str):
        for part in parts:
            if not isinstance(part, str):
                raise no_overload("join", parts, separator)
        return separator.join(parts)
    raise no_overload("join", parts, separator)


def lower_ascii(text: Value) -> str:
    if isinstance(text, str):
        return text.lower() if text.isascii() else text.translate(_LOWER)
    raise no_overload("lowerAscii", text)


def upper_ascii(text: Value) -> str:
    if isinstance(text, str):
        return text.upper() if text.isascii() else text.translate(_UPPER)
    raise no_overload("upperAscii", text)


def replace(text: Value, old: Value, new: Value, limit: Value = -1) -> str:
    """`limit` replacements at most; all if it is negative."""
    if isinstance(text, str) and isinstance(old, str) and isinstance(new, str):
        count = _integer(limit)
        if count is not None:
            found = text.count(old)
            times = found if count < 0 else min(count, found)
            # Text and replacement may both come from a request: their product must not.
            if len(text) + times * len(new) > MAX_TEXT and len(new) > len(old):
                raise CelError(TOO_LARGE, f"replace() of more than {MAX_TEXT} characters")
            return text.replace(old, new, times)
    raise no_overload("replace", text, old, new, limit)


def split(text: Value, separator: Value, limit: Value = -1) -> list[Value]:
    """`limit` parts at most; all if it is negative. An empty separator splits into characters."""
    if isinstance(text, str) and isinstance(separator, str):
        count = _integer(limit)
        if count is not None:
            return split_text(text, separator, count)
    raise no_overload("split", text, separator, limit)


def split_text(text: str, separator: str, limit: int) -> list[Value]:
    if limit == 0:
        return []
    if separator != "":
        return list(text.split(separator, max(-1, min(limit - 1, len(text))) if limit > 0 else -1))
    if limit < 0 or limit >= len(text):
        return list(text)
    parts: list[Value] = list(text[: limit - 1])
    parts.append(text[limit - 1 :])
    return parts


def substring(text: Value, start: Value, end: Value = None) -> str:
    """The characters from `start` up to but not including `end`."""
    if isinstance(text, str):
        first = _integer(start)
        last = len(text) if end is None else _integer(end)
        if first is not None and last is not None:
            _within(text, first)
            _within(text, last)
            if first > last:
                raise CelError(INDEX_OUT_OF_RANGE, "substring() ends before it starts")
            return text[first:last]
    raise no_overload("substring", text, start, end)


def trim(text: Value) -> str:
    if isinstance(text, str):
        return text.strip(_WHITE_SPACE)
    raise no_overload("trim", text)


def reverse(value: Value) -> Value:
    if isinstance(value, str):
        return value[::-1]
    if isinstance(value, list):
        return value[::-1]
    raise no_overload("reverse", value)


def query_map(query: Value, allow_repeats: Value = False) -> dict[str, Value]:
    """Kuadrant's queryMap: a query string's parameters, percent-decoded (a plus sign stands for itself).

    The first of several equal names counts; with `allow_repeats` true they make a list.
    """
    if not isinstance(query, str):
        raise no_overload("queryMap", query)
    parameters: dict[str, Value] = {}
    for part in query.split("&"):
        pieces = part.split("=", 2)
        name = _percent_decoded(pieces[0])
        value = _percent_decoded(pieces[1]) if len(pieces) > 1 else ""
        if name not in parameters:
            parameters[name] = value
        elif allow_repeats is True:
            earlier = parameters[name]
            if isinstance(earlier, list):
                earlier.append(value)
            else:
                parameters[name] = [earlier, value]
    return parameters


def _percent_decoded(text: str) -> str:
    if "%" not in text:
        return text
    try:
        return re.sub(_ESCAPED_OCTET, _octet, text.encode()).decode()
    except UnicodeError:
        return text


def _octet(match: re.Match[bytes]) -> bytes:
    return bytes((int(match.group(1), 16),))


def _integer(value: Value) -> int | None:
    if isinstance(value, UInt):
        return value.value
    if isinstance(value, int) and not isinstance(value, bool):
        return value
    return None


def _within(text: str, offset: int) -> None:
    if not 0 <= offset <= len(text):
        raise CelError(INDEX_OUT_OF_RANGE, f"the string has {len(text)} characters")
