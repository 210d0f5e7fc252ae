"""The body of /check, /report and /check_and_report, and how a bad one is told: in serde_json's words and places."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from json.decoder import JSONDecodeError, JSONDecoder
from typing import Final

_U64_MAX: Final = 2**64 - 1
_SPACE: Final = " \t\n\r"
_MEMBERS: Final = ("namespace", "values", "delta", "response_headers")
_REQUIRED: Final = ("namespace", "values", "delta")
_SURROGATE: Final = re.compile("[\ud800-\udfff]")
_DECODER: Final = JSONDecoder()


class CheckRequestError(ValueError):
    """A body that is no CheckRequest; the text ends with the line and column (in bytes) up to which it was read."""


@dataclass(frozen=True, slots=True)
class CheckRequest:
    """`values` is the only descriptor; `response_headers` "DraftVersion03" asks /check_and_report for quota headers."""

    namespace: str
    values: dict[str, str]
    delta: int
    response_headers: str | None = None


def parse_check_request(body: bytes) -> CheckRequest:
    """Raises CheckRequestError."""
    try:
        text = body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise CheckRequestError(f"invalid unicode code point at line 1 column {error.start + 1}") from error
    try:
        return _Reader(text).request()
    except RecursionError as error:
        raise CheckRequestError("recursion limit exceeded at line 1 column 1") from error


class _Reader:
    """Walks the members of the outer object, so that a fault has a place; the values are json's work."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0

    def request(self) -> CheckRequest:
        self._skip_space()
        if self._peek() == "":
            raise self._error("EOF while parsing a value")
        if self._peek() != "{":
            value = self._value()
            raise self._error(f"invalid type: {_describe(value)}, expected struct CheckAndReportInfo")
        found: dict[str, object] = {}
        for name in self._names():
            if name in found:
                raise self._error(f"duplicate field `{name}`")
            if name == "values":
                found[name] = self._texts()
            elif name in _MEMBERS:
                found[name] = self._member(name)
            else:
                self._value()
        for name in _REQUIRED:
            if name not in found:
                raise self._error(f"missing field `{name}`")
        self._skip_space()
        if self._peek():
            self._at += 1
            raise self._error("trailing characters")
        namespace, values, delta = found["namespace"], found["values"], found["delta"]
        headers = found.get("response_headers")
        assert isinstance(namespace, str)
        assert isinstance(values, dict)
        assert isinstance(delta, int)
        return CheckRequest(namespace, values, delta, headers if isinstance(headers, str) else None)

    def _member(self, name: str) -> object:
        value = self._value()
        if name == "delta":
            if isinstance(value, int) and not isinstance(value, bool):
                if not 0 <= value <= _U64_MAX:
                    raise self._error(f"invalid value: integer `{value}`, expected u64")
            else:
                raise self._error(f"invalid type: {_describe(value)}, expected u64")
        elif not isinstance(value, str) and not (value is None and name == "response_headers"):
            raise self._error(f"invalid type: {_describe(value)}, expected a string")
        return value

    def _texts(self) -> dict[str, str]:
        self._skip_space()
        if self._peek() != "{":
            raise self._error(f"invalid type: {_describe(self._value())}, expected a map")
        texts = {}
        for name in self._names():
            value = self._value()
            if not isinstance(value, str):
                raise self._error(f"invalid type: {_describe(value)}, expected a string")
            texts[name] = value
        return texts

    def _names(self) -> Iterator[str]:
        """The names of an object's members, with the reader behind each one's colon; the caller reads its value."""
        self._at += 1
        self._skip_space()
        closed = self._peek() == "}"
        while not closed:
            if self._peek() != '"':
                raise self._fault("key must be a string")
            name = self._value()
            assert isinstance(name, str)
            self._skip_space()
            self._expect(":", "expected `:`")
            yield name
            self._skip_space()
            closed = self._peek() == "}"
            if not closed:
                self._expect(",", "expected `,` or `}`")
                self._skip_space()
        self._at += 1

    def _value(self) -> object:
        self._skip_space()
        if self._peek() == "":
            raise self._error("EOF while parsing a value")
        try:
            value, self._at = _DECODER.raw_decode(self._text, self._at)
        except JSONDecodeError as error:
            self._at = error.pos
            raise self._fault(f"expected value ({error.msg})") from error
        except ValueError as error:
            raise self._error(f"number out of range ({error})") from error
        if isinstance(value, str) and _SURROGATE.search(value):
            raise self._error("lone surrogate in hex escape")
        return value

    def _expect(self, character: str, message: str) -> None:
        if self._peek() != character:
            raise self._fault(message)
        self._at += 1

    def _fault(self, message: str) -> CheckRequestError:
        """The next character is wrong, or missing."""
        if self._peek() == "":
            return self._error("EOF while parsing an object")
        self._at += 1
        return self._error(message)

    def _error(self, message: str) -> CheckRequestError:
        line_start = self._text.rfind("\n", 0, self._at) + 1
        column = len(self._text[line_start : self._at].encode())
        line = self._text.count("\n", 0, self._at) + 1
        return CheckRequestError(f"{message} at line {line} column {column}")

    def _skip_space(self) -> None:
        while self._peek() and self._peek() in _SPACE:
            self._at += 1

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]


def _describe(value: object) -> str:
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean `{str(value).lower()}`"
    if isinstance(value, int):
        return f"integer `{value}`"
    if isinstance(value, float):
        return f"floating point `{value}`"
    if isinstance(value, str):
        return f"string {json.dumps(value, ensure_ascii=False)}"
    return "map" if isinstance(value, dict) else "sequence"
