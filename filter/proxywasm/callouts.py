"""HTTP and gRPC call-outs.

A call belongs to the context that made it: when that is deleted, the answer has nobody to go to and is dropped. A call
that has to outlive a stream is made by its root context. Envoy makes every call on behalf of the root context and names
that one in the callbacks; the tables here find the context that is meant.
"""

from collections.abc import Callable

from proxywasm.pairs import Pairs, encode_pairs
from proxywasm.types import BufferType, GrpcStatus, MapType
from proxywasm.views import Buffer, HeaderMap
from proxywasm.vm import VM, CallSlot, ContextSlot


def grpc_service(cluster: str) -> bytes:
    """A serialized `envoy.config.core.v3.GrpcService` for a cluster.

    Hosts also take a bare name, but Envoy first reads it as this message, and aborts on names that happen to be one.
    """
    name = cluster.encode()
    return _message_field(_message_field(name))


def _message_field(content: bytes) -> bytes:
    """Field 1, length-delimited (protobuf encoding)."""
    length = bytearray()
    size = len(content)
    while size > 0x7F:
        length.append(size & 0x7F | 0x80)
        size >>= 7
    length.append(size)
    return b"\x0a" + bytes(length) + content


class HttpReply:
    """What came back from an HTTP call-out, readable only while its callback runs."""

    def __init__(self, context: ContextSlot, num_headers: int, body_size: int, num_trailers: int) -> None:
        self._context = context
        self.failed = num_headers == 0
        """No response: the call was reset. Envoy answers in place of what it cannot reach (503) or waits for (504)."""
        self.num_headers = num_headers
        self.body_size = body_size
        self.num_trailers = num_trailers

    @property
    def headers(self) -> HeaderMap:
        return HeaderMap(self._context, MapType.HTTP_CALL_RESPONSE_HEADERS)

    @property
    def trailers(self) -> HeaderMap:
        return HeaderMap(self._context, MapType.HTTP_CALL_RESPONSE_TRAILERS)

    @property
    def status(self) -> int:
        """The `:status` of the response, 0 if there was none."""
        value = None if self.failed else self.headers.get(":status")
        return int(value) if value is not None and value.isascii() and value.isdecimal() else 0

    def body(self) -> bytes:
        return Buffer(self._context, BufferType.HTTP_CALL_RESPONSE_BODY).read() if self.body_size else b""


class GrpcReply:
    """The end of a unary gRPC call: a message, or a status other than OK with its text."""

    def __init__(self, status: int, message: bytes, detail: str) -> None:
        self.status = status
        self.message = message
        self.detail = detail

    @property
    def ok(self) -> bool:
        return self.status == 0


class HttpCall(CallSlot):
    """An HTTP call-out under way."""

    def __init__(self, context: ContextSlot, on_reply: Callable[[HttpReply], None]) -> None:
        super().__init__(context)
        self.on_reply = on_reply


class UnaryCall(CallSlot):
    """A unary gRPC call under way."""

    def __init__(self, context: ContextSlot, call_id: int, on_reply: Callable[[GrpcReply], None]) -> None:
        super().__init__(context)
        self.id = call_id
        self.on_reply = on_reply

    def cancel(self) -> None:
        """Give the call up; its callback will not run. Does nothing if it has ended."""
        _cancel_grpc(self, self.id)


class GrpcStream(CallSlot):
    """A gRPC stream: subclass it for the callbacks and open it with `Context.open_grpc_stream`."""

    def __init__(self, context: ContextSlot) -> None:
        super().__init__(context)
        self.id = 0

    def on_initial_metadata(self, metadata: HeaderMap, count: int) -> None:
        """The server's initial metadata."""

    def on_message(self, message: bytes) -> None:
        """A message from the server."""

    def on_trailing_metadata(self, metadata: HeaderMap, count: int) -> None:
        """The server's trailing metadata."""

    def on_close(self, status: int, detail: str) -> None:
        """The end of the stream, with its gRPC status."""

    def send(self, message: bytes, end_stream: bool = False) -> None:
        """Send a message, and with `end_stream` close our half."""
        VM.enter(self.context.id)
        VM.host.grpc_send(self.id, message, end_stream)

    def close(self) -> None:
        """Close our half of the stream."""
        VM.enter(self.context.id)
        VM.host.grpc_close(self.id)

    def cancel(self) -> None:
        """Reset the stream; no callback will run any more. Does nothing if it has ended."""
        _cancel_grpc(self, self.id)


