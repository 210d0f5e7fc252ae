"""HTTP calls, gRPC calls and gRPC streams, their answers, time-outs and ends."""

import pytest
from envoy.config.core.v3.grpc_service_pb2 import GrpcService

from host_sim.host import CalloutFinished, CalloutState, GrpcCallout, GrpcStream, HttpCallout
from host_sim.host.pairs import deserialize, serialize

GET = [(":method", "GET"), (":path", "/"), (":authority", "h")]
HEAD = serialize([(b":method", b"POST"), (b":path", b"/check"), (b":authority", b"auth")])
TARGET = GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name="limiter")).SerializeToString()


def http_call(guest, cluster="auth", head=HEAD, body="", trailers=b"", timeout=0, token=20):
    parts = [guest.put(part) for part in (cluster, head, body, trailers)]
    return ("proxy_http_call", *parts, timeout, guest.at(token))


def grpc_call(guest, target=TARGET, message=b"\x0a\x01x", metadata=b"", timeout=0, token=20):
    parts = [guest.put(part) for part in (target, "a.Service", "Method", metadata, message)]
    return ("proxy_grpc_call", *parts, timeout, guest.at(token))


def grpc_stream(guest, target=TARGET, token=20):
    parts = [guest.put(part) for part in (target, "a.Service", "Method", serialize([(b"k", b"v")]))]
    return ("proxy_grpc_stream", *parts, guest.at(token))


def calling(make, **options):
    def script(guest, *_):
        assert (yield make(guest, **options)) == 0
        return 1

    return script


