"""Property paths and the encodings of property values.

Paths are segments joined by NUL (specification, `proxy_get_property`). Values are raw: strings as they are, numbers
as eight little-endian bytes, booleans as one byte, timestamps and durations as nanoseconds, maps as serialized pairs
(Envoy `source/extensions/filters/common/expr/context.cc`, proxy-wasm-cpp-host `serializeValue`).
"""

from struct import unpack


def property_path(*segments: str) -> bytes:
    """The serialized path for `get_property` and `set_property`; build it once, outside the request path."""
    return "\0".join(segments).encode("utf-8", "surrogateescape")


def as_text(value: bytes) -> str:
    """A string property."""
    return value.decode("utf-8", "surrogateescape")


def as_int(value: bytes) -> int:
    """A number, timestamp (ns since the epoch) or duration (ns). Raises `ValueError` if it is not eight bytes."""
    if len(value) != 8:
        raise ValueError(f"an integer property has 8 bytes, not {len(value)}")
    return int.from_bytes(value, "little", signed=True)


def as_float(value: bytes) -> float:
    """A floating-point property. Raises `ValueError` if it is not eight bytes."""
    if len(value) != 8:
        raise ValueError(f"a floating-point property has 8 bytes, not {len(value)}")
    number: float = unpack("<d", value)[0]
    return number


def as_bool(value: bytes) -> bool:
    """A boolean property. Raises `ValueError` if it is not one byte."""
    if len(value) != 1:
        raise ValueError(f"a boolean property has 1 byte, not {len(value)}")
    return value != b"\0"
