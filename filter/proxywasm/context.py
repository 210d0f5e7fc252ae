"""The contexts that a filter subclasses: one root context for each plugin configuration, one for each stream."""

from collections.abc import Callable

from proxywasm import callouts
from proxywasm.callouts import GrpcReply, GrpcStream, HttpReply, UnaryCall
from proxywasm.pairs import Pairs, encode_pairs
from proxywasm.types import Action, BufferType, LogLevel, MapType, PeerType, StreamType
from proxywasm.views import Buffer, HeaderMap
from proxywasm.vm import VM, ContextSlot

NO_GRPC_STATUS = 0xFFFFFFFF
"""Lets the host choose the gRPC status of a local response."""


class Context(ContextSlot):
    """What root and stream contexts have in common.

    Host functions act upon the context whose callback runs. The methods here switch to their own context first, so
    that a stream may use its root's and a root its streams' methods.
    """

    def on_done(self) -> bool:
        """The work is over. `False` keeps the context until `finish()` is called."""
        return True

    def on_delete(self) -> None:
        """The host has forgotten the context."""

    def on_foreign_function(self, function_id: int, arguments: bytes) -> None:
        """The host calls a foreign function of the filter."""

    def finish(self) -> None:
        """After `on_done` has answered `False`: the context may go now (`proxy_done`)."""
        VM.enter(self.id)
        VM.host.done()

    def log(self, level: LogLevel, message: str) -> None:
        """Write a line to the host's log."""
        VM.enter(self.id)
        VM.host.log(level, message)

    def get_property(self, path: bytes) -> bytes | None:
        """The raw value of the property at `path` (see `properties`), or `None`."""
        VM.enter(self.id)
        return VM.host.get_property(path)

    def set_property(self, path: bytes, value: bytes) -> None:
        """Set the property at `path`; later filters see it. Raises `HostError` if the host refuses."""
        VM.enter(self.id)
        VM.host.set_property(path, value)

    def call_foreign_function(self, name: str, arguments: bytes = b"") -> bytes:
        """Call a function the host offers by name. Raises `HostError` with `NOT_FOUND` if it has none."""
        VM.enter(self.id)
        return VM.host.call_foreign_function(name, arguments)

    def http_call(
        self,
        cluster: str,
        headers: Pairs,
        on_reply: Callable[[HttpReply], None],
        body: bytes = b"",
        trailers: Pairs | None = None,
        timeout: int = 1000,
    ) -> None:
        """Send an HTTP request to `cluster`; `headers` need `:method`, `:path` and `:authority`, `timeout` is in ms.

        `on_reply` runs once, also when there is no response. Raises `HostError` if the call cannot be made.
        """
        callouts.http_call(self, cluster, headers, body, trailers or [], timeout, on_reply)

    def grpc_call(
        self,
        upstream: str | bytes,
        service: str | bytes,
        method: str | bytes,
        message: bytes,
        on_reply: Callable[[GrpcReply], None],
        timeout: int = 1000,
        metadata: Pairs | None = None,
    ) -> UnaryCall:
        """Make a unary gRPC call; `upstream` is a cluster, or a serialized `GrpcService` (see `grpc_service`).

        `timeout` is in ms. `on_reply` runs once. Raises `HostError` if the call cannot be made.
        """
        return callouts.grpc_call(self, upstream, service, method, message, timeout, on_reply, metadata)

    def open_grpc_stream(
        self, stream: GrpcStream, upstream: str | bytes, service: str, method: str, metadata: Pairs | None = None
    ) -> None:
        """Open `stream`, which this context owns. Raises `HostError` if the host refuses."""
        callouts.open_grpc_stream(stream, upstream, service, method, metadata)


class RootContext(Context):
    """A plugin: its configuration, its timer, and the streams it makes."""

    def __init__(self, context_id: int) -> None:
        super().__init__(context_id)
        self.fail_open = False
        """What an uncaught exception does to a stream: let it pass unfiltered, or answer 500."""

    def create_stream(self, context_id: int) -> "StreamContext":
        """Make the context of a new stream."""
        return StreamContext(context_id, self)

    def on_vm_start(self, configuration: bytes) -> bool:
        """The VM starts, with the VM's configuration. `False` refuses."""
        return True

    def on_configure(self, configuration: bytes) -> bool:
        """The plugin's configuration. `False` refuses it."""
        return True

    def on_tick(self) -> None:
        """The timer of `set_tick_period`."""

    def on_queue_ready(self, queue_id: int) -> None:
        """A shared queue that this plugin registered has a new item."""

    def set_tick_period(self, milliseconds: int) -> None:
        """Call `on_tick` every so many milliseconds; 0 stops it."""
        VM.enter(self.id)
        VM.host.set_tick_period_milliseconds(milliseconds)


