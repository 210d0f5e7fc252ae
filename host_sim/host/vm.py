"""A virtual machine: one instance of a module, the contexts in it, and the rules for calling into it.

Follows proxy-wasm-cpp-host's `wasm.cc` and `wasm_vm.h`.
"""

from collections import deque
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

import wasmtime

from host_sim.host.abi import MAX_MEMORY_BYTES, AbiVersion, LogLevel
from host_sim.host.binding import Binding, GuestTrap, signature_of
from host_sim.host.clock import Clock
from host_sim.host.engine import Engine, ModuleRejected
from host_sim.host.memory import InvalidMemoryAccess, Memory
from host_sim.host.metrics import MetricHandles, Metrics
from host_sim.host.shared import SharedData, SharedQueues

if TYPE_CHECKING:
    from host_sim.host.contexts import Context

STOPPED: Final = 0xFFFFFFFF
"""Result of a callback whose context sent a local reply meanwhile: larger than any action, so it stops everything."""

ForeignFunction = Callable[["Context", bytes], bytes]
"""A function for `proxy_call_foreign_function`: gets the effective context and the argument, returns the result."""


class Surroundings:
    """What the VMs of a host have in common."""

    def __init__(self, clock: Clock, log_level: LogLevel, clusters: frozenset[str] | None) -> None:
        self.clock = clock
        self.log_level = log_level
        self.clusters = clusters
        self.metrics = Metrics()
        self.shared_data = SharedData()
        self.shared_queues = SharedQueues()
        self.foreign_functions: dict[str, ForeignFunction] = {}

    def knows_cluster(self, name: str) -> bool:
        return self.clusters is None or name in self.clusters


