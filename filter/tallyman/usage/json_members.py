"""Follows one JSON document (RFC 8259) and decodes some members of its outermost object, without holding the document.

The work is done by primitives of `bytes` that run in C; Python code sees single bytes only next to a wanted key. What
stands between wanted keys is reduced to its quotes and brackets (`translate`), and those are counted.
"""

import re
from json import JSONDecoder
from typing import Final, final

from tallyman.usage.wanted import WantedMembers

LONGEST_VALUE: Final = 16 * 1024
"""Bytes of a wanted member's value; a longer one is given up with the reason `too_long`."""
DEEPEST_VALUE: Final = 256
"""Objects and arrays inside each other in a wanted member's value; more is given up with the reason `too_long`."""

_START: Final = 0  # before the document
_INSIDE: Final = 1  # looking for wanted keys
_KEY: Final = 2  # behind a text that is a wanted key if a colon follows
_COLON: Final = 3  # behind a wanted key's colon
_VALUE: Final = 4  # in a wanted member's value, which is being gathered
_END: Final = 5  # behind the document
_BROKEN: Final = 6

_SPACE: Final = b" \t\n\r"
_TAB: Final = 0x09
_LF: Final = 0x0A
_CR: Final = 0x0D
_BLANK: Final = 0x20
_QUOTE: Final = 0x22
_COMMA: Final = 0x2C
_COLON_SIGN: Final = 0x3A
_OPEN_ARRAY: Final = 0x5B
_BACKSLASH: Final = 0x5C
_CLOSE_ARRAY: Final = 0x5D
_OPEN_OBJECT: Final = 0x7B
_CLOSE_OBJECT: Final = 0x7D

_NOT_STRUCTURE: Final = bytes([byte for byte in range(256) if byte not in b'"{}[]'])
_ESCAPES: Final = re.compile(rb'\\["\\]')  # those that matter here
_FEW: Final = 8  # escapes that are dropped one by one; more are dropped by `replace`
_BRACKETS: Final = (b"{", b"}", b"[", b"]")
_BLOCK: Final = 8192  # bytes that are searched for a key before their structure is followed
_STRIDES: Final = 8  # strings stepped over one by one before it is asked whether that pays
_SPARSE: Final = 96  # bytes from quote to quote from where on it does
_AT_ONCE: Final = 2 * DEEPEST_VALUE  # bytes of a value that are decoded in place, without counting how deep it is

_raw_decode: Final = JSONDecoder().raw_decode


