"""Callbacks of Proxy-Wasm ABI 0.2.1: one function for each `proxy_on_*` export, called by the C glue or by a test.

Nothing is ever raised: an exception ends in `failure`.
"""

from typing import Final

from proxywasm import callouts
from proxywasm.context import HttpContext, RootContext, StreamContext, TcpContext
from proxywasm.failure import fail_stream, give_up, log_exception
from proxywasm.types import Action, BufferType, MapType, PeerType, StreamType
from proxywasm.views import HeaderMap
from proxywasm.vm import VM, CallSlot, ContextSlot

_CONTINUE: Final = 0
_PAUSE: Final = 1
_ROOT_ID: Final = b"plugin_root_id"

_root_classes: dict[str, type[RootContext]] = {}


def register(root_class: type[RootContext], root_id: str | None = None) -> None:
    """Make plugins with `root_id` (`None`: any) contexts of `root_class`. Called once, when the filter is imported."""
    _root_classes["*" if root_id is None else root_id] = root_class


def on_context_create(context_id: int, parent_id: int) -> None:
    VM.current = context_id
    parent: ContextSlot | None = None
    try:
        if parent_id == 0:
            root_id = (VM.host.get_property(_ROOT_ID) or b"").decode("utf-8", "surrogateescape")
            root_class = _root_classes.get(root_id) or _root_classes.get("*")
            if root_class is None:
                raise LookupError(f"no root context is registered for root id {root_id!r}")
            VM.contexts[context_id] = root_class(context_id)
            return
        parent = VM.contexts[parent_id]
        assert isinstance(parent, RootContext)
        VM.contexts[context_id] = parent.create_stream(context_id)
    except BaseException as error:
        log_exception("on_context_create", error)
        if isinstance(parent, RootContext):
            # a context that fails with the stream's first callback, which tells what kind of stream it is
            VM.contexts[context_id] = LostContext(context_id, parent)


def on_vm_start(root_id: int, size: int) -> int:
    VM.current = root_id
    try:
        context = VM.contexts[root_id]
        assert isinstance(context, RootContext)
        return context.on_vm_start(_configuration(BufferType.VM_CONFIGURATION, size))
    except BaseException as error:
        log_exception("on_vm_start", error)
        return 0


def on_configure(root_id: int, size: int) -> int:
    VM.current = root_id
    try:
        context = VM.contexts[root_id]
        assert isinstance(context, RootContext)
        return context.on_configure(_configuration(BufferType.PLUGIN_CONFIGURATION, size))
    except BaseException as error:
        log_exception("on_configure", error)
        return 0


def _configuration(buffer: BufferType, size: int) -> bytes:
    return (VM.host.get_buffer_bytes(buffer, 0, size) or b"") if size else b""


def on_tick(root_id: int) -> None:
    VM.current = root_id
    try:
        context = VM.contexts.get(root_id)
        if isinstance(context, RootContext):
            context.on_tick()
    except BaseException as error:
        log_exception("on_tick", error)


def on_queue_ready(root_id: int, queue_id: int) -> None:
    VM.current = root_id
    try:
        context = VM.contexts.get(root_id)
        if isinstance(context, RootContext):
            context.on_queue_ready(queue_id)
    except BaseException as error:
        log_exception("on_queue_ready", error)


def on_foreign_function(context_id: int, function_id: int, size: int) -> None:
    # the one callback that can come while another runs: from within `call_foreign_function`
    outer = VM.current
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, RootContext | StreamContext):
            context.on_foreign_function(function_id, _configuration(BufferType.FOREIGN_FUNCTION_ARGUMENTS, size))
    except BaseException as error:
        log_exception("on_foreign_function", error)
    VM.current = outer


def on_done(context_id: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, RootContext | StreamContext):
            return context.on_done()
    except BaseException as error:
        log_exception("on_done", error)
    return 1


def on_log(context_id: int) -> None:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, StreamContext) and not context.failed:
            context.on_log()
    except BaseException as error:
        log_exception("on_log", error)


def on_delete(context_id: int) -> None:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, RootContext | StreamContext):
            VM.forget(context)
            context.on_delete()
    except BaseException as error:
        log_exception("on_delete", error)


class LostContext(StreamContext):
    """Stands for the context of a stream that `RootContext.create_stream` could not make."""


def _absent(context_id: int, kind: type[StreamContext]) -> int:
    """The action for a stream without a working context: it failed before, could not be made, or is of other kind."""
    context = VM.contexts.get(context_id)
    if not isinstance(context, StreamContext):
        return _CONTINUE
    if isinstance(context, LostContext):
        lost = kind(context_id, context.root)
        VM.contexts[context_id] = lost
        return give_up(lost)
    return _PAUSE if context.failed and not context.root.fail_open else _CONTINUE


