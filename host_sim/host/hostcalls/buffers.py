"""Buffers (spec v0.2.1: "Buffers")."""

from host_sim.host.abi import BufferType, Status
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls

_BUFFERS = {int(type): type for type in BufferType}


@_call("iiiii:i")
def get_buffer_bytes(vm: VM, type: int, start: int, length: int, data_out: int, size_out: int) -> int:
    kind = _BUFFERS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    buffer = vm.context().buffer(kind)
    if buffer is None:
        return Status.NOT_FOUND
    vm.return_bytes(buffer.data[start : start + length], data_out, size_out)
    return Status.OK


@_call("iii:i")
def get_buffer_status(vm: VM, type: int, length_out: int, flags_out: int) -> int:
    kind = _BUFFERS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    buffer = vm.context().buffer(kind)
    if buffer is None:
        return Status.NOT_FOUND
    vm.memory.write_u32(length_out, len(buffer))
    vm.memory.write_u32(flags_out, 0)
    return Status.OK


@_call("iiiii:i")
def set_buffer_bytes(vm: VM, type: int, start: int, length: int, data: int, size: int) -> int:
    kind = _BUFFERS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    buffer = vm.context().buffer(kind)
    if buffer is None:
        return Status.NOT_FOUND
    return buffer.change(start, length, vm.memory.read(data, size))
