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
        """Puts `data` in place of the first `length` bytes (`start` 0) or behind the end (`start` there or beyond it).

        Changes in the middle are a bad argument.
        """
        if not self.writable:
            return Status.BAD_ARGUMENT
        if start == 0:
            self.data = data + self.data[length:]
        elif start >= len(self.data):
            self.data += data
        else:
            return Status.BAD_ARGUMENT
        return Status.OK
