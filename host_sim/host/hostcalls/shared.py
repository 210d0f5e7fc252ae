"""Shared data and shared queues (spec v0.2.1: "Shared Key-Value Store", "Shared Queues")."""

from host_sim.host.abi import Status
from host_sim.host.contexts import RootContext
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls


@_call("iiiii:i")
def get_shared_data(vm: VM, key: int, key_size: int, value_out: int, size_out: int, cas_out: int) -> int:
    entry = vm.surroundings.shared_data.get(vm.vm_id, vm.memory.read(key, key_size))
    if entry is None:
        return Status.NOT_FOUND
    vm.return_bytes(entry[0], value_out, size_out)
    vm.memory.write_u32(cas_out, entry[1])
    return Status.OK


@_call("iiiii:i")
def set_shared_data(vm: VM, key: int, key_size: int, value: int, value_size: int, cas: int) -> int:
    name, data = vm.memory.read(key, key_size), vm.memory.read(value, value_size)
    return vm.surroundings.shared_data.set(vm.vm_id, name, data, cas)


@_call("iii:i")
def register_shared_queue(vm: VM, name: int, name_size: int, token_out: int) -> int:
    queue = vm.memory.read(name, name_size)
    root = vm.context().root
    ready = root.on_queue_ready if isinstance(root, RootContext) else _nobody
    vm.memory.write_u32(token_out, vm.surroundings.shared_queues.register(vm.vm_id, queue, ready))
    return Status.OK


@_call("iiiii:i")
def resolve_shared_queue(vm: VM, vm_id: int, vm_id_size: int, name: int, name_size: int, token_out: int) -> int:
    owner = vm.memory.read(vm_id, vm_id_size).decode("utf-8", "replace")
    token = vm.surroundings.shared_queues.resolve(owner or vm.vm_id, vm.memory.read(name, name_size))
    if token == 0:
        return Status.NOT_FOUND
    vm.memory.write_u32(token_out, token)
    return Status.OK


@_call("iii:i")
def dequeue_shared_queue(vm: VM, token: int, data_out: int, size_out: int) -> int:
    item = vm.surroundings.shared_queues.dequeue(token)
    if isinstance(item, Status):
        return item
    vm.return_bytes(item, data_out, size_out)
    return Status.OK


@_call("iii:i")
def enqueue_shared_queue(vm: VM, token: int, data: int, size: int) -> int:
    return vm.surroundings.shared_queues.enqueue(token, vm.memory.read(data, size))


def _nobody(_token: int) -> None:
    """A queue registered before any plugin was there: nobody is told."""
