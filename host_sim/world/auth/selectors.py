"""Paths into JSON, and texts with such paths in braces, as Authorino reads them.

The language is GJSON's (``github.com/tidwall/gjson``, SYNTAX.md) without wildcards, queries and multipaths, and with
Authorino's modifiers. What is left out is refused when a selector is compiled, not ignored.
"""

import base64
import binascii
import json
import re
from collections.abc import Iterable
from typing import Any, Final, TypeAlias

Json: TypeAlias = Any


class SelectorError(ValueError):
    """A selector that is malformed or uses a feature that is not supported; the text says where."""


class _Missing:
    """What a path leads to if it leads nowhere."""


_MISSING: Final = _Missing()
_MODIFIERS: Final = ("case", "base64", "extract", "replace", "strip")
_ARGUMENT_OF_MODIFIER: Final = re.compile(r"[^@]+@\w+:\{")


class _Key:
    def __init__(self, name: str) -> None:
        self._name = name

    def apply(self, value: Json) -> Json:
        if isinstance(value, dict):
            return value.get(self._name, _MISSING)
        if isinstance(value, list) and self._name.isascii() and self._name.isdigit() and len(self._name) < 10:
            index = int(self._name)
            return value[index] if index < len(value) else _MISSING
        return _MISSING


class _Count:
    """``#`` at the end: how many elements."""

    def apply(self, value: Json) -> Json:
        return len(value) if isinstance(value, list) else _MISSING


class _Each:
    """``#`` in the middle: the rest of the path applied to each element; those without it are left out."""

    def __init__(self, rest: "list[_Step]") -> None:
        self._rest = rest

    def apply(self, value: Json) -> Json:
        if not isinstance(value, list):
            return _MISSING
        results = (_walk(self._rest, element) for element in value)
        return [result for result in results if result is not _MISSING]


class _Modifier:
    """``@name`` or ``@name:argument``; of the modifiers, those of Authorino (``docs/features.md``)."""

    def __init__(self, name: str, argument: str) -> None:
        self._name = name
        self._argument = argument
        self._options: dict[str, Json] = {}
        if name not in _MODIFIERS:
            raise SelectorError(f"@{name} is no modifier; expected one of @{', @'.join(_MODIFIERS)}")
        if name in ("extract", "replace") and argument:
            try:
                options = json.loads(argument)
            except json.JSONDecodeError as error:
                raise SelectorError(f"the argument of @{name} is no JSON: {error}") from None
            if not isinstance(options, dict):
                raise SelectorError(f"the argument of @{name} is no JSON object: {argument}")
            self._options = options

    def apply(self, value: Json) -> Json:
        text = as_text(value)
        if self._name == "case":
            return {"upper": text.upper(), "lower": text.lower()}.get(self._argument, value)
        if self._name == "extract":
            parts = text.split(str(self._options.get("sep") or " "))
            position = self._options.get("pos", 0)
            return parts[position] if isinstance(position, int) and 0 <= position < len(parts) else None
        if self._name == "replace":
            return text.replace(str(self._options.get("old", "")), str(self._options.get("new", "")))
        if self._name == "base64":
            return _base64(text, self._argument, value)
        return "".join(character for character in text if character.isprintable())


_Step: TypeAlias = _Key | _Count | _Each | _Modifier


class Selector:
    """A compiled path, such as ``auth.identity.metadata.annotations.kuadrant\\.io/groups``."""

    def __init__(self, source: str) -> None:
        """Raises SelectorError."""
        self.source: Final = source
        self._segments = [_segment(parts) for parts in _Scanner(source).segments()]

    def select(self, document: Json) -> Json:
        """What the path leads to; None if it leads nowhere."""
        value = document
        for steps in self._segments:
            value = _walk(steps, value)
        return None if value is _MISSING else value


class Template:
    """A text with selectors in braces, such as ``Hello, {auth.identity.name}!``."""

    def __init__(self, source: str) -> None:
        """Raises SelectorError."""
        self.source: Final = source
        self._pieces = list(_pieces(source))

    def render(self, document: Json) -> str:
        return "".join(
            as_text(piece.select(document)) if isinstance(piece, Selector) else piece for piece in self._pieces
        )


def is_template(source: str) -> bool:
    """Whether *source* has braces other than those around a modifier's argument."""
    return source.count("{") != len(_ARGUMENT_OF_MODIFIER.findall(source))


