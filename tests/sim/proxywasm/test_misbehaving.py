"""A filter that goes wrong in wasmtime: the VM never traps, the stream is answered, and later streams work."""

import json

import pytest

from host_sim.host import Action, GrpcCallout, HttpCallout, LogLevel
from tests.building import FILTERS
from tests.filters.trouble import MEMORY, TROUBLES, expected

HEAD = [(":method", "POST"), (":path", "/"), (":authority", "h")]
MAX_MEMORY = 256 * 2**20
PLACES = [
    "on_request_headers", "on_request_body", "on_request_trailers", "on_response_headers", "on_response_body",
    "on_response_trailers", "on_log", "on_done", "on_delete",
]  # fmt: skip


@pytest.fixture(scope="module", params=["compiled", "bytecode"])
def module(request, build_filter):
    return build_filter(FILTERS / "misbehaving.py", request.param)


@pytest.fixture
def load(make_host, module):
    """`load(...)`: the plugin with that configuration."""
    return lambda **configuration: make_host(module).load(json.dumps(configuration))


def exchange(plugin, place="", how=""):
    """A whole exchange, as far as it comes."""
    stream = plugin.stream()
    stream.request_headers([*HEAD, ("x-in", place), ("x-how", how)])
    stream.request_body("question")
    stream.request_trailers([("a", "b")])
    if not stream.local_reply:
        stream.response_headers([(":status", "200")])
        stream.response_body("answer")
        stream.response_trailers([("c", "d")])
    stream.close()
    return stream


def errors(plugin):
    return [record.text for record in plugin.logs if record.level >= LogLevel.ERROR]


def is_well(plugin):
    assert plugin.failure is None
    before = len(errors(plugin))
    stream = exchange(plugin)
    return stream.local_reply is None and stream.response.body == b"answer" and len(errors(plugin)) == before


@pytest.mark.parametrize("how", TROUBLES)
def test_every_trouble(load, how):
    plugin = load()
    stream = exchange(plugin, "on_request_headers", how)
    assert plugin.failure is None
    assert stream.local_reply.status == 500
    error = "\n".join(errors(plugin))
    assert error.startswith("uncaught exception in on_request_headers\n")
    assert f"\n{expected(how)}" in error
    # with memory exhausted by small objects there may be none left for a traceback
    assert how == "small objects" or (len(errors(plugin)) == 1 and "\n  File " in error)
    assert plugin.memory_size <= MAX_MEMORY
    assert is_well(plugin)


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["exception", "base exception", "plain", "huge bytes"])
def test_every_place_of_a_stream(load, place, how):
    plugin = load()
    stream = exchange(plugin, place, how)
    assert plugin.failure is None
    (error,) = errors(plugin)
    assert f"uncaught exception in {place}\n" in error
    assert f"\n{expected(how)}" in error
    if "request" in place or place == "on_response_headers":
        assert stream.local_reply.status == 500
    elif "response" in place:
        assert stream.reset
    assert is_well(plugin)


@pytest.mark.parametrize("place", PLACES)
def test_failing_open(load, place):
    plugin = load(fail_open=True)
    stream = exchange(plugin, place)
    assert stream.local_reply is None
    assert (stream.request.body, stream.response.body) == (b"question", b"answer")
    assert len(errors(plugin)) == 1
    assert is_well(plugin)


@pytest.mark.parametrize("fail_open", [False, True])
@pytest.mark.parametrize("place", ["http_call", "grpc_call"])
def test_replies(load, place, fail_open):
    plugin = load(fail_open=fail_open)
    for fail in (False, True):
        with plugin.stream() as stream:
            outcome = stream.request_headers([*HEAD, ("x-in", place)], end_of_stream=True)
            assert outcome.action is Action.PAUSE
            (call,) = plugin.callouts
            assert isinstance(call, HttpCallout if place == "http_call" else GrpcCallout)
            if fail:
                call.fail() if isinstance(call, HttpCallout) else call.fail(14)
            elif isinstance(call, HttpCallout):
                call.respond()
            else:
                call.reply(b"")
            assert (stream.local_reply is None) == fail_open
            assert stream.request.paused != fail_open
    assert len(errors(plugin)) == 2
    assert is_well(plugin)


@pytest.mark.parametrize("place", ["on_tick", "on_done", "on_delete"])
@pytest.mark.parametrize("how", ["exception", "plain"])
def test_every_place_of_a_plugin(load, place, how):
    plugin = load(**{"in": {place: how}})
    if place == "on_tick":
        plugin.tick()
        assert is_well(plugin)
    else:
        plugin.unload()
        assert not plugin.pending_done
    assert plugin.failure is None
    assert f"uncaught exception in {place}\n" in errors(plugin)[0]


@pytest.mark.parametrize("fail_open", [False, True])
def test_streams_that_cannot_be_made(load, fail_open):
    plugin = load(fail_open=fail_open, **{"in": {"create_stream": "plain"}})
    for count in (1, 2):
        stream = exchange(plugin)
        assert (stream.local_reply is None) == fail_open
        assert len(errors(plugin)) == count
    assert plugin.failure is None


@pytest.mark.parametrize("how", ["exception", "plain", "huge bytes"])
def test_a_configuration_that_fails_is_refused(load, how):
    with pytest.raises(Exception, match=rf"configuration refused(.|\n)*on_configure(.|\n)*{expected(how)}"):
        load(**{"in": {"on_configure": how}})


def test_one_vm_bears_them_all(load):
    """One after the other, many times over, in the same VM; memory stays within its bounds."""
    plugin = load()
    names = [name for name in TROUBLES if name not in MEMORY]
    for how in names * 3:
        exchange(plugin, "on_request_headers", how)
        assert plugin.failure is None, how
    assert len(errors(plugin)) == 3 * len(names)
    assert is_well(plugin)


def test_both_modes_say_the_same(make_host, build_filter):
    """Type and text of each exception, and the functions it went through in the filter."""
    said = []
    for mode in ("compiled", "bytecode"):
        plugin = make_host(build_filter(FILTERS / "misbehaving.py", mode)).load(b"{}")
        for place in PLACES:
            exchange(plugin, place, "exception")
        said.append([error.replace("tests/filters", "entry") for error in errors(plugin)])
    compiled, bytecode = said
    for one, other in zip(compiled, bytecode, strict=True):
        for part in ("uncaught exception in", "in reach", "in exception", "ValueError: as you wished"):
            assert part in one, one
            assert part in other, other
        assert one.splitlines()[-1] == other.splitlines()[-1]


def test_headers_that_are_not_utf8_survive(load):
    raw = [b"\xff\xfe", b"caf\xe9", "€".encode(), b"\xed\xb3\xbf", bytes(range(33, 256))]
    plugin = load()
    with plugin.stream() as stream:
        stream.request_headers([*HEAD, ("x-in", "echo"), *((b"x-raw", value) for value in raw)], end_of_stream=True)
        stream.response_headers([(":status", "200")], end_of_stream=True)
        echoed = [value for name, value in stream.response.headers.pairs() if name == b"x-raw"]
    assert echoed == raw
    assert errors(plugin) == []
