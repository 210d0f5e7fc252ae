"""VM start, contexts, configuration, failure policies."""

import pytest
import wasmtime

from host_sim.host import Action, ConfigurationRefused, FailurePolicy, Host, ModuleRejected, StreamMisuse, VirtualClock
from tests.sim.host.guest import Trap

GET = [(":method", "GET"), (":path", "/"), (":authority", "example.com")]

ABI = '(func (export "proxy_abi_version_0_2_1"))'
MALLOC = '(func (export "malloc") (param i32) (result i32) (i32.const 1024))'
MEMORY = '(memory (export "memory") 1)'
LOG = '(import "env" "proxy_log" (func $log (param i32 i32 i32) (result i32)))'


def wat(*parts):
    return bytes(wasmtime.wat2wasm(f"(module {' '.join(parts)})"))


def test_contexts_live_in_envoys_order(load):
    guest, plugin = load(b"configuration")
    with plugin.stream() as stream:
        stream.request_headers(GET, end_of_stream=True)
        stream.response_headers([(":status", "200")], end_of_stream=True)
    assert guest.calls == [
        ("proxy_on_context_create", (1, 0)),
        ("proxy_on_vm_start", (1, 0)),
        ("proxy_on_configure", (1, 13)),
        ("proxy_on_context_create", (2, 1)),
        ("proxy_on_request_headers", (2, 3, 1)),
        ("proxy_on_response_headers", (2, 1, 1)),
        ("proxy_on_log", (2,)),
        ("proxy_on_done", (2,)),
        ("proxy_on_delete", (2,)),
    ]


def test_reactor_starts_with_initialize_then_main():
    say = "(func {} (drop (call $log (i32.const 2) (i32.const {}) (i32.const 1))) {})"
    module = wat(
        LOG, ABI, MALLOC, MEMORY, '(data (i32.const 0) "ims")',
        say.format('(export "_initialize")', 0, ""),
        say.format('(export "main") (param i32 i32) (result i32)', 1, "(i32.const 0)"),
        say.format('(export "_start")', 2, ""),
    )  # fmt: skip
    assert [record.text for record in Host(module, cache=None).load().logs] == ["i", "m"]


def test_command_starts_with_start():
    module = wat(
        LOG, ABI, MALLOC, MEMORY, '(data (i32.const 0) "s")',
        '(func (export "_start") (drop (call $log (i32.const 2) (i32.const 0) (i32.const 1))))',
    )  # fmt: skip
    assert [record.text for record in Host(module, cache=None).load().logs] == ["s"]


def test_modules_of_abi_0_1_0_run_too():
    """Headers come without end of stream, a missing header is empty, and configuration has its own function."""
    module = wat(
        LOG,
        '(import "env" "proxy_get_configuration" (func $configuration (param i32 i32) (result i32)))',
        '(import "env" "proxy_get_header_map_value" (func $header (param i32 i32 i32 i32 i32) (result i32)))',
        '(import "env" "proxy_continue_request" (func $continue (result i32)))',
        MALLOC, MEMORY, ABI.replace("0_2_1", "0_1_0"),
        """(func (export "proxy_on_configure") (param i32 i32) (result i32)
             (drop (call $configuration (i32.const 0) (i32.const 4)))
             (drop (call $log (i32.const 2) (i32.load (i32.const 0)) (i32.load (i32.const 4)))) (i32.const 1))
           (func (export "proxy_on_request_headers") (param i32 i32) (result i32)
             (if (call $header (i32.const 0) (i32.const 16) (i32.const 1) (i32.const 0) (i32.const 4))
               (then unreachable))
             (i32.const 1))
           (func (export "proxy_on_tick") (param i32)
             (if (call $continue) (then unreachable)))""",
    )  # fmt: skip
    plugin = Host(module, cache=None).load(b"configuration")
    assert [record.text for record in plugin.logs] == ["configuration"]
    with plugin.stream() as stream:
        assert stream.request_headers(GET).action is Action.PAUSE
    plugin.tick()
    assert plugin.failure is None
    newer = '(import "env" "proxy_continue_stream" (func (param i32) (result i32)))'
    with pytest.raises(ModuleRejected, match="V0_1_0 do not have"):
        Host(wat(newer, ABI.replace("0_2_1", "0_1_0"), MEMORY, MALLOC), cache=None).load()


@pytest.mark.parametrize("allocator", ["malloc", "proxy_on_memory_allocate"])
def test_either_allocator_serves(allocator):
    assert Host(wat(ABI, MEMORY, MALLOC.replace("malloc", allocator)), cache=None).load().failure is None


@pytest.mark.parametrize(
    ("module", "complaint"),
    [
        (b"PK\3\4", "not a WebAssembly module"),
        (b"\0asm\1\0\0\0\xff", "not a valid WebAssembly module"),
        (wat(MEMORY, MALLOC), "declares no Proxy-Wasm ABI"),
        (wat(ABI, MEMORY), "neither malloc nor proxy_on_memory_allocate"),
        (wat(ABI, MALLOC), "exports no memory"),
        (wat('(import "env" "proxy_fly" (func))', ABI, MEMORY, MALLOC), "env.proxy_fly"),
        (wat('(import "env" "proxy_log" (func (param i32)))', ABI, MEMORY, MALLOC), "expected iii:i"),
        (wat('(import "env" "memory" (memory 1))', ABI, MALLOC), "env.memory, which is no function"),
        (wat('(import "env" "proxy_get_configuration" (func (param i32 i32) (result i32)))', ABI, MEMORY, MALLOC),
        "V0_2_1"), (wat(ABI, MEMORY, MALLOC, '(func (export "_start") unreachable)'), "_start failed"),
        (
            wat('(import "env" "proxy_done" (func $done (result i32)))', ABI, MEMORY, MALLOC,
                '(func (export "_start") (drop (call $done)))'),
            "restricted_callback",
        ),
    ],
)  # fmt: skip
def test_modules_that_cannot_run_are_rejected_with_the_reason(module, complaint):
    with pytest.raises(ModuleRejected, match=complaint):
        Host(module, cache=None).load()


