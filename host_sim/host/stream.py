"""An HTTP stream through a plugin: the stream context of the ABI, written to read like the exchange it stands for."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self

from host_sim.host.abi import Action, BufferType, FailurePolicy, LogLevel, MapType, Status, StreamType
from host_sim.host.attributes import tree_of
from host_sim.host.buffers import Buffer
from host_sim.host.contexts import Context, LocalReply, RootContext
from host_sim.host.flow import Callbacks, Flow, Passed
from host_sim.host.headers import HeaderLike, HeaderMap, RequestHeaderMap, encode
from host_sim.host.local_reply import render
from host_sim.host.stream_properties import StreamProperties
from host_sim.host.vm import STOPPED

if TYPE_CHECKING:
    from host_sim.host.contexts import RootLike

FAIL_STREAM_DETAILS: Final = "wasm_fail_stream"
CLOSE_STREAM_DETAILS: Final = "wasm_close_stream"


class StreamMisuse(Exception):
    """A message part that cannot come now, such as a body before its headers."""


@dataclass(frozen=True)
class Outcome:
    """What a message part led to.

    `action` is the plugin's answer; `passed` is what went on to the next hop because of it (nothing while it pauses);
    `local_reply` is the reply the plugin has sent instead, if any.
    """

    action: Action
    passed: Passed
    local_reply: LocalReply | None


class HttpStream(Context):
    """A request and its response.

    * `request`, `response`: the two flows: `.headers` as the plugin left them, `.body` that went on, `.trailers`,
      `.paused`.
    * `local_reply`: the reply that the plugin (or the host in its place) sent; `response` then holds what the client
      gets.
    * `reset`: the stream was closed without a complete answer; `details` says why, as `response.code_details`.
    """

    def __init__(self, root: RootContext, properties: Mapping[Any, Any], buffer_limit: int) -> None:
        super().__init__(root.vm, root.vm.next_context_id())
        self.request = Flow(self._callbacks("request"), buffer_limit)
        self.response = Flow(self._callbacks("response"), buffer_limit)
        self.local_reply: LocalReply | None = None
        self.reset = False
        self.details: str | None = None
        self.closed = False
        self.started = self.vm.surroundings.clock.now()
        self.logging = False
        """While the access log is written (`proxy_on_log`) all headers can be read again."""
        self._root = root
        self._fail_open = root.plugin.failure_policy is FailurePolicy.FAIL_OPEN
        self._failed = False
        self._properties = StreamProperties(self, tree_of(properties))
        self.vm.callback(self, "proxy_on_context_create", self.id, root.id)

    @property
    def root(self) -> "RootLike":
        return self._root

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def request_headers(self, headers: Iterable[HeaderLike], end_of_stream: bool = False) -> Outcome:
        """The request begins. `end_of_stream`: it has neither body nor trailers."""
        return self._headers(self.request, "request", headers, end_of_stream)

    def request_body(self, data: str | bytes, end_of_stream: bool = False) -> Outcome:
        """A chunk of the request's body."""
        return self._body(self.request, "request", data, end_of_stream)

    def request_trailers(self, trailers: Iterable[HeaderLike]) -> Outcome:
        return self._trailers(self.request, "request", trailers)

    def response_headers(self, headers: Iterable[HeaderLike], end_of_stream: bool = False) -> Outcome:
        """The upstream answers."""
        if not self.request.passed_headers and not self._over():
            raise StreamMisuse("the upstream cannot answer: the request headers have not gone on to it")
        return self._headers(self.response, "response", headers, end_of_stream)

    def response_body(self, data: str | bytes, end_of_stream: bool = False) -> Outcome:
        return self._body(self.response, "response", data, end_of_stream)

    def response_trailers(self, trailers: Iterable[HeaderLike]) -> Outcome:
        return self._trailers(self.response, "response", trailers)

    def close(self) -> None:
        """The stream is over, complete or not: `proxy_on_log`, `proxy_on_done`, `proxy_on_delete`, in Envoy's order."""
        if self.closed:
            return
        self.logging = True
        self.vm.callback(self, "proxy_on_log", self.id)
        self.logging = False
        self.closed = True
        self.vm.callback(self, "proxy_on_done", self.id)
        self.vm.callback(self, "proxy_on_delete", self.id)
        self.vm.contexts.pop(self.id, None)

    def buffer(self, type: BufferType) -> Buffer | None:
        if type is BufferType.HTTP_REQUEST_BODY:
            return self.request.visible_body
        if type is BufferType.HTTP_RESPONSE_BODY:
            return self.response.visible_body
        return super().buffer(type)

    def headers(self, type: MapType, writable: bool) -> HeaderMap | None:
        flow = self.request if type in (MapType.HTTP_REQUEST_HEADERS, MapType.HTTP_REQUEST_TRAILERS) else self.response
        logging = self.logging and not writable
        if type in (MapType.HTTP_REQUEST_HEADERS, MapType.HTTP_RESPONSE_HEADERS):
            return flow.headers if logging else flow.visible_headers
        if type is MapType.HTTP_REQUEST_TRAILERS:
            return flow.visible_trailers
        if type is MapType.HTTP_RESPONSE_TRAILERS:
            return flow.trailers if logging else flow.visible_trailers
        return super().headers(type, writable)

    def properties(self) -> Mapping[str, Any]:
        return self._properties

    def set_property(self, path: bytes, value: bytes) -> Status:
        self._properties.state[path.decode("utf-8", "surrogateescape")] = value
        return Status.OK

    def continue_stream(self, type: StreamType) -> Status:
        if self.logging or self.closed:
            # Envoy 1.40 would write the access log again, call this again, and so on until it crashes.
            self.root.record(LogLevel.ERROR, "proxy_continue_stream after the stream has ended: Envoy would crash")
        elif type is StreamType.HTTP_REQUEST:
            self.vm.when_idle(self.request.resume)
        elif type is StreamType.HTTP_RESPONSE:
            self.vm.when_idle(self.response.resume)
        return Status.OK

    def close_stream(self, type: StreamType) -> Status:
        if type in (StreamType.HTTP_REQUEST, StreamType.HTTP_RESPONSE):
            self.details = self.details or CLOSE_STREAM_DETAILS
            self._reset()
        return Status.OK

    def send_local_reply(self, reply: LocalReply) -> None:
        self.vm.when_idle(lambda: self._send_local_reply(reply))

    def _send_local_reply(self, reply: LocalReply) -> None:
        if self.logging or self.closed or self.reset:
            return
        if self.local_reply is not None:
            # The first reply stands, but Envoy notes the details before it looks.
            self.details = reply.details
            return
        if self.response.passed_headers:
            # The client has headers already; all that is left is to break off.
            self.details = reply.details
            self._reset()
            return
        headers, body = render(reply, self.request.headers)
        self.local_reply, self.details = reply, reply.details
        self.request.abort()
        if self.response.headers is not None:
            self.response.replace(headers, body)
            self.response.abort()
            return
        self.response.accept_headers(headers, end_of_stream=not body)
        if body:
            self.response.accept_body(body, end_of_stream=True)

    def _reset(self) -> None:
        self.reset = True
        self.request.abort()
        self.response.abort()

    def _callbacks(self, direction: str) -> Callbacks:
        headers, body = f"proxy_on_{direction}_headers", f"proxy_on_{direction}_body"
        trailers = f"proxy_on_{direction}_trailers"
        short = self.vm.abi_version.name == "V0_1_0"

        def on_headers(count: int, end: bool) -> int:
            return self._ask(headers, self.id, count) if short else self._ask(headers, self.id, count, int(end))

        def on_body(size: int, end: bool) -> int:
            return self._ask(body, self.id, size, int(end))

        def on_trailers(count: int) -> int:
            return self._ask(trailers, self.id, count)

        return Callbacks(on_headers, on_body, on_trailers, lambda: self._too_large(direction))

    def _ask(self, name: str, *arguments: int) -> int:
        if self.vm.failure is None:
            result = self.vm.callback(self, name, *arguments)
            if self.vm.failure is None:
                return result
        if self._fail_open:
            return 0
        self._fail()
        return STOPPED

    def _fail(self) -> None:
        if not self._failed:
            self._failed = True
            self._send_local_reply(LocalReply(503, HeaderMap(), b"", 14, FAIL_STREAM_DETAILS))

    def _too_large(self, direction: str) -> None:
        if direction == "request":
            reply = LocalReply(413, HeaderMap(), b"Payload Too Large", None, "request_payload_too_large")
        else:
            reply = LocalReply(500, HeaderMap(), b"Internal Server Error", None, "response_payload_too_large")
        self.root.record(LogLevel.WARN, f"the plugin holds more of the {direction} body than the buffer limit allows")
        self._send_local_reply(reply)

    def _over(self) -> bool:
        return self.reset or self.local_reply is not None

    def _headers(self, flow: Flow, which: str, headers: Iterable[HeaderLike], end_of_stream: bool) -> Outcome:
        self._check(flow.headers is None or self._over(), f"the {which} has headers already")
        kind = RequestHeaderMap if flow is self.request else HeaderMap
        return self._outcome(flow, None if self._over() else flow.accept_headers(kind(headers), end_of_stream))

    def _body(self, flow: Flow, which: str, data: str | bytes, end_of_stream: bool) -> Outcome:
        self._check_follows(flow, which)
        return self._outcome(flow, None if self._over() else flow.accept_body(encode(data), end_of_stream))

    def _trailers(self, flow: Flow, which: str, trailers: Iterable[HeaderLike]) -> Outcome:
        self._check_follows(flow, which)
        return self._outcome(flow, None if self._over() else flow.accept_trailers(HeaderMap(trailers)))

    def _check_follows(self, flow: Flow, which: str) -> None:
        self._check(flow.headers is not None or self._over(), f"the {which} has no headers yet")
        self._check(not flow.received_end or self._over(), f"the {which} has ended already")

    def _check(self, fine: bool, problem: str) -> None:
        if self.closed:
            raise StreamMisuse("the stream is closed")
        if not fine:
            raise StreamMisuse(problem)

    def _outcome(self, flow: Flow, action: Action | None) -> Outcome:
        return Outcome(Action.PAUSE if action is None else action, flow.take(), self.local_reply)
