"""A Proxy-Wasm host in memory, for filters and the SDK on plain CPython.

Strict: what Envoy refuses, or would not do for the context it is asked for, raises `HostError` or fails the test.
"""

from collections.abc import Callable
from typing import Any, NoReturn

from proxywasm import BufferType, HostError, LogLevel, MapType, MetricType, RootContext, Status, StreamType, dispatch
from proxywasm.host import Text
from proxywasm.pairs import Pairs, decode_pairs, encode_pairs
from proxywasm.vm import VM


def text(value: Text) -> str:
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def refuse(function: str, status: Status = Status.BAD_ARGUMENT) -> NoReturn:
    raise HostError(status, f"proxy_{function}")


class Side:
    """What the host knows of one context. `maps` and `buffers` hold only what is there at this moment."""

    def __init__(self, kind: str, root_id: int) -> None:
        self.kind = kind
        self.root_id = root_id
        self.maps: dict[MapType, Pairs] = {}
        self.buffers: dict[BufferType, bytes] = {}
        self.properties: dict[str, bytes] = {}
        self.replies: list[tuple[int, bytes, Pairs, str, int]] = []
        self.continued: list[StreamType] = []
        self.closed: list[StreamType] = []
        self.tick_period = 0
        self.pending_done = False
        self.done = False


