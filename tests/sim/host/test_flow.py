"""Pausing, resuming, buffering, local replies and resets, as a real Envoy 1.40 was seen to do them."""

import pytest

from host_sim.host import Action
from host_sim.host.pairs import serialize

POST = [(":method", "POST"), (":path", "/p"), (":authority", "h")]
OK = [(":status", "200"), ("content-type", "text/plain")]
REQUEST, RESPONSE = 0, 1


def resume(direction):
    def script(guest, context):
        newest = max(arguments[0] for name, arguments in guest.calls if name == "proxy_on_context_create")
        assert (yield "proxy_set_effective_context", newest) == 0
        assert (yield "proxy_continue_stream", direction) == 0

    return script


def body_sizes(guest, name):
    return [(size, end) for call, (_, size, end) in [c for c in guest.calls if c[0] == name]]


def test_everything_passes_as_it_comes(load):
    _, plugin = load()
    with plugin.stream() as stream:
        outcome = stream.request_headers(POST)
        assert outcome.action is Action.CONTINUE
        assert outcome.passed.headers.items() == POST
        assert not outcome.passed.end_of_stream
        assert stream.request_body("ab").passed.body == b"ab"
        outcome = stream.request_body("cd", end_of_stream=True)
        assert (outcome.passed.headers, outcome.passed.body, outcome.passed.end_of_stream) == (None, b"cd", True)
    assert stream.request.body == b"abcd"


def test_pause_at_headers_keeps_body_and_trailers_outside(load):
    guest, plugin = load(proxy_on_request_headers=lambda *_: 1, proxy_on_tick=resume(REQUEST))
    with plugin.stream() as stream:
        assert stream.request_headers(POST).action is Action.PAUSE
        assert stream.request_body("ab").action is Action.PAUSE
        assert stream.request_body("cd").action is Action.PAUSE
        assert stream.request_trailers([("t", "1")]).action is Action.PAUSE
        assert "proxy_on_request_body" not in guest.names()
        assert (stream.request.passed_headers, stream.request.body) == (False, b"")
        plugin.tick()
        assert body_sizes(guest, "proxy_on_request_body") == [(4, 0)]
        passed = stream.request.take()
        assert passed.headers.items() == POST
        assert (passed.body, passed.trailers.items(), passed.end_of_stream) == (b"abcd", [("t", "1")], True)


def test_headers_can_be_changed_while_paused_and_not_after(load):
    def change(guest, context):
        assert (yield "proxy_set_effective_context", 2) == 0
        assert (yield "proxy_add_header_map_value", 0, guest.put("x-user"), guest.put("u")) == 0
        assert (yield "proxy_continue_stream", REQUEST) == 0
        assert (yield "proxy_add_header_map_value", 0, guest.put("x-user"), guest.put("u")) == 0

    _, plugin = load(proxy_on_request_headers=lambda *_: 1, proxy_on_tick=change)
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=True)
        plugin.tick()
        assert stream.request.headers.values("x-user") == ["u", "u"]
        assert stream.request.take().end_of_stream


def test_paused_body_is_shown_whole_each_time(load):
    seen = []

    def on_body(guest, context, size, end):
        assert (yield "proxy_get_buffer_bytes", 0, 0, size, guest.at(0), guest.at(1)) == 0
        seen.append(guest.returned())
        if end:
            assert (yield "proxy_set_buffer_bytes", 0, 0, size, guest.put("<" + guest.returned().decode() + ">")) == 0
        return 0 if end else 1

    _guest, plugin = load(proxy_on_request_body=on_body)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert stream.request_body("ab").action is Action.PAUSE
        assert stream.request_body("cd").passed.body == b""
        outcome = stream.request_body("", end_of_stream=True)
        assert (outcome.action, outcome.passed.body, outcome.passed.end_of_stream) == (Action.CONTINUE, b"<abcd>", True)
    assert seen == [b"ab", b"abcd", b"abcd"]


