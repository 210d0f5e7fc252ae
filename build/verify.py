"""Step 4: the module is what a Proxy-Wasm host expects, starts, and keeps within its budgets."""

from __future__ import annotations

import re
import time
from dataclasses import dataclass
from pathlib import Path

import wasmtime
from toolchain import GLUE, BuildError

WASI = "wasi_snapshot_preview1"
ALLOWED_WASI = {"fd_write", "clock_time_get", "random_get", "proc_exit", "fd_close"}
LIFECYCLE_EXPORTS = {"memory", "_initialize", "main", "proxy_abi_version_0_2_1", "proxy_on_memory_allocate"}


@dataclass(frozen=True)
class Verified:
    """What a run in wasmtime has shown. Times in milliseconds, memory in bytes."""

    imports: list[str]
    exports: list[str]
    start_ms: float
    memory_after_configure: int


def required_exports() -> set[str]:
    """Every callback the glue declares, with what a host needs to start the module."""
    callbacks = re.findall(r"^    X\((on_\w+),", (GLUE / "callbacks.c").read_text(), re.MULTILINE)
    return LIFECYCLE_EXPORTS | {f"proxy_{name}" for name in callbacks}


def verify(path: Path, configuration: bytes | None = None) -> Verified:
    """Check imports and exports, start the module as a host does, and configure it (with `configuration`, if given).

    Raises `BuildError` naming what is wrong.
    """
    engine = wasmtime.Engine()
    try:
        module = wasmtime.Module(engine, path.read_bytes())
    except wasmtime.WasmtimeError as error:
        raise BuildError(f"{path}: not a WebAssembly module: {error}") from None
    imports = [f"{item.module}.{item.name}" for item in module.imports]
    for item in module.imports:
        proxy = item.module == "env" and str(item.name).startswith("proxy_")
        if not proxy and not (item.module == WASI and item.name in ALLOWED_WASI):
            raise BuildError(
                f"{path}: imports {item.module}.{item.name}; allowed are env.proxy_* and {WASI}: "
                f"{', '.join(sorted(ALLOWED_WASI))}. Answer it in build/glue/wasi.c"
            )
    exports = [item.name for item in module.exports]
    missing = required_exports() - set(exports)
    if missing:
        raise BuildError(f"{path}: does not export {', '.join(sorted(missing))}")

    starts = [_start(engine, module, path, None) for _ in range(5)]
    configured = _start(engine, module, path, configuration)
    return Verified(imports, exports, min(start.elapsed_ms for start in starts), configured.memory)


@dataclass(frozen=True)
class _Started:
    elapsed_ms: float
    memory: int


def _start(engine: wasmtime.Engine, module: wasmtime.Module, path: Path, configuration: bytes | None) -> _Started:
    """Start a VM; with a configuration also create the root context and configure it."""
    store = wasmtime.Store(engine)
    linker = wasmtime.Linker(engine)
    host = _MinimalHost(configuration or b"")
    for item in module.imports:
        assert isinstance(item.type, wasmtime.FuncType)
        linker.define(store, item.module, str(item.name), host.function(store, str(item.name), item.type))
    begun = time.perf_counter()
    instance = linker.instantiate(store, module)
    exports = instance.exports(store)
    memory = exports["memory"]
    assert isinstance(memory, wasmtime.Memory)
    host.memory, host.allocate = memory, exports["proxy_on_memory_allocate"]

    def call(name: str, *arguments: int) -> object:
        function = exports[name]
        assert isinstance(function, wasmtime.Func)
        try:
            return function(store, *arguments)
        except (wasmtime.Trap, wasmtime.WasmtimeError) as error:
            raise BuildError(f"{path}: {name} failed: {error}\n{host.log_text()}") from None

    call("_initialize")
    call("main", 0, 0)
    elapsed = (time.perf_counter() - begun) * 1000
    if configuration is not None:
        call("proxy_on_context_create", 1, 0)
        if not call("proxy_on_vm_start", 1, 0) or not call("proxy_on_configure", 1, len(configuration)):
            raise BuildError(f"{path}: refuses its configuration\n{host.log_text()}")
    return _Started(elapsed, memory.data_len(store))


class _MinimalHost:
    """Just enough of a host to configure a filter: a log, a configuration, metrics without values."""

    def __init__(self, configuration: bytes) -> None:
        self.configuration = configuration
        self.memory: wasmtime.Memory | None = None
        self.allocate: object = None
        self.log: list[bytes] = []
        self.metrics = 0

    def log_text(self) -> str:
        return b"\n".join(self.log).decode("utf-8", "replace")

    def function(self, store: wasmtime.Store, name: str, kind: wasmtime.FuncType) -> wasmtime.Func:
        handler = getattr(self, name, None)
        not_found = 1

        def call(caller: wasmtime.Caller, *arguments: int) -> int | None:
            answer = not_found if handler is None else handler(caller, *arguments)
            return answer if kind.results else None

        return wasmtime.Func(store, kind, call, access_caller=True)

    def _read(self, caller: wasmtime.Caller, start: int, size: int) -> bytes:
        assert self.memory is not None
        return bytes(self.memory.read(caller, start, start + size))

    def _write(self, caller: wasmtime.Caller, start: int, data: bytes) -> None:
        assert self.memory is not None
        self.memory.write(caller, data, start)

    def _word(self, caller: wasmtime.Caller, start: int, value: int, size: int = 4) -> None:
        self._write(caller, start, value.to_bytes(size, "little"))

    def proxy_log(self, caller: wasmtime.Caller, level: int, data: int, size: int) -> int:
        self.log.append(self._read(caller, data, size))
        return 0

    def fd_write(self, caller: wasmtime.Caller, fd: int, iovs: int, count: int, written: int) -> int:
        total = 0
        for index in range(count):
            pair = self._read(caller, iovs + 8 * index, 8)
            size = int.from_bytes(pair[4:], "little")
            self.log.append(self._read(caller, int.from_bytes(pair[:4], "little"), size).rstrip())
            total += size
        self._word(caller, written, total)
        return 0

    def random_get(self, caller: wasmtime.Caller, data: int, size: int) -> int:
        # the same seed each time, so that memory use can be compared between builds
        self._write(caller, data, bytes(size))
        return 0

    def clock_time_get(self, caller: wasmtime.Caller, clock: int, precision: int, result: int) -> int:
        self._word(caller, result, time.time_ns(), 8)
        return 0

    def proxy_get_current_time_nanoseconds(self, caller: wasmtime.Caller, result: int) -> int:
        self._word(caller, result, time.time_ns(), 8)
        return 0

    def proxy_define_metric(self, caller: wasmtime.Caller, kind: int, name: int, size: int, result: int) -> int:
        self.metrics += 1
        self._word(caller, result, self.metrics)
        return 0

    def proxy_increment_metric(self, caller: wasmtime.Caller, metric: int, delta: int) -> int:
        return 0

    def proxy_record_metric(self, caller: wasmtime.Caller, metric: int, value: int) -> int:
        return 0

    def proxy_set_tick_period_milliseconds(self, caller: wasmtime.Caller, period: int) -> int:
        return 0

    def proxy_set_effective_context(self, caller: wasmtime.Caller, context: int) -> int:
        return 0

    def proxy_get_buffer_bytes(
        self, caller: wasmtime.Caller, kind: int, start: int, size: int, data: int, length: int
    ) -> int:
        assert isinstance(self.allocate, wasmtime.Func)
        content = self.configuration[start : start + size]
        place = self.allocate(caller, len(content))
        assert isinstance(place, int)
        self._write(caller, place, content)
        self._word(caller, data, place)
        self._word(caller, length, len(content))
        return 0
