"""Kubernetes YAML as plain data that still knows its lines.

The input is a stranger's file: its size, its depth and what its aliases expand to are bounded before anything is
built, and only the safe YAML tags exist. The dialect is the one the API server accepts: YAML 1.1 without timestamps,
text keys, no key twice in one mapping.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

import yaml

from host_sim.kuadrant.diagnostics import ManifestError, PathStep, Place, describe

MAX_FILE_BYTES: Final = 3 * 1024 * 1024
"""What the Kubernetes API server accepts in one request body."""
MAX_DEPTH: Final = 64
MAX_VALUES: Final = 100_000
"""Values in one file, counting what aliases expand to."""

_MERGE_TAG: Final = "tag:yaml.org,2002:merge"
_COLLECTION_TAGS: Final = frozenset({"tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"})


class _ScalarLoader(yaml.SafeLoader):  # type: ignore[misc]
    """The safe tags less the timestamp, which Kubernetes (JSON underneath) does not have."""

    yaml_implicit_resolvers: ClassVar = {
        first: [(tag, regexp) for tag, regexp in resolvers if tag != "tag:yaml.org,2002:timestamp"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


@dataclass(frozen=True)
class Manifest:
    """One YAML document: its content and, for each path in it, the line it stands on."""

    file: Path
    content: dict[str, Any]
    lines: dict[tuple[PathStep, ...], int] = field(repr=False)
    base: tuple[PathStep, ...] = ()
    """Where `content` sits in the document; an item of a `List` sits at `items[n]`."""

    def place(self, *path: PathStep) -> Place:
        """File and line of `path`, or of its nearest ancestor that stands in the file."""
        full = (*self.base, *path)
        for length in range(len(full), -1, -1):
            line = self.lines.get(full[:length])
            if line is not None:
                return Place(self.file, line, path)
        return Place(self.file, 1, path)

    def items(self) -> Iterator[Manifest]:
        """The manifest itself, or what a `kind: List` (the output of `kubectl get -o yaml`) holds."""
        if self.content.get("kind") != "List":
            yield self
            return
        items = self.content.get("items")
        if not isinstance(items, list):
            raise ManifestError(self.place("items"), found=describe(items), expected="a list of objects")
        for index, item in enumerate(items):
            if not isinstance(item, dict):
                raise ManifestError(self.place("items", index), found=describe(item), expected="an object")
            yield Manifest(self.file, item, self.lines, (*self.base, "items", index))


def read_manifests(file: Path) -> list[Manifest]:
    """All documents of a YAML or JSON file; empty ones are left out.

    Raises `ManifestError` if the file cannot be read, is not YAML, is not made of mappings, or exceeds a bound.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise ManifestError(Place(file, 1), found=error.strerror or str(error), expected="a readable file") from None
    if len(data) > MAX_FILE_BYTES:
        raise ManifestError(
            Place(file, 1), found=f"more than {MAX_FILE_BYTES} bytes", expected="a manifest the API server would take"
        )
    return parse_manifests(data, file)


def parse_manifests(data: bytes | str, file: Path) -> list[Manifest]:
    """As `read_manifests`, for text that is already there; `file` only names it in messages."""
    try:
        _check_shape(data, file)
        roots = list(yaml.compose_all(data, Loader=_ScalarLoader))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark is not None else 1
        raise ManifestError(Place(file, line), found=error.problem or "malformed text", expected="YAML") from None
    except (yaml.YAMLError, UnicodeError) as error:
        raise ManifestError(Place(file, 1), found=str(error).splitlines()[0], expected="YAML in UTF-8") from None
    manifests: list[Manifest] = []
    builder = _Builder(file)
    for root in roots:
        lines: dict[tuple[PathStep, ...], int] = {}
        content = builder.build(root, lines)
        if content is None:
            continue
        if not isinstance(content, dict):
            raise ManifestError(
                Place(file, root.start_mark.line + 1),
                found=describe(content),
                expected="a Kubernetes object",
            )
        manifests.append(Manifest(file, content, lines))
    return manifests


def _check_shape(data: bytes | str, file: Path) -> None:
    """Bound depth and number of nodes while the parser still works event by event, so without recursion."""
    depth = 0
    for count, event in enumerate(yaml.parse(data, Loader=_ScalarLoader)):
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                place = Place(file, event.start_mark.line + 1)
                raise ManifestError(place, found="deeper nesting", expected=f"at most {MAX_DEPTH} levels")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        if count > 2 * MAX_VALUES:
            place = Place(file, event.start_mark.line + 1)
            raise ManifestError(place, found="more values", expected=f"at most {MAX_VALUES} in a file")


class _Builder:
    """Turns YAML nodes into values; aliases are expanded against one budget for the whole file."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._budget = MAX_VALUES
        self._construct: Callable[[yaml.Node], Any] = _ScalarLoader("").construct_object

    def build(self, node: yaml.Node, lines: dict[tuple[PathStep, ...], int], path: tuple[PathStep, ...] = ()) -> Any:
        self._budget -= 1
        if self._budget < 0:
            raise ManifestError(self._at(node, path), found="more values", expected=f"at most {MAX_VALUES} in a file")
        if len(path) > MAX_DEPTH:
            raise ManifestError(
                self._at(node, path), found="an alias to what contains it", expected=f"at most {MAX_DEPTH} levels"
            )
        lines.setdefault(path, node.start_mark.line + 1)
        if isinstance(node, yaml.CollectionNode) and node.tag not in _COLLECTION_TAGS:
            raise ManifestError(self._at(node, path), found=f"the tag {node.tag}", expected="a plain mapping or list")
        if isinstance(node, yaml.MappingNode):
            return self._mapping(node, lines, path)
        if isinstance(node, yaml.SequenceNode):
            return [self.build(child, lines, (*path, index)) for index, child in enumerate(node.value)]
        try:
            return self._construct(node)
        except (yaml.YAMLError, ValueError):
            raise ManifestError(
                self._at(node, path), found=f"{node.value!r} with the tag {node.tag}", expected="a plain value"
            ) from None

    def _mapping(
        self, node: yaml.MappingNode, lines: dict[tuple[PathStep, ...], int], path: tuple[PathStep, ...]
    ) -> dict[str, Any]:
        result: dict[str, Any] = {}
        merged: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE_TAG:
                value = self.build(value_node, {}, path)
                for part in reversed(value if isinstance(value, list) else [value]):
                    if not isinstance(part, dict):
                        raise ManifestError(self._at(value_node, path), found=describe(part), expected="a mapping")
                    merged.update(part)
                continue
            key = self._construct(key_node) if isinstance(key_node, yaml.ScalarNode) else None
            if not isinstance(key, str):
                found = key_node.value if isinstance(key_node, yaml.ScalarNode) else "a collection as key"
                raise ManifestError(
                    self._at(key_node, path), found=found, expected="text as key", remedy="put it in quotes"
                )
            if key in result:
                raise ManifestError(
                    self._at(key_node, (*path, key)), found="the key a second time", expected="each key once"
                )
            lines.setdefault((*path, key), key_node.start_mark.line + 1)
            result[key] = self.build(value_node, lines, (*path, key))
        return {**merged, **result} if merged else result

    def _at(self, node: yaml.Node, path: tuple[PathStep, ...]) -> Place:
        return Place(self._file, node.start_mark.line + 1, path)
