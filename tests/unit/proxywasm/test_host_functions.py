"""Every host function, through the SDK's own names for it."""

import pytest
from proxywasm import (
    Action,
    BufferType,
    Counter,
    Gauge,
    Histogram,
    HostError,
    HttpContext,
    LogLevel,
    MapType,
    MetricType,
    RootContext,
    SharedQueue,
    Status,
    StreamType,
    TcpContext,
    dispatch,
    get_log_level,
    get_shared,
    log,
    set_shared,
    update_shared,
)
from proxywasm.log import now
from proxywasm.vm import VM

HEADERS = [(":path", "/a"), ("x", "1"), ("x", "2"), ("raw", "\udcff\udcfe")]


class Root(RootContext):
    def create_stream(self, context_id):
        return HttpContext(context_id, self)


class TcpRoot(RootContext):
    def create_stream(self, context_id):
        return TcpContext(context_id, self)


@pytest.fixture
def stream(host):
    """An HTTP stream in whose callback the test runs."""
    context_id = host.stream(host.start(Root))
    side = host.sides[context_id]
    side.maps = {map_type: list(HEADERS) for map_type in MapType}
    side.buffers = {BufferType.HTTP_REQUEST_BODY: b"request", BufferType.HTTP_RESPONSE_BODY: b"response"}
    host.effective = VM.current = context_id
    return VM.contexts[context_id]


@pytest.fixture
def side(host, stream):
    return host.sides[stream.id]


MAPS = {
    "request_headers": MapType.HTTP_REQUEST_HEADERS,
    "request_trailers": MapType.HTTP_REQUEST_TRAILERS,
    "response_headers": MapType.HTTP_RESPONSE_HEADERS,
    "response_trailers": MapType.HTTP_RESPONSE_TRAILERS,
}


@pytest.mark.parametrize("name", MAPS)
def test_headers_and_trailers(stream, side, name):
    headers = getattr(stream, name)
    mine = side.maps[MAPS[name]]
    assert headers.get("x") == headers["x"] == "1"
    assert headers.get("y") is None
    assert "x" in headers
    assert "y" not in headers
    with pytest.raises(KeyError, match="y"):
        headers["y"]
    assert headers.pairs() == HEADERS
    assert headers.byte_size() == sum(len(name) + len(value) for name, value in HEADERS)
    headers.add("x", "3")
    assert mine[-1] == ("x", "3")
    headers["x"] = "only"
    assert [value for key, value in mine if key == "x"] == ["only"]
    del headers["x"]
    del headers["x"]
    assert headers.get("x") is None
    headers["back"] = headers["raw"]
    assert mine[-1] == ("back", "\udcff\udcfe")
    headers.replace([("a", "1"), ("a", "\udc80")])
    assert mine == [("a", "1"), ("a", "\udc80")]
    headers.replace([])
    assert mine == headers.pairs() == []
    assert [key for key, value in side.maps.items() if value != HEADERS] == [MAPS[name]]


def test_a_map_that_is_not_there_has_no_pairs_and_cannot_be_read(stream, side):
    side.maps.clear()
    assert stream.response_trailers.pairs() == []
    with pytest.raises(HostError, match=r"proxy_get_header_map_value answered BAD_ARGUMENT \(2\)"):
        stream.response_trailers.get("x")


@pytest.mark.parametrize(("name", "kind"), [("request_body", 0), ("response_body", 1)])
def test_bodies(stream, side, name, kind):
    body = getattr(stream, name)
    whole = side.buffers[BufferType(kind)]
    assert body.size() == len(whole)
    assert body.read() == whole
    assert body.read(2, 3) == whole[2:5]
    assert body.read(100) == b""
    body.prepend(b"<")
    body.append(b">")
    assert body.read() == b"<" + whole + b">"
    body.replace(b"", 0, 1)
    assert body.read() == whole + b">"
    body.replace(b"\xff")
    assert body.read() == b"\xff"


def test_a_buffer_that_is_not_there(stream, side):
    side.buffers.clear()
    assert stream.request_body.read() == b""
    assert stream.request_body.size() == 0
    with pytest.raises(HostError, match="NOT_FOUND"):
        stream.request_body.replace(b"x")


def test_local_response(stream, side):
    stream.send_local_response(429, b"slow down", [("retry-after", "1"), ("raw", "\udcff")], "limited", 8)
    stream.send_local_response(204)
    assert side.replies == [
        (429, b"slow down", [("retry-after", "1"), ("raw", "\udcff")], "limited", 8),
        (204, b"", [], "", 0xFFFFFFFF),
    ]


def test_streams_go_on_or_end(stream, side):
    stream.continue_stream(StreamType.HTTP_REQUEST)
    stream.continue_stream(StreamType.HTTP_RESPONSE)
    stream.close_stream(StreamType.HTTP_RESPONSE)
    assert side.continued == [StreamType.HTTP_REQUEST, StreamType.HTTP_RESPONSE]
    assert side.closed == [StreamType.HTTP_RESPONSE]