class VM:
    """An instance of a module. Raises ModuleRejected if the module cannot be linked or does not start."""

    def __init__(
        self,
        engine: Engine,
        module: wasmtime.Module,
        surroundings: Surroundings,
        *,
        vm_id: str = "",
        configuration: bytes = b"",
        environment: Mapping[str, str] | None = None,
        max_memory: int = MAX_MEMORY_BYTES,
    ) -> None:
        from host_sim.host.contexts import VmContext

        self.surroundings = surroundings
        self.vm_id = vm_id
        self.configuration = configuration
        self.environment = dict(environment or {})
        self.abi_version = _abi_version(module)
        self.metrics = MetricHandles(surroundings.metrics)
        self.contexts: dict[int, Context] = {}
        self.failure: str | None = None
        """Why the VM is no longer used; None while it is healthy."""
        self.stop_iteration = False
        self.last_callout: dict[int, int] = {kind: kind for kind in range(3)}
        self.effective_id = 0
        self._next_context_id = 1
        self._depth = 0
        self._after_call: deque[Callable[[], None]] = deque()
        self.vm_context = VmContext(self)
        self.current: Context = self.vm_context

        self._store = wasmtime.Store(engine.wasmtime)
        self._store.set_limits(memory_size=max_memory, table_elements=100_000, instances=1, memories=1)
        self._binding = Binding(self._store)
        self._epochs = engine.epochs
        if self._epochs is not None:
            self._store.set_epoch_deadline(self._epochs)
        exports = self._instantiate(module)
        memories = [item for item in exports.values() if isinstance(item, wasmtime.Memory)]
        if not memories:
            raise ModuleRejected("the module exports no memory")
        self.memory = Memory(memories[0], self._store)
        self.callbacks = self._callbacks(exports)
        self._malloc = self.callbacks.get("malloc") or self.callbacks.get("proxy_on_memory_allocate")
        if self._malloc is None:
            raise ModuleRejected("the module exports neither malloc nor proxy_on_memory_allocate")
        self._start()

    def next_context_id(self) -> int:
        self._next_context_id += 1
        return self._next_context_id - 1

    def next_callout(self, kind: int) -> int:
        """A token; its two low bits are the kind: 0 HTTP call, 1 gRPC call, 2 gRPC stream."""
        self.last_callout[kind] = (self.last_callout[kind] + 4) & 0xFFFFFFFF
        return self.last_callout[kind]

    def context(self) -> "Context":
        """The context that host functions act on: the one under way, or the one `proxy_set_effective_context` chose."""
        if self.effective_id == 0:
            return self.current
        return self.contexts.get(self.effective_id, self.current)

    def callback(self, context: "Context", name: str, *arguments: int) -> int:
        """Calls an exported callback in `context`, then runs what was put off until it returned.

        Returns 0 if the module does not export it or the VM fails, STOPPED after a local reply.
        """
        function = self.callbacks.get(name)
        if function is None or self.failure is not None:
            return 0
        result = self._enter(context, name, function, arguments)
        if self.stop_iteration:
            self.stop_iteration = False
            result = STOPPED
        while self._after_call:
            self._after_call.popleft()()
        return result

    def when_idle(self, action: Callable[[], None]) -> None:
        """Runs `action` now, or when the callback under way has returned: modules are never entered twice."""
        if self._depth:
            self._after_call.append(action)
        else:
            action()

    def allocate(self, data: bytes) -> int:
        """The address of a copy of `data` in memory that the module allocates; 0 for no data."""
        if not data:
            return 0
        address = self.reserve(len(data))
        self.memory.write(address, data)
        return address

    def reserve(self, size: int) -> int:
        """Memory from the module's allocator; raises InvalidMemoryAccess if it gives none."""
        assert self._malloc is not None
        allowed, self._binding.allowed = self._binding.allowed, _WHILE_ALLOCATING
        try:
            address = self._enter(self.vm_context, "malloc", self._malloc, (size,))
        finally:
            self._binding.allowed = allowed
        if address == 0:
            raise InvalidMemoryAccess(f"the module's allocator gave no memory for {size} bytes")
        self.memory.read(address, 0)
        return address

    def return_bytes(self, data: bytes, address_out: int, size_out: int) -> None:
        """Hands `data` to the module: a copy in its memory, whose address and size go where it wants them."""
        address = self.allocate(data)
        self.memory.write_u32(address_out, address)
        self.memory.write_u32(size_out, len(data))

    def fail(self, reason: str) -> None:
        self.failure = reason
        self.current.root.record(LogLevel.ERROR, reason)

    def _enter(self, context: "Context", name: str, function: Callable[..., int], arguments: tuple[int, ...]) -> int:
        if self._epochs is not None and self._depth == 0:
            self._store.set_epoch_deadline(self._epochs)
        current, effective_id = self.current, self.effective_id
        self.current, self.effective_id = context, 0
        self._depth += 1
        try:
            return function(*arguments)
        except GuestTrap as trap:
            self.fail(f"Function: {name} failed: {trap}")
            return 0
        finally:
            self._depth -= 1
            self.current, self.effective_id = current, effective_id

    def _instantiate(self, module: wasmtime.Module) -> Mapping[str, object]:
        imports = [self._import(wanted) for wanted in module.imports]
        try:
            instance = wasmtime.Instance(self._store, module, imports)
        except (wasmtime.WasmtimeError, wasmtime.Trap) as error:
            raise ModuleRejected(f"the module cannot be instantiated: {error}") from None
        exports = instance.exports(self._store)
        return {export.name: exports[export.name] for export in module.exports if export.name is not None}

    def _import(self, wanted: wasmtime.ImportType) -> wasmtime.Func:
        from host_sim.host.hostcalls import find

        name = f"{wanted.module}.{wanted.name}"
        if not isinstance(wanted.type, wasmtime.FuncType):
            raise ModuleRejected(f"the module imports {name}, which is no function")
        call = find(wanted.module, wanted.name or "", self.abi_version)
        if call is None:
            raise ModuleRejected(f"the module imports {name}, which hosts of ABI {self.abi_version.name} do not have")
        found = signature_of(wanted.type)
        if found != call.signature:
            raise ModuleRejected(f"the module imports {name} as {found}, expected {call.signature}")
        return self._binding.host_function(name, wanted.type, partial(call.function, self), call.fault)

    def _callbacks(self, exports: Mapping[str, object]) -> dict[str, Callable[..., int]]:
        # As in Envoy, an export of another type than the ABI's is as good as none.
        callbacks: dict[str, Callable[..., int]] = {}
        for name, item in exports.items():
            if isinstance(item, wasmtime.Func):
                expected = _CALLBACKS.get(name)
                if name in _HEADERS and self.abi_version is AbiVersion.V0_1_0:
                    expected = "ii:i"
                if signature_of(item.type(self._store)) == expected:
                    callbacks[name] = self._binding.guest_function(item)
        return callbacks

    def _start(self) -> None:
        self._binding.allowed = _WHILE_STARTING
        if "_initialize" in self.callbacks:
            self.callback(self.vm_context, "_initialize")
            if "main" in self.callbacks:
                self.callback(self.vm_context, "main", 0, 0)
            else:
                self.callback(self.vm_context, "__main_void")
        else:
            self.callback(self.vm_context, "_start")
        self._binding.allowed = None
        if self.failure is not None:
            said = "".join(f"\n  {record.level.name.lower()}: {record.text}" for record in self.vm_context.logs)
            raise ModuleRejected(f"the module does not start:{said}")


