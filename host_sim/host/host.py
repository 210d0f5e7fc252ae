"""The host: one module, the VMs that run it, and what they share."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from host_sim.host.abi import MAX_MEMORY_BYTES, FailurePolicy, LogLevel
from host_sim.host.attributes import tree_of
from host_sim.host.clock import Clock, VirtualClock
from host_sim.host.contexts import LogRecord, PluginConfig, RootContext
from host_sim.host.engine import Engine, ModuleRejected, default_cache
from host_sim.host.metrics import Metrics, StatsTag, exposition
from host_sim.host.plugin import Plugin
from host_sim.host.vm import VM, ForeignFunction, Surroundings

DEFAULT_BUFFER_LIMIT: Final = 1024 * 1024
"""Envoy's `per_connection_buffer_limit_bytes` when it is not set: what a paused body may hold."""


class ConfigurationRefused(Exception):
    """`proxy_on_vm_start` or `proxy_on_configure` returned false, or trapped. `logs` is what the plugin said
    meanwhile."""

    def __init__(self, callback: str, logs: Sequence[LogRecord], failure: str | None) -> None:
        said = "".join(f"\n  {record.level.name.lower()}: {record.text}" for record in logs)
        reason = (
            f"the module failed in {callback}: {failure}" if failure else f"{callback} returned false, expected true"
        )
        super().__init__(f"configuration refused: {reason}; the plugin logged:{said or ' nothing'}")
        self.logs = list(logs)


class Host:
    """Runs a module as Envoy would.

    * `module`: a path or the bytes of a binary module.
    * `clock`: time for the module, and for ticks and time-outs; a VirtualClock unless given.
    * `clusters`: names that call-outs may go to; None means that every name is known.
    * `log_level`: records below are dropped, and `proxy_get_log_level` answers this.
    * `cache`: folder for compiled modules, None for no cache; see host.engine for the default.
    * `max_memory`: bytes of linear memory that a VM may have; Envoy allows 1 GiB.
    * `buffer_limit`: bytes of a body that a plugin may hold back before the request is refused with 413 (a response:
      500).
    * `stats_tags`: labels of the exposition.
    * `time_limit`: seconds that a callback may take before it traps; None is no limit, as in Envoy.

    A host and everything that comes from it belong to one thread: whoever answers call-outs from elsewhere hands the
    answers over to that thread.

    Raises ModuleRejected, also later from `load`, if the module cannot run here.
    """

    def __init__(
        self,
        module: str | Path | bytes,
        *,
        clock: Clock | None = None,
        clusters: Iterable[str] | None = None,
        log_level: LogLevel = LogLevel.INFO,
        cache: Path | Literal["default"] | None = "default",
        max_memory: int = MAX_MEMORY_BYTES,
        buffer_limit: int = DEFAULT_BUFFER_LIMIT,
        stats_tags: Sequence[StatsTag] = (),
        time_limit: float | None = None,
    ) -> None:
        code = module if isinstance(module, bytes) else Path(module).read_bytes()
        self.clock: Clock = VirtualClock() if clock is None else clock
        known = None if clusters is None else frozenset(clusters)
        self._surroundings = Surroundings(self.clock, log_level, known)
        self._engine = Engine(default_cache() if cache == "default" else cache, time_limit)
        self._module = self._engine.compile(code)
        self._max_memory = max_memory
        self._buffer_limit = buffer_limit
        self._stats_tags = stats_tags
        self._vms: dict[tuple[str, bytes], VM] = {}

    @property
    def metrics(self) -> Metrics:
        return self._surroundings.metrics

    @property
    def foreign_functions(self) -> dict[str, ForeignFunction]:
        """Functions for `proxy_call_foreign_function` by name; add to it."""
        return self._surroundings.foreign_functions

    def load(
        self,
        configuration: str | bytes = b"",
        *,
        name: str = "",
        root_id: str = "",
        vm_id: str = "",
        vm_configuration: str | bytes = b"",
        environment: Mapping[str, str] | None = None,
        failure_policy: FailurePolicy = FailurePolicy.FAIL_CLOSED,
        properties: Mapping[Any, Any] | None = None,
        own_vm: bool = False,
    ) -> Plugin:
        """Starts a plugin. As in Envoy, plugins with the same `vm_id` and `vm_configuration` share a VM, unless
        `own_vm`.

        `properties` are attributes that all of the plugin's contexts see (`node`, `listener_metadata`, ...).
        Raises ConfigurationRefused; the plugins that are loaded already do not notice.
        """
        text = configuration.encode() if isinstance(configuration, str) else configuration
        vm_text = vm_configuration.encode() if isinstance(vm_configuration, str) else vm_configuration
        config = PluginConfig(name, root_id, text, failure_policy, tree_of(properties or {}))
        key = (vm_id, vm_text)

        def new_root(share: bool) -> RootContext:
            vm = self._vms.get(key) if share else None
            if vm is not None and vm.failure is None:
                # Envoy tries each configuration in a VM of its own first, so that a bad one cannot harm a shared VM.
                self._start(self._new_vm(vm_id, vm_text, environment), config)
            else:
                vm = self._new_vm(vm_id, vm_text, environment)
            root = self._start(vm, config)
            if share:
                self._vms[key] = vm
            return root

        return Plugin(new_root(not own_vm), self._buffer_limit, lambda: new_root(not own_vm))

    def exposition(self) -> str:
        """The metrics as Prometheus text, with names and labels as Envoy's `/stats/prometheus` has them."""
        return exposition(self.metrics, self._stats_tags)

    def _new_vm(self, vm_id: str, configuration: bytes, environment: Mapping[str, str] | None) -> VM:
        return VM(
            self._engine,
            self._module,
            self._surroundings,
            vm_id=vm_id,
            configuration=configuration,
            environment=environment,
            max_memory=self._max_memory,
        )

    @staticmethod
    def _start(vm: VM, config: PluginConfig) -> RootContext:
        root = RootContext(vm, config)
        for callback, accepted in (("proxy_on_vm_start", root.start), ("proxy_on_configure", root.configure)):
            if not accepted() or vm.failure is not None:
                raise ConfigurationRefused(callback, [*vm.vm_context.logs, *root.logs], vm.failure)
        return root


__all__ = ["ConfigurationRefused", "Host", "ModuleRejected"]