class StreamContext(Context):
    """An HTTP stream or a TCP connection."""

    def __init__(self, context_id: int, root: RootContext) -> None:
        super().__init__(context_id)
        self.root = root
        self.failed = False
        """An exception has ended this filter's work on the stream; its callbacks run no more."""
        self.paused = 0
        """A bit (`1 << StreamType`) for each direction that waits for `continue_stream`."""

    def on_log(self) -> None:
        """The stream is over; last chance to read its properties."""

    def continue_stream(self, stream: StreamType) -> None:
        """Go on after a callback has answered `Action.PAUSE`."""
        self.paused &= ~(1 << stream)
        VM.enter(self.id)
        VM.host.continue_stream(stream)

    def close_stream(self, stream: StreamType) -> None:
        """Reset the stream, or close the connection."""
        VM.enter(self.id)
        VM.host.close_stream(stream)

    def refuse(self) -> None:
        """End the stream after an exception when the root context fails closed: with a 500, or by disconnecting."""


class HttpContext(StreamContext):
    """An HTTP request and its response."""

    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        return Action.CONTINUE

    def on_request_body(self, size: int, end_of_stream: bool) -> Action:
        """A piece of the body has come, or all that is buffered after `Action.PAUSE`: `size` bytes in all."""
        return Action.CONTINUE

    def on_request_trailers(self, num_trailers: int) -> Action:
        return Action.CONTINUE

    def on_response_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        return Action.CONTINUE

    def on_response_body(self, size: int, end_of_stream: bool) -> Action:
        """A piece of the body has come, or all that is buffered after `Action.PAUSE`: `size` bytes in all."""
        return Action.CONTINUE

    def on_response_trailers(self, num_trailers: int) -> Action:
        return Action.CONTINUE

    @property
    def request_headers(self) -> HeaderMap:
        return HeaderMap(self, MapType.HTTP_REQUEST_HEADERS)

    @property
    def request_trailers(self) -> HeaderMap:
        return HeaderMap(self, MapType.HTTP_REQUEST_TRAILERS)

    @property
    def response_headers(self) -> HeaderMap:
        return HeaderMap(self, MapType.HTTP_RESPONSE_HEADERS)

    @property
    def response_trailers(self) -> HeaderMap:
        return HeaderMap(self, MapType.HTTP_RESPONSE_TRAILERS)

    @property
    def request_body(self) -> Buffer:
        return Buffer(self, BufferType.HTTP_REQUEST_BODY)

    @property
    def response_body(self) -> Buffer:
        return Buffer(self, BufferType.HTTP_RESPONSE_BODY)

    def send_local_response(
        self,
        status: int,
        body: bytes = b"",
        headers: Pairs | None = None,
        details: str = "",
        grpc_status: int = NO_GRPC_STATUS,
    ) -> None:
        """Answer in place of the upstream; the callback that does so returns `Action.PAUSE`."""
        VM.enter(self.id)
        VM.host.send_local_response(status, details, body, encode_pairs(headers or []), grpc_status)

    def refuse(self) -> None:
        self.send_local_response(500, b"Internal Server Error.\n", details="filter_failed")


class TcpContext(StreamContext):
    """A TCP connection."""

    def on_new_connection(self) -> Action:
        return Action.CONTINUE

    def on_downstream_data(self, size: int, end_of_stream: bool) -> Action:
        return Action.CONTINUE

    def on_upstream_data(self, size: int, end_of_stream: bool) -> Action:
        return Action.CONTINUE

    def on_downstream_close(self, peer: PeerType) -> None:
        """The client's side of the connection has closed."""

    def on_upstream_close(self, peer: PeerType) -> None:
        """The upstream's side of the connection has closed."""

    def refuse(self) -> None:
        self.close_stream(StreamType.DOWNSTREAM)

    @property
    def downstream_data(self) -> Buffer:
        return Buffer(self, BufferType.DOWNSTREAM_DATA)

    @property
    def upstream_data(self) -> Buffer:
        return Buffer(self, BufferType.UPSTREAM_DATA)