@final
class MemberScanner:
    """Feed it the document in any pieces, then `finish`. Its state is a few numbers and at most one value's bytes.

    `values[n]` is the decoded value of the member `wanted.names[n]`, None if it is missing or null. Of a member that
    occurs several times the last one that is not null counts. `reasons[n]` says why a value that was there is not
    known: `too_long` or `bad_json`. `broken` says that the document is no JSON as far as its quotes and brackets tell.
    """

    def __init__(self, wanted: WantedMembers) -> None:
        self._wanted: WantedMembers = wanted
        self.values: list[object] = []
        self.raws: list[bytes] = []  # the values as they were written
        self.reasons: list[str] = []
        self.found: bool = False  # whether anything is in `values` or `reasons`
        self.broken: bool = False
        self._gathered: bytearray = bytearray()
        self.reset()

    def reset(self) -> None:
        """Ready for another document."""
        names = len(self._wanted.names)
        self.values = [None] * names
        self.raws = [b""] * names
        self.reasons = [""] * names
        self.found = False
        self.broken = False
        self._state: int = _START
        self._is_object: bool = False
        self._depth: int = 0
        self._in_string: bool = False
        self._escape: bool = False  # the next byte is escaped
        self._is_plain: bool = False  # whether all keys up to `_plain_to` are written as usual
        self._plain_to: int = 0
        self._carry: bytes = b""  # a string's beginning that may become a wanted key
        self._member: int = 0
        self._gathered.clear()

    def feed(self, data: bytes) -> None:
        if self._carry:
            data = self._carry + data
            self._carry = b""
        escaped = self._escape
        self._plain_to = 0
        at = 0
        end = len(data)
        while at < end:
            state = self._state
            if state == _INSIDE:
                at = self._follow(data, at)
            elif state in (_KEY, _COLON):
                at = self._expect_value(data, at)
            elif state == _VALUE:
                at = self._gather(data, at)
            elif state == _START:
                at = self._start(data)
            else:
                if state == _END and data[at:].strip(_SPACE):
                    self._break()
                return
        if self._in_string and self._depth == 1 and self._is_object and self._state == _INSIDE:
            self._keep_key_beginning(data, escaped)

    def finish(self) -> None:
        """The document has been fed as a whole."""
        if self._state == _START:
            self.broken = True
        elif self._state != _END:
            self._break()

    def is_empty(self) -> bool:
        """Whether nothing but white space has been fed."""
        return self._state == _START

    def _break(self) -> None:
        self._state = _BROKEN
        self.broken = True

    def _start(self, data: bytes) -> int:
        rest = data.lstrip(_SPACE)
        if rest:
            first = rest[0]
            if first != _OPEN_OBJECT and first != _OPEN_ARRAY:
                self._break()
            else:
                self._is_object = first == _OPEN_OBJECT
                self._depth = 1
                self._state = _INSIDE
            return len(data) - len(rest) + 1
        return len(data)

    # Between wanted keys

    def _follow(self, data: bytes, at: int) -> int:
        """Goes on to the next wanted key, or for a block; returns where it stopped."""
        if len(data) - at > 2048:
            stop = self._stride(data, at)
            if self._state != _INSIDE or stop - at >= _STRIDES * _SPARSE or stop == len(data):
                return stop
            at = stop
        wanted = self._wanted
        stop = min(len(data), at + _BLOCK)
        last = stop + wanted.longest_key
        if last > self._plain_to and wanted.are_plain:
            self._is_plain = data.find(b"\\", at, last) < 0 or data.find(wanted.escape_mark, at, last) < 0
            self._plain_to = last
        plain = self._is_plain
        key = wanted.find_plain(data, at, last) if plain else wanted.find(data, at, last)
        while 0 <= key < stop:
            self._walk(data[at:key])
            at = key
            if self._state != _INSIDE:
                return at
            if self._depth == 1 and self._is_object and not self._in_string:
                end = self._at_key(data, at)
                if end > at:
                    return end
            key = wanted.find_plain(data, at + 1, last) if plain else wanted.find(data, at + 1, last)
        self._walk(data[at:stop])
        return stop

    def _walk(self, text: bytes) -> None:
        """Follows strings and brackets through any piece of the document."""
        if self._escape and text:
            text = text[1:]
            self._escape = False
        if text.find(b"\\") >= 0:
            text, escapes = _ESCAPES.subn(b"", text, _FEW)
            if escapes == _FEW:
                text = text.replace(b"\\\\", b"")
                self._escape = text.endswith(b"\\")
                text = text.replace(b'\\"', b"")
            else:
                self._escape = text.endswith(b"\\")
        # Two quotes next to each other (nothing but plain text between them) change nothing, whichever opens.
        structure = text.translate(None, _NOT_STRUCTURE).replace(b'""', b"")
        if self._in_string or structure.find(b'"') >= 0:
            parts = structure.split(b'"')
            structure = b"".join(parts[1::2] if self._in_string else parts[::2])
            if not len(parts) & 1:
                self._in_string = not self._in_string
        self._count(structure, text)

    def _count(self, brackets: bytes, text: bytes) -> None:
        """Counts `brackets`, which stand in `text`."""
        depth = self._depth
        left = len(brackets)
        for bracket in brackets:
            left -= 1
            if bracket in (_OPEN_OBJECT, _OPEN_ARRAY):
                depth += 1
            else:
                depth -= 1
                if depth == 0:
                    if left or self._in_string or text[text.rfind(brackets[-1:]) + 1 :].strip(_SPACE):
                        self._break()
                    else:
                        self._state = _END
                    break
        self._depth = depth

    def _stride(self, data: bytes, at: int) -> int:
        """Steps over a few strings one by one: all the cheaper than `_walk`, the longer strings and gaps are."""
        end = len(data)
        for _ in range(_STRIDES):
            if self._escape:
                self._escape = False
                at += 1
            quote = data.find(b'"', at)
            stop = end if quote < 0 else quote
            if self._in_string:
                self._escape = _is_escaped(data, at, stop)
                if quote < 0:
                    return end
                if self._escape:
                    at = quote
                    continue
                self._in_string = False
            else:
                self._leap(data, at, stop)
                if self._state != _INSIDE or quote < 0:
                    return stop
                if self._depth == 1 and self._is_object:
                    behind = self._at_key(data, quote)
                    if behind > quote:
                        return behind
                self._in_string = True
            at = quote + 1
        return at

    def _leap(self, data: bytes, at: int, stop: int) -> None:
        """Follows brackets through a piece that has no string, from one to the next while they are rare."""
        if stop - at > 256:
            for _ in range(_STRIDES):
                first = stop
                for bracket in _BRACKETS:
                    found = data.find(bracket, at, first)
                    if found >= 0:
                        first = found
                if first == stop:
                    return
                bracket = data[first : first + 1]
                if (bracket == b"}" or bracket == b"]") and self._depth == 1:
                    break
                self._count(bracket, bracket)
                at = first + 1
        text = data[at:stop]
        if stop < len(data):
            text += b'"'  # the string that follows: the document cannot end before it
        self._count(text.translate(None, _NOT_STRUCTURE).replace(b'"', b""), text)

    def _keep_key_beginning(self, data: bytes, escaped: bool) -> None:
        """If a string that may yet become a wanted key has begun in `data`, takes it back to see it as a whole."""
        lowest = max(0, len(data) - self._wanted.longest_key)
        at = data.rfind(b'"', lowest)
        while at >= 0 and _is_escaped(data, 1 if escaped else 0, at):
            at = data.rfind(b'"', lowest, at)
        if at > 0 or (at == 0 and not escaped):
            self._carry = data[at:]
            self._in_string = False
            self._escape = False

    # At wanted keys

    def _at_key(self, data: bytes, at: int) -> int:
        """If a wanted key stands at `at`, where a string begins, where it ends; else `at`."""
        key = self._wanted.keys.match(data, at)
        if key is None:
            return at
        group = key.lastindex
        assert group is not None
        self._member = group - 1
        self._state = _KEY
        return key.end()

    def _expect_value(self, data: bytes, at: int) -> int:
        while at < len(data):
            byte = data[at]
            if byte in (_BLANK, _LF, _CR, _TAB):
                at += 1
            elif self._state == _COLON:
                return self._begin_value(data, at)
            elif byte == _COLON_SIGN:
                self._state = _COLON
                at += 1
            else:
                self._state = _INSIDE  # no key, but a text that reads like one
                return at
        return at

    def _begin_value(self, data: bytes, at: int) -> int:
        # Latin-1, so that the decoder's positions are positions in `data`.
        text = data[at : at + _AT_ONCE].decode("latin-1")
        try:
            value, length = _raw_decode(text)
        except (ValueError, RecursionError):
            length = len(text)
        if not text[length:].lstrip().startswith((",", "}")):  # not whole, or not all: the digits may go on
            self._state = _VALUE
            return at
        if value is not None:
            raw = data[at : at + length]
            if raw.isascii():
                self._set(value, raw)
            else:
                self._decode(raw)
        self._state = _INSIDE
        return at + length

    def _gather(self, data: bytes, at: int) -> int:
        """Gathers a value that comes in pieces or is long. `_depth` counts from 1, the outermost object, as outside."""
        stop = at
        end = min(len(data), at + LONGEST_VALUE + 1 - len(self._gathered))
        whole = False
        while stop < end:
            byte = data[stop]
            if self._escape:
                self._escape = False
            elif self._in_string:
                if byte == _BACKSLASH:
                    self._escape = True
                elif byte == _QUOTE:
                    self._in_string = False
            elif byte == _QUOTE:
                self._in_string = True
            elif byte in (_OPEN_OBJECT, _OPEN_ARRAY):
                self._depth += 1
                if self._depth > DEEPEST_VALUE + 1:
                    stop += 1
                    break
            elif byte in (_CLOSE_OBJECT, _CLOSE_ARRAY):
                if self._depth == 1:
                    whole = True
                    break
                self._depth -= 1
            elif byte == _COMMA and self._depth == 1:
                whole = True
                break
            stop += 1
        self._gathered += data[at:stop]
        if whole:
            self._decode(bytes(self._gathered).rstrip(_SPACE))
        elif len(self._gathered) > LONGEST_VALUE or self._depth > DEEPEST_VALUE + 1:
            self._fail("too_long")
        else:
            return stop
        self._gathered.clear()
        self._state = _INSIDE
        return stop

    def _decode(self, raw: bytes) -> None:
        text = raw.decode("utf-8", "replace")
        try:
            value, length = _raw_decode(text)
        except (ValueError, RecursionError):
            self._fail("bad_json")
            return
        if length != len(text):
            self._fail("bad_json")
        elif value is not None:
            self._set(value, raw)

    def _set(self, value: object, raw: bytes) -> None:
        self.values[self._member] = value
        self.raws[self._member] = raw
        self.reasons[self._member] = ""
        self.found = True

    def _fail(self, reason: str) -> None:
        self.values[self._member] = None
        self.reasons[self._member] = reason
        self.found = True


def _is_escaped(data: bytes, lowest: int, at: int) -> bool:
    """Whether an odd number of backslashes stands in front of `at`, none of them before `lowest`."""
    start = at
    while start > lowest and data[start - 1] == _BACKSLASH:
        start -= 1
    return (at - start) & 1 == 1