def test_resuming_a_paused_body_passes_it_without_asking_again(load):
    guest, plugin = load(proxy_on_response_body=lambda *_: 1, proxy_on_tick=resume(RESPONSE))
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=True)
        stream.response_headers(OK)
        stream.response_body("ab")
        stream.response_body("cd", end_of_stream=True)
        plugin.tick()
        assert (stream.response.body, stream.response.passed_end) == (b"abcd", True)
    assert len(body_sizes(guest, "proxy_on_response_body")) == 2


def test_resuming_inside_the_body_callback_sends_nothing_twice(load):
    def on_body(guest, *_):
        assert (yield "proxy_continue_stream", REQUEST) == 0
        return 1

    guest, plugin = load(proxy_on_request_body=on_body)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        stream.request_body("abc")
        stream.request_body("def")
        stream.request_body("", end_of_stream=True)
        assert stream.request.body == b"abcdef"
    assert body_sizes(guest, "proxy_on_request_body") == [(3, 0), (6, 0), (0, 1)]


def test_resuming_inside_the_headers_callback_passes_headers_but_then_stops(load):
    def on_headers(guest, *_):
        assert (yield "proxy_continue_stream", REQUEST) == 0
        assert (yield "proxy_get_header_map_value", 0, guest.put(":path"), guest.at(0), guest.at(1)) in (0, 2)
        return 1

    _guest, plugin = load(proxy_on_request_headers=on_headers)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert stream.request.passed_headers
        assert stream.request_body("abc", end_of_stream=True).action is Action.PAUSE
        assert stream.request.body == b""


def test_resuming_what_is_not_paused_changes_nothing(load):
    _guest, plugin = load(proxy_on_tick=resume(RESPONSE))
    with plugin.stream() as stream:
        stream.request_headers(POST)
        plugin.tick()
        assert not stream.response.passed_headers
    assert plugin.failure is None


@pytest.mark.parametrize(("result", "passes"), [(0, True), (1, False), (2, True), (3, False), (4, False), (9, False)])
def test_actions_beyond_the_abis_own_at_headers(load, result, passes):
    _, plugin = load(proxy_on_request_headers=lambda *_: result)
    with plugin.stream() as stream:
        assert (stream.request_headers(POST).action is Action.CONTINUE) is passes


def test_body_dropped_by_stop_without_buffering(load):
    _, plugin = load(proxy_on_response_body=lambda guest, context, size, end: 0 if end else 3)
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=True)
        stream.response_headers(OK)
        stream.response_body("lost")
        stream.response_body("kept", end_of_stream=True)
        assert stream.response.body == b"kept"


def reply(status=403, details="det", body="no", headers=((b"X-A", b"1"),), grpc=0xFFFFFFFF):
    def script(guest, *_):
        pairs = guest.put(serialize(list(headers)))
        call = "proxy_send_local_response"
        assert (yield call, status, guest.put(details), guest.put(body), pairs, grpc) == 0

    return script


def test_local_reply_goes_through_the_filters_own_response_callbacks(load):
    def on_response(guest, context, count, end):
        assert (count, end) == (4, 0)
        assert (yield "proxy_add_header_map_value", 2, guest.put("z"), guest.put("1")) == 0

    guest, plugin = load(proxy_on_request_headers=reply(), proxy_on_response_headers=on_response)
    with plugin.stream() as stream:
        outcome = stream.request_headers(POST)
        assert outcome.action is Action.PAUSE
        assert (outcome.local_reply.status, outcome.local_reply.details) == (403, "det")
        assert stream.response.headers.items() == [
            (":status", "403"),
            ("x-a", "1"),
            ("content-length", "2"),
            ("content-type", "text/plain"),
            ("z", "1"),
        ]
        assert (stream.response.body, stream.response.passed_end) == (b"no", True)
        assert stream.request_body("ignored").action is Action.PAUSE
    assert not stream.request.passed_headers
    assert body_sizes(guest, "proxy_on_response_body") == [(2, 1)]
    assert "proxy_on_request_body" not in guest.names()


