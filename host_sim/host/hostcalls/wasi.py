"""The WASI functions that Envoy fulfils (proxy-wasm-cpp-host, `exports.cc`).

Output becomes log lines.
"""

import os
import struct
from typing import Final

from host_sim.host.abi import MAX_RANDOM_BYTES, LogLevel, WasiErrno
from host_sim.host.hostcalls.registry import Family
from host_sim.host.vm import VM

_call = Family("", WasiErrno.FAULT)
CALLS = _call.calls

MAX_OUTPUT_BYTES: Final = 16 * 1024 * 1024
"""The most that one `fd_write` takes; its vectors may all point at the same memory."""

_OUTPUTS = {1: LogLevel.INFO, 2: LogLevel.ERROR}
_REALTIME, _MONOTONIC = 0, 1
_RIGHT_TO_WRITE = 64


@_call("iiii:i")
def fd_write(vm: VM, fd: int, vectors: int, count: int, written_out: int) -> int:
    return _write(vm, fd, vectors, count, written_out)


@_call("iiiIi:i")
def fd_pwrite(vm: VM, fd: int, vectors: int, count: int, _offset: int, written_out: int) -> int:
    return _write(vm, fd, vectors, count, written_out)


def _write(vm: VM, fd: int, vectors: int, count: int, written_out: int) -> int:
    level = _OUTPUTS.get(fd)
    if level is None:
        return WasiErrno.BADF
    entries = struct.iter_unpack("<II", vm.memory.read(vectors, 8 * count))
    data = bytearray()
    for address, size in entries:
        if size:
            data += vm.memory.read(address, size)
        if len(data) > MAX_OUTPUT_BYTES:
            return WasiErrno.INVAL
    if data:
        vm.context().log(level, bytes(data.removesuffix(b"\n")))
    vm.memory.write_u32(written_out, len(data))
    return WasiErrno.SUCCESS


@_call("iIi:i")
def clock_time_get(vm: VM, clock: int, _precision: int, time_out: int) -> int:
    if clock not in (_REALTIME, _MONOTONIC):
        return WasiErrno.NOTSUP
    source = vm.surroundings.clock
    vm.memory.write_u64(time_out, source.now() if clock == _REALTIME else source.monotonic())
    return WasiErrno.SUCCESS


@_call("ii:i")
def clock_res_get(vm: VM, clock: int, resolution_out: int) -> int:
    if clock not in (_REALTIME, _MONOTONIC):
        return WasiErrno.NOTSUP
    vm.memory.write_u64(resolution_out, 1)
    return WasiErrno.SUCCESS


@_call("ii:i")
def random_get(vm: VM, address: int, size: int) -> int:
    if size > MAX_RANDOM_BYTES:
        return WasiErrno.INVAL
    vm.memory.write(address, os.urandom(size))
    return WasiErrno.SUCCESS


@_call("i:")
def proc_exit(vm: VM, code: int) -> None:
    # Envoy goes on as well; modules have a trap behind this call.
    vm.context().log(LogLevel.TRACE, f"proc_exit({code})".encode())


@_call("ii:i")
def environ_sizes_get(vm: VM, count_out: int, size_out: int) -> int:
    vm.memory.write_u32(count_out, len(vm.environment))
    vm.memory.write_u32(size_out, sum(len(entry) for entry in _environment(vm)))
    return WasiErrno.SUCCESS


@_call("ii:i")
def environ_get(vm: VM, pointers: int, data: int) -> int:
    for entry in _environment(vm):
        vm.memory.write_u32(pointers, data)
        vm.memory.write(data, entry)
        pointers += 4
        data += len(entry)
    return WasiErrno.SUCCESS


def _environment(vm: VM) -> list[bytes]:
    return [f"{name}={value}\0".encode() for name, value in vm.environment.items()]


@_call("ii:i")
def args_sizes_get(vm: VM, count_out: int, size_out: int) -> int:
    vm.memory.write_u32(count_out, 0)
    vm.memory.write_u32(size_out, 0)
    return WasiErrno.SUCCESS


@_call("ii:i")
def args_get(_vm: VM, _pointers: int, _data: int) -> int:
    return WasiErrno.SUCCESS


@_call("ii:i")
def fd_fdstat_get(vm: VM, fd: int, stat_out: int) -> int:
    if fd not in _OUTPUTS:
        return WasiErrno.BADF
    vm.memory.write(stat_out, bytes(8) + _RIGHT_TO_WRITE.to_bytes(8, "little") + bytes(8))
    return WasiErrno.SUCCESS


@_call(":i")
def sched_yield(_vm: VM) -> int:
    return WasiErrno.SUCCESS


@_call("iiii:i")
def poll_oneoff(vm: VM, _subscriptions: int, _events: int, _count: int, count_out: int) -> int:
    vm.memory.write_u32(count_out, 0)
    return WasiErrno.SUCCESS
