"""Follows the body of one response and tells its token usage at the end."""

from typing import Final, final

from tallyman.usage.event_stream import EventStream
from tallyman.usage.findings import Findings
from tallyman.usage.json_members import MemberScanner
from tallyman.usage.usage import Usage
from tallyman.usage.wanted import USAGE, WantedMembers

_UNSEEN: Final = 0  # to be recognised by the first bytes
_JSON: Final = 1
_EVENTS: Final = 2
_UNKNOWN: Final = 3
_COMPRESSED: Final = 4

_SPACE: Final = b" \t\n\r"
_BOM: Final = b"\xef\xbb\xbf"
_FIELDS: Final = (b"data:", b"event:", b"id:", b"retry:", b":")  # how an event stream may begin


@final
class ResponseBody:
    """Feed it the body in any pieces; then `finish`, or `cut` if the stream was broken off; then ask.

    `content_type` and `content_encoding` are the response headers' values, `""` if they are missing; `status` is the
    HTTP status. `usage` is None if it is not known; then `missing` is the reason: `no_usage`, `bad_json`, `bad_number`,
    `compressed`, `too_long`, `aborted` or `unknown_format`. An error (status 400 and above) owes no usage, so whatever
    its body is, the reason is `no_usage`.
    """

    def __init__(self, wanted: WantedMembers, content_type: str, content_encoding: str, status: int) -> None:
        self._wanted: WantedMembers = wanted
        self._status: int = status
        self._findings: Findings = Findings(wanted)
        self._document: MemberScanner | None = None
        self._events: EventStream | None = None
        self._begun: bytes = b""  # the body's first bytes, until they tell what it is
        self._aborted: bool = False
        self._kind: int = _UNSEEN
        self.usage: Usage | None = None
        self.missing: str = "no_usage"
        if content_encoding and content_encoding.strip().lower() != "identity":
            self._kind = _COMPRESSED
        else:
            self._begin(_kind_of_media_type(content_type))

    def feed(self, chunk: bytes) -> None:
        """Takes the next piece of the body, without holding it."""
        if self._events is not None:
            self._events.feed(chunk)
        elif self._document is not None:
            self._document.feed(chunk)
        elif self._kind == _UNSEEN:
            chunk = self._begun + chunk.lstrip(_SPACE) if not self._begun else self._begun + chunk
            kind = _kind_of_first_bytes(chunk)
            if kind == _UNSEEN:
                self._begun = chunk
            else:
                self._begun = b""
                self._begin(kind)
                if kind != _UNKNOWN:
                    self.feed(chunk)

    def finish(self) -> None:
        """The body has ended."""
        events, document = self._events, self._document
        if events is not None:
            events.finish()
        elif document is not None:
            document.finish()
            self._findings.take(document)
        self.usage = self._findings.usage.usage()
        reason = self._findings.reasons[USAGE]
        if reason:
            self.usage = None
        self.missing = "" if self.usage is not None else self._reason(reason or self._findings.usage.missing())

    def cut(self) -> None:
        """The body was broken off: by the client, or by the upstream. What has been found by then still counts."""
        self._aborted = True
        self.finish()

    def pointer(self, pointer: str) -> object:
        """The decoded JSON value that one of the wanted pointers leads to; in an event stream the last one.

        Raises `KeyError` if there is none, if it is null, or if the pointer is not one of those wanted.
        """
        value = self._findings.values[self._wanted.index[pointer]]
        if value is None:
            raise KeyError(pointer)
        return value

    def pointer_missing(self, pointer: str) -> str:
        """Why there is no value at a wanted pointer, in the words of `missing`; empty if there is one."""
        place = self._wanted.index[pointer]
        if self._findings.values[place] is not None:
            return ""
        return self._reason(self._findings.reasons[self._wanted.members[place]] or "no_usage")

    def _begin(self, kind: int) -> None:
        self._kind = kind
        if kind == _JSON:
            self._document = MemberScanner(self._wanted)
        elif kind == _EVENTS:
            self._events = EventStream(self._wanted, self._findings)

    def _reason(self, reason: str) -> str:
        """The reason that tells most, for something that is missing for `reason`."""
        if self._status >= 400:
            return "no_usage"
        if self._kind == _COMPRESSED:
            return "compressed"
        if reason != "no_usage":
            return reason
        if self._aborted:
            return "aborted"
        if self._kind == _UNKNOWN or self._begun:
            return "unknown_format"
        if self._document is not None and self._document.broken and not self._document.is_empty():
            return "bad_json"
        return reason


def _kind_of_media_type(content_type: str) -> int:
    """By RFC 9110, section 8.3.1, and for `+json` RFC 6839."""
    if content_type == "application/json":
        return _JSON
    media_type = content_type.partition(";")[0].strip().lower()
    if media_type == "text/event-stream":
        return _EVENTS
    if media_type == "application/json" or media_type.endswith("+json"):
        return _JSON
    return _UNSEEN


def _kind_of_first_bytes(begun: bytes) -> int:
    if not begun:
        return _UNSEEN
    if begun.startswith((b"{", b"[")):
        return _JSON
    rest = begun.removeprefix(_BOM)
    if rest.startswith(_FIELDS):
        return _EVENTS
    if _BOM.startswith(begun) or any(field.startswith(rest) for field in _FIELDS):
        return _UNSEEN
    return _UNKNOWN
