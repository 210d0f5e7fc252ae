"""Modules that lie: pointers and sizes from nowhere, malformed pairs, traps at bad moments, leaks."""

import gc
import resource
import struct
import time

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from host_sim.host import FailurePolicy, Host, ModuleRejected
from host_sim.host.hostcalls import find
from host_sim.host.memory import InvalidMemoryAccess
from host_sim.host.pairs import deserialize, serialize
from tests.sim.host.guest import CALLBACKS, HOST_FUNCTIONS, Guest, Trap, scripted_module

GET = [(":method", "GET"), (":path", "/"), (":authority", "h")]
MEMORY_SIZE = 2 * 65536
BEYOND = [MEMORY_SIZE - 1, MEMORY_SIZE, 0x7FFFFFFF, 0xFFFFFFFF]
pairs = st.lists(st.tuples(st.binary(max_size=20), st.binary(max_size=20)), max_size=8)


@pytest.fixture(scope="module")
def host(compiled_modules):
    return Host(scripted_module(), cache=compiled_modules, time_limit=10)


@pytest.mark.parametrize("name", HOST_FUNCTIONS)
def test_signatures_are_the_specifications(name):
    from host_sim.host.abi import AbiVersion

    call = find("env" if name.startswith("proxy_") else "wasi_snapshot_preview1", name, AbiVersion.V0_2_1)
    assert call is not None
    assert call.signature == f"{HOST_FUNCTIONS[name]}:i"


READS = {
    "proxy_log": (2, ...), "proxy_set_property": (..., ...), "proxy_get_property": (..., 0, 4),
    "proxy_send_local_response": (200, ..., ..., ..., -1), "proxy_get_shared_data": (..., 0, 4, 8),
    "proxy_set_shared_data": (..., ..., 0), "proxy_register_shared_queue": (..., 0),
    "proxy_resolve_shared_queue": (..., ..., 0), "proxy_enqueue_shared_queue": (1, ...),
    "proxy_get_header_map_value": (0, ..., 0, 4), "proxy_add_header_map_value": (0, ..., ...),
    "proxy_replace_header_map_value": (0, ..., ...), "proxy_remove_header_map_value": (0, ...),
    "proxy_set_header_map_pairs": (0, ...), "proxy_set_buffer_bytes": (0, 0, 0, ...),
    "proxy_http_call": (..., ..., ..., ..., 0, 0), "proxy_grpc_call": (..., ..., ..., ..., ..., 0, 0),
    "proxy_grpc_stream": (..., ..., ..., ..., 0), "proxy_grpc_send": (2, ..., 0), "proxy_define_metric": (0, ..., 0),
    "proxy_call_foreign_function": (..., ..., 0, 4),
}  # fmt: skip
"""Calls that read memory: `...` stands for a pointer and a size."""


@pytest.mark.parametrize("name", READS)
@pytest.mark.parametrize("address", BEYOND)
def test_reading_beyond_memory_is_an_invalid_access(host, name, address):
    places = [index for index, argument in enumerate(READS[name]) if argument is ...]

    def script(guest, *_):
        for place in places:
            arguments = [
                (argument if argument is not ... else (address, 16) if index == place else guest.put(":path"))
                for index, argument in enumerate(READS[name])
            ]
            assert (yield name, *arguments) == 6

    _during_request_headers(host, script)


WRITES = {
    "proxy_get_log_level": (0,), "proxy_get_current_time_nanoseconds": (0,), "proxy_get_status": (0, 1, 2),
    "proxy_get_header_map_pairs": (1, 2), "proxy_get_header_map_size": (1,), "proxy_get_buffer_bytes": (3, 4),
    "proxy_get_buffer_status": (1, 2), "fd_fdstat_get": (1,), "clock_time_get": (2,), "clock_res_get": (1,),
    "environ_sizes_get": (0, 1), "environ_get": (0, 1), "args_sizes_get": (0, 1), "random_get": (0,),
}  # fmt: skip
"""Calls that write memory, with the places of their addresses; other arguments are 0."""


@pytest.mark.parametrize("name", WRITES)
@pytest.mark.parametrize("address", BEYOND)
def test_writing_beyond_memory_is_an_invalid_access(host, name, address):
    fault = 6 if name.startswith("proxy_") else 21
    fixed = {"fd_fdstat_get": {0: 1}, "random_get": {1: 8}}.get(name, {})

    def script(guest, *_):
        for place in WRITES[name]:
            arguments = [fixed.get(index, guest.at(index)) for index in range(len(HOST_FUNCTIONS[name]))]
            if name.startswith(("proxy_get_header_map", "proxy_get_buffer")):
                arguments[0] = 0
            if name.startswith("clock"):
                arguments[0] = 0
            arguments[place] = address
            assert (yield name, *arguments) == fault

    _during_request_headers(host, script, environment={"A": "1"})


