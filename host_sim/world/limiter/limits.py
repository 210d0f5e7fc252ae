"""The limits file: a YAML list of limits, read and checked so that a mistake is named with its place.

The shape is Limitador's (`limitador/src/limit.rs`): `namespace`, `seconds`, `conditions` and `variables` are required,
`max_value` defaults to 0, `name` and `id` to null, unknown keys are ignored.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from tallyman.cel.errors import CelSyntaxError
from yaml.nodes import Node

from .expressions import Expression
from .yaml_document import (
    ConfigFileError,
    compose,
    entries_of,
    error_at,
    optional_text_of,
    read_text,
    sequence_of,
    text_of,
    u64_of,
)


class LimitsFileError(ConfigFileError):
    """A limits file that cannot be read or does not hold limits."""


@dataclass(frozen=True, slots=True)
class LimitIdentity:
    """What makes a limit the same limit over a reload: its counters go on while this stays, whatever else changes."""

    namespace: str
    seconds: int
    conditions: tuple[str, ...]
    variables: tuple[str, ...]


@dataclass(frozen=True)
class Limit:
    """At most `max_value` hits in a window of `seconds`, for each set of values of `variables`, if `conditions` hold.

    Conditions and variables are sets: they are kept sorted by source, without repetition.
    """

    namespace: str
    max_value: int
    seconds: int
    conditions: tuple[Expression, ...] = ()
    variables: tuple[Expression, ...] = ()
    name: str | None = None
    id: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "conditions", _as_set(self.conditions))
        object.__setattr__(self, "variables", _as_set(self.variables))

    @cached_property
    def identity(self) -> LimitIdentity:
        return LimitIdentity(
            self.namespace,
            self.seconds,
            tuple(condition.source for condition in self.conditions),
            tuple(variable.source for variable in self.variables),
        )

    def to_dict(self) -> dict[str, object]:
        """The limit as the HTTP API and `--validate` show it, keys in Limitador's order."""
        return {
            "id": self.id,
            "namespace": self.namespace,
            "max_value": self.max_value,
            "seconds": self.seconds,
            "name": self.name,
            "conditions": [condition.source for condition in self.conditions],
            "variables": [variable.source for variable in self.variables],
        }


def load_limits(path: Path) -> list[Limit]:
    """The limits of a file. Raises LimitsFileError."""
    try:
        return _limits(read_text(path))
    except ConfigFileError as error:
        raise LimitsFileError(str(error)) from error


def parse_limits(text: str) -> list[Limit]:
    """The limits of a YAML document; none for an empty one. Raises LimitsFileError."""
    try:
        return _limits(text)
    except ConfigFileError as error:
        raise LimitsFileError(str(error)) from error


_FIELDS = frozenset({"id", "namespace", "max_value", "seconds", "name", "conditions", "variables"})
_REQUIRED = ("namespace", "seconds", "conditions", "variables")


def _limits(text: str) -> list[Limit]:
    root = compose(text)
    if root is None:
        return []
    return [_limit(node, f".[{index}]") for index, node in enumerate(sequence_of(root, ""))]


def _limit(node: Node, path: str) -> Limit:
    fields = entries_of(node, path, _FIELDS)
    for name in _REQUIRED:
        if name not in fields:
            raise error_at(path, f"missing field `{name}`", node)
    return Limit(
        namespace=text_of(fields["namespace"], f"{path}.namespace"),
        max_value=u64_of(fields["max_value"], f"{path}.max_value") if "max_value" in fields else 0,
        seconds=u64_of(fields["seconds"], f"{path}.seconds"),
        conditions=_expressions(fields["conditions"], f"{path}.conditions"),
        variables=_expressions(fields["variables"], f"{path}.variables"),
        name=optional_text_of(fields.get("name"), f"{path}.name"),
        id=optional_text_of(fields.get("id"), f"{path}.id"),
    )


def _expressions(node: Node, path: str) -> tuple[Expression, ...]:
    return tuple(_expression(item, path) for item in sequence_of(node, path))


def _expression(node: Node, path: str) -> Expression:
    source = text_of(node, path)
    try:
        return Expression(source)
    except CelSyntaxError as error:
        raise error_at(path, f"couldn't parse {source}: ERROR: <input>:{error}", node) from error


def _as_set(expressions: Iterable[Expression]) -> tuple[Expression, ...]:
    return tuple(sorted(set(expressions), key=lambda expression: expression.source))
