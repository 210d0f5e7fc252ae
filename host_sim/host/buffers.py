"""Buffers that modules read and change through `proxy_get_buffer_bytes` and `proxy_set_buffer_bytes`."""

from host_sim.host.abi import Status


class Buffer:
    """Bytes with Envoy's rules for changing them (`Buffer::copyFrom` in Envoy's `context.cc`)."""

    __slots__ = ("data", "writable")

    def __init__(self, data: bytes = b"", writable: bool = False) -> None:
        self.data = data
        self.writable = writable

    def __len__(self) -> int:
        return len(self.data)

    def change(self, start: int, length: int, data: bytes) -> Status:
        """Prepends (0, 0), replaces everything (0, all) or appends (start at or behind the end); nothing else is
        possible."""
        if not self.writable:
            return Status.BAD_ARGUMENT
        if start == 0 and length == 0:
            self.data = data + self.data
        elif start == 0 and length >= len(self.data):
            self.data = data
        elif start != 0 and start >= len(self.data):
            self.data += data
        else:
            return Status.BAD_ARGUMENT
        return Status.OK
