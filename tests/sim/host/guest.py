"""A Proxy-Wasm module whose behaviour is written in Python, to try host functions from inside a VM.

The module imports every host function. In each callback it asks the foreign function `guest.step` what to call next
and hands back what it got, until it is told to return. The test's side of that is a generator for each callback:

    def proxy_on_request_headers(guest, context_id, count, end):
        status = yield "proxy_get_current_time_nanoseconds", guest.at(0)
        return 1
"""

import struct
from collections.abc import Callable, Generator
from functools import cache
from typing import Any

import wasmtime

from host_sim.host import Host, Plugin
from host_sim.host.contexts import Context
from host_sim.host.vm import VM

HOST_FUNCTIONS = {
    "proxy_log": "iii", "proxy_get_log_level": "i", "proxy_get_status": "iii", "proxy_set_property": "iiii",
    "proxy_get_property": "iiii", "proxy_send_local_response": "iiiiiiii", "proxy_get_shared_data": "iiiii",
    "proxy_set_shared_data": "iiiii", "proxy_register_shared_queue": "iii", "proxy_resolve_shared_queue": "iiiii",
    "proxy_dequeue_shared_queue": "iii", "proxy_enqueue_shared_queue": "iii", "proxy_get_header_map_value": "iiiii",
    "proxy_add_header_map_value": "iiiii", "proxy_replace_header_map_value": "iiiii", "proxy_remove_header_map_value":
    "iii", "proxy_get_header_map_pairs": "iii", "proxy_set_header_map_pairs": "iii", "proxy_get_header_map_size": "ii",
    "proxy_get_buffer_status": "iii", "proxy_get_buffer_bytes": "iiiii", "proxy_set_buffer_bytes": "iiiii",
    "proxy_http_call": "iiiiiiiiii", "proxy_grpc_call": "iiiiiiiiiiii", "proxy_grpc_stream": "iiiiiiiii",
    "proxy_grpc_send": "iiii", "proxy_grpc_cancel": "i", "proxy_grpc_close": "i", "proxy_set_tick_period_milliseconds":
    "i", "proxy_get_current_time_nanoseconds": "i", "proxy_define_metric": "iiii", "proxy_increment_metric": "iI",
    "proxy_record_metric": "iI", "proxy_get_metric": "ii", "proxy_set_effective_context": "i", "proxy_done": "",
    "proxy_call_foreign_function": "iiiiii", "proxy_continue_stream": "i", "proxy_close_stream": "i",
    "fd_write": "iiii", "fd_fdstat_get": "ii", "clock_time_get": "iIi", "clock_res_get": "ii", "random_get": "ii",
    "environ_sizes_get": "ii", "environ_get": "ii", "args_sizes_get": "ii", "args_get": "ii", "poll_oneoff": "iiii",
    "fd_read": "iiii", "fd_close": "i", "fd_prestat_get": "ii", "fd_filestat_get": "ii", "sched_yield": "",
    "path_open": "iiiiiIIii", "fd_seek": "iIii", "fd_fdstat_set_flags": "ii", "fd_prestat_dir_name": "iii",
    "path_filestat_get": "iiiii", "fd_advise": "iIIi", "fd_allocate": "iII", "fd_datasync": "i",
    "fd_fdstat_set_rights": "iII", "fd_filestat_set_size": "iI", "fd_filestat_set_times": "iIIi", "fd_pread": "iiiIi",
    "fd_pwrite": "iiiIi", "fd_readdir": "iiiIi", "fd_renumber": "ii", "fd_sync": "i", "fd_tell": "ii",
    "path_create_directory": "iii", "path_filestat_set_times": "iiiiIIi", "path_link": "iiiiii",
    "path_readlink": "iiiiii", "path_remove_directory": "iii", "path_rename": "iiiiii", "path_symlink": "iiiii",
    "path_unlink_file": "iii", "sock_accept": "iii", "sock_recv": "iiiiii", "sock_send": "iiiii", "sock_shutdown": "ii",
}  # fmt: skip
"""Parameters of every host function that answers with a status, from the specification."""