def test_first_local_reply_stands(load):
    def twice(guest, *_):
        yield from reply()(guest)
        yield from reply(404, "det2", "no2")(guest)

    _, plugin = load(proxy_on_request_headers=twice)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert stream.response.headers[":status"] == "403"
        assert stream.details == "det2"


def test_local_reply_to_grpc_is_trailers_only(load):
    _, plugin = load(proxy_on_request_headers=reply(grpc=0xFFFFFFFF))
    with plugin.stream() as stream:
        stream.request_headers([*POST, ("content-type", "application/grpc")])
        assert stream.response.headers.items() == [
            (":status", "200"),
            ("x-a", "1"),
            ("content-type", "application/grpc"),
            ("grpc-status", "7"),
            ("grpc-message", "no"),
        ]
        assert (stream.response.body, stream.response.passed_end) == (b"", True)


def test_local_reply_without_body_has_no_content_headers(load):
    custom = ((b"content-type", b"a/b"), (b"content-length", b"7"))
    _, plugin = load(proxy_on_request_headers=reply(429, "", "", custom))
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert stream.response.headers.items() == [(":status", "429")]


def test_local_reply_in_place_of_a_response_is_not_filtered(load):
    guest, plugin = load(proxy_on_response_headers=reply())
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=True)
        stream.response_headers(OK)
        stream.response_body("from upstream", end_of_stream=True)
        assert (stream.response.headers[":status"], stream.response.body) == ("403", b"no")
    assert "proxy_on_response_body" not in guest.names()


def test_local_reply_behind_response_headers_resets(load):
    _, plugin = load(proxy_on_response_body=reply())
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=True)
        stream.response_headers(OK)
        stream.response_body("from upstream", end_of_stream=True)
        assert stream.reset
        assert (stream.details, stream.response.body, stream.response.headers[":status"]) == ("det", b"", "200")


def test_local_reply_from_a_later_callback(load):
    def on_tick(guest, context):
        assert (yield "proxy_set_effective_context", 2) == 0
        yield from reply(401)(guest)

    _, plugin = load(proxy_on_request_headers=lambda *_: 1, proxy_on_tick=on_tick)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        plugin.tick()
        assert stream.local_reply.status == 401
        assert stream.response.headers[":status"] == "401"


@pytest.mark.parametrize("direction", [REQUEST, RESPONSE])
def test_closing_resets(load, direction):
    def on_headers(guest, *_):
        assert (yield "proxy_close_stream", direction) == 0

    _, plugin = load(proxy_on_request_headers=on_headers)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert (stream.reset, stream.details) == (True, "wasm_close_stream")


def test_stream_types_that_do_not_exist(load):
    def on_headers(guest, *_):
        assert (yield "proxy_continue_stream", 4) == 2
        assert (yield "proxy_close_stream", 4) == 2
        assert (yield "proxy_continue_stream", 2) == 0
        assert (yield "proxy_close_stream", 2) == 0

    _, plugin = load(proxy_on_request_headers=on_headers)
    with plugin.stream() as stream:
        stream.request_headers(POST)
        assert not stream.reset


def test_continuing_in_the_access_log_is_reported(load):
    def on_log(guest, *_):
        assert (yield "proxy_continue_stream", RESPONSE) == 0

    _, plugin = load(proxy_on_log=on_log)
    with plugin.stream() as stream:
        stream.request_headers(POST)
    assert "Envoy would crash" in plugin.logs[-1].text


@pytest.mark.parametrize(("direction", "status"), [("request", "413"), ("response", "500")])
def test_held_bodies_are_limited(load, direction, status):
    options = {"buffer_limit": 10}
    _, plugin = load(options=options, **{f"proxy_on_{direction}_body": lambda *_: 1, "proxy_on_response_headers": None})
    with plugin.stream() as stream:
        stream.request_headers(POST, end_of_stream=direction == "response")
        if direction == "request":
            stream.request_body("12345678")
            assert stream.local_reply is None
            stream.request_body("901")
            assert stream.response.headers[":status"] == status
        else:
            stream.response_headers(OK)
            stream.response_body("12345678")
            stream.response_body("901")
            assert stream.reset
