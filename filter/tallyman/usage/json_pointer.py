"""JSON pointers (RFC 6901)."""

from typing import Final

_DIGITS: Final = "0123456789"


class JsonPointerError(ValueError):
    """The text is no JSON pointer, or not one that can be followed in a body that is never held as a whole."""


def parse(pointer: str) -> list[str]:
    """The reference tokens of `pointer`, unescaped: `"/usage/a~1b"` -> `["usage", "a/b"]`.

    Raises `JsonPointerError` for a text that does not follow RFC 6901, and for `""`, which names the whole document.
    """
    if pointer == "":
        raise JsonPointerError(
            'JSON pointer "" names the whole document, which is never held; name a member of it, such as "/usage"'
        )
    if not pointer.startswith("/"):
        raise JsonPointerError(f'JSON pointer "{pointer}" begins with "{pointer[0]}", expected "/": "/{pointer}"?')
    return [_unescape(token, pointer) for token in pointer[1:].split("/")]


def _unescape(token: str, pointer: str) -> str:
    at = token.find("~")
    while at >= 0:
        if token[at + 1 : at + 2] not in ("0", "1"):
            found = token[at : at + 2]
            raise JsonPointerError(
                f'JSON pointer "{pointer}" has "{found}" in "{token}", expected "~0" (for "~") or "~1" (for "/")'
            )
        at = token.find("~", at + 2)
    return token.replace("~1", "/").replace("~0", "~")


def resolve(value: object, tokens: list[str]) -> object:
    """What `tokens` lead to inside a decoded JSON value; None if that is nothing, or null (RFC 6901, section 4)."""
    for token in tokens:
        if isinstance(value, dict):
            value = value.get(token)
        elif isinstance(value, list):
            index = _array_index(token)
            if not 0 <= index < len(value):
                return None
            value = value[index]
        else:
            return None
    return value


def _array_index(token: str) -> int:
    """-1 for what is no array index: signs, leading zeros and `-` (the member after the last) are none."""
    if not 0 < len(token) <= 9 or token.strip(_DIGITS) or (len(token) > 1 and token[0] == "0"):
        return -1
    return int(token)
