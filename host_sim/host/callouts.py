"""Calls that plugins make to other services: HTTP requests, unary gRPC calls and gRPC streams.

The host only records them. Whoever drives the host answers: a test by hand, a gateway through a real client (see
`Plugin.on_callout`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from enum import Enum
from functools import lru_cache
from typing import TYPE_CHECKING

from google.protobuf.message import DecodeError

from host_sim.host.abi import Pairs
from host_sim.host.clock import Timer
from host_sim.host.headers import HeaderLike, HeaderMap, encode

if TYPE_CHECKING:
    from host_sim.host.contexts import RootContext


class CalloutState(Enum):
    PENDING = "pending"
    DONE = "done"
    CANCELLED = "cancelled"


class CalloutFinished(Exception):
    """An answer for a call-out that has one already or was cancelled."""


class Callout(ABC):
    """A call under way. It belongs to the plugin's root context, also if a stream made it: `proxy_http_call` and
    `proxy_grpc_*` act on the root context (proxy-wasm-cpp-host, `exports.cc`), and Envoy cancels calls when the
    context they belong to ends.

    * `token`: the module's handle.
    * `made_by`: the id of the context that was effective when the call was made.
    * `timeout`: milliseconds; 0 is none.
    """

    def __init__(self, root: "RootContext", token: int, made_by: int, timeout: int) -> None:
        self.token = token
        self.made_by = made_by
        self.timeout = timeout
        self.state = CalloutState.PENDING
        self.on_cancel: Callable[[], None] | None = None
        self._root = root
        self._timer: Timer | None = None

    def watch(self, timer: Timer) -> None:
        """`timer` will time the call out; it is cancelled when the call ends before."""
        self._timer = timer

    @property
    def pending(self) -> bool:
        return self.state is CalloutState.PENDING

    def cancel(self) -> None:
        """The host gave the call up: the plugin cancelled it or its root context ended. No callback follows."""
        if self.pending:
            self._finish(CalloutState.CANCELLED)
            if self.on_cancel is not None:
                self.on_cancel()

    @abstractmethod
    def time_out(self) -> None:
        """Answers as Envoy does once `timeout` has passed."""

    def _finish(self, state: CalloutState) -> None:
        self.state = state
        if self._timer is not None:
            self._timer.cancel()
        self._root.callouts.pop(self.token, None)

    def _deliver(self, callback: Callable[[], None]) -> None:
        self._root.vm.when_idle(callback)

    def _check_pending(self) -> None:
        if not self.pending:
            raise CalloutFinished(f"call-out {self.token} is {self.state.value}, expected it to be pending")


class HttpCallout(Callout):
    """An HTTP request to a cluster (`proxy_http_call`)."""

    def __init__(
        self, root: "RootContext", token: int, made_by: int, timeout: int, *, cluster: str, headers: HeaderMap, body:
        bytes, trailers: HeaderMap,
    ) -> None:  # fmt: skip
        super().__init__(root, token, made_by, timeout)
        self.cluster = cluster
        self.headers = headers
        self.body = body
        self.trailers = trailers

    @property
    def method(self) -> str:
        return self.headers[":method"]

    def respond(
        self, headers: list[HeaderLike] | None = None, body: str | bytes = b"", trailers: list[HeaderLike] | None = None
    ) -> None:
        """Answers; without headers with status 200."""
        self._check_pending()
        response = HeaderMap(headers if headers is not None else [(":status", "200")])
        tail = None if trailers is None else HeaderMap(trailers)
        self._finish(CalloutState.DONE)
        self._deliver(lambda: self._root.on_http_call_response(self.token, response, encode(body), tail))

    def fail(self) -> None:
        """The connection broke before a response came."""
        self._check_pending()
        self._finish(CalloutState.DONE)
        self._deliver(lambda: self._root.on_http_call_failure(self.token))

    def time_out(self) -> None:
        text = b"upstream request timeout"
        head: list[HeaderLike] = [
            (":status", "504"),
            ("content-length", str(len(text))),
            ("content-type", "text/plain"),
        ]
        self.respond(head, text)


class GrpcCallout(Callout):
    """A unary gRPC call (`proxy_grpc_call`)."""

    def __init__(
        self, root: "RootContext", token: int, made_by: int, timeout: int, *, cluster: str, service: str, method: str,
        metadata: Pairs, message: bytes,
    ) -> None:  # fmt: skip
        super().__init__(root, token, made_by, timeout)
        self.cluster = cluster
        self.service = service
        self.method = method
        self.metadata = metadata
        self.message = message

    def reply(self, message: bytes) -> None:
        """The answer's protobuf bytes."""
        self._check_pending()
        self._finish(CalloutState.DONE)
        self._deliver(lambda: self._root.on_grpc_receive(self.token, message))

    def fail(self, status: int, message: str = "") -> None:
        """Ends with a gRPC status other than OK."""
        self._check_pending()
        self._finish(CalloutState.DONE)
        self._deliver(lambda: self._root.on_grpc_close(self.token, status, message.encode()))

    def time_out(self) -> None:
        self.fail(14, "upstream request timeout")