def test_compiled_modules_are_cached(tmp_path):
    module = wat(ABI, MEMORY, MALLOC)
    Host(module, cache=tmp_path)
    (cached,) = tmp_path.iterdir()
    before = cached.stat().st_mtime_ns
    Host(module, cache=tmp_path).load()
    assert cached.stat().st_mtime_ns == before
    cached.write_bytes(b"damaged")
    assert Host(module, cache=tmp_path).load().failure is None


def test_cache_keeps_the_latest_sixteen(tmp_path):
    for number in range(18):
        Host(wat(ABI, MEMORY, MALLOC, f"(global i32 (i32.const {number}))"), cache=tmp_path)
    assert len(list(tmp_path.iterdir())) == 16


def test_refused_configuration_tells_what_the_plugin_said(load):
    def refuse(guest, context, size):
        yield "proxy_log", 4, guest.put("limits[0].rate: missing")
        return 0

    with pytest.raises(
        ConfigurationRefused, match=r"proxy_on_configure returned false(.|\n)*error: limits\[0\].rate: missing"
    ):
        load(b"{}", proxy_on_configure=refuse)


def test_trap_while_configuring_is_a_refusal(load):
    def trap(guest, *_):
        raise Trap
        yield

    with pytest.raises(ConfigurationRefused, match="failed in proxy_on_vm_start"):
        load(proxy_on_vm_start=trap)


def test_plugins_share_a_vm_and_a_refused_one_does_no_harm(load):
    answers = {b"good": 1, b"bad": 0, b"other": 1}

    def configure(guest, context, size):
        yield "proxy_get_buffer_bytes", 7, 0, size, guest.at(0), guest.at(1)
        return answers[guest.returned()]

    guest, first = load(b"good", proxy_on_configure=configure)
    host_of = first._root.vm
    again = guest.host
    second = again.load(b"other")
    assert second._root.vm is host_of
    assert (first.id, second.id) == (1, 2)
    with pytest.raises(ConfigurationRefused):
        again.load(b"bad")
    assert first.failure is None
    assert again.load(b"good", own_vm=True)._root.vm is not host_of
    assert again.load(b"good", vm_id="another")._root.vm is not host_of


def trap_at_headers(guest, *_):
    raise Trap
    yield


def test_failed_vm_answers_503_when_closed(load):
    guest, plugin = load(proxy_on_request_headers=trap_at_headers)
    for _ in range(2):
        with plugin.stream() as stream:
            outcome = stream.request_headers(GET, end_of_stream=True)
            assert outcome.action is Action.PAUSE
            assert stream.local_reply.status == 503
            assert stream.response.headers[":status"] == "503"
            assert stream.details == "wasm_fail_stream"
    assert "proxy_on_request_headers failed" in plugin.failure
    assert any("unreachable" in record.text for record in plugin.logs)
    assert guest.names().count("proxy_on_request_headers") == 1


def test_failed_vm_lets_pass_when_open(load):
    _, plugin = load(proxy_on_request_headers=trap_at_headers, failure_policy=FailurePolicy.FAIL_OPEN)
    with plugin.stream() as stream:
        assert stream.request_headers(GET).action is Action.CONTINUE
        assert stream.request_body("body", end_of_stream=True).passed.body == b"body"
        assert stream.response_headers([(":status", "200")], end_of_stream=True).action is Action.CONTINUE
    assert stream.local_reply is None


def test_failed_vm_is_reloaded_after_a_second(load, clock: VirtualClock):
    guest, plugin = load(proxy_on_request_headers=trap_at_headers, failure_policy=FailurePolicy.FAIL_RELOAD)
    with plugin.stream() as stream:
        stream.request_headers(GET, end_of_stream=True)
    clock.advance(0.5)
    del guest.scripts["proxy_on_request_headers"]
    with plugin.stream() as stream:
        assert stream.request_headers(GET, end_of_stream=True).local_reply.status == 503
    clock.advance(0.6)
    with plugin.stream() as stream:
        assert stream.request_headers(GET, end_of_stream=True).action is Action.CONTINUE
    assert plugin.failure is None


def test_unloading_waits_for_a_plugin_that_is_not_done(load):
    def finish(guest, context):
        assert (yield ("proxy_done",)) == 0

    guest, plugin = load(proxy_on_done=lambda guest, context: 0, proxy_on_tick=finish)
    plugin.unload()
    assert plugin.pending_done
    assert "proxy_on_delete" not in guest.names()
    plugin.tick()
    assert guest.calls[-1] == ("proxy_on_delete", (1,))
    assert not plugin.pending_done


def test_done_is_not_found_unless_it_is_awaited(load):
    def finish(guest, context):
        assert (yield ("proxy_done",)) == 1

    _, plugin = load(proxy_on_tick=finish)
    plugin.tick()


@pytest.mark.parametrize(
    "misuse",
    [
        lambda stream: stream.request_body("x"),
        lambda stream: stream.response_headers([(":status", "200")]),
        lambda stream: (stream.request_headers(GET), stream.request_headers(GET)),
        lambda stream: (stream.request_headers(GET, end_of_stream=True), stream.request_body("x")),
        lambda stream: (stream.close(), stream.request_headers(GET)),
    ],
)
def test_parts_that_cannot_come_are_refused(load, misuse):
    _, plugin = load()
    with pytest.raises(StreamMisuse):
        misuse(plugin.stream())
