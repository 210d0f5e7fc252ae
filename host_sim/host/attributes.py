"""Envoy's attributes (docs: "Attributes", `intro/arch_overview/advanced/attributes`) and their form in
`proxy_get_property`.

A tree of plain values: text, bytes, bool, int, float, mappings and lists. Durations and timestamps are integers, in
nanoseconds (timestamps since the Unix epoch). Numbers inside metadata are doubles, because metadata are
`google.protobuf.Struct`.
"""

import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from google.protobuf.message import Message

from host_sim.host.abi import Status
from host_sim.host.headers import HeaderMap
from host_sim.host.pairs import serialize as serialize_pairs

Path = str | tuple[str, ...]
"""A property path: its parts, or its parts joined by dots where no part contains one."""

_STRUCTS: Final = frozenset(
    {"metadata", "listener_metadata", "route_metadata", "cluster_metadata", "upstream_host_metadata", "node"}
)


_WRAPPERS: Final = frozenset(
    {"request", "response", "connection", "source", "destination", "upstream", "filter_state", "xds"}
)
"""Roots that only have members: Envoy has no bytes for them as a whole."""

_MESSAGES: Final = frozenset({(root,) for root in _STRUCTS} | {("xds", root) for root in _STRUCTS})
"""Paths of whole messages, which are given in their wire form."""


class SerializationFailure(Exception):
    """A value that Envoy has no bytes for, such as null."""


def path_of(path: Path) -> tuple[str, ...]:
    return path if isinstance(path, tuple) else tuple(path.split("."))


def tree_of(properties: Mapping[Any, Any]) -> dict[str, Any]:
    """The nested form of `properties`, whose keys are paths; mappings given for the same path are merged.

    Raises ValueError where one path runs through the value of another.
    """
    tree: dict[str, Any] = {}
    for path, value in properties.items():
        *parents, last = path_of(path)
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
            if not isinstance(node, dict):
                raise ValueError(f"property {path!r}: {part!r} already has a value, expected a mapping")
        present = node.get(last)
        if isinstance(present, dict) and isinstance(value, Mapping):
            merge(present, value)
        else:
            node[last] = dict(value) if isinstance(value, Mapping) else value
    for root in _STRUCTS & tree.keys():
        tree[root] = _as_struct(tree[root])
    return tree


def merge(into: dict[str, Any], values: Mapping[str, Any]) -> None:
    """Adds `values` to `into`, mapping by mapping; `values` wins."""
    for key, value in values.items():
        present = into.get(key)
        if isinstance(present, dict) and isinstance(value, Mapping):
            merge(present, value)
        else:
            into[key] = dict(value) if isinstance(value, Mapping) else value


def _as_struct(value: Any) -> Any:
    if isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if isinstance(value, Mapping):
        return {key: _as_struct(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_as_struct(item) for item in value]
    return value


def lookup(value: Any, path: Sequence[str]) -> Any:
    """The value at `path` inside `value`; raises KeyError if there is none."""
    for part in path:
        if isinstance(value, HeaderMap):
            value = _joined(value, part)
        elif isinstance(value, Mapping):
            value = value[part]
        elif isinstance(value, Message):
            value = _field(value, part)
        elif isinstance(value, list | tuple) and part.lstrip("+").isdecimal() and int(part) < len(value):
            value = value[int(part)]
        else:
            raise KeyError(part)
    return value


def _joined(headers: HeaderMap, name: str) -> str:
    # Unlike proxy_get_header_map_value, properties give all values of a header.
    values = headers.values(name)
    if not values:
        raise KeyError(name)
    return ",".join(values)


def _field(message: Message, name: str) -> Any:
    if name not in message.DESCRIPTOR.fields_by_name:
        raise KeyError(name)
    value = getattr(message, name)
    return value if isinstance(value, str | bytes | bool | int | float | Message | Mapping) else list(value)


def serialize(value: Any) -> bytes:
    """The bytes of a property as `serializeValue` in Envoy's `context.cc` writes them.

    Text and bytes as they are; int, uint, duration and timestamp as 8 bytes, double as 8 bytes, bool as 1, all
    little-endian; maps as serialized pairs, lists as pairs with empty values; messages in their wire form. Raises
    SerializationFailure.
    """
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, bytes):
        return value
    if isinstance(value, bool):
        return b"\x01" if value else b"\x00"
    if isinstance(value, int):
        return (value & 0xFFFFFFFFFFFFFFFF).to_bytes(8, "little")
    if isinstance(value, float):
        return struct.pack("<d", value)
    if isinstance(value, HeaderMap):
        names = dict.fromkeys(name for name, _ in value.items())
        return serialize_pairs([(name.encode(), _joined(value, name).encode()) for name in names])
    if isinstance(value, Mapping):
        return serialize_pairs([(serialize(key), serialize(item)) for key, item in value.items()])
    if isinstance(value, list | tuple):
        return serialize_pairs([(serialize(item), b"") for item in value])
    if isinstance(value, Message):
        return bytes(value.SerializeToString(deterministic=True))
    raise SerializationFailure(f"no serialized form for {type(value).__name__}")


def read(roots: Mapping[str, Any], path: bytes) -> bytes | Status:
    """What `proxy_get_property` answers: `path` has parts separated by NUL."""
    parts = path.decode("utf-8", "surrogateescape").split("\0")
    if parts and parts[-1] == "":
        parts.pop()
    if not parts:
        return Status.SERIALIZATION_FAILURE
    try:
        value = lookup(roots, parts)
        if len(parts) == 1 and parts[0] in _WRAPPERS:
            return Status.SERIALIZATION_FAILURE
        return serialize(_as_message(value) if tuple(parts) in _MESSAGES else value)
    except KeyError:
        return Status.NOT_FOUND
    except SerializationFailure:
        return Status.SERIALIZATION_FAILURE


def _as_message(value: Any) -> Any:
    """The `envoy.config.core.v3` message that the mapping `value` stands for: Node if it has an id, else Metadata."""
    # Loading Envoy's protobufs takes 50 ms, and hardly a plugin reads whole messages.
    from envoy.config.core.v3.base_pb2 import Metadata, Node
    from google.protobuf.json_format import ParseDict

    if not isinstance(value, Mapping):
        return value
    return ParseDict(dict(value), Node() if "id" in value else Metadata(), ignore_unknown_fields=True)


def request_attributes(headers: HeaderMap) -> dict[str, Any]:
    """The part of `request` that Envoy derives from request headers."""
    attributes: dict[str, Any] = {"headers": headers}
    for attribute, header in _REQUEST_HEADERS.items():
        value = headers.get(header)
        if value is not None:
            attributes[attribute] = value.decode("utf-8", "surrogateescape")
    path: str = attributes.get("path", "")
    if path:
        attributes["url_path"], _, attributes["query"] = path.partition("?")
    return attributes


_REQUEST_HEADERS: Final = {
    "path": b":path",
    "host": b":authority",
    "scheme": b":scheme",
    "method": b":method",
    "referer": b"referer",
    "useragent": b"user-agent",
    "id": b"x-request-id",
}