def on_request_headers(context_id: int, num_headers: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            return _absent(context_id, HttpContext)
        return _action(context, StreamType.HTTP_REQUEST, context.on_request_headers(num_headers, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_request_headers", error)


def on_request_body(context_id: int, size: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            return _absent(context_id, HttpContext)
        return _action(context, StreamType.HTTP_REQUEST, context.on_request_body(size, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_request_body", error)


def on_request_trailers(context_id: int, num_trailers: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            return _absent(context_id, HttpContext)
        return _action(context, StreamType.HTTP_REQUEST, context.on_request_trailers(num_trailers))
    except BaseException as error:
        return fail_stream(context_id, "on_request_trailers", error)


def on_response_headers(context_id: int, num_headers: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            # a failed stream has been answered: that answer passes here as a response
            return _CONTINUE
        return _action(context, StreamType.HTTP_RESPONSE, context.on_response_headers(num_headers, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_response_headers", error)


def on_response_body(context_id: int, size: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            return _CONTINUE
        return _action(context, StreamType.HTTP_RESPONSE, context.on_response_body(size, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_response_body", error)


def on_response_trailers(context_id: int, num_trailers: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, HttpContext) or context.failed:
            return _CONTINUE
        return _action(context, StreamType.HTTP_RESPONSE, context.on_response_trailers(num_trailers))
    except BaseException as error:
        return fail_stream(context_id, "on_response_trailers", error)


def rescue(context_id: int) -> int:
    """The action for a stream whose callback has raised past all handlers here, because even they had no memory."""
    context = VM.contexts.get(context_id)
    VM.current = context_id
    return give_up(context) if isinstance(context, StreamContext) else _CONTINUE


def _action(context: StreamContext, stream: StreamType, action: Action) -> int:
    """Remember a pause, so that a failure can let the stream go; refuse what untyped code may return instead."""
    if action is Action.CONTINUE:
        return _CONTINUE
    if action is not Action.PAUSE:
        raise TypeError(f"expected an Action, got {action!r}")
    context.paused |= 1 << stream
    return _PAUSE


def on_new_connection(context_id: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, TcpContext) or context.failed:
            return _absent(context_id, TcpContext)
        return _action(context, StreamType.DOWNSTREAM, context.on_new_connection())
    except BaseException as error:
        return fail_stream(context_id, "on_new_connection", error)


def on_downstream_data(context_id: int, size: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, TcpContext) or context.failed:
            return _absent(context_id, TcpContext)
        return _action(context, StreamType.DOWNSTREAM, context.on_downstream_data(size, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_downstream_data", error)


def on_upstream_data(context_id: int, size: int, end_of_stream: int) -> int:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if not isinstance(context, TcpContext) or context.failed:
            return _absent(context_id, TcpContext)
        return _action(context, StreamType.UPSTREAM, context.on_upstream_data(size, end_of_stream != 0))
    except BaseException as error:
        return fail_stream(context_id, "on_upstream_data", error)


def on_downstream_connection_close(context_id: int, peer: int) -> None:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, TcpContext) and not context.failed:
            context.on_downstream_close(PeerType(peer))
    except BaseException as error:
        fail_stream(context_id, "on_downstream_connection_close", error)


def on_upstream_connection_close(context_id: int, peer: int) -> None:
    VM.current = context_id
    try:
        context = VM.contexts.get(context_id)
        if isinstance(context, TcpContext) and not context.failed:
            context.on_upstream_close(PeerType(peer))
    except BaseException as error:
        fail_stream(context_id, "on_upstream_connection_close", error)


def _caller(context_id: int, table: dict[int, CallSlot], call_id: int) -> int:
    """The context that made the call-out: hosts name either it or its root (specification, `context_id`)."""
    call = table.get(call_id)
    return context_id if call is None else call.context.id


def on_http_call_response(context_id: int, call_id: int, num_headers: int, body_size: int, num_trailers: int) -> None:
    VM.current = context_id
    caller = _caller(context_id, VM.http_calls, call_id)
    try:
        callouts.finish_http_call(call_id, num_headers, body_size, num_trailers)
    except BaseException as error:
        fail_stream(caller, "on_http_call_response", error)


def on_grpc_receive_initial_metadata(context_id: int, call_id: int, count: int) -> None:
    VM.current = context_id
    try:
        call = VM.grpc_calls.get(call_id)
        if isinstance(call, callouts.GrpcStream):
            call.on_initial_metadata(HeaderMap(call.context, MapType.GRPC_CALL_INITIAL_METADATA), count)
    except BaseException as error:
        fail_stream(_caller(context_id, VM.grpc_calls, call_id), "on_grpc_receive_initial_metadata", error)


def on_grpc_receive(context_id: int, call_id: int, size: int) -> None:
    VM.current = context_id
    caller = _caller(context_id, VM.grpc_calls, call_id)
    try:
        callouts.receive_grpc_message(call_id, size)
    except BaseException as error:
        fail_stream(caller, "on_grpc_receive", error)


def on_grpc_receive_trailing_metadata(context_id: int, call_id: int, count: int) -> None:
    VM.current = context_id
    try:
        call = VM.grpc_calls.get(call_id)
        if isinstance(call, callouts.GrpcStream):
            call.on_trailing_metadata(HeaderMap(call.context, MapType.GRPC_CALL_TRAILING_METADATA), count)
    except BaseException as error:
        fail_stream(_caller(context_id, VM.grpc_calls, call_id), "on_grpc_receive_trailing_metadata", error)


def on_grpc_close(context_id: int, call_id: int, status: int) -> None:
    VM.current = context_id
    caller = _caller(context_id, VM.grpc_calls, call_id)
    try:
        callouts.finish_grpc(call_id, status)
    except BaseException as error:
        fail_stream(caller, "on_grpc_close", error)
