"""Follows a stream of server-sent events (WHATWG HTML, section 9.2.6) whose data are JSON documents."""

from typing import Final, final

from tallyman.usage.findings import Findings
from tallyman.usage.json_members import MemberScanner
from tallyman.usage.wanted import WantedMembers

_BOM: Final = b"\xef\xbb\xbf"
_DATA: Final = b"data:"
_LONGEST_KNOWN: Final = 256
_NEAR: Final = 1024

_STREAM_START: Final = 0  # a byte order mark may come
_LINE_START: Final = 1  # the field's name is not complete
_DATA_START: Final = 2  # behind `data:`, where one space does not count
_IN_DATA: Final = 3
_IN_OTHER: Final = 4  # a comment, or a field that does not matter


@final
class EventStream:
    """Feed it the stream in any pieces, then `finish`. No event is held, however long it is.

    Data that are no JSON (such as `[DONE]`) say nothing.
    """

    def __init__(self, wanted: WantedMembers, findings: Findings) -> None:
        self._wanted: WantedMembers = wanted
        self._findings: Findings = findings
        self._document: MemberScanner = MemberScanner(wanted)
        self._state: int = _STREAM_START
        self._begun: bytes = b""  # a byte order mark or a field's name, as far as it has come
        self._has_data: bool = False  # whether the event has a data line
        self._after_cr: bool = False
        # For each member its key and text value as last seen, as most servers write them: `"model":"m"`.
        self._known: list[bytes] = [b""] * len(wanted.names)

    def feed(self, chunk: bytes) -> None:
        if self._state == _STREAM_START:
            chunk = self._skip_byte_order_mark(chunk)
        if self._after_cr and chunk:
            self._after_cr = False
            if chunk.startswith(b"\n"):
                chunk = chunk[1:]
        if self._state == _LINE_START and not self._has_data and not self._begun and self._tells_nothing(chunk):
            return
        if chunk.find(b"\r") >= 0:
            self._after_cr = chunk.endswith(b"\r")
            chunk = chunk.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
        lines = chunk.split(b"\n")
        last = lines.pop()
        for line in lines:
            if line or self._state != _LINE_START:
                self._line(line)
                self._end_line()
            elif self._begun:
                self._end_line()
            else:
                self._end_event()
        if last:
            self._line(last)

    def finish(self) -> None:
        """The stream has ended. An event without the blank line behind it counts, though a browser would drop it."""
        self._end_line()
        self._end_event()

    def _skip_byte_order_mark(self, chunk: bytes) -> bytes:
        chunk = self._begun + chunk
        if len(chunk) < len(_BOM) and _BOM.startswith(chunk):
            self._begun = chunk
            return b""
        self._begun = b""
        self._state = _LINE_START
        return chunk.removeprefix(_BOM)

    # Whole events that change nothing: nearly all of them

    def _tells_nothing(self, chunk: bytes) -> bool:
        """Whether `chunk`, which begins where an event may, is whole events without anything wanted that is new."""
        if not chunk.endswith(b"\n\n") and not chunk.endswith(b"\r\n\r\n"):
            return False
        for member, key in enumerate(self._wanted.literals):
            if not key:
                return False
            at = chunk.find(key)
            while at >= 0:
                behind = at + len(key)
                if not chunk.startswith(b":null", behind):
                    known = self._known[member]
                    if not known or not chunk.startswith(known, at) or not _in_outermost_object(chunk, at):
                        return False
                at = chunk.find(key, behind)
        if chunk.find(b"\\") >= 0 and chunk.find(self._wanted.escape_mark) >= 0:
            for match in self._wanted.keys.finditer(chunk):
                if match.group().find(b"\\") >= 0:
                    return False
        return True

    # Lines

    def _line(self, piece: bytes) -> None:
        """Takes a piece of a line, without its end."""
        if self._state == _LINE_START:
            piece = self._begun + piece
            if not piece.startswith(_DATA):
                if _DATA.startswith(piece):
                    self._begun = piece
                else:
                    self._begun = b""
                    self._state = _IN_OTHER
                return
            self._begun = b""
            self._begin_data()
            piece = piece[len(_DATA) :]
        if self._state == _DATA_START and piece:
            piece = piece.removeprefix(b" ")
            self._state = _IN_DATA
        if self._state == _IN_DATA:
            self._document.feed(piece)

    def _begin_data(self) -> None:
        self._state = _DATA_START
        if self._has_data:
            self._document.feed(b"\n")
        self._has_data = True

    def _end_line(self) -> None:
        if self._begun == b"data":  # a field without a colon is a field without a value
            self._begin_data()
        self._begun = b""
        self._state = _LINE_START

    def _end_event(self) -> None:
        if not self._has_data:
            return
        self._has_data = False
        document = self._document
        document.finish()
        if document.found:
            self._findings.take(document)
            for member in range(len(self._known)):
                raw = document.raws[member]
                if document.reasons[member] or (raw and not raw.startswith(b'"')) or len(raw) > _LONGEST_KNOWN:
                    self._known[member] = b""
                elif raw:
                    self._known[member] = self._wanted.literals[member] + b":" + raw
        document.reset()


def _in_outermost_object(chunk: bytes, key: int) -> bool:
    """Whether the key at `key` surely is a member of the outermost object in its event: the only `{` before it in the
    event opens the data, and the data begin the event."""
    brace = chunk.rfind(b"{", max(0, key - _NEAR), key)
    if key - 1 != brace and chunk[key - 1] != 0x2C:
        return False
    start = brace - 6
    if start < 0 or not chunk.startswith(b"data: {", start):
        start = brace - 5
        if start < 0 or not chunk.startswith(b"data:{", start):
            return False
    return start == 0 or chunk.startswith(b"\n\n", start - 2) or chunk.startswith(b"\n\r\n", start - 3)
