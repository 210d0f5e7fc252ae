"""What goes wrong in a manifest, said so that its author can mend it: file, line, path, found, expected."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, TypeAlias

PathStep: TypeAlias = str | int

_MAX_SHOWN: Final = 80


@dataclass(frozen=True)
class Place:
    """A path inside an object, and the file and line (from 1) it was read from."""

    file: Path
    line: int
    path: tuple[PathStep, ...] = ()

    def __str__(self) -> str:
        text = f"{self.file}:{self.line}"
        return f"{text}: {format_path(self.path)}" if self.path else text


@dataclass(frozen=True)
class Notice:
    """Something that is let pass but does not do what it seems to say."""

    place: Place
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


class ManifestError(ValueError):
    """A manifest that cannot be used. `str()` is one line for its author; `describe` makes `found` from a value."""

    def __init__(self, place: Place, *, found: str, expected: str, remedy: str = "") -> None:
        self.place = place
        self.found = found
        self.expected = expected
        self.remedy = remedy
        super().__init__(f"{place}: found {self.found}, expected {expected}{'; ' + remedy if remedy else ''}")


def format_path(path: tuple[PathStep, ...]) -> str:
    """`("spec", "rules", 0, "a.b")` as `spec.rules[0]["a.b"]`."""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif step.replace("-", "").replace("_", "").isalnum():
            text += f".{step}" if text else step
        else:
            text += f'["{step}"]'
    return text


def describe(value: Any) -> str:
    """A value as a message shows it: its kind for collections, a shortened literal otherwise."""
    if value is None:
        return "nothing"
    if isinstance(value, dict):
        keys = [str(key) for key in value]
        return f"a mapping of {', '.join(keys[:5])}{', ...' if len(keys) > 5 else ''}" if keys else "an empty mapping"
    if isinstance(value, list):
        return "a list"
    text = repr(value)
    return text if len(text) <= _MAX_SHOWN else text[: _MAX_SHOWN - 3] + "..."
