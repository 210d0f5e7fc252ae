"""Functions of ABI 0.1.0 that later versions replaced, and what Emscripten imports besides."""

from host_sim.host.abi import AbiVersion, Status, StreamType
from host_sim.host.contexts import RootContext
from host_sim.host.hostcalls.registry import Family, proxy_family
from host_sim.host.vm import VM

_call = proxy_family()

_ONLY_0_1_0 = frozenset({AbiVersion.V0_1_0})


@_call("ii:i", _ONLY_0_1_0)
def get_configuration(vm: VM, data_out: int, size_out: int) -> int:
    context = vm.context()
    data = context.configuration() if isinstance(context, RootContext) else vm.configuration
    vm.return_bytes(data, data_out, size_out)
    return Status.OK


@_call(":i", _ONLY_0_1_0)
def continue_request(vm: VM) -> int:
    return vm.context().continue_stream(StreamType.HTTP_REQUEST)


@_call(":i", _ONLY_0_1_0)
def continue_response(vm: VM) -> int:
    return vm.context().continue_stream(StreamType.HTTP_RESPONSE)


@_call(":i", _ONLY_0_1_0)
def clear_route_cache(vm: VM) -> int:
    return Status.OK


_emscripten = Family("", Status.INVALID_MEMORY_ACCESS)


@_emscripten("ii:i")
def pthread_equal(_vm: VM, left: int, right: int) -> int:
    return int(left == right)


@_emscripten("i:")
def emscripten_notify_memory_growth(_vm: VM, _memory: int) -> None:
    """Nothing to do: host.memory looks for itself."""


CALLS = [*_call.calls, *_emscripten.calls]
