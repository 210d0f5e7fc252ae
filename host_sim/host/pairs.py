"""Header maps as they cross the ABI (spec v0.2.1, "Serialized header map").

Layout: u32 count, then a u32 name size and a u32 value size for each pair, then each name and value followed by a NUL.
"""

import struct

from host_sim.host.abi import MAX_PAIRS, MAX_PAIRS_BYTES, Pairs


def serialize(pairs: Pairs) -> bytes:
    """The wire form of `pairs`; four zero bytes for an empty list."""
    sizes: list[int] = [len(pairs)]
    parts: list[bytes] = []
    for name, value in pairs:
        sizes += (len(name), len(value))
        parts += (name, value)
    parts.append(b"")
    return struct.pack(f"<{len(sizes)}I", *sizes) + b"\0".join(parts)


def deserialize(data: bytes) -> Pairs:
    """The pairs in `data`; an empty list for anything malformed, as Envoy has it.

    Malformed is: more than 1,024 pairs or 1 MiB, sizes that do not add up, a missing NUL, bytes left over.
    """
    if len(data) > MAX_PAIRS_BYTES or len(data) < 4:
        return []
    (count,) = struct.unpack_from("<I", data)
    position = 4 + 8 * count
    if count > MAX_PAIRS or position > len(data):
        return []
    sizes = struct.unpack_from(f"<{2 * count}I", data, 4)
    fields: list[bytes] = []
    for size in sizes:
        end = position + size
        if end >= len(data) or data[end] != 0:
            return []
        fields.append(data[position:end])
        position = end + 1
    if position != len(data):
        return []
    return list(zip(fields[::2], fields[1::2], strict=True))