CALLBACKS = {
    "proxy_on_context_create": ("ii", False), "proxy_on_vm_start": ("ii", True), "proxy_on_configure": ("ii", True),
    "proxy_on_tick": ("i", False), "proxy_on_queue_ready": ("ii", False), "proxy_on_request_headers": ("iii", True),
    "proxy_on_request_body": ("iii", True), "proxy_on_request_trailers": ("ii", True),
    "proxy_on_response_headers": ("iii", True), "proxy_on_response_body": ("iii", True),
    "proxy_on_response_trailers": ("ii", True), "proxy_on_http_call_response": ("iiiii", False),
    "proxy_on_grpc_receive_initial_metadata": ("iii", False), "proxy_on_grpc_receive": ("iii", False),
    "proxy_on_grpc_receive_trailing_metadata": ("iii", False), "proxy_on_grpc_close": ("iii", False),
    "proxy_on_done": ("i", True), "proxy_on_log": ("i", False), "proxy_on_delete": ("i", False),
}  # fmt: skip
DEFAULT_RESULTS = {"proxy_on_vm_start": 1, "proxy_on_configure": 1, "proxy_on_done": 1}

RETURN, TRAP = 0xFFFFFFFF, 0xFFFFFFFE
_ARGUMENTS = 1024
_SCRATCH = 4096

Call = tuple[Any, ...]
Script = Callable[..., Generator[Call, int, int | None] | int | None]


class Trap(Exception):
    """Raised in a script: the module executes `unreachable`."""


@cache
def scripted_module() -> bytes:
    types = {"i": "i32", "I": "i64"}

    def params(letters: str) -> str:
        return "".join(f" (param {types[letter]})" for letter in letters)

    lines = ["(module"]
    for name, letters in HOST_FUNCTIONS.items():
        module = "env" if name.startswith("proxy_") else "wasi_snapshot_preview1"
        lines.append(f'(import "{module}" "{name}" (func ${name}{params(letters)} (result i32)))')
    lines += [
        '(memory (export "memory") 2)',
        '(data (i32.const 64) "guest.step")',
        "(global $heap (mut i32) (i32.const 65536)) (global $depth (mut i32) (i32.const 0))",
        '(func (export "proxy_abi_version_0_2_1"))',
        # A bump allocator that starts afresh with each callback, and gives nothing when memory is full.
        """(func (export "malloc") (param $size i32) (result i32)
             (local $at i32)
             (local.set $at (global.get $heap))
             (if (i32.gt_u (local.get $size) (i32.sub (i32.const 131072) (local.get $at))) (then (return (i32.const
             0)))) (global.set $heap (i32.add (local.get $at) (local.get $size)))
             (local.get $at))""",
        "(func $dispatch (param $index i32) (result i32)",
    ]
    names = list(HOST_FUNCTIONS)
    lines.append("(block $unknown " + "".join(f"(block $f{index} " for index in reversed(range(len(names)))))
    lines.append(f"(br_table {' '.join(f'$f{index}' for index in range(len(names)))} $unknown (local.get $index)))")
    for index, name in enumerate(names):
        loads = " ".join(
            f"({types[letter]}.load (i32.const {_ARGUMENTS + 8 * position}))"
            for position, letter in enumerate(HOST_FUNCTIONS[name])
        )
        lines.append(f"(return (call ${name} {loads}))" + (")" if index < len(names) - 1 else ""))
    lines.append(") unreachable)")
    lines.append(f"""(func $run (param $callback i32) (param $a i32) (param $b i32) (param $c i32) (param $d i32)
    (param $e i32)
          (result i32)
        (local $status i32) (local $step i32) (local $fresh i32)
        (local.set $fresh (i32.const 1))
        (global.set $depth (i32.add (global.get $depth) (i32.const 1)))
        (loop $again
          (i32.store (i32.const 512) (local.get $callback)) (i32.store (i32.const 516) (local.get $a))
          (i32.store (i32.const 520) (local.get $b)) (i32.store (i32.const 524) (local.get $c))
          (i32.store (i32.const 528) (local.get $d)) (i32.store (i32.const 532) (local.get $e))
          (i32.store (i32.const 536) (local.get $status)) (i32.store (i32.const 540) (local.get $fresh))
          (local.set $fresh (i32.const 0))
          (if (call $proxy_call_foreign_function (i32.const 64) (i32.const 10) (i32.const 512) (i32.const 32)
             (i32.const 600) (i32.const 604)) (then unreachable))
          (local.set $step (i32.load (i32.const 600)))
          (if (i32.eq (i32.load (local.get $step)) (i32.const {TRAP})) (then unreachable))
          (if (i32.ne (i32.load (local.get $step)) (i32.const {RETURN})) (then
             (memory.copy (i32.const {_ARGUMENTS}) (i32.add (local.get $step) (i32.const 8)) (i32.const 104))
             (local.set $status (call $dispatch (i32.load (local.get $step))))
             (br $again))))
        (global.set $depth (i32.sub (global.get $depth) (i32.const 1)))
        (local.set $status (i32.load (i32.add (local.get $step) (i32.const 8))))
        (if (i32.eqz (global.get $depth)) (then (global.set $heap (i32.const 65536))))
        (local.get $status))""")
    for number, (name, (letters, result)) in enumerate(CALLBACKS.items()):
        given = " ".join(f"(local.get {position})" for position in range(len(letters)))
        padding = "(i32.const 0) " * (5 - len(letters))
        call = f"(call $run (i32.const {number}) {given} {padding})"
        body = call if result else f"(drop {call})"
        lines.append(f'(func (export "{name}"){params(letters)}{" (result i32)" if result else ""} {body})')
    lines.append(")")
    return bytes(wasmtime.wat2wasm("\n".join(lines)))


