"""JSON with a memory of where it came from: typed access whose errors name the path, the find and the expectation."""

import json
import re
from typing import Final, final

_DURATION: Final = r"(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)"
_MILLISECONDS: Final = {"ns": 1e-6, "us": 1e-3, "µs": 1e-3, "μs": 1e-3, "ms": 1.0, "s": 1e3, "m": 60e3, "h": 3600e3}
_PLAIN_KEY: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")
_SHOWN: Final = 80


class ConfigurationError(ValueError):
    """A configuration that cannot be used. `path` is a JSON path such as `$.services.auth.timeout`."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(f"{path}: {problem}")
        self.path = path
        self.problem = problem


def _kind(value: object) -> str:
    if isinstance(value, bool):
        return "a boolean"
    if isinstance(value, int | float):
        return "a number"
    if isinstance(value, str):
        return "a string"
    return "a list" if isinstance(value, list) else "an object"


def describe(value: object) -> str:
    """A value as an error message shows it: its kind, and a piece of its text."""
    if value is None:
        return "null"
    try:
        text = json.dumps(value)
    except RecursionError:
        text = "..."
    return f"{_kind(value)} {text if len(text) <= _SHOWN else text[:_SHOWN] + '...'}"


def _mismatch(path: str, value: object, expected: str) -> ConfigurationError:
    return ConfigurationError(path, f"found {describe(value)}, expected {expected}")


def member_path(path: str, key: str) -> str:
    """The path of a member; keys that are no plain names are quoted."""
    return f"{path}.{key}" if _PLAIN_KEY.fullmatch(key) else f"{path}[{json.dumps(key)}]"


def _is_text(value: str) -> bool:
    """Whether a string is Unicode text: JSON can escape lone surrogates, which no log or message can hold."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@final
