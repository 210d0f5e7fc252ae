"""Holding, resuming, closing and answering streams (spec v0.2.1: "Common HTTP and TCP stream operations", "HTTP
streams")."""

from host_sim.host.abi import AbiVersion, Status, StreamType
from host_sim.host.contexts import LocalReply
from host_sim.host.headers import HeaderMap
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.pairs import deserialize
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls

_SINCE_0_2_0 = frozenset({AbiVersion.V0_2_0, AbiVersion.V0_2_1})
_STREAMS = {int(type): type for type in StreamType}
_NO_GRPC_STATUS = 0xFFFFFFFF


@_call("i:i", _SINCE_0_2_0)
def continue_stream(vm: VM, type: int) -> int:
    kind = _STREAMS.get(type)
    return Status.BAD_ARGUMENT if kind is None else vm.context().continue_stream(kind)


@_call("i:i", _SINCE_0_2_0)
def close_stream(vm: VM, type: int) -> int:
    kind = _STREAMS.get(type)
    return Status.BAD_ARGUMENT if kind is None else vm.context().close_stream(kind)


@_call("iiiiiiii:i")
def send_local_response(
    vm: VM, status: int, details: int, details_size: int, body: int, body_size: int, headers: int, headers_size: int,
    grpc_status: int,
) -> int:  # fmt: skip
    reply = LocalReply(
        status=status,
        details=vm.memory.read(details, details_size).decode("utf-8", "replace"),
        body=vm.memory.read(body, body_size),
        headers=HeaderMap(deserialize(vm.memory.read(headers, headers_size))),
        grpc_status=None if grpc_status == _NO_GRPC_STATUS else grpc_status,
    )
    vm.context().send_local_reply(reply)
    vm.stop_iteration = True
    return Status.OK
