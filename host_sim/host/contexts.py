"""Contexts: what host functions act on. The VM's own, a plugin's root, and (in host.stream) one for each HTTP
stream."""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from host_sim.host.abi import BufferType, FailurePolicy, LogLevel, MapType, Status, StreamType
from host_sim.host.attributes import read
from host_sim.host.buffers import Buffer
from host_sim.host.callouts import Callout
from host_sim.host.clock import NANOSECONDS, Timer
from host_sim.host.headers import HeaderMap
from host_sim.host.vm import VM

MAX_LOG_RECORDS: Final = 10_000

_EMPTY: Final = Buffer()


class LogRecord(NamedTuple):
    level: LogLevel
    text: str


@dataclass(frozen=True)
class LocalReply:
    """What `proxy_send_local_response` asked for. `grpc_status` is None if the plugin gave none."""

    status: int
    headers: HeaderMap
    body: bytes
    grpc_status: int | None
    details: str


@dataclass(frozen=True)
class PluginConfig:
    """A plugin as Envoy's `envoy.extensions.wasm.v3.PluginConfig` describes it."""

    name: str = ""
    root_id: str = ""
    configuration: bytes = b""
    failure_policy: FailurePolicy = FailurePolicy.FAIL_CLOSED
    properties: dict[str, Any] = field(default_factory=dict)


class Context:
    """A context with nothing in it: every question is answered as Envoy answers for a context that lacks what was
    asked for."""

    def __init__(self, vm: VM, id: int) -> None:
        self.vm = vm
        self.id = id
        vm.contexts[id] = self

    @property
    def root(self) -> "RootLike":
        raise LookupError("a bare context has no root")

    def log(self, level: LogLevel, text: bytes) -> None:
        if level >= self.vm.surroundings.log_level:
            self.root.record(level, text.decode("utf-8", "replace"))

    def buffer(self, type: BufferType) -> Buffer | None:
        """The buffer, None if there can be none here. Host and module see the same object."""
        if type is BufferType.VM_CONFIGURATION:
            return Buffer(self.vm.configuration)
        if type in _STREAM_BUFFERS:
            return _EMPTY
        return self.root.received_buffer(type)

    def headers(self, type: MapType, writable: bool) -> HeaderMap | None:
        """The map, None if it is not there at this moment."""
        return None if writable else self.root.received_headers(type)

    def properties(self) -> Mapping[str, Any]:
        return {"plugin_vm_id": self.vm.vm_id}

    def property(self, path: bytes) -> bytes | Status:
        return read(self.properties(), path)

    def set_property(self, path: bytes, value: bytes) -> Status:
        return Status.NOT_FOUND

    def continue_stream(self, type: StreamType) -> Status:
        return Status.OK

    def close_stream(self, type: StreamType) -> Status:
        return Status.OK

    def send_local_reply(self, reply: LocalReply) -> None:
        """Nothing to reply to."""


_STREAM_BUFFERS: Final = frozenset(
    {BufferType.HTTP_REQUEST_BODY, BufferType.HTTP_RESPONSE_BODY, BufferType.DOWNSTREAM_DATA, BufferType.UPSTREAM_DATA}
)


class RootLike(Context):
    """A context that owns logs, received messages and call-outs: a plugin's root, or the VM's context before there is
    one."""

    def __init__(self, vm: VM, id: int) -> None:
        super().__init__(vm, id)
        self.logs: deque[LogRecord] = deque(maxlen=MAX_LOG_RECORDS)
        self.callouts: dict[int, Callout] = {}
        self.call_data = Buffer()
        self.status: tuple[int, bytes] = (0, b"")
        self._response: tuple[HeaderMap, bytes, HeaderMap | None] | None = None
        self._grpc_message: bytes | None = None
        self._grpc_metadata: dict[MapType, HeaderMap] = {}

    @property
    def root(self) -> "RootLike":
        return self

    def record(self, level: LogLevel, text: str) -> None:
        self.logs.append(LogRecord(level, text))

    def received_buffer(self, type: BufferType) -> Buffer | None:
        if type is BufferType.HTTP_CALL_RESPONSE_BODY:
            return None if self._response is None else Buffer(self._response[1])
        if type is BufferType.GRPC_RECEIVE_BUFFER:
            return Buffer(self._grpc_message or b"")
        return self.call_data if type is BufferType.CALL_DATA else None

    def received_headers(self, type: MapType) -> HeaderMap | None:
        if type is MapType.HTTP_CALL_RESPONSE_HEADERS:
            return None if self._response is None else self._response[0]
        if type is MapType.HTTP_CALL_RESPONSE_TRAILERS:
            return None if self._response is None else self._response[2]
        return self._grpc_metadata.get(type)


class VmContext(RootLike):
    """Context 0: where the module starts and allocates memory."""

    def __init__(self, vm: VM) -> None:
        super().__init__(vm, 0)


