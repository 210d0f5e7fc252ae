"""Header maps and buffers through the ABI. Statuses and orders are what Envoy 1.40 gives for the same calls."""

import pytest

from host_sim.host import Action
from host_sim.host.pairs import deserialize, serialize

REQUEST = [(":authority", "h"), (":path", "/p"), (":method", "GET"), ("Accept", "a"), ("x-a", "1"), ("x-b", "1")]
REQUEST_HEADERS, REQUEST_TRAILERS, RESPONSE_HEADERS, RESPONSE_TRAILERS = range(4)


def run(load, *, request=REQUEST, end=True, **scripts):
    """Plays a request and its response through the scripts; a failed assertion in a script fails the test."""
    guest, plugin = load(**scripts)
    with plugin.stream() as stream:
        stream.request_headers(request, end_of_stream=end)
        if not end:
            stream.request_body("body", end_of_stream=True)
        stream.response_headers([(":status", "200"), ("content-type", "text/plain")])
        stream.response_body("hello", end_of_stream=True)
    return guest, stream


def test_values_are_read_without_regard_to_case(load):
    def on_headers(guest, *_):
        assert (yield "proxy_get_header_map_value", 0, guest.put("ACCEPT"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"a"
        assert (yield "proxy_get_header_map_value", 0, guest.put("none"), guest.at(0), guest.at(1)) == 1
        assert (yield "proxy_get_header_map_value", 0, guest.put("host"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"h"

    run(load, proxy_on_request_headers=on_headers)


def test_added_values_join_single_headers_and_repeat_others(load):
    def on_headers(guest, *_):
        for name in ("accept", "x-a", "cookie", "cookie"):
            assert (yield "proxy_add_header_map_value", 0, guest.put(name), guest.put("2")) == 0

    _, stream = run(load, proxy_on_request_headers=on_headers)
    assert stream.request.headers.items()[3:] == [
        ("accept", "a,2"),
        ("x-a", "1"),
        ("x-b", "1"),
        ("x-a", "2"),
        ("cookie", "2"),
        ("cookie", "2"),
    ]


def test_replaced_values_go_last_and_pseudo_headers_stay_in_front(load):
    def on_headers(guest, *_):
        assert (yield "proxy_replace_header_map_value", 0, guest.put("x-a"), guest.put("new")) == 0
        assert (yield "proxy_replace_header_map_value", 0, guest.put(":path"), guest.put("/q")) == 0
        assert (yield "proxy_remove_header_map_value", 0, guest.put("X-B")) == 0

    _, stream = run(load, proxy_on_request_headers=on_headers)
    names = [(":authority", "h"), (":method", "GET"), (":path", "/q"), ("accept", "a"), ("x-a", "new")]
    assert stream.request.headers.items() == names


def test_whole_maps_are_read_and_set(load):
    def on_headers(guest, *_):
        assert (yield "proxy_get_header_map_pairs", 0, guest.at(0), guest.at(1)) == 0
        assert deserialize(guest.returned()) == [(n.lower().encode(), v.encode()) for n, v in REQUEST]
        assert (yield "proxy_get_header_map_size", 0, guest.at(0)) == 0
        assert guest.u32(0) == sum(len(n) + len(v) for n, v in REQUEST)
        assert (yield "proxy_set_header_map_pairs", 0, guest.put(serialize([(b"X-New", b"1"), (b":path", b"/")]))) == 0

    _, stream = run(load, proxy_on_request_headers=on_headers)
    assert stream.request.headers.items() == [(":path", "/"), ("x-new", "1")]


def test_malformed_pairs_empty_the_map(load):
    def on_headers(guest, *_):
        assert (yield "proxy_set_header_map_pairs", 0, guest.put(b"\1\0\0\0")) == 0
        assert (yield "proxy_get_header_map_pairs", 0, guest.at(0), guest.at(1)) == 0
        assert (guest.u32(0), guest.u32(1)) == (0, 0)

    run(load, proxy_on_request_headers=on_headers)


@pytest.mark.parametrize("type", [1, 2, 3, 4, 5, 6, 7])
def test_maps_that_are_not_there(load, type):
    def on_headers(guest, *_):
        assert (yield "proxy_get_header_map_value", type, guest.put("a"), guest.at(0), guest.at(1)) == 2
        assert (yield "proxy_add_header_map_value", type, guest.put("a"), guest.put("b")) == 2
        assert (yield "proxy_replace_header_map_value", type, guest.put("a"), guest.put("b")) == 2
        assert (yield "proxy_remove_header_map_value", type, guest.put("a")) == 2
        assert (yield "proxy_set_header_map_pairs", type, guest.put(serialize([]))) == 2
        assert (yield "proxy_get_header_map_size", type, guest.at(0)) == 2
        assert (yield "proxy_get_header_map_pairs", type, guest.at(0), guest.at(1)) == 0
        assert guest.u32(1) == 0

    run(load, proxy_on_request_headers=on_headers)


@pytest.mark.parametrize("type", [8, 9, 0xFFFFFFFF])
def test_map_types_that_do_not_exist(load, type):
    def on_headers(guest, *_):
        for name in ("get_header_map_value", "add_header_map_value", "replace_header_map_value"):
            assert (yield f"proxy_{name}", type, guest.put("a"), guest.at(0), guest.at(1)) == 2
        assert (yield "proxy_remove_header_map_value", type, guest.put("a")) == 2
        assert (yield "proxy_get_header_map_pairs", type, guest.at(0), guest.at(1)) == 2
        assert (yield "proxy_set_header_map_pairs", type, guest.put("")) == 2
        assert (yield "proxy_get_header_map_size", type, guest.at(0)) == 2

    run(load, proxy_on_request_headers=on_headers)


def test_headers_that_have_gone_on_are_hidden_until_the_access_log(load):
    def in_response(guest, *_):
        assert (yield "proxy_get_header_map_value", 0, guest.put("x-a"), guest.at(0), guest.at(1)) == 2

    def in_log(guest, *_):
        assert (yield "proxy_get_header_map_value", 0, guest.put("x-a"), guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"1"
        assert (yield "proxy_get_header_map_value", 2, guest.put("content-type"), guest.at(0), guest.at(1)) == 0
        assert (yield "proxy_add_header_map_value", 0, guest.put("x"), guest.put("y")) == 2

    guest, _ = run(load, proxy_on_response_headers=in_response, proxy_on_log=in_log)
    assert "proxy_on_log" in guest.names()


def test_trailers_can_be_read_and_changed(load):
    def on_trailers(guest, context, count):
        assert count == 1
        assert (yield "proxy_add_header_map_value", REQUEST_TRAILERS, guest.put("t2"), guest.put("2")) == 0

    def on_response_trailers(guest, context, count):
        assert (yield "proxy_replace_header_map_value", RESPONSE_TRAILERS, guest.put("t"), guest.put("3")) == 0

    _, plugin = load(proxy_on_request_trailers=on_trailers, proxy_on_response_trailers=on_response_trailers)
    with plugin.stream() as stream:
        stream.request_headers(REQUEST)
        outcome = stream.request_trailers([("T", "1")])
        assert outcome.action is Action.CONTINUE
        assert outcome.passed.trailers.items() == [("t", "1"), ("t2", "2")]
        assert outcome.passed.end_of_stream
        stream.response_headers([(":status", "200")])
        assert stream.response_trailers([("t", "1")]).passed.trailers.items() == [("t", "3")]


def test_buffers_outside_their_callbacks(load):
    expected = [0, 0, 0, 0, 1, 0, 0, 1, 0, 2, 2]
    written = [2, 2, 2, 2, 1, 2, 2, 1, 2, 2, 2]

    def on_headers(guest, *_):
        for type, status in enumerate(expected):
            assert (yield "proxy_get_buffer_bytes", type, 0, 100, guest.at(0), guest.at(1)) == status
            assert (yield "proxy_get_buffer_status", type, guest.at(0), guest.at(1)) == status
            assert (yield "proxy_set_buffer_bytes", type, 0, 100, guest.put("x")) == written[type]

    run(load, proxy_on_request_headers=on_headers)


@pytest.mark.parametrize(
    ("start", "length", "bytes_"),
    [(0, 100, b"hello"), (1, 2, b"el"), (9, 2, b""), (5, 1, b""), (0, 0, b""), (1, 0xFFFFFFFF, b"ello")],
)
def test_parts_of_a_body(load, start, length, bytes_):
    def on_body(guest, context, size, end):
        assert (size, end) == (5, 1)
        assert (yield "proxy_get_buffer_bytes", 1, start, length, guest.at(0), guest.at(1)) == 0
        assert guest.returned() == bytes_
        assert (yield "proxy_get_buffer_status", 1, guest.at(0), guest.at(1)) == 0
        assert (guest.u32(0), guest.u32(1)) == (5, 0)

    run(load, proxy_on_response_body=on_body)


@pytest.mark.parametrize(
    ("start", "length", "status", "left"),
    [
        (0, 0, 0, b"++hello"),
        (0, 2, 0, b"++llo"),
        (0, 5, 0, b"++"),
        (0, 0xFFFFFFFF, 0, b"++"),
        (5, 0, 0, b"hello++"),
        (99, 1, 0, b"hello++"),
        (1, 1, 2, b"hello"),
        (4, 0, 2, b"hello"),
    ],
)
def test_changes_of_a_body(load, start, length, status, left):
    def on_body(guest, *_):
        assert (yield "proxy_set_buffer_bytes", 1, start, length, guest.put("++")) == status

    _, stream = run(load, proxy_on_response_body=on_body)
    assert stream.response.body == left


def test_configuration_is_only_there_while_configuring(load):
    def on_start(guest, context, size):
        assert size == 6
        assert (yield "proxy_get_buffer_bytes", 6, 0, size, guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"for vm"
        assert (yield "proxy_get_buffer_bytes", 7, 0, size, guest.at(0), guest.at(1)) == 1
        return 1

    def on_configure(guest, context, size):
        assert (yield "proxy_get_buffer_bytes", 7, 0, size, guest.at(0), guest.at(1)) == 0
        assert guest.returned() == b"for plugin"
        return 1

    guest, plugin = load(
        b"for plugin", vm_configuration="for vm", proxy_on_vm_start=on_start, proxy_on_configure=on_configure
    )
    assert plugin.failure is None
    assert "proxy_on_configure" in guest.names()
