"""A YAML document read as nodes, for configuration whose mistakes are to be named with their place.

PyYAML's nodes, not loaded values: they know line and column, repeated keys, and whether a scalar was quoted. Scalars
are read as serde_yaml reads them, for the files are Limitador's. Every function raises ConfigFileError; `path` names
the place in the document, as in `.[0].seconds`.
"""

import re
from pathlib import Path
from typing import Final

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

_U64_MAX: Final = 2**64 - 1
_NULLS: Final = frozenset({"", "~", "null", "Null", "NULL"})
_INTEGER: Final = re.compile(r"[+-]?(?:0|[1-9][0-9]*|0x[0-9a-fA-F]+|0o[0-7]+|0b[01]+)\Z")
_FLOAT: Final = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?\Z|[+-]?\.inf\Z|\.nan\Z")
_BOOL: Final = re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z")


class ConfigFileError(ValueError):
    """A configuration file that cannot be read or does not hold what it should; the text says what, and where."""


def read_text(path: Path) -> str:
    """A configuration file's text."""
    try:
        return path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigFileError(
            f"Couldn't read file '{path}': {error.strerror} (os error {error.errno}); "
            "give the path of a readable YAML file"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigFileError(
            f"Couldn't parse: '{path}' is not UTF-8 at byte {error.start}; save it as UTF-8"
        ) from error


def compose(text: str) -> Node | None:
    """The node tree of one YAML document, None if it is empty."""
    try:
        node: Node | None = yaml.compose(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, RecursionError) as error:
        raise ConfigFileError(f"Couldn't parse: not a YAML document: {' '.join(str(error).split())}") from error
    return node


def entries_of(node: Node, path: str, known: frozenset[str] | None = None) -> dict[str, Node]:
    """A mapping's values by key; only keys in `known`, if given. No key that is kept may repeat."""
    if not isinstance(node, MappingNode):
        raise error_at(path, f"invalid type: {_describe(node)}, expected a mapping", node)
    found: dict[str, Node] = {}
    for key_node, value_node in node.value:
        key = key_node.value if isinstance(key_node, ScalarNode) else None
        if not isinstance(key, str) or (known is not None and key not in known):
            continue
        if key in found:
            raise error_at(path, f"duplicate field `{key}`", key_node)
        found[key] = value_node
    return found


def text_of(node: Node, path: str) -> str:
    """A scalar as it is written: `namespace: 5` is the text "5"."""
    if not isinstance(node, ScalarNode):
        raise error_at(path, f"invalid type: {_describe(node)}, expected a string", node)
    return str(node.value)


def optional_text_of(node: Node | None, path: str) -> str | None:
    """A scalar as it is written, None where there is none or it is null."""
    if node is None or (isinstance(node, ScalarNode) and _is_plain(node) and node.value in _NULLS):
        return None
    return text_of(node, path)


def sequence_of(node: Node, path: str) -> list[Node]:
    """A sequence's items; a value that was left out counts as an empty one."""
    if isinstance(node, ScalarNode) and _is_plain(node) and node.value == "":
        return []
    if not isinstance(node, SequenceNode):
        raise error_at(path, f"invalid type: {_describe(node)}, expected a sequence", node)
    return list(node.value)


def u64_of(node: Node, path: str) -> int:
    """An unquoted integer from 0 to 2**64 - 1."""
    if isinstance(node, ScalarNode) and _is_plain(node) and _INTEGER.match(node.value) and len(node.value) < 80:
        value = int(node.value, 0)
        if 0 <= value <= _U64_MAX:
            return value
        raise error_at(path, f"invalid value: integer `{value}`, expected u64", node)
    raise error_at(path, f"invalid type: {_describe(node)}, expected u64", node)


def _is_plain(node: ScalarNode) -> bool:
    return not node.style


def _describe(node: Node) -> str:
    if isinstance(node, MappingNode):
        return "map"
    if isinstance(node, SequenceNode):
        return "sequence"
    text = str(node.value)
    if isinstance(node, ScalarNode) and _is_plain(node):
        if text in _NULLS:
            return "unit value"
        if _INTEGER.match(text):
            return f"integer `{text}`"
        if _FLOAT.match(text):
            return f"floating point `{text}`"
        if _BOOL.match(text):
            return f"boolean `{text.lower()}`"
    return f'string "{text}"'


def error_at(path: str, message: str, node: Node) -> ConfigFileError:
    """A mistake at `path` (`.[0].seconds`; "" is the whole document) and at the line and column of `node`."""
    mark = node.start_mark
    place = f"{path}: " if path else ""
    return ConfigFileError(f"Couldn't parse: {place}{message} at line {mark.line + 1} column {mark.column + 1}")