class Guest:
    """The test's side of the module: scripts by callback name, and access to the VM's memory.

    `calls` lists every callback with its arguments, in order. What a script raises comes out of the host call that led
    to it.
    """

    def __init__(self, **scripts: Script) -> None:
        self.scripts: dict[str, Script] = scripts
        self.calls: list[tuple[str, tuple[int, ...]]] = []
        self.vm: VM | None = None
        self._running: Generator[Call, int, int | None] | None = None
        self._next = _SCRATCH

    def load(self, configuration: bytes = b"", host: Host | None = None, **options: Any) -> Plugin:
        host = Host(scripted_module()) if host is None else host
        host.foreign_functions["guest.step"] = self._step
        self.host = host
        return host.load(configuration, **options)

    def put(self, data: str | bytes) -> tuple[int, int]:
        """Writes bytes into the module's memory and gives their address and size, as host functions want them."""
        data = data.encode() if isinstance(data, str) else data
        address, self._next = self._next, self._next + len(data) + 1
        assert self._next < 65536, "the scratch memory is used up"
        self.memory.write(address, data)
        return address, len(data)

    def at(self, slot: int) -> int:
        """An address for 8 bytes of output."""
        return 2048 + 8 * slot

    def u32(self, slot: int) -> int:
        return self.memory.read_u32(self.at(slot))

    def u64(self, slot: int) -> int:
        return int.from_bytes(self.memory.read(self.at(slot), 8), "little")

    def returned(self, slot: int = 0) -> bytes:
        """The bytes that a host function returned through address and size at `slot` and `slot + 1`."""
        return self.memory.read(self.u32(slot), self.u32(slot + 1))

    @property
    def memory(self) -> Any:
        assert self.vm is not None
        return self.vm.memory

    def names(self) -> list[str]:
        return [name for name, _ in self.calls]

    def _step(self, context: Context, argument: bytes) -> bytes:
        number, *arguments, status, fresh = struct.unpack("<8I", argument)
        name = list(CALLBACKS)[number]
        try:
            if fresh:
                outcome = self._begin(context, name, tuple(arguments[: len(CALLBACKS[name][0])]))
                if not isinstance(outcome, Generator):
                    return _end(name, outcome)
                self._running = outcome
                call = next(outcome)
            else:
                assert self._running is not None
                call = self._running.send(status)
        except StopIteration as stop:
            return _end(name, stop.value)
        except Trap:
            return _encode(TRAP)
        function, *values = call
        flat = [item for value in values for item in (value if isinstance(value, tuple) else (value,))]
        return _encode(list(HOST_FUNCTIONS).index(function), *flat)

    def _begin(
        self, context: Context, name: str, arguments: tuple[int, ...]
    ) -> Generator[Call, int, int | None] | int | None:
        self.calls.append((name, arguments))
        self.vm = context.vm
        self._next = _SCRATCH
        script = self.scripts.get(name)
        return script(self, *arguments) if script is not None else None


def _end(name: str, result: int | None) -> bytes:
    return _encode(RETURN, DEFAULT_RESULTS.get(name, 0) if result is None else int(result))


def _encode(index: int, *arguments: int) -> bytes:
    padded = [*(argument & 0xFFFFFFFFFFFFFFFF for argument in arguments), *[0] * 13][:13]
    return struct.pack("<2I13Q", index, 0, *padded)
