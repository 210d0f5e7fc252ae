"""The linear memory of a VM, as host functions see it: every access is bounds-checked."""

import ctypes
import struct
from typing import cast

import wasmtime

_U32 = struct.Struct("<I")
_U64 = struct.Struct("<Q")


class InvalidMemoryAccess(Exception):
    """A pointer and length from the module reach beyond its memory, or its allocator gave nothing."""


class Memory:
    """Reads and writes by address. All of them raise InvalidMemoryAccess when out of bounds, also for empty ranges."""

    def __init__(self, memory: wasmtime.Memory, store: wasmtime.Store) -> None:
        self._memory = memory
        self._store = store
        self._size = 0
        self._view = memoryview(b"")
        self._refresh()

    @property
    def size(self) -> int:
        """Bytes of memory at this moment."""
        return self._memory.data_len(self._store)

    def read(self, address: int, size: int) -> bytes:
        end = address + size
        if end > self._size:
            self._reach(end)
        return bytes(self._view[address:end])

    def write(self, address: int, data: bytes) -> None:
        end = address + len(data)
        if end > self._size:
            self._reach(end)
        self._view[address:end] = data

    def read_u32(self, address: int) -> int:
        if address + 4 > self._size:
            self._reach(address + 4)
        value: int = _U32.unpack_from(self._view, address)[0]
        return value

    def write_u32(self, address: int, value: int) -> None:
        if address + 4 > self._size:
            self._reach(address + 4)
        _U32.pack_into(self._view, address, value & 0xFFFFFFFF)

    def write_u64(self, address: int, value: int) -> None:
        if address + 8 > self._size:
            self._reach(address + 8)
        _U64.pack_into(self._view, address, value & 0xFFFFFFFFFFFFFFFF)

    def _reach(self, end: int) -> None:
        self._refresh()
        if end > self._size:
            raise InvalidMemoryAccess(f"address {end:#x} is beyond the {self._size:#x} bytes of memory")

    def _refresh(self) -> None:
        # The memory's address never changes (Engine forbids it), so the view is only replaced when memory has grown.
        size = self.size
        if size != self._size:
            block = (ctypes.c_ubyte * size).from_address(self._address())
            self._view = memoryview(block).cast("B")
            self._size = size

    def _address(self) -> int:
        return cast(int, ctypes.cast(self._memory.data_ptr(self._store), ctypes.c_void_p).value)
