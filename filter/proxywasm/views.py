"""Header maps and buffers of a context, as objects. Nothing is cached: each access is a call to the host."""

from proxywasm.pairs import Pairs, decode_pairs, encode_pairs
from proxywasm.types import BufferType, MapType
from proxywasm.vm import VM, ContextSlot


class HeaderMap:
    """Headers, trailers or metadata. Names are lower case; a name may occur more than once.

    Text is UTF-8 with `surrogateescape`: bytes that are not UTF-8 survive a round trip.
    """

    def __init__(self, context: ContextSlot, map_type: MapType) -> None:
        self._context_id = context.id
        self._type: int = map_type

    def get(self, name: str) -> str | None:
        """The value of `name` (values of repeated headers as the host joins them), or `None`."""
        VM.enter(self._context_id)
        return VM.host.get_header_map_value(self._type, name)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __setitem__(self, name: str, value: str) -> None:
        """Replace every value of `name` by one."""
        VM.enter(self._context_id)
        VM.host.replace_header_map_value(self._type, name, value)

    def __delitem__(self, name: str) -> None:
        """Remove every value of `name`; nothing happens if there is none."""
        VM.enter(self._context_id)
        VM.host.remove_header_map_value(self._type, name)

    def add(self, name: str, value: str) -> None:
        """Add a value beside those already there."""
        VM.enter(self._context_id)
        VM.host.add_header_map_value(self._type, name, value)

    def serialized(self) -> bytes:
        """All pairs as the host serialized them (see `pairs`)."""
        VM.enter(self._context_id)
        return VM.host.get_header_map_pairs(self._type) or b""

    def pairs(self) -> Pairs:
        """All pairs in order, names repeated as often as they occur."""
        return decode_pairs(self.serialized())

    def replace(self, pairs: Pairs) -> None:
        """Replace the whole map."""
        VM.enter(self._context_id)
        VM.host.set_header_map_pairs(self._type, encode_pairs(pairs))

    def byte_size(self) -> int:
        """Size of the serialized map in bytes."""
        VM.enter(self._context_id)
        return VM.host.get_header_map_size(self._type)


class Buffer:
    """A body, a message or a configuration held by the host."""

    def __init__(self, context: ContextSlot, buffer_type: BufferType) -> None:
        self._context_id = context.id
        self._type: int = buffer_type

    def size(self) -> int:
        """Bytes in the buffer now."""
        VM.enter(self._context_id)
        return VM.host.get_buffer_status(self._type)

    def read(self, start: int = 0, size: int = 0x7FFFFFFF) -> bytes:
        """Up to `size` bytes from `start`; empty if there is nothing."""
        VM.enter(self._context_id)
        return VM.host.get_buffer_bytes(self._type, start, size) or b""

    def replace(self, data: bytes, start: int = 0, size: int = 0x7FFFFFFF) -> None:
        """Replace `size` bytes from `start` by `data`; by default everything."""
        VM.enter(self._context_id)
        VM.host.set_buffer_bytes(self._type, start, size, data)

    def prepend(self, data: bytes) -> None:
        self.replace(data, 0, 0)

    def append(self, data: bytes) -> None:
        self.replace(data, 0x7FFFFFFF, 0)