def _during_request_headers(host, script, **options):
    guest = Guest(proxy_on_request_headers=script)
    plugin = guest.load(b"", host, own_vm=True, **options)
    with plugin.stream() as stream:
        stream.request_headers(GET, end_of_stream=True)
    assert plugin.failure is None
    assert "proxy_on_request_headers" in guest.names()


numbers = st.one_of(
    st.integers(0, 16),
    st.integers(0, MEMORY_SIZE + 16),
    st.integers(0, 0xFFFFFFFF),
    st.sampled_from([MEMORY_SIZE, 0x7FFFFFFF, 0x80000000, 0xFFFFFFFF, 0xFFFFFFFFFFFFFFFF]),
)
calls = st.lists(
    st.tuples(st.sampled_from(sorted(HOST_FUNCTIONS)), st.lists(numbers, min_size=12, max_size=12)),
    min_size=1,
    max_size=8,
)


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    calls=calls,
    callback=st.sampled_from(sorted(name for name in CALLBACKS if "request" in name or "response_" in name)),
)
def test_no_arguments_bring_the_host_down(host, calls, callback):
    statuses = []

    def script(guest, *_):
        for name, arguments in calls:
            statuses.append((yield name, *arguments[: len(HOST_FUNCTIONS[name])]))

    guest = Guest(**{callback: script})
    plugin = guest.load(b"configuration", host, own_vm=True)
    with plugin.stream() as stream:
        stream.request_headers(GET)
        stream.request_body("body")
        stream.request_trailers([("t", "1")])
        if not stream.request.paused and stream.request.passed_headers:
            stream.response_headers([(":status", "200")])
            stream.response_body("body")
            stream.response_trailers([("t", "1")])
    assert all(0 <= status <= 76 for status in statuses)


@given(pairs)
def test_pairs_survive_the_way_there_and_back(items):
    assert deserialize(serialize(items)) == items


@given(pairs, st.data())
def test_damaged_pairs_are_empty_or_well_formed(items, data):
    wire = bytearray(serialize(items))
    for _ in range(data.draw(st.integers(1, 4))):
        wire[data.draw(st.integers(0, len(wire) - 1))] = data.draw(st.integers(0, 255))
    found = deserialize(bytes(wire))
    assert found == [] or serialize(found) == bytes(wire)


@given(st.binary(max_size=200))
def test_any_bytes_are_pairs_or_nothing(data):
    found = deserialize(data)
    assert found == [] or serialize(found) == data


@pytest.mark.parametrize(
    "wire",
    [
        serialize([(b"a", b"b")] * 1025),
        serialize([(b"a", b"b" * (1 << 20))]),
        struct.pack("<I", 0xFFFFFFFF) + bytes(100),
        struct.pack("<3I", 1, 0xFFFFFFFF, 0) + bytes(10),
    ],
)
def test_pairs_beyond_envoys_limits_are_nothing(wire):
    assert deserialize(wire) == []


def test_1024_pairs_are_allowed():
    assert len(deserialize(serialize([(b"a", b"b")] * 1024))) == 1024


def test_memory_that_grows_is_followed():
    module = _module(
        '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))',
        """(func (export "proxy_on_tick") (param i32)
             (drop (call $log (i32.const 2) (i32.const 70000) (i32.const 2)))
             (drop (memory.grow (i32.const 1)))
             (i32.store16 (i32.const 70000) (i32.const 0x6968))
             (drop (call $log (i32.const 2) (i32.const 70000) (i32.const 2))))""",
    )
    plugin = Host(module, cache=None).load()
    plugin.tick()
    assert [record.text for record in plugin.logs] == ["hi"]
    assert plugin.memory_size == 2 * 65536


def test_memory_is_limited():
    with pytest.raises(ModuleRejected, match="memory minimum size"):
        Host(_module("(memory 100)", memory=""), cache=None, max_memory=65536).load()
    module = _module(
        """(func (export "proxy_on_tick") (param i32)
             (if (i32.ne (memory.grow (i32.const 8)) (i32.const -1)) (then unreachable)))"""
    )
    plugin = Host(module, cache=None, max_memory=4 * 65536).load()
    plugin.tick()
    assert plugin.failure is None