def _abi_version(module: wasmtime.Module) -> AbiVersion:
    exported = {export.name for export in module.exports}
    for version in AbiVersion:
        if version.value in exported:
            return version
    expected = ", ".join(version.value for version in AbiVersion)
    raise ModuleRejected(f"the module declares no Proxy-Wasm ABI: expected one of the exports {expected}")


_WASI_MODULES: Final = ("wasi_snapshot_preview1", "wasi_unstable")


def _wasi(*names: str) -> frozenset[str]:
    return frozenset(f"{module}.{name}" for module in _WASI_MODULES for name in names)


_WHILE_ALLOCATING: Final = _wasi("fd_write", "clock_time_get", "poll_oneoff") | {"env.proxy_log"}
_WHILE_STARTING: Final = _WHILE_ALLOCATING | {"env.emscripten_notify_memory_growth"} | _wasi(
    "args_get", "args_sizes_get", "clock_res_get", "environ_get", "environ_sizes_get", "fd_advise", "fd_allocate",
    "fd_datasync", "fd_fdstat_get", "fd_fdstat_set_flags", "fd_fdstat_set_rights", "fd_filestat_get",
    "fd_filestat_set_size", "fd_filestat_set_times", "fd_pread", "fd_prestat_dir_name", "fd_prestat_get", "fd_pwrite",
    "fd_readdir", "fd_renumber", "fd_sync", "fd_tell", "path_create_directory", "path_filestat_get",
    "path_filestat_set_times", "path_link", "path_readlink", "path_remove_directory", "path_rename", "path_symlink",
    "path_unlink_file", "random_get", "sock_accept", "sock_recv", "sock_send", "sock_shutdown",
)  # fmt: skip

_HEADERS: Final = ("proxy_on_request_headers", "proxy_on_response_headers")

_CALLBACKS: Final = {
    "_initialize": ":", "_start": ":", "main": "ii:i", "__main_void": ":i", "malloc": "i:i",
    "proxy_on_memory_allocate": "i:i", "proxy_on_context_create": "ii:", "proxy_on_vm_start": "ii:i",
    "proxy_on_configure": "ii:i", "proxy_on_tick": "i:", "proxy_on_queue_ready": "ii:",
    "proxy_on_foreign_function": "iii:", "proxy_on_new_connection": "i:i", "proxy_on_downstream_data": "iii:i",
    "proxy_on_upstream_data": "iii:i", "proxy_on_downstream_connection_close": "ii:",
    "proxy_on_upstream_connection_close": "ii:", "proxy_on_request_headers": "iii:i",
    "proxy_on_request_body": "iii:i", "proxy_on_request_trailers": "ii:i", "proxy_on_response_headers": "iii:i",
    "proxy_on_response_body": "iii:i", "proxy_on_response_trailers": "ii:i", "proxy_on_http_call_response": "iiiii:",
    "proxy_on_grpc_receive_initial_metadata": "iii:", "proxy_on_grpc_receive": "iii:",
    "proxy_on_grpc_receive_trailing_metadata": "iii:", "proxy_on_grpc_close": "iii:", "proxy_on_done": "i:i",
    "proxy_on_log": "i:", "proxy_on_delete": "i:",
}  # fmt: skip
"""Every export the host calls, with its signature (see host.binding)."""