def test_tcp_data(host, monkeypatch):
    context_id = host.stream(host.start(TcpRoot), "tcp")
    side = host.sides[context_id]
    side.buffers = {BufferType.DOWNSTREAM_DATA: b"ping", BufferType.UPSTREAM_DATA: b"pong"}
    seen = []

    def on_downstream_data(self, size, end_of_stream):
        seen.append(self.downstream_data.read(0, size))
        self.upstream_data.replace(b"changed")
        self.close_stream(StreamType.UPSTREAM)
        self.continue_stream(StreamType.DOWNSTREAM)
        return Action.CONTINUE

    monkeypatch.setattr(TcpContext, "on_downstream_data", on_downstream_data)
    host.call(dispatch.on_downstream_data, context_id, 4, 0)
    assert host.errors() == []
    assert seen == [b"ping"]
    assert side.buffers[BufferType.UPSTREAM_DATA] == b"changed"
    assert (side.closed, side.continued) == ([StreamType.UPSTREAM], [StreamType.DOWNSTREAM])


def test_log_and_clock(host, stream):
    log(LogLevel.WARN, "careful")
    stream.log(LogLevel.CRITICAL, "raw \udcff")
    assert host.logs == [(LogLevel.WARN, "careful"), (LogLevel.CRITICAL, "raw \udcff")]
    assert get_log_level() is LogLevel.INFO
    assert now() == host.now


def test_foreign_functions(host, stream):
    host.foreign["double"] = lambda data: data * 2
    assert stream.call_foreign_function("double", b"\xff") == b"\xff\xff"
    with pytest.raises(HostError) as refused:
        stream.call_foreign_function("triple")
    assert refused.value.status is Status.NOT_FOUND


def test_metrics(host):
    counter, gauge, histogram = Counter("requests"), Gauge("open"), Histogram("size")
    counter.increment()
    counter.increment(2**40)
    gauge.set(10)
    gauge.add(-3)
    histogram.record(5)
    assert (counter.value, gauge.value) == (1 + 2**40, 7)
    assert Counter("requests").id == counter.id
    assert host.metrics == [
        (MetricType.COUNTER, "requests", 1 + 2**40),
        (MetricType.GAUGE, "open", 7),
        (MetricType.HISTOGRAM, "size", 5),
    ]
    with pytest.raises(HostError):
        _ = histogram.value
    with pytest.raises(HostError):
        counter.increment(-1)


def test_shared_data(host):
    assert get_shared("key") is None
    assert set_shared("key", b"\xff")
    assert get_shared("key") == (b"\xff", 1)
    assert set_shared("key", b"b", 1)
    assert not set_shared("key", b"c", 1)
    assert get_shared("key") == (b"b", 2)


def test_update_shared_tries_again_when_another_was_faster(host):
    set_shared("key", b"1")
    seen = []

    def change(value):
        seen.append(value)
        if len(seen) < 3:
            set_shared("key", value + b"!")
        return value + b"."

    assert update_shared("key", change) == b"1!!."
    assert seen == [b"1", b"1!", b"1!!"]


def test_update_shared_gives_up(host):
    set_shared("key", b"")

    def change(value):
        set_shared("key", b"")
        return b"lost"

    with pytest.raises(HostError) as refused:
        update_shared("key", change)
    assert refused.value.status is Status.CAS_MISMATCH
    assert get_shared("key")[0] == b""


def test_update_shared_makes_the_key(host):
    assert update_shared("new", lambda value: b"made" if value is None else b"found") == b"made"


def test_shared_queues(host):
    queue = SharedQueue.register("jobs")
    assert SharedQueue.register("jobs").id == queue.id
    found = SharedQueue.resolve("vm", "jobs")
    assert found is not None
    assert found.id == queue.id
    assert SharedQueue.resolve("vm", "other") is None
    assert SharedQueue.resolve("another", "jobs") is None
    assert queue.dequeue() is None
    found.enqueue(b"\xff")
    found.enqueue(b"")
    assert [queue.dequeue(), queue.dequeue(), queue.dequeue()] == [b"\xff", b"", None]
    with pytest.raises(HostError, match="NOT_FOUND"):
        SharedQueue(9).enqueue(b"x")


def test_without_a_host_it_says_how_to_install_one():
    VM.reset(None)
    with pytest.raises(RuntimeError, match=r"proxywasm\.vm\.VM\.reset"):
        log(LogLevel.INFO, "x")


def test_a_status_outside_the_specification():
    error = HostError(99, "proxy_log")
    assert (error.status, str(error)) == (99, "proxy_log answered unknown status (99)")
