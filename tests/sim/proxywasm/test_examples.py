"""The examples in wasmtime, compiled and as bytecode."""

import pytest

from host_sim.host import Action, HttpCallout, LogLevel
from tests.building import EXAMPLES

GET = [(":method", "GET"), (":path", "/a?b"), (":authority", "h")]
OK = [(":status", "200")]


@pytest.fixture(params=["compiled", "bytecode"])
def host(request, build_filter, make_host):
    """`host(example, **options)`."""
    return lambda name, **options: make_host(build_filter(EXAMPLES / f"{name}.py", request.param), **options)


def test_header(host):
    plugin = host("header").load()
    with plugin.stream() as stream:
        stream.request_headers(GET, end_of_stream=True)
        stream.response_headers(OK, end_of_stream=True)
        assert stream.response.headers["x-request-path"] == "/a?b"


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_callout(host, clock, policy):
    plugin = host("callout").load(policy)

    def ask(answer):
        with plugin.stream() as stream:
            assert stream.request_headers(GET, end_of_stream=True).action is Action.PAUSE
            (call,) = plugin.callouts
            assert isinstance(call, HttpCallout)
            assert (call.cluster, call.headers[":path"], call.timeout) == ("gatekeeper", "/a?b", 250)
            answer(call)
            reply = stream.local_reply
            return (reply.status, reply.body) if reply else stream.request.paused

    assert ask(lambda call: call.respond()) is False
    assert ask(lambda call: call.respond([(":status", "418")], "no tea")) == (403, b"no tea")
    silent = False if policy == "open" else (503, b"no verdict\n")
    assert ask(lambda call: call.fail()) == silent
    assert ask(lambda call: clock.advance(0.3)) == silent
    warnings = [record.text for record in plugin.logs if record.level is LogLevel.WARN]
    assert warnings == ["no verdict from gatekeeper"] * 2


@pytest.mark.parametrize("policy", ["open", "closed"])
def test_callout_that_cannot_be_made(host, policy):
    plugin = host("callout", clusters=["upstream"]).load(policy)
    with plugin.stream() as stream:
        stream.request_headers(GET, end_of_stream=True)
        assert (stream.local_reply is None) == (policy == "open")
    assert "proxy_http_call answered BAD_ARGUMENT" in plugin.logs[-1].text


def test_timer(host, clock):
    timer = host("timer")
    plugins = [timer.load(vm_id="same", own_vm=True), timer.load(vm_id="same", own_vm=True)]
    for plugin in (*plugins, plugins[0]):
        with plugin.stream() as stream:
            stream.request_headers(GET, end_of_stream=True)
    assert "timer_requests 0" in timer.exposition().replace("{}", "")
    clock.advance(1.0)
    assert "timer_requests 3" in timer.exposition().replace("{}", "")