def test_http_call_and_its_response(load):
    def on_response(guest, context, token, headers, size, trailers):
        assert (context, token, headers, size, trailers) == (1, 4, 2, 5, 1)
        assert (yield "proxy_get_buffer_bytes", 4, 0, size, guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"hello"
        assert (yield "proxy_get_header_map_value", 6, guest.put(":status"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"201"
        assert (yield "proxy_get_header_map_pairs", 7, guest.at(0), guest.at(1)) == 0
        assert deserialize(guest.returned()) == [(b"t", b"1")]
        assert (yield "proxy_add_header_map_value", 6, guest.put("a"), guest.put("b")) == 2

    guest, plugin = load(
        proxy_on_request_headers=calling(http_call, body="data", trailers=serialize([(b"a", b"b")])),
        proxy_on_http_call_response=on_response,
    )
    with plugin.stream() as stream:
        stream.request_headers(GET)
        (call,) = plugin.callouts
        assert isinstance(call, HttpCallout)
        assert (call.cluster, call.method, call.body, call.made_by) == ("auth", "POST", b"data", 2)
        assert call.headers["content-length"] == "4"
        assert call.trailers.items() == [("a", "b")]
        call.respond([(":status", "201"), ("x", "y")], "hello", [("t", "1")])
    assert plugin.callouts == []
    assert "proxy_on_http_call_response" in guest.names()


def test_broken_http_call(load):
    def on_response(guest, context, token, headers, size, trailers):
        assert (headers, size, trailers) == (0, 0, 0)
        assert (yield "proxy_get_status", guest.at(4), guest.at(0), guest.at(1)) == 0
        assert (guest.u32(4), guest.returned()) == (11, b"reset")
        assert (yield "proxy_get_buffer_bytes", 4, 0, 10, guest.at(0), guest.at(1)) == 1

    guest, plugin = load(proxy_on_tick=calling(http_call), proxy_on_http_call_response=on_response)
    plugin.tick()
    plugin.callouts[0].fail()
    assert guest.names()[-1] == "proxy_on_http_call_response"


@pytest.mark.parametrize(
    "wrong",
    [
        {"head": b""},
        {"head": serialize([(b":method", b"GET"), (b":path", b"/")])},
        {"timeout": 0x80000000},
        {"cluster": "unknown"},
    ],
)
def test_http_calls_that_cannot_be_made(load, wrong):
    def script(guest, *_):
        assert (yield http_call(guest, **wrong)) == 2
        assert guest.u32(20) == 0

    _, plugin = load(options={"clusters": ["auth"]}, proxy_on_tick=script)
    plugin.tick()
    assert plugin.callouts == []


def test_grpc_call_and_its_reply(load):
    def on_receive(guest, context, token, size):
        assert (context, token, size) == (1, 5, 3)
        assert (yield "proxy_get_buffer_bytes", 5, 0, size, guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"yes"

    options = {"metadata": serialize([(b"k", b"v")]), "timeout": 250}
    guest, plugin = load(proxy_on_request_headers=calling(grpc_call, **options), proxy_on_grpc_receive=on_receive)
    with plugin.stream() as stream:
        stream.request_headers(GET)
        (call,) = plugin.callouts
        assert isinstance(call, GrpcCallout)
        assert (call.cluster, call.service, call.method, call.timeout) == ("limiter", "a.Service", "Method", 250)
        assert (call.message, call.metadata) == (b"\x0a\x01x", [(b"k", b"v")])
        call.reply(b"yes")
        with pytest.raises(CalloutFinished):
            call.reply(b"again")
    assert guest.names().count("proxy_on_grpc_receive") == 1


def test_failed_grpc_call(load):
    def on_close(guest, context, token, status):
        assert (context, token, status) == (1, 5, 8)
        assert (yield "proxy_get_status", guest.at(4), guest.at(0), guest.at(1)) == 0
        assert (guest.u32(4), guest.returned()) == (8, b"too much")

    guest, plugin = load(proxy_on_tick=calling(grpc_call), proxy_on_grpc_close=on_close)
    plugin.tick()
    plugin.callouts[0].fail(8, "too much")
    assert guest.names()[-1] == "proxy_on_grpc_close"


def test_grpc_target_may_be_the_name_of_a_cluster(load):
    _, plugin = load(options={"clusters": ["limiter"]}, proxy_on_tick=calling(grpc_call, target="limiter"))
    plugin.tick()
    assert plugin.callouts[0].cluster == "limiter"


def test_cluster_names_that_are_valid_protobuf_are_reported(load):
    def script(guest, *_):
        assert (yield grpc_call(guest, target="my-limiter")) == 2

    _, plugin = load(proxy_on_tick=script)
    plugin.tick()
    assert "Envoy would abort" in plugin.logs[-1].text


@pytest.mark.parametrize(
    ("target", "status", "closed"),
    [
        ("unknown", 4, False),
        (b"", 2, False),
        (GrpcService(envoy_grpc=GrpcService.EnvoyGrpc(cluster_name="unknown")).SerializeToString(), 10, True),
    ],
)
@pytest.mark.parametrize("make", [grpc_call, grpc_stream])
def test_grpc_calls_that_cannot_be_made(load, make, target, status, closed):
    def script(guest, *_):
        assert (yield make(guest, target=target)) == status

    guest, plugin = load(options={"clusters": ["limiter"]}, proxy_on_tick=script)
    plugin.tick()
    assert plugin.callouts == []
    assert ("proxy_on_grpc_close" in guest.names()) is closed


def test_calls_outlive_the_stream_that_made_them(load):
    guest, plugin = load(proxy_on_request_headers=calling(grpc_call))
    with plugin.stream() as stream:
        stream.request_headers(GET)
    (call,) = plugin.callouts
    assert call.pending
    call.reply(b"late")
    assert guest.calls[-1] == ("proxy_on_grpc_receive", (1, 5, 4))


def test_calls_end_with_the_plugin(load):
    cancelled = []
    _, plugin = load(proxy_on_tick=calling(grpc_call))
    plugin.tick()
    (call,) = plugin.callouts
    call.on_cancel = lambda: cancelled.append(call)
    plugin.unload()
    assert (call.state, cancelled) == (CalloutState.CANCELLED, [call])
    with pytest.raises(CalloutFinished):
        call.reply(b"")


@pytest.mark.parametrize("make", [grpc_call, http_call])
def test_calls_time_out(load, clock, make):
    guest, plugin = load(proxy_on_tick=calling(make, timeout=200))
    plugin.tick()
    clock.advance(0.199)
    assert plugin.callouts
    clock.advance(0.001)
    assert plugin.callouts == []
    if make is grpc_call:
        assert guest.calls[-1] == ("proxy_on_grpc_close", (1, 5, 14))
    else:
        assert guest.calls[-1] == ("proxy_on_http_call_response", (1, 4, 3, 24, 0))


def test_answered_calls_do_not_time_out(load, clock):
    guest, plugin = load(proxy_on_tick=calling(grpc_call, timeout=200))
    plugin.tick()
    plugin.callouts[0].reply(b"")
    clock.advance(1)
    assert "proxy_on_grpc_close" not in guest.names()


@pytest.mark.parametrize("function", ["proxy_grpc_cancel", "proxy_grpc_close"])
def test_plugin_gives_a_call_up(load, function):
    def script(guest, *_):
        assert (yield grpc_call(guest)) == 0
        assert (yield function, guest.u32(20)) == 0
        assert (yield function, guest.u32(20)) == 1
        assert (yield function, 6) == 1
        assert (yield function, 4) == 2
        assert (yield function, 7) == 2

    _, plugin = load(proxy_on_tick=script)
    plugin.tick()
    assert plugin.callouts == []


def test_grpc_stream_in_both_directions(load):
    def script(guest, *_):
        assert (yield grpc_stream(guest)) == 0
        assert (yield "proxy_grpc_send", guest.u32(20), guest.put("one"), 0) == 0
        assert (yield "proxy_grpc_send", guest.u32(20), guest.put("two"), 1) == 0

    def on_metadata(guest, context, token, count):
        assert (token, count) == (6, 1)
        assert (yield "proxy_get_header_map_value", 4, guest.put("m"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"1"

    def on_trailing(guest, context, token, count):
        assert (yield "proxy_get_header_map_value", 5, guest.put("t"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"2"

    def on_close(guest, context, token, status):
        assert status == 0
        assert (yield "proxy_grpc_close", token) == 0

    guest, plugin = load(
        proxy_on_tick=script,
        proxy_on_grpc_receive_initial_metadata=on_metadata,
        proxy_on_grpc_receive_trailing_metadata=on_trailing,
        proxy_on_grpc_close=on_close,
    )
    plugin.tick()
    (stream,) = plugin.callouts
    assert isinstance(stream, GrpcStream)
    assert (stream.messages, stream.half_closed, stream.metadata) == ([b"one", b"two"], True, [(b"k", b"v")])
    stream.send_initial_metadata([("m", "1")])
    stream.reply(b"a")
    stream.reply(b"b")
    stream.send_trailing_metadata([("t", "2")])
    stream.close()
    assert guest.names()[-5:] == [
        "proxy_on_grpc_receive_initial_metadata",
        "proxy_on_grpc_receive",
        "proxy_on_grpc_receive",
        "proxy_on_grpc_receive_trailing_metadata",
        "proxy_on_grpc_close",
    ]
    assert plugin.callouts == []
    with pytest.raises(CalloutFinished):
        stream.reply(b"c")


def test_grpc_send_needs_a_stream(load):
    def script(guest, *_):
        assert (yield grpc_call(guest)) == 0
        assert (yield "proxy_grpc_send", guest.u32(20), guest.put("x"), 0) == 2
        assert (yield "proxy_grpc_send", 6, guest.put("x"), 0) == 1

    _, plugin = load(proxy_on_tick=script)
    plugin.tick()


def test_drivers_are_told_of_calls_and_may_answer_at_once(load):
    def on_receive(guest, context, token, size):
        assert (yield "proxy_set_effective_context", 2) == 0
        assert (yield "proxy_continue_stream", 0) == 0

    _, plugin = load(proxy_on_request_headers=calling(grpc_call), proxy_on_grpc_receive=on_receive)
    plugin.on_callout = lambda call: call.reply(b"ok")
    with plugin.stream() as stream:
        stream.request_headers(GET)
        assert stream.request.passed_headers
    assert plugin.callouts == []
