"""Properties (spec v0.2.1: "Properties")."""

from host_sim.host.abi import Status
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls


@_call("iiii:i")
def get_property(vm: VM, path: int, path_size: int, value_out: int, size_out: int) -> int:
    value = vm.context().property(vm.memory.read(path, path_size))
    if isinstance(value, Status):
        return value
    vm.return_bytes(value, value_out, size_out)
    return Status.OK


@_call("iiii:i")
def set_property(vm: VM, path: int, path_size: int, value: int, value_size: int) -> int:
    return vm.context().set_property(vm.memory.read(path, path_size), vm.memory.read(value, value_size))
