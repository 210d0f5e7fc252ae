"""A filter on plain CPython in the host simulator: the same host, with Python functions where a module's exports were.

The guest's memory is that of a module with nothing else in it, so that the host functions are the very ones that
modules import. `Imports` does what the C glue does: arguments go into that memory, results come out of it.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any, Final

import proxywasm
import proxywasm.vm
import wasmtime
from proxywasm import HostError, dispatch

from host_sim.host import Host, Status
from host_sim.host.abi import AbiVersion
from host_sim.host.contexts import Context
from host_sim.host.hostcalls import find
from host_sim.host.vm import VM

_MEMORY: Final = """
(module
  (memory (export "memory") 1024)
  (func (export "malloc") (param i32) (result i32) unreachable)
  (func (export "_initialize"))
  (func (export "proxy_abi_version_0_2_1")))
"""
_RESULTS: Final = 64
"""Address of the words that host functions write their results to."""
_ARENA: Final = 4096
_CALLBACKS: Final = (
    "on_context_create", "on_vm_start", "on_configure", "on_tick", "on_queue_ready", "on_foreign_function", "on_done",
    "on_log", "on_delete", "on_request_headers", "on_request_body", "on_request_trailers", "on_response_headers",
    "on_response_body", "on_response_trailers", "on_new_connection", "on_downstream_data", "on_upstream_data",
    "on_downstream_connection_close", "on_upstream_connection_close", "on_http_call_response",
    "on_grpc_receive_initial_metadata", "on_grpc_receive", "on_grpc_receive_trailing_metadata", "on_grpc_close",
)  # fmt: skip


class PythonHost(Host):
    """A `Host` for the filter that this process has imported and registered."""

    def __init__(self, **options: Any) -> None:
        super().__init__(bytes(wasmtime.wat2wasm(_MEMORY)), **{"cache": None, **options})

    def _new_vm(self, vm_id: str, configuration: bytes, environment: Mapping[str, str] | None) -> VM:
        return PythonVM(
            self._engine, self._module, self._surroundings, vm_id=vm_id, configuration=configuration,
            environment=environment,
        )  # fmt: skip


class PythonVM(VM):
    """A VM whose callbacks are those of `proxywasm.dispatch`.

    The SDK keeps the state of its VM in one object; whenever this VM is entered, its own state takes that place.
    """

    def _callbacks(self, exports: Mapping[str, object]) -> dict[str, Callable[..., int]]:
        self._next = _ARENA
        self._state: dict[str, Any] = {
            "_host": Imports(self), "current": 0, "contexts": {}, "http_calls": {}, "grpc_calls": {},
        }  # fmt: skip
        callbacks: dict[str, Callable[..., int]] = {"malloc": self._malloc_bytes, "_initialize": lambda: 0}
        callbacks["main"] = lambda *_: 0
        for name in _CALLBACKS:
            callbacks[f"proxy_{name}"] = _returning_int(getattr(dispatch, name))
        return callbacks

    def release(self) -> None:
        """Forget what the arena holds: the host function before has given its results to the guest."""
        self._next = _ARENA

    def place(self, data: bytes) -> int:
        """The address of a copy of an argument."""
        address = self._malloc_bytes(len(data))
        self.memory.write(address, data)
        return address

    def _malloc_bytes(self, size: int) -> int:
        address = self._next
        self._next += max(size, 1)
        return address

    def _enter(self, context: Context, name: str, function: Callable[..., int], arguments: tuple[int, ...]) -> int:
        sdk = proxywasm.vm.VM
        saved = {key: getattr(sdk, key) for key in self._state}
        for key, value in self._state.items():
            setattr(sdk, key, value)
        try:
            return super()._enter(context, name, function, arguments)
        finally:
            self._state["current"] = sdk.current
            for key, value in saved.items():
                setattr(sdk, key, value)


def _returning_int(callback: Callable[..., int | None]) -> Callable[..., int]:
    return lambda *arguments: int(callback(*arguments) or 0)


class Imports:
    """`proxywasm.host.Host`, as the C glue makes it of the imported functions."""

    def __init__(self, vm: PythonVM) -> None:
        self._vm = vm

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in _SHAPES:
            raise AttributeError(name)
        results, absent = _SHAPES[name]

        def call(*arguments: int | str | bytes) -> Any:
            return self._call(f"proxy_{name}", arguments, results, absent)

        setattr(self, name, call)
        return call

    def _call(self, name: str, arguments: tuple[int | str | bytes, ...], results: str, absent: Status | None) -> Any:
        vm = self._vm
        vm.release()
        words: list[int] = []
        function = find("env", name, AbiVersion.V0_2_1)
        assert function is not None
        wide = [letter == "I" for letter in function.signature.partition(":")[0]]
        for argument in arguments:
            if isinstance(argument, int):
                words.append(int(argument) & (0xFFFFFFFFFFFFFFFF if wide[len(words)] else 0xFFFFFFFF))
            else:
                data = argument.encode("utf-8", "surrogateescape") if isinstance(argument, str) else argument
                words += [vm.place(data), len(data)]
        vm.memory.write(_RESULTS, bytes(64))
        for index, kind in enumerate(results):
            words += [_RESULTS + 16 * index, _RESULTS + 16 * index + 8] if kind in "bs" else [_RESULTS + 16 * index]
        status = function.function(vm, *words)
        if absent is not None and status == absent:
            return None
        if status != Status.OK:
            raise HostError(status or 0, name)
        values = [self._result(kind, _RESULTS + 16 * index) for index, kind in enumerate(results)]
        values = [value for value in values if value is not None]
        return values[0] if len(values) == 1 else tuple(values) if values else None

    def _result(self, kind: str, address: int) -> Any:
        memory = self._vm.memory
        if kind == "i":
            return memory.read_u32(address)
        if kind == "I":
            return struct.unpack("<Q", memory.read(address, 8))[0]
        if kind == "x":
            return None
        data = memory.read(memory.read_u32(address), memory.read_u32(address + 8))
        return data.decode("utf-8", "surrogateescape") if kind == "s" else data


_SHAPES: Final[dict[str, tuple[str, Status | None]]] = {
    "log": ("", None), "get_log_level": ("i", None), "get_current_time_nanoseconds": ("I", None),
    "set_tick_period_milliseconds": ("", None), "set_effective_context": ("", None), "done": ("", None),
    "get_buffer_bytes": ("b", Status.NOT_FOUND), "set_buffer_bytes": ("", None), "get_buffer_status": ("ix", None),
    "get_header_map_size": ("i", None), "get_header_map_pairs": ("b", Status.NOT_FOUND),
    "set_header_map_pairs": ("", None), "get_header_map_value": ("s", Status.NOT_FOUND),
    "add_header_map_value": ("", None), "replace_header_map_value": ("", None),
    "remove_header_map_value": ("", None), "continue_stream": ("", None), "close_stream": ("", None),
    "send_local_response": ("", None), "get_status": ("is", None), "http_call": ("i", None), "grpc_call": ("i", None),
    "grpc_stream": ("i", None), "grpc_send": ("", None), "grpc_cancel": ("", None), "grpc_close": ("", None),
    "get_shared_data": ("bi", Status.NOT_FOUND), "set_shared_data": ("", None), "register_shared_queue": ("i", None),
    "resolve_shared_queue": ("i", Status.NOT_FOUND), "enqueue_shared_queue": ("", None),
    "dequeue_shared_queue": ("b", Status.EMPTY), "define_metric": ("i", None), "increment_metric": ("", None),
    "record_metric": ("", None), "get_metric": ("I", None), "get_property": ("b", Status.NOT_FOUND),
    "set_property": ("", None), "call_foreign_function": ("b", None),
}  # fmt: skip
"""For each function its results, `i` a u32, `I` a u64, `b` bytes, `s` text, `x` one that is not used, and the status
that stands for an absent value."""
