"""What to look for in response bodies: decided once, when the plugin is configured."""

import re
from typing import Final, final

from tallyman.usage import json_pointer

USAGE: Final = 0
"""The index of the member `usage`, which is always wanted."""

# RFC 8259, section 7. The solidus may be written either way; the others must be escaped.
_SHORT_ESCAPES: Final = {
    '"': '\\"',
    "\\": "\\\\",
    "/": "\\/",
    "\b": "\\b",
    "\f": "\\f",
    "\n": "\\n",
    "\r": "\\r",
    "\t": "\\t",
}
_NEAR: Final = 1024
_LONGEST_ESCAPE: Final = 12  # a surrogate pair


@final
class WantedMembers:
    """The members of a response body's outermost object that JSON pointers lead into, and how to recognise their keys.

    `pointers` are RFC 6901 texts such as `"/usage/total_tokens"`. Raises `json_pointer.JsonPointerError`.
    """

    def __init__(self, pointers: list[str]) -> None:
        self.names: list[str] = ["usage"]
        self.index: dict[str, int] = {}  # pointer -> its place in `members` and `paths`
        self.members: list[int] = []  # for each pointer the index of its member in `names`
        self.paths: list[list[str]] = []  # and its tokens inside that member
        for pointer in pointers:
            tokens = json_pointer.parse(pointer)
            if pointer in self.index:
                continue
            if tokens[0] not in self.names:
                self.names.append(tokens[0])
            self.index[pointer] = len(self.paths)
            self.members.append(self.names.index(tokens[0]))
            self.paths.append(tokens[1:])
        # How each name is usually written; empty if it cannot be written without an escape.
        self.literals: list[bytes] = [_literal(name) for name in self.names]
        self.are_plain: bool = all(self.literals)
        # Whatever can be written in one of the names as \uXXXX begins with this.
        self.escape_mark: bytes = b"\\u00" if all(name.isascii() for name in self.names) else b"\\u"
        # Group n matches name n - 1 in quotes, however it is written.
        self.keys: re.Pattern[bytes] = _any_key(self.names)
        self.longest_key: int = max([len(name) for name in self.names]) * _LONGEST_ESCAPE + 2

    def find_plain(self, data: bytes, start: int, end: int) -> int:
        """Where in `data[start:end]` the first wanted key stands that is written as in `literals`; -1 for nowhere."""
        # Near first, so that a key that comes often does not have the others searched for to the end each time.
        far = start + _NEAR
        if far + self.longest_key < end:
            first = self._first_plain(data, start, far + self.longest_key)
            if first >= 0:
                return first
            start = far
        return self._first_plain(data, start, end)

    def _first_plain(self, data: bytes, start: int, end: int) -> int:
        first = -1
        for key in self.literals:
            found = data.find(key, start, end)
            if found >= 0 and (first < 0 or found < first):
                first = found
                end = min(end, found + self.longest_key)
        return first

    def find(self, data: bytes, start: int, end: int) -> int:
        """Where in `data[start:end]` the first wanted key stands, however it is written; -1 for nowhere."""
        match = self.keys.search(data, start, end)
        return -1 if match is None else match.start()


def _literal(name: str) -> bytes:
    if any(char in _SHORT_ESCAPES or char < " " or 0xD800 <= ord(char) <= 0xDFFF for char in name):
        return b""
    return b'"' + name.encode() + b'"'


def _any_key(names: list[str]) -> re.Pattern[bytes]:
    return re.compile(b'"(?:' + b"|".join([_key(name) for name in names]) + b')"')


def _key(name: str) -> bytes:
    return b"(" + b"".join([_character(char) for char in name]) + b")"


def _character(char: str) -> bytes:
    """A pattern for every way JSON has to write `char`; a lone surrogate has no UTF-8, only its escape."""
    ways: list[bytes] = []
    if char >= " " and char not in '"\\' and not 0xD800 <= ord(char) <= 0xDFFF:
        ways.append(re.escape(char.encode()))
    if char in _SHORT_ESCAPES:
        ways.append(re.escape(_SHORT_ESCAPES[char].encode()))
    ways.append(b"".join([rb"\\u(?i:%04x)" % unit for unit in _utf16(ord(char))]))
    return ways[0] if len(ways) == 1 else b"(?:" + b"|".join(ways) + b")"


def _utf16(point: int) -> list[int]:
    """The UTF-16 code units of a code point. By hand: the VM is built without that codec."""
    if point <= 0xFFFF:
        return [point]
    return [0xD800 + (point - 0x10000 >> 10), 0xDC00 + (point - 0x10000 & 0x3FF)]