def _cancel_grpc(call: CallSlot, call_id: int) -> None:
    # a host may give the id of a call that has ended to a new one
    if VM.grpc_calls.get(call_id) is call:
        del VM.grpc_calls[call_id]
        call.context.call_ids.remove(call_id)
        VM.enter(call.context.id)
        VM.host.grpc_cancel(call_id)


def http_call(
    context: ContextSlot,
    cluster: str,
    headers: Pairs,
    body: bytes,
    trailers: Pairs,
    timeout: int,
    on_reply: Callable[[HttpReply], None],
) -> None:
    """`proxy_http_call` on behalf of `context`; see `Context.http_call`."""
    VM.enter(context.id)
    call_id = VM.host.http_call(cluster, encode_pairs(headers), body, encode_pairs(trailers), timeout)
    VM.http_calls[call_id] = HttpCall(context, on_reply)
    context.call_ids.append(call_id)


def grpc_call(
    context: ContextSlot,
    upstream: str | bytes,
    service: str | bytes,
    method: str | bytes,
    message: bytes,
    timeout: int,
    on_reply: Callable[[GrpcReply], None],
    metadata: Pairs | None,
) -> UnaryCall:
    """`proxy_grpc_call` on behalf of `context`; see `Context.grpc_call`."""
    if isinstance(upstream, str):
        upstream = grpc_service(upstream)
    VM.enter(context.id)
    serialized = encode_pairs(metadata) if metadata is not None else b""
    call_id = VM.host.grpc_call(upstream, service, method, serialized, message, timeout)
    call = UnaryCall(context, call_id, on_reply)
    VM.grpc_calls[call_id] = call
    context.call_ids.append(call_id)
    return call


def open_grpc_stream(
    stream: GrpcStream, upstream: str | bytes, service: str, method: str, metadata: Pairs | None
) -> None:
    """`proxy_grpc_stream` on behalf of the stream's context; see `Context.open_grpc_stream`."""
    if isinstance(upstream, str):
        upstream = grpc_service(upstream)
    VM.enter(stream.context.id)
    serialized = encode_pairs(metadata) if metadata is not None else b""
    stream.id = VM.host.grpc_stream(upstream, service, method, serialized)
    VM.grpc_calls[stream.id] = stream
    stream.context.call_ids.append(stream.id)


def finish_http_call(call_id: int, num_headers: int, body_size: int, num_trailers: int) -> None:
    """Hand `proxy_on_http_call_response` to its callback."""
    call = VM.http_calls.pop(call_id, None)
    if isinstance(call, HttpCall):
        call.context.call_ids.remove(call_id)
        call.on_reply(HttpReply(call.context, num_headers, body_size, num_trailers))


def receive_grpc_message(call_id: int, size: int) -> None:
    """Hand `proxy_on_grpc_receive` to its callback; for a unary call it is the end."""
    call = VM.grpc_calls.get(call_id)
    if call is None:
        return
    message = (VM.host.get_buffer_bytes(BufferType.GRPC_CALL_MESSAGE, 0, size) or b"") if size else b""
    if isinstance(call, UnaryCall):
        del VM.grpc_calls[call_id]
        call.context.call_ids.remove(call_id)
        call.on_reply(GrpcReply(0, message, ""))
    elif isinstance(call, GrpcStream):
        call.on_message(message)


def finish_grpc(call_id: int, status: int) -> None:
    """Hand `proxy_on_grpc_close` to its callback."""
    call = VM.grpc_calls.pop(call_id, None)
    if call is None:
        return
    call.context.call_ids.remove(call_id)
    detail = VM.host.get_status()[1]
    if isinstance(call, UnaryCall):
        # a unary call that ends without a message has failed, whatever the status says
        failure = status if status != 0 else int(GrpcStatus.UNKNOWN)
        call.on_reply(GrpcReply(failure, b"", detail))
    elif isinstance(call, GrpcStream):
        call.on_close(status, detail)
