"""Header maps as they cross the ABI (specification, section "Serialization", "Maps with HTTP fields").

A little-endian `u32` count, then for each pair the two `u32` lengths, then each name and value followed by a NUL.
"""

from struct import error, pack, unpack_from
from typing import Final

Pairs = list[tuple[str, str]]

_LENGTH: Final = "<I"


def encode_pairs(pairs: Pairs) -> bytes:
    """Serialize header pairs; an empty list becomes empty bytes, which every host reads as "none"."""
    if not pairs:
        return b""
    lengths: list[int] = [len(pairs)]
    texts: list[bytes] = []
    for name, value in pairs:
        raw_name = name.encode("utf-8", "surrogateescape")
        raw_value = value.encode("utf-8", "surrogateescape")
        lengths.append(len(raw_name))
        lengths.append(len(raw_value))
        texts.append(raw_name)
        texts.append(raw_value)
    texts.append(b"")
    return pack(f"<{len(lengths)}I", *lengths) + b"\0".join(texts)


def decode_pairs(data: bytes) -> Pairs:
    """Read serialized header pairs.

    Raises `ValueError` when the counts do not fit the data.
    """
    if not data:
        return []
    try:
        count: int = unpack_from(_LENGTH, data, 0)[0]
        if 4 + 10 * count > len(data):
            raise ValueError(f"header map of {len(data)} bytes cannot hold {count} pairs")
        lengths = unpack_from(f"<{2 * count}I", data, 4)
    except error as reason:
        raise ValueError(f"header map of {len(data)} bytes is cut short: {reason}") from None
    pairs: Pairs = []
    position = 4 + 8 * count
    for index in range(count):
        name_end: int = position + lengths[2 * index]
        value_end: int = name_end + 1 + lengths[2 * index + 1]
        if value_end >= len(data):
            raise ValueError(f"header map of {len(data)} bytes ends inside pair {index}")
        name = data[position:name_end].decode("utf-8", "surrogateescape")
        pairs.append((name, data[name_end + 1 : value_end].decode("utf-8", "surrogateescape")))
        position = value_end + 1
    return pairs
