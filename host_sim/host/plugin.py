"""A loaded plugin: its root context, as tests and gateways see it."""

from collections.abc import Callable, Mapping
from typing import Any

from host_sim.host.abi import FailurePolicy
from host_sim.host.callouts import Callout
from host_sim.host.clock import NANOSECONDS
from host_sim.host.contexts import LogRecord, PluginConfig, RootContext
from host_sim.host.metrics import Metrics
from host_sim.host.stream import HttpStream

RELOAD_BACKOFF: float = 1.0
"""Seconds that a failed VM stays failed under FAIL_RELOAD (Envoy's default base interval)."""


class Plugin:
    """Made by `Host.load`. After a trap `failure` says why; what becomes of later streams is the failure policy's
    choice."""

    def __init__(self, root: RootContext, buffer_limit: int, reload: Callable[[], RootContext]) -> None:
        self.config: PluginConfig = root.plugin
        self.buffer_limit = buffer_limit
        self._root = root
        self._reload = reload
        self._loaded_at = root.vm.surroundings.clock.monotonic()

    @property
    def id(self) -> int:
        """The root context's id."""
        return self._root.id

    @property
    def failure(self) -> str | None:
        return self._root.vm.failure

    @property
    def callouts(self) -> list[Callout]:
        """The calls to other services that have no answer yet, oldest first."""
        return list(self._root.callouts.values())

    @property
    def on_callout(self) -> Callable[[Callout], None] | None:
        """Called with each new call-out once the module has returned; a driver may answer at once or later."""
        return self._root.on_callout

    @on_callout.setter
    def on_callout(self, listener: Callable[[Callout], None] | None) -> None:
        self._root.on_callout = listener

    @property
    def metrics(self) -> Metrics:
        """All metrics of the host."""
        return self._root.vm.surroundings.metrics

    @property
    def logs(self) -> list[LogRecord]:
        """What the VM logged when it started and what this plugin logged since; the latest 10,000 records of each."""
        return [*self._root.vm.vm_context.logs, *self._root.logs]

    @property
    def memory_size(self) -> int:
        """Bytes of the VM's linear memory."""
        return self._root.vm.memory.size

    def stream(self, properties: Mapping[Any, Any] | None = None) -> HttpStream:
        """A new HTTP stream. `properties` are attributes by path (`{"source.address": "10.0.0.1:4711"}`), see
        host.attributes."""
        if self.failure is not None and self.config.failure_policy is FailurePolicy.FAIL_RELOAD:
            now = self._root.vm.surroundings.clock.monotonic()
            if now - self._loaded_at >= RELOAD_BACKOFF * NANOSECONDS:
                listener, self._loaded_at = self.on_callout, now
                self._root = self._reload()
                self.on_callout = listener
        return HttpStream(self._root, properties or {}, self.buffer_limit)

    def tick(self) -> None:
        """Calls `proxy_on_tick` now, whatever its period."""
        self._root.tick()

    def unload(self) -> None:
        """Takes the plugin away: `proxy_on_done`, then `proxy_on_delete` once the plugin is done; its call-outs are
        cancelled."""
        self._root.shut_down()

    @property
    def pending_done(self) -> bool:
        """Unloaded, but still waiting for the plugin to call `proxy_done`."""
        return self._root.pending_done