def as_text(value: Json) -> str:
    """A JSON value as text: a string itself, null and nothing empty, anything else as JSON."""
    if isinstance(value, str):
        return value
    return "" if value is None or value is _MISSING else json.dumps(value, separators=(",", ":"), ensure_ascii=False)


def as_list(value: Json) -> list[Json]:
    """A JSON value as a list: null has no element, and what is no list is its only one."""
    if isinstance(value, list):
        return value
    return [] if value is None else [value]


def _walk(steps: Iterable[_Step], value: Json) -> Json:
    for step in steps:
        value = step.apply(value)
    return value


def _base64(text: str, direction: str, value: Json) -> Json:
    if direction == "encode":
        return base64.b64encode(text.encode("utf-8", "replace")).decode()
    if direction != "decode":
        return value
    try:
        decoded = base64.b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4), validate=True)
    except binascii.Error:
        return ""
    return decoded.decode("utf-8", "replace")


def _segment(parts: list[str | _Modifier | None]) -> list[_Step]:
    """Steps of the parts between two pipes; None stands for ``#``."""
    steps: list[_Step] = []
    for index, part in enumerate(parts):
        if part is None:
            rest = parts[index + 1 :]
            return [*steps, _Each(_segment(rest)) if rest else _Count()]
        steps.append(_Key(part) if isinstance(part, str) else part)
    return steps


class _Scanner:
    """Splits a path at its dots and pipes."""

    def __init__(self, source: str) -> None:
        if not source:
            raise SelectorError("a selector is empty")
        self._source = source
        self._at = 0

    def segments(self) -> list[list[str | _Modifier | None]]:
        segments: list[list[str | _Modifier | None]] = [[]]
        while True:
            segments[-1].append(self._modifier() if self._peek() == "@" else self._name())
            separator = self._peek()
            self._at += 1
            if separator == "":
                return segments
            if separator == "|":
                segments.append([])

    def _peek(self) -> str:
        return self._source[self._at : self._at + 1]

    def _name(self) -> str | None:
        if self._peek() in ("[", "!"):
            raise self._unsupported("a multipath or a literal")
        name = ""
        start = self._at
        while (character := self._peek()) not in ("", ".", "|"):
            if character in "*?":
                raise self._unsupported("a wildcard")
            if character == "#" and self._at == start and self._source[start + 1 : start + 2] == "(":
                raise self._unsupported("a query")
            if character == "\\":
                self._at += 1
                character = self._peek()
            name += character
            self._at += 1
        if self._source[start : self._at] == "#":
            return None
        if not name:
            raise SelectorError(f"{self._source!r} has an empty name at offset {start}")
        return name

    def _modifier(self) -> _Modifier:
        match = re.compile(r"@(\w+)(:?)").match(self._source, self._at)
        if match is None:
            raise SelectorError(f"{self._source!r} has no modifier's name at offset {self._at}")
        self._at = match.end()
        return _Modifier(match[1], self._argument() if match[2] else "")

    def _argument(self) -> str:
        """An argument: JSON in braces, or anything up to the next dot or pipe."""
        start = self._at
        if self._peek() == "{":
            try:
                _value, self._at = json.JSONDecoder().raw_decode(self._source, start)
            except json.JSONDecodeError as error:
                raise SelectorError(f"{self._source!r}: a modifier's argument is no JSON: {error}") from None
        else:
            while self._peek() not in ("", ".", "|"):
                self._at += 1
        return self._source[start : self._at]

    def _unsupported(self, what: str) -> SelectorError:
        return SelectorError(f"{self._source!r} has {what} at offset {self._at}, which is not supported")


def _pieces(source: str) -> Iterable[str | Selector]:
    """Texts and selectors of a template. A backslash outside braces takes the next character as it is."""
    text = ""
    at = 0
    while at < len(source):
        character = source[at]
        if character == "\\":
            text += source[at + 1 : at + 2]
            at += 2
        elif character == "{":
            end = _closing_brace(source, at)
            if text:
                yield text
            text = ""
            if end > at + 1:
                yield Selector(source[at + 1 : end])
            at = end + 1
        else:
            text += character
            at += 1
    if text:
        yield text


def _closing_brace(source: str, opening: int) -> int:
    depth = 0
    for at in range(opening, len(source)):
        depth += (source[at] == "{") - (source[at] == "}")
        if depth == 0:
            return at
    raise SelectorError(f"{source!r} has a brace at offset {opening} that is never closed")