@pytest.mark.parametrize("allocator", ["(i32.const 0)", "(i32.const 65535)", "(i32.const -1)", "unreachable"])
def test_allocators_that_fail_or_lie(allocator):
    module = _module(
        '(import "env" "proxy_get_property" (func $get (param i32 i32 i32 i32) (result i32)))',
        '(data (i32.const 0) "plugin_name") (global $status (mut i32) (i32.const 99))',
        """(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (i32.eq (call $get (i32.const 0) (i32.const 11) (i32.const 32) (i32.const 36)) (i32.const 6)))""",
        malloc=allocator,
    )
    if allocator == "unreachable":
        with pytest.raises(Exception, match="malloc failed"):
            Host(module, cache=None).load(name="plugin")
    else:
        assert Host(module, cache=None).load(name="plugin").failure is None


def test_trap_in_any_callback_leaves_the_host_usable(host):
    def trap(guest, *_):
        raise Trap
        yield

    for callback in ("proxy_on_log", "proxy_on_done", "proxy_on_delete", "proxy_on_response_body", "proxy_on_tick"):
        guest = Guest(**{callback: trap})
        plugin = guest.load(b"", host, own_vm=True, failure_policy=FailurePolicy.FAIL_OPEN)
        for _ in range(2):
            with plugin.stream() as stream:
                stream.request_headers(GET, end_of_stream=True)
                stream.response_headers([(":status", "200")])
                stream.response_body("x", end_of_stream=True)
            plugin.tick()
        assert callback in plugin.failure
        plugin.unload()


def test_stack_overflow_is_a_trap():
    module = _module('(func $f (export "proxy_on_tick") (param i32) (call $f (i32.const 0)))')
    plugin = Host(module, cache=None).load()
    plugin.tick()
    assert "call stack exhausted" in plugin.failure


def test_endless_loops_end_at_the_time_limit():
    module = _module('(func (export "proxy_on_tick") (param i32) (loop $l (br $l)))')
    plugin = Host(module, cache=None, time_limit=0.1).load()
    started = time.monotonic()
    plugin.tick()
    assert 0.1 <= time.monotonic() - started < 5
    assert "interrupt" in plugin.failure


def test_mistakes_in_foreign_functions_are_not_hidden(host):
    def broken(context, argument):
        raise ZeroDivisionError

    def script(guest, *_):
        yield "proxy_call_foreign_function", guest.put("broken"), guest.put(""), 0, 0

    host.foreign_functions["broken"] = broken
    plugin = Guest(proxy_on_tick=script).load(b"", host, own_vm=True)
    with pytest.raises(ZeroDivisionError):
        plugin.tick()


def test_memory_bounds_are_exact(host):
    guest = Guest()
    plugin = guest.load(b"", host, own_vm=True)
    memory = guest.memory
    assert memory.size == plugin.memory_size == MEMORY_SIZE
    assert memory.read(MEMORY_SIZE - 1, 1) == b"\0"
    assert memory.read(MEMORY_SIZE, 0) == b""
    for address, size in ((MEMORY_SIZE + 1, 0), (MEMORY_SIZE, 1), (0, MEMORY_SIZE + 1)):
        with pytest.raises(InvalidMemoryAccess):
            memory.read(address, size)


def test_ten_thousand_streams_leave_nothing_behind(host):
    def on_headers(guest, *_):
        yield "proxy_add_header_map_value", 0, guest.put("x"), guest.put("y")
        yield "proxy_set_property", guest.put("k"), guest.put("v" * 100)

    guest = Guest(proxy_on_request_headers=on_headers)
    plugin = guest.load(b"", host, own_vm=True)

    def play(count):
        for _ in range(count):
            with plugin.stream() as stream:
                stream.request_headers(GET, end_of_stream=True)
                stream.response_headers([(":status", "200")])
                stream.response_body(b"x" * 10_000, end_of_stream=True)
            guest.calls.clear()
        gc.collect()
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

    before, contexts = play(1_000), len(guest.vm.contexts)
    assert play(9_000) - before < 2_048, "kilobytes"
    assert len(guest.vm.contexts) == contexts
    assert plugin.memory_size == MEMORY_SIZE


def _module(*parts, memory='(memory (export "memory") 1)', malloc="(i32.const 1024)"):
    base = '(func (export "proxy_abi_version_0_2_1"))'
    allocator = f'(func (export "malloc") (param i32) (result i32) {malloc})'
    imports = [part for part in parts if part.startswith("(import")]
    others = [part for part in parts if not part.startswith("(import")]
    return bytes(wasmtime.wat2wasm(f"(module {' '.join([*imports, memory, base, allocator, *others])})"))