class Section:
    """A JSON object in the configuration, its path, and the keys that have been asked for."""

    def __init__(self, value: object, path: str, warnings: list[str]) -> None:
        if not isinstance(value, dict):
            raise _mismatch(path, value, "an object")
        self.path = path
        self.warnings = warnings
        for key in value:
            if not _is_text(key):
                raise ConfigurationError(member_path(path, key), "has a key with a lone surrogate, expected text")
        self._members: dict[str, object] = value
        self._known: list[str] = []

    def at(self, key: str) -> str:
        """The path of a member."""
        return member_path(self.path, key)

    def names(self) -> list[str]:
        """All keys, which thereby count as known."""
        self._known.extend(self._members)
        return list(self._members)

    def has(self, key: str) -> bool:
        """Whether the member is there and not null."""
        return self._take(key) is not None

    def _take(self, key: str) -> object:
        self._known.append(key)
        return self._members.get(key)

    def _required(self, key: str, expected: str) -> object:
        if key not in self._members:
            self._known.append(key)
            raise ConfigurationError(self.at(key), f"is missing, expected {expected}")
        return self._take(key)

    def text(self, key: str) -> str:
        """A required string."""
        value = self._required(key, "a string")
        if not isinstance(value, str):
            raise _mismatch(self.at(key), value, "a string")
        if not _is_text(value):
            raise _mismatch(self.at(key), value, "text without lone surrogates")
        return value

    def optional_text(self, key: str, default: str) -> str:
        return self.text(key) if self.has(key) else default

    def scalar_text(self, key: str) -> str:
        """A required string; numbers and booleans are taken as written, as YAML authors often mean them."""
        value = self._required(key, "a string")
        if isinstance(value, bool | int | float):
            return json.dumps(value)
        return self.text(key)

    def choice(self, key: str, options: list[str], default: str | None) -> str:
        """One of `options`; `default` (if there is one) when the member is absent."""
        if default is not None and not self.has(key):
            return default
        value = self._required(key, f"one of {', '.join(options)}")
        if not isinstance(value, str) or value not in options:
            raise _mismatch(self.at(key), value, f"one of {', '.join(options)}")
        return value

    def integer(self, key: str, default: int, least: int, most: int) -> int:
        """An optional whole number within bounds."""
        if not self.has(key):
            return default
        value = self._take(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise _mismatch(self.at(key), value, f"a whole number from {least} to {most}")
        return value

    def boolean(self, key: str, default: bool) -> bool:
        if not self.has(key):
            return default
        value = self._take(key)
        if not isinstance(value, bool):
            raise _mismatch(self.at(key), value, "true or false")
        return value

    def milliseconds(self, key: str, default: int) -> int:
        """An optional duration as Go writes it (`1.5s`, `200ms`, `1m30s`), at least one millisecond."""
        if not self.has(key):
            return default
        value = self._take(key)
        expected = "a duration such as 200ms, 1.5s or 1m30s"
        if not isinstance(value, str) or len(value) > 32:
            raise _mismatch(self.at(key), value, expected)
        duration = re.compile(_DURATION)
        total = 0.0
        end = 0
        while end < len(value):
            match = duration.match(value, end)
            if match is None:
                raise _mismatch(self.at(key), value, expected)
            total += float(match.group(1)) * _MILLISECONDS[match.group(2)]
            end = match.end()
        if not value or not 1 <= total <= 0x7FFFFFFF:
            raise _mismatch(self.at(key), value, f"{expected}, from 1ms to 24 days")
        return int(total)

    def section(self, key: str) -> "Section":
        """A required object."""
        return Section(self._required(key, "an object"), self.at(key), self.warnings)

    def optional_section(self, key: str) -> "Section":
        """An object, empty if absent."""
        return Section(self._take(key) if self.has(key) else {}, self.at(key), self.warnings)

    def _list(self, key: str, required: bool) -> list[object]:
        value = self._required(key, "a list") if required else self._take(key)
        if value is None and not required:
            return []
        if not isinstance(value, list):
            raise _mismatch(self.at(key), value, "a list")
        return value

    def sections(self, key: str, required: bool = False) -> list["Section"]:
        """A list of objects, empty if absent and not required."""
        items = self._list(key, required)
        return [Section(item, f"{self.at(key)}[{index}]", self.warnings) for index, item in enumerate(items)]

    def texts(self, key: str, required: bool = False) -> list[str]:
        """A list of strings, empty if absent and not required."""
        texts: list[str] = []
        for index, item in enumerate(self._list(key, required)):
            if not isinstance(item, str):
                raise _mismatch(f"{self.at(key)}[{index}]", item, "a string")
            if not _is_text(item):
                raise _mismatch(f"{self.at(key)}[{index}]", item, "text without lone surrogates")
            texts.append(item)
        return texts

    def warn_unknown(self) -> None:
        """Note every key nobody has asked for."""
        unknown = [key for key in self._members if key not in self._known]
        for key in unknown:
            known = ", ".join(sorted(set(self._known)))
            self.warnings.append(f"{self.at(key)}: unknown key, ignored; known here are {known}")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    members = dict(pairs)
    if len(members) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ConfigurationError("$", f"has the key {json.dumps(twice)} twice in one object, expected it once")
    return members


def _no_constant(name: str) -> object:
    raise ValueError(f"{name} is no JSON number")


def parse(text: bytes, warnings: list[str]) -> Section:
    """The configuration's outermost object. Raises `ConfigurationError`."""
    try:
        decoded = text.decode()
    except UnicodeDecodeError as error:
        raise ConfigurationError("$", f"is not UTF-8 at byte {error.start}, expected JSON in UTF-8") from None
    if not decoded.strip():
        raise ConfigurationError("$", "is empty, expected a JSON object with services and actionSets")
    try:
        value: object = json.loads(decoded, object_pairs_hook=_object, parse_constant=_no_constant)
    except json.JSONDecodeError as error:
        raise ConfigurationError(
            "$", f"is not JSON at line {error.lineno}, column {error.colno}: {error.msg}"
        ) from None
    except RecursionError:
        raise ConfigurationError("$", "is nested too deeply") from None
    except ConfigurationError:
        raise
    except ValueError as error:
        raise ConfigurationError("$", f"is not JSON: {error}") from None
    return Section(value, "$", warnings)