class InMemoryHost:
    """Implements `proxywasm.host.Host`; `call` runs a callback as a host does."""

    def __init__(self) -> None:
        self.sides: dict[int, Side] = {}
        self.effective = 0
        self.switches: list[int] = []
        self.logs: list[tuple[LogLevel, str]] = []
        self.log_level = LogLevel.INFO
        self.now = 1_700_000_000_000_000_000
        self.metrics: list[tuple[MetricType, str, int]] = []
        self.shared: dict[str, tuple[bytes, int]] = {}
        self.queues: list[tuple[str, list[bytes]]] = []
        self.foreign: dict[str, Callable[[bytes], bytes]] = {}
        self.calls: list[tuple[str, int, tuple[Any, ...]]] = []
        """Call-outs made: function, id, arguments."""
        self.next_http_call = self.next_grpc_call = 1
        self.grpc_events: list[tuple[str, int, Any]] = []
        self.status: tuple[int, str] = (0, "")

    # -- the host's own part --

    def call(self, callback: Callable[..., Any], context_id: int, *arguments: int) -> int:
        """Run a callback of `dispatch` for a context; host functions act upon it until they are told otherwise."""
        before, self.effective = self.effective, context_id
        try:
            answer = callback(context_id, *arguments)
        finally:
            self.effective = before
        return int(answer or 0)

    def start(self, root_class: type[RootContext], configuration: bytes = b"", root_id: str = "") -> int:
        """A plugin in a fresh VM: create, start, configure. Answers the root context's id; 0 if it refuses."""
        VM.reset(self)
        dispatch.register(root_class)
        return self.load(configuration, root_id)

    def load(self, configuration: bytes = b"", root_id: str = "") -> int:
        """A plugin in the VM that runs already."""
        context_id = self._add(Side("root", 0))
        side = self.sides[context_id]
        side.properties["plugin_root_id"] = root_id.encode()
        side.buffers = {BufferType.PLUGIN_CONFIGURATION: configuration, BufferType.VM_CONFIGURATION: b"vm"}
        self.call(dispatch.on_context_create, context_id, 0)
        accepted = self.call(dispatch.on_vm_start, context_id, 2)
        accepted = accepted and self.call(dispatch.on_configure, context_id, len(configuration))
        side.buffers.clear()
        return context_id if accepted else 0

    def stream(self, root_id: int, kind: str = "http") -> int:
        """A new stream context of the plugin."""
        context_id = self._add(Side(kind, root_id))
        self.call(dispatch.on_context_create, context_id, root_id)
        return context_id

    def end(self, context_id: int) -> None:
        """The stream is over: log, done, delete, as Envoy orders them."""
        self.call(dispatch.on_log, context_id)
        self.call(dispatch.on_done, context_id)
        self.call(dispatch.on_delete, context_id)
        del self.sides[context_id]

    def errors(self) -> list[str]:
        return [message for level, message in self.logs if level >= LogLevel.ERROR]

    def _add(self, side: Side) -> int:
        context_id = max(self.sides, default=0) + 1
        self.sides[context_id] = side
        return context_id

    def _side(self, function: str, *kinds: str) -> Side:
        side = self.sides.get(self.effective)
        if side is None or (kinds and side.kind not in kinds):
            refuse(function)
        return side

    def _root(self, function: str) -> Side:
        side = self._side(function)
        return side if side.kind == "root" else self.sides[side.root_id]

    # -- general --

    def log(self, level: int, message: Text, /) -> None:
        self.logs.append((LogLevel(level), text(message)))

    def get_log_level(self) -> int:
        return self.log_level

    def get_current_time_nanoseconds(self) -> int:
        return self.now

    def set_tick_period_milliseconds(self, period: int, /) -> None:
        self._side("set_tick_period_milliseconds", "root").tick_period = period

    def set_effective_context(self, context_id: int, /) -> None:
        if context_id not in self.sides:
            refuse("set_effective_context")
        self.switches.append(context_id)
        self.effective = context_id

    def done(self) -> None:
        side = self._side("done")
        if not side.pending_done:
            refuse("done", Status.NOT_FOUND)
        side.pending_done, side.done = False, True

    def call_foreign_function(self, name: Text, arguments: bytes, /) -> bytes:
        if text(name) not in self.foreign:
            refuse("call_foreign_function", Status.NOT_FOUND)
        return self.foreign[text(name)](arguments)

    # -- buffers, maps, properties --

    def get_buffer_bytes(self, buffer: int, start: int, max_size: int, /) -> bytes | None:
        data = self._buffers(BufferType(buffer)).get(BufferType(buffer))
        return None if data is None else data[start : start + max_size]

    def set_buffer_bytes(self, buffer: int, start: int, size: int, value: bytes, /) -> None:
        buffers = self._buffers(BufferType(buffer))
        data = buffers.get(BufferType(buffer))
        if data is None:
            refuse("set_buffer_bytes", Status.NOT_FOUND)
        start = min(start, len(data))
        if start and start != len(data):
            refuse("set_buffer_bytes")
        buffers[BufferType(buffer)] = data[:start] + value + data[start + size :]

    def get_buffer_status(self, buffer: int, /) -> int:
        return len(self._buffers(BufferType(buffer)).get(BufferType(buffer), b""))

    def _buffers(self, buffer: BufferType) -> dict[BufferType, bytes]:
        received = buffer in (BufferType.HTTP_CALL_RESPONSE_BODY, BufferType.GRPC_CALL_MESSAGE)
        return (self._root("get_buffer_bytes") if received else self._side("get_buffer_bytes")).buffers

    def _map(self, map_type: int, function: str) -> Pairs:
        pairs = self._maps(map_type).get(MapType(map_type))
        if pairs is None:
            refuse(function)
        return pairs

    def _maps(self, map_type: int) -> dict[MapType, Pairs]:
        received = map_type >= MapType.GRPC_CALL_INITIAL_METADATA
        return (self._root("get_header_map_pairs") if received else self._side("get_header_map_pairs")).maps

    def get_header_map_size(self, map_type: int, /) -> int:
        return sum(len(name) + len(value) for name, value in self._map(map_type, "get_header_map_size"))

    def get_header_map_pairs(self, map_type: int, /) -> bytes | None:
        return encode_pairs(self._maps(map_type).get(MapType(map_type), []))

    def set_header_map_pairs(self, map_type: int, pairs: bytes, /) -> None:
        self._map(map_type, "set_header_map_pairs")[:] = decode_pairs(pairs)

    def get_header_map_value(self, map_type: int, name: Text, /) -> str | None:
        for found, value in self._map(map_type, "get_header_map_value"):
            if found == text(name):
                return value
        return None

    def add_header_map_value(self, map_type: int, name: Text, value: Text, /) -> None:
        self._map(map_type, "add_header_map_value").append((text(name), text(value)))

    def replace_header_map_value(self, map_type: int, name: Text, value: Text, /) -> None:
        pairs = self._map(map_type, "replace_header_map_value")
        pairs[:] = [*(pair for pair in pairs if pair[0] != text(name)), (text(name), text(value))]

    def remove_header_map_value(self, map_type: int, name: Text, /) -> None:
        pairs = self._map(map_type, "remove_header_map_value")
        pairs[:] = [pair for pair in pairs if pair[0] != text(name)]

    def get_property(self, path: Text, /) -> bytes | None:
        return self._side("get_property").properties.get(text(path))

    def set_property(self, path: Text, value: bytes, /) -> None:
        side = self._side("set_property")
        if side.kind == "root":
            refuse("set_property", Status.NOT_FOUND)
        side.properties[text(path)] = value

    # -- streams --

    def continue_stream(self, stream: int, /) -> None:
        kind = "http" if stream in (StreamType.HTTP_REQUEST, StreamType.HTTP_RESPONSE) else "tcp"
        self._side("continue_stream", kind).continued.append(StreamType(stream))

    def close_stream(self, stream: int, /) -> None:
        kind = "http" if stream in (StreamType.HTTP_REQUEST, StreamType.HTTP_RESPONSE) else "tcp"
        self._side("close_stream", kind).closed.append(StreamType(stream))

    def send_local_response(self, status: int, details: Text, body: bytes, headers: bytes, grpc_status: int, /) -> None:
        side = self._side("send_local_response", "http")
        side.replies.append((status, body, decode_pairs(headers), text(details), grpc_status))

    def get_status(self) -> tuple[int, str]:
        return self.status

    # -- call-outs: ids of HTTP and of gRPC are counted apart, so they collide --

    def _http_id(self, *arguments: Any) -> int:
        self._root("http_call")
        self.next_http_call += 1
        self.calls.append(("http_call", self.next_http_call - 1, arguments))
        return self.next_http_call - 1

    def _grpc_id(self, function: str, *arguments: Any) -> int:
        self._root(function)
        if not arguments[0]:
            refuse(function, Status.PARSE_FAILURE)
        self.next_grpc_call += 1
        self.calls.append((function, self.next_grpc_call - 1, arguments))
        return self.next_grpc_call - 1

    def http_call(self, upstream: Text, headers: bytes, body: bytes, trailers: bytes, timeout: int, /) -> int:
        names = {name for name, _ in decode_pairs(headers)}
        if not {":method", ":path", ":authority"} <= names or upstream == "unknown":
            refuse("http_call")
        return self._http_id(text(upstream), decode_pairs(headers), body, decode_pairs(trailers), timeout)

    def grpc_call(
        self, upstream: Text, service: Text, method: Text, metadata: bytes, message: bytes, timeout: int, /
    ) -> int:
        where = (text(upstream), text(service), text(method))
        return self._grpc_id("grpc_call", *where, decode_pairs(metadata), message, timeout)

    def grpc_stream(self, upstream: Text, service: Text, method: Text, metadata: bytes, /) -> int:
        return self._grpc_id("grpc_stream", text(upstream), text(service), text(method), decode_pairs(metadata))

    def grpc_send(self, stream_id: int, message: bytes, end_stream: bool, /) -> None:
        self.grpc_events.append(("send", self._known(stream_id), (message, end_stream)))

    def grpc_cancel(self, call_id: int, /) -> None:
        self.grpc_events.append(("cancel", self._known(call_id), None))

    def grpc_close(self, call_id: int, /) -> None:
        self.grpc_events.append(("close", self._known(call_id), None))

    def _known(self, call_id: int) -> int:
        self._root("grpc")
        if not any(made == call_id and function != "http_call" for function, made, _ in self.calls):
            refuse("grpc", Status.NOT_FOUND)
        return call_id

    # -- shared data, queues, metrics --

    def get_shared_data(self, key: Text, /) -> tuple[bytes, int] | None:
        return self.shared.get(text(key))

    def set_shared_data(self, key: Text, value: bytes, cas: int, /) -> None:
        found = self.shared.get(text(key), (b"", 0))[1]
        if cas and cas != found:
            refuse("set_shared_data", Status.CAS_MISMATCH)
        self.shared[text(key)] = (value, found + 1)

    def register_shared_queue(self, name: Text, /) -> int:
        names = [queue for queue, _ in self.queues]
        if text(name) not in names:
            self.queues.append((text(name), []))
        return [queue for queue, _ in self.queues].index(text(name)) + 1

    def resolve_shared_queue(self, vm_id: Text, name: Text, /) -> int | None:
        names = [queue for queue, _ in self.queues]
        return names.index(text(name)) + 1 if text(vm_id) == "vm" and text(name) in names else None

    def enqueue_shared_queue(self, queue_id: int, value: bytes, /) -> None:
        self._queue(queue_id, "enqueue_shared_queue").append(value)

    def dequeue_shared_queue(self, queue_id: int, /) -> bytes | None:
        queue = self._queue(queue_id, "dequeue_shared_queue")
        return queue.pop(0) if queue else None

    def _queue(self, queue_id: int, function: str) -> list[bytes]:
        if not 0 < queue_id <= len(self.queues):
            refuse(function, Status.NOT_FOUND)
        return self.queues[queue_id - 1][1]

    def define_metric(self, metric_type: int, name: Text, /) -> int:
        for number, (kind, known, _) in enumerate(self.metrics, 1):
            if (kind, known) == (metric_type, text(name)):
                return number
        self.metrics.append((MetricType(metric_type), text(name), 0))
        return len(self.metrics)

    def increment_metric(self, metric_id: int, delta: int, /) -> None:
        self._change(metric_id, lambda value: value + delta)

    def record_metric(self, metric_id: int, value: int, /) -> None:
        self._change(metric_id, lambda _: value)

    def get_metric(self, metric_id: int, /) -> int:
        kind, _, value = self._metric(metric_id)
        if kind is MetricType.HISTOGRAM:
            refuse("get_metric")
        return value

    def _metric(self, metric_id: int) -> tuple[MetricType, str, int]:
        if not 0 < metric_id <= len(self.metrics):
            refuse("get_metric")
        return self.metrics[metric_id - 1]

    def _change(self, metric_id: int, change: Callable[[int], int]) -> None:
        kind, name, value = self._metric(metric_id)
        if kind is MetricType.COUNTER and change(value) < value:
            refuse("increment_metric")
        self.metrics[metric_id - 1] = (kind, name, change(value))
