"""Header maps (spec v0.2.1: "HTTP fields")."""

from host_sim.host.abi import AbiVersion, MapType, Status
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.pairs import deserialize, serialize
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls

_MAPS = {int(type): type for type in MapType}


@_call("iii:i")
def get_header_map_pairs(vm: VM, type: int, data_out: int, size_out: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    headers = vm.context().headers(kind, writable=False)
    vm.return_bytes(serialize(headers.pairs()) if headers else b"", data_out, size_out)
    return Status.OK


@_call("iii:i")
def set_header_map_pairs(vm: VM, type: int, data: int, size: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    pairs = deserialize(vm.memory.read(data, size))
    headers = vm.context().headers(kind, writable=True)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.assign(pairs)
    return Status.OK


@_call("ii:i")
def get_header_map_size(vm: VM, type: int, size_out: int) -> int:
    kind = _MAPS.get(type)
    headers = vm.context().headers(kind, writable=True) if kind is not None else None
    if headers is None:
        return Status.BAD_ARGUMENT
    vm.memory.write_u32(size_out, headers.byte_size())
    return Status.OK


@_call("iiiii:i")
def get_header_map_value(vm: VM, type: int, key: int, key_size: int, value_out: int, size_out: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    name = vm.memory.read(key, key_size)
    headers = vm.context().headers(kind, writable=False)
    if headers is None:
        return Status.BAD_ARGUMENT
    value = headers.get(name)
    if value is None:
        if vm.abi_version is not AbiVersion.V0_1_0:
            return Status.NOT_FOUND
        value = b""
    vm.return_bytes(value, value_out, size_out)
    return Status.OK


@_call("iiiii:i")
def add_header_map_value(vm: VM, type: int, key: int, key_size: int, value: int, value_size: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    name, text = vm.memory.read(key, key_size), vm.memory.read(value, value_size)
    headers = vm.context().headers(kind, writable=True)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.add(name, text)
    return Status.OK


@_call("iiiii:i")
def replace_header_map_value(vm: VM, type: int, key: int, key_size: int, value: int, value_size: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    name, text = vm.memory.read(key, key_size), vm.memory.read(value, value_size)
    headers = vm.context().headers(kind, writable=True)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.replace(name, text)
    return Status.OK


@_call("iii:i")
def remove_header_map_value(vm: VM, type: int, key: int, key_size: int) -> int:
    kind = _MAPS.get(type)
    if kind is None:
        return Status.BAD_ARGUMENT
    name = vm.memory.read(key, key_size)
    headers = vm.context().headers(kind, writable=True)
    if headers is None:
        return Status.BAD_ARGUMENT
    headers.remove(name)
    return Status.OK