class GrpcStream(Callout):
    """A gRPC stream (`proxy_grpc_stream`). It is done when the server has closed it and the plugin has called
    `proxy_grpc_close`.

    `messages` are what the plugin has sent so far; `half_closed` tells that it will send no more. `on_send` is called
    with each message and whether it is the last.
    """

    def __init__(
        self, root: "RootContext", token: int, made_by: int, *, cluster: str, service: str, method: str, metadata: Pairs
    ) -> None:
        super().__init__(root, token, made_by, timeout=0)
        self.cluster = cluster
        self.service = service
        self.method = method
        self.metadata = metadata
        self.messages: list[bytes] = []
        self.half_closed = False
        self.on_send: Callable[[bytes, bool], None] | None = None
        self._local_closed = False
        self._remote_closed = False

    def send_initial_metadata(self, metadata: list[HeaderLike]) -> None:
        self._check_open()
        self._deliver(lambda: self._root.on_grpc_receive_initial_metadata(self.token, HeaderMap(metadata)))

    def reply(self, message: bytes) -> None:
        self._check_open()
        self._deliver(lambda: self._root.on_grpc_receive(self.token, message))

    def send_trailing_metadata(self, metadata: list[HeaderLike]) -> None:
        self._check_open()
        self._deliver(lambda: self._root.on_grpc_receive_trailing_metadata(self.token, HeaderMap(metadata)))

    def close(self, status: int = 0, message: str = "") -> None:
        """The server ends the stream with a gRPC status."""
        self._check_open()
        self._remote_closed = True
        if self._local_closed:
            self._finish(CalloutState.DONE)
        self._deliver(lambda: self._root.on_grpc_close(self.token, status, message.encode()))

    fail = close

    def time_out(self) -> None:
        self.close(14, "upstream request timeout")

    def accept(self, message: bytes, end: bool) -> None:
        """The plugin sent a message."""
        self.messages.append(message)
        if self.on_send is not None:
            self.on_send(message, end)
        self.half_closed = self.half_closed or end

    def close_locally(self) -> None:
        """The plugin called `proxy_grpc_close`."""
        self.half_closed = self._local_closed = True
        if self._remote_closed:
            self._finish(CalloutState.DONE)

    def _check_open(self) -> None:
        self._check_pending()
        if self._remote_closed:
            raise CalloutFinished(f"gRPC stream {self.token} is closed by the server")


@lru_cache(maxsize=256)
def grpc_cluster(service: bytes) -> str | None:
    """The cluster in a serialized `envoy.config.core.v3.GrpcService`; "" if it names none, None if it is no such
    message."""
    # Loading Envoy's protobufs takes 50 ms, and most plugins make no gRPC calls.
    from envoy.config.core.v3.grpc_service_pb2 import GrpcService

    try:
        message = GrpcService.FromString(service)
    except DecodeError:
        return None
    if message.HasField("envoy_grpc"):
        return str(message.envoy_grpc.cluster_name)
    if message.HasField("google_grpc"):
        return str(message.google_grpc.target_uri)
    return ""