class RootContext(RootLike):
    """The root context of a plugin."""

    def __init__(self, vm: VM, plugin: PluginConfig) -> None:
        super().__init__(vm, vm.next_context_id())
        self.plugin = plugin
        self.on_callout: Callable[[Callout], None] | None = None
        self.pending_done = False
        self._configuring = False
        self._tick_period = 0
        self._tick_timer: Timer | None = None

    def start(self) -> bool:
        """`proxy_on_context_create` and, for the VM's first plugin, `proxy_on_vm_start`; false if the module refuses
        to start."""
        first = not any(
            isinstance(context, RootContext) and context is not self for context in self.vm.contexts.values()
        )
        self.vm.callback(self, "proxy_on_context_create", self.id, 0)
        if first and "proxy_on_vm_start" in self.vm.callbacks:
            return self.vm.callback(self, "proxy_on_vm_start", self.id, len(self.vm.configuration)) != 0
        return self.vm.failure is None

    def configure(self) -> bool:
        """`proxy_on_configure`; true also if the module does not export it."""
        if "proxy_on_configure" not in self.vm.callbacks:
            return self.vm.failure is None
        self._configuring = True
        try:
            return self.vm.callback(self, "proxy_on_configure", self.id, len(self.plugin.configuration)) != 0
        finally:
            self._configuring = False

    def buffer(self, type: BufferType) -> Buffer | None:
        if type is BufferType.PLUGIN_CONFIGURATION:
            return Buffer(self.plugin.configuration) if self._configuring else None
        return super().buffer(type)

    def configuration(self) -> bytes:
        """What ABI 0.1.0's `proxy_get_configuration` gives."""
        return self.plugin.configuration if self._configuring else self.vm.configuration

    def properties(self) -> Mapping[str, Any]:
        names = {"plugin_name": self.plugin.name, "plugin_root_id": self.plugin.root_id, "plugin_vm_id": self.vm.vm_id}
        return {**self.plugin.properties, **names}

    def add_callout(self, callout: Callout) -> None:
        self.callouts[callout.token] = callout
        if callout.timeout:
            clock = self.vm.surroundings.clock
            due = clock.monotonic() + callout.timeout * 1_000_000
            callout.watch(clock.call_at(due, callout.time_out))
        if self.on_callout is not None:
            notify = self.on_callout
            self.vm.when_idle(lambda: notify(callout))

    def on_http_call_response(self, token: int, headers: HeaderMap, body: bytes, trailers: HeaderMap | None) -> None:
        self._response = (headers, body, trailers)
        count = 0 if trailers is None else len(trailers)
        self.vm.callback(self, "proxy_on_http_call_response", self.id, token, len(headers), len(body), count)
        self._response = None

    def on_http_call_failure(self, token: int) -> None:
        self.status = (Status.BROKEN_CONNECTION, b"reset")
        self.vm.callback(self, "proxy_on_http_call_response", self.id, token, 0, 0, 0)
        self.status = (self.status[0], b"")

    def on_grpc_receive(self, token: int, message: bytes) -> None:
        self._grpc_message = message
        self.vm.callback(self, "proxy_on_grpc_receive", self.id, token, len(message))
        self._grpc_message = None

    def on_grpc_close(self, token: int, status: int, message: bytes) -> None:
        self.status = (status, message)
        self.vm.callback(self, "proxy_on_grpc_close", self.id, token, status)
        self.status = (status, b"")

    def on_grpc_receive_initial_metadata(self, token: int, metadata: HeaderMap) -> None:
        self._on_metadata("initial", MapType.GRPC_RECEIVE_INITIAL_METADATA, token, metadata)

    def on_grpc_receive_trailing_metadata(self, token: int, metadata: HeaderMap) -> None:
        self._on_metadata("trailing", MapType.GRPC_RECEIVE_TRAILING_METADATA, token, metadata)

    def _on_metadata(self, which: str, type: MapType, token: int, metadata: HeaderMap) -> None:
        self._grpc_metadata[type] = metadata
        self.vm.callback(self, f"proxy_on_grpc_receive_{which}_metadata", self.id, token, len(metadata))
        del self._grpc_metadata[type]

    def on_queue_ready(self, token: int) -> None:
        self.vm.when_idle(lambda: self._call_unless_gone("proxy_on_queue_ready", self.id, token))

    def _call_unless_gone(self, name: str, *arguments: int) -> None:
        if self.id in self.vm.contexts:
            self.vm.callback(self, name, *arguments)

    def tick(self) -> None:
        self._call_unless_gone("proxy_on_tick", self.id)

    def set_tick_period(self, milliseconds: int) -> None:
        """0 stops the ticks."""
        self._tick_period = milliseconds
        self._arm()

    def _arm(self) -> None:
        if self._tick_timer is not None:
            self._tick_timer.cancel()
            self._tick_timer = None
        if self._tick_period and self.vm.failure is None:
            clock = self.vm.surroundings.clock
            self._tick_timer = clock.call_at(
                clock.monotonic() + self._tick_period * NANOSECONDS // 1000, self._on_timer
            )

    def _on_timer(self) -> None:
        self.tick()
        self._arm()

    def shut_down(self) -> None:
        """`proxy_on_done`, and `proxy_on_delete` unless the plugin wants to finish later with `proxy_done`."""
        asked = "proxy_on_done" in self.vm.callbacks and self.vm.failure is None
        if asked and self.vm.callback(self, "proxy_on_done", self.id) == 0 and self.vm.failure is None:
            self.pending_done = True
        else:
            self._delete()

    def done(self) -> Status:
        if not self.pending_done:
            return Status.NOT_FOUND
        self.pending_done = False
        self.vm.when_idle(self._delete)
        return Status.OK

    def _delete(self) -> None:
        self.vm.callback(self, "proxy_on_delete", self.id)
        self.set_tick_period(0)
        for callout in list(self.callouts.values()):
            callout.cancel()
        self.vm.contexts.pop(self.id, None)
