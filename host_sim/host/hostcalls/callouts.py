"""Calls to other services (spec v0.2.1: "HTTP calls", "gRPC calls").

All of them act on the root context, whatever context is effective.
"""

from host_sim.host.abi import LogLevel, Pairs, Status
from host_sim.host.callouts import GrpcCallout, GrpcStream, HttpCallout, grpc_cluster
from host_sim.host.contexts import RootContext
from host_sim.host.headers import HeaderMap, RequestHeaderMap
from host_sim.host.hostcalls.registry import proxy_family
from host_sim.host.pairs import deserialize
from host_sim.host.vm import VM

_call = proxy_family()
CALLS = _call.calls

_HTTP, _GRPC_CALL, _GRPC_STREAM = 0, 1, 2
_GRPC_UNAVAILABLE = 14


@_call("iiiiiiiiii:i")
def http_call(
    vm: VM, cluster: int, cluster_size: int, headers: int, headers_size: int, body: int, body_size: int, trailers: int,
    trailers_size: int, timeout: int, token_out: int,
) -> int:  # fmt: skip
    name = _text(vm, cluster, cluster_size)
    data = vm.memory.read(body, body_size)
    head = RequestHeaderMap(deserialize(vm.memory.read(headers, headers_size)))
    tail = HeaderMap(deserialize(vm.memory.read(trailers, trailers_size)))
    vm.memory.write_u32(token_out, 0)
    made_by, root = vm.context().id, vm.context().root
    if not isinstance(root, RootContext) or timeout >= 1 << 31 or not vm.surroundings.knows_cluster(name):
        return Status.BAD_ARGUMENT
    if any(header not in head for header in (":method", ":path", ":authority")):
        return Status.BAD_ARGUMENT
    if data:
        head.replace(b"content-length", str(len(data)).encode())
    token = vm.next_callout(_HTTP)
    vm.memory.write_u32(token_out, token)
    root.add_callout(HttpCallout(root, token, made_by, timeout, cluster=name, headers=head, body=data, trailers=tail))
    return Status.OK


@_call("iiiiiiiiiiii:i")
def grpc_call(
    vm: VM, target: int, target_size: int, service: int, service_size: int, method: int, method_size: int, metadata:
    int, metadata_size: int, message: int, message_size: int, timeout: int, token_out: int,
) -> int:  # fmt: skip
    destination = vm.memory.read(target, target_size)
    service_name, method_name = _text(vm, service, service_size), _text(vm, method, method_size)
    pairs = deserialize(vm.memory.read(metadata, metadata_size))
    data = vm.memory.read(message, message_size)
    cluster = _grpc_cluster(vm, destination)
    made_by, root = vm.context().id, vm.context().root
    if isinstance(cluster, Status):
        return cluster
    if not isinstance(root, RootContext):
        return Status.BAD_ARGUMENT
    token = vm.next_callout(_GRPC_CALL)
    if not vm.surroundings.knows_cluster(cluster):
        _refuse(vm, root, token)
        return Status.INTERNAL_FAILURE
    callout = GrpcCallout(
        root,
        token,
        made_by,
        timeout,
        cluster=cluster,
        service=service_name,
        method=method_name,
        metadata=pairs,
        message=data,
    )
    root.add_callout(callout)
    vm.memory.write_u32(token_out, token)
    return Status.OK


@_call("iiiiiiiii:i")
def grpc_stream(
    vm: VM, target: int, target_size: int, service: int, service_size: int, method: int, method_size: int, metadata:
    int, metadata_size: int, token_out: int,
) -> int:  # fmt: skip
    destination = vm.memory.read(target, target_size)
    service_name, method_name = _text(vm, service, service_size), _text(vm, method, method_size)
    pairs: Pairs = deserialize(vm.memory.read(metadata, metadata_size))
    cluster = _grpc_cluster(vm, destination)
    made_by, root = vm.context().id, vm.context().root
    if isinstance(cluster, Status):
        return cluster
    if not isinstance(root, RootContext):
        return Status.BAD_ARGUMENT
    token = vm.next_callout(_GRPC_STREAM)
    if not vm.surroundings.knows_cluster(cluster):
        _refuse(vm, root, token)
        return Status.INTERNAL_FAILURE
    root.add_callout(
        GrpcStream(root, token, made_by, cluster=cluster, service=service_name, method=method_name, metadata=pairs)
    )
    vm.memory.write_u32(token_out, token)
    return Status.OK


@_call("iiii:i")
def grpc_send(vm: VM, token: int, message: int, message_size: int, end_of_stream: int) -> int:
    data = vm.memory.read(message, message_size)
    if token & 3 != _GRPC_STREAM:
        return Status.BAD_ARGUMENT
    stream = vm.context().root.callouts.get(token)
    if not isinstance(stream, GrpcStream):
        return Status.NOT_FOUND
    stream.accept(data, end_of_stream != 0)
    return Status.OK


@_call("i:i")
def grpc_cancel(vm: VM, token: int) -> int:
    if token & 3 not in (_GRPC_CALL, _GRPC_STREAM):
        return Status.BAD_ARGUMENT
    callout = vm.context().root.callouts.get(token)
    if callout is None:
        return Status.NOT_FOUND
    callout.cancel()
    return Status.OK


@_call("i:i")
def grpc_close(vm: VM, token: int) -> int:
    if token & 3 not in (_GRPC_CALL, _GRPC_STREAM):
        return Status.BAD_ARGUMENT
    callout = vm.context().root.callouts.get(token)
    if callout is None:
        return Status.NOT_FOUND
    if isinstance(callout, GrpcStream):
        callout.close_locally()
    else:
        callout.cancel()
    return Status.OK


def _text(vm: VM, address: int, size: int) -> str:
    return vm.memory.read(address, size).decode("utf-8", "replace")


def _grpc_cluster(vm: VM, target: bytes) -> str | Status:
    """The cluster of a call: `target` is a serialized GrpcService or, as Envoy also takes it, the name of a known
    cluster."""
    cluster = grpc_cluster(target)
    if cluster == "":
        # Also for cluster names that happen to be valid protobuf, such as "my-limiter".
        vm.context().root.record(
            LogLevel.ERROR, f"gRPC target {target!r} is a GrpcService without a target: Envoy would abort"
        )
        return Status.BAD_ARGUMENT
    if cluster is not None:
        return cluster
    name = target.decode("utf-8", "replace")
    return name if vm.surroundings.knows_cluster(name) else Status.PARSE_FAILURE


def _refuse(vm: VM, root: RootContext, token: int) -> None:
    # Envoy starts the call, sees it fail at once, and reports that once the callback under way has returned.
    vm.when_idle(lambda: root.on_grpc_close(token, _GRPC_UNAVAILABLE, b"Cluster not available"))
