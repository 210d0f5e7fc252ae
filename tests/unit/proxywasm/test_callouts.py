"""Call-outs: replies and failures find their callback, or nobody when the stream that asked is gone."""

import pytest
from proxywasm import (
    Action,
    BufferType,
    HostError,
    HttpContext,
    MapType,
    RootContext,
    Status,
    StreamType,
    dispatch,
)
from proxywasm.vm import VM

from tests.unit.proxywasm.recorder import Listener, Record

TARGET = b"\x0a\x07limiter"
GET = [(":method", "GET"), (":path", "/"), (":authority", "auth")]


class Root(RootContext):
    def create_stream(self, context_id):
        return HttpContext(context_id, self)


@pytest.fixture
def root(host):
    return VM.contexts[host.start(Root)]


@pytest.fixture
def stream(host, root):
    return VM.contexts[host.stream(root.id)]


def during(host, context, work):
    """Run `work` in a callback of `context`."""

    def callback(context_id):
        VM.current = context_id
        work()

    host.call(callback, context.id)


def respond(host, root, call_id, headers=((":status", "200"),), body=b"", trailers=()):
    """`proxy_on_http_call_response` as Envoy has it: in the root context, also when a stream made the call."""
    side = host.sides[root.id]
    if headers:
        side.maps[MapType.HTTP_CALL_RESPONSE_HEADERS] = list(headers)
        side.maps[MapType.HTTP_CALL_RESPONSE_TRAILERS] = list(trailers)
        side.buffers[BufferType.HTTP_CALL_RESPONSE_BODY] = body
    host.call(dispatch.on_http_call_response, root.id, call_id, len(headers), len(body), len(trailers))
    side.maps.clear()
    side.buffers.clear()


def receive(host, root, call_id, message):
    host.sides[root.id].buffers[BufferType.GRPC_CALL_MESSAGE] = message
    host.call(dispatch.on_grpc_receive, root.id, call_id, len(message))
    host.sides[root.id].buffers.clear()


def close(host, root, call_id, status, detail=""):
    host.status = (status, detail)
    host.call(dispatch.on_grpc_close, root.id, call_id, status)


@pytest.mark.parametrize("made_by", ["root", "stream"])
def test_http_reply(host, root, stream, made_by):
    replies = []

    def on_reply(reply):
        replies.append((reply.failed, reply.status, reply.headers["x"], reply.body(), reply.trailers.pairs()))

    caller = root if made_by == "root" else stream
    during(host, caller, lambda: caller.http_call("auth", GET, on_reply, b"data", [("t", "1")], timeout=250))
    assert host.calls == [("http_call", 1, ("auth", GET, b"data", [("t", "1")], 250))]
    respond(host, root, 1, [(":status", "418"), ("x", "y")], b"tea", [("end", "yes")])
    assert replies == [(False, 418, "y", b"tea", [("end", "yes")])]
    respond(host, root, 1)
    assert len(replies) == 1
    assert host.errors() == []
    assert caller.call_ids == []


def test_http_without_a_response(host, root, stream):
    replies = []
    during(host, stream, lambda: stream.http_call("auth", GET, replies.append))
    respond(host, root, 1, headers=())
    (reply,) = replies
    assert (reply.failed, reply.status, reply.body()) == (True, 0, b"")


def test_a_status_that_is_no_number(host, root, stream):
    seen = []
    during(host, stream, lambda: stream.http_call("auth", GET, lambda reply: seen.append(reply.status)))
    respond(host, root, 1, [(":status", "²00")])
    assert seen == [0]
    assert host.errors() == []


def test_a_call_that_cannot_be_made(host, stream):
    def work():
        with pytest.raises(HostError) as refused:
            stream.http_call("unknown", GET, pytest.fail)
        assert refused.value.status is Status.BAD_ARGUMENT
        with pytest.raises(HostError):
            stream.grpc_call(b"", "a.Service", "Method", b"", pytest.fail)

    during(host, stream, work)
    assert stream.call_ids == []
    assert VM.http_calls == VM.grpc_calls == {}


def test_unary_reply(host, root, stream):
    replies = []
    during(
        host,
        stream,
        lambda: stream.grpc_call(TARGET, "a.S", "M", b"\xff", replies.append, 100, [("k", "v")]),
    )
    assert host.calls == [("grpc_call", 1, (TARGET.decode(), "a.S", "M", [("k", "v")], b"\xff", 100))]
    receive(host, root, 1, b"\xfe")
    (reply,) = replies
    assert (reply.ok, reply.status, reply.message, reply.detail) == (True, 0, b"\xfe", "")
    close(host, root, 1, 0)
    assert len(replies) == 1


@pytest.mark.parametrize(("status", "expected"), [(14, 14), (0, 2)])
def test_unary_failure(host, root, stream, status, expected):
    replies = []
    during(host, stream, lambda: stream.grpc_call(TARGET, "a.S", "M", b"", replies.append))
    close(host, root, 1, status, "no healthy upstream")
    (reply,) = replies
    assert (reply.ok, reply.status, reply.message, reply.detail) == (False, expected, b"", "no healthy upstream")


def test_an_empty_message_is_a_reply(host, root, stream):
    replies = []
    during(host, stream, lambda: stream.grpc_call(TARGET, "a.S", "M", b"", replies.append))
    receive(host, root, 1, b"")
    assert (replies[0].ok, replies[0].message) == (True, b"")


def test_unary_cancelled(host, root, stream):
    calls = []
    during(host, stream, lambda: calls.append(stream.grpc_call(TARGET, "a.S", "M", b"", pytest.fail)))
    during(host, root, calls[0].cancel)
    during(host, root, calls[0].cancel)
    assert host.grpc_events == [("cancel", 1, None)]
    assert stream.call_ids == []
    receive(host, root, 1, b"late")
    close(host, root, 1, 1)
    assert host.errors() == []


def test_cancelling_what_has_ended_leaves_a_new_call_of_that_id_alone(host, root):
    calls, replies = [], []
    during(host, root, lambda: calls.append(root.grpc_call(TARGET, "a.S", "M", b"", replies.append)))
    receive(host, root, 1, b"first")
    host.next_grpc_call = 1
    during(host, root, lambda: root.grpc_call(TARGET, "a.S", "M", b"", replies.append))
    during(host, root, calls[0].cancel)
    assert host.grpc_events == []
    receive(host, root, 1, b"second")
    assert [reply.message for reply in replies] == [b"first", b"second"]


def test_http_and_grpc_ids_that_collide(host, root, stream):
    replies = []

    def work():
        stream.http_call("auth", GET, lambda reply: replies.append("http"))
        stream.grpc_call(TARGET, "a.S", "M", b"", lambda reply: replies.append("grpc"))
        root.http_call("auth", GET, lambda reply: replies.append("root http"))
        root.grpc_call(TARGET, "a.S", "M", b"", lambda reply: replies.append("root grpc"))

    during(host, stream, work)
    assert [call_id for _, call_id, _ in host.calls] == [1, 1, 2, 2]
    receive(host, root, 1, b"x")
    respond(host, root, 2)
    respond(host, root, 1)
    receive(host, root, 2, b"x")
    assert replies == ["grpc", "root http", "http", "root grpc"]
    assert stream.call_ids == root.call_ids == []


def test_a_deleted_stream_takes_its_calls_with_it_and_no_others(host, root, stream):
    other = VM.contexts[host.stream(root.id)]
    replies = []

    def work():
        stream.http_call("auth", GET, pytest.fail)
        root.grpc_call(TARGET, "a.S", "M", b"", lambda reply: replies.append("root"))
        other.http_call("auth", GET, lambda reply: replies.append("other"))
        stream.grpc_call(TARGET, "a.S", "M", b"", pytest.fail)

    during(host, stream, work)
    host.end(stream.id)
    for call_id in (1, 2):
        respond(host, root, call_id)
        receive(host, root, call_id, b"x")
    assert replies == ["root", "other"]
    assert host.errors() == []
    assert VM.http_calls == VM.grpc_calls == {}


def test_a_reply_continues_the_stream_that_asked(host, root, stream):
    during(
        host, stream, lambda: stream.http_call("auth", GET, lambda _: stream.continue_stream(StreamType.HTTP_REQUEST))
    )
    respond(host, root, 1)
    assert host.sides[stream.id].continued == [StreamType.HTTP_REQUEST]


def test_a_reply_may_make_the_next_call(host, root, stream):
    replies = []

    def again(reply):
        stream.http_call("auth", GET, replies.append)

    during(host, stream, lambda: stream.http_call("auth", GET, again))
    respond(host, root, 1)
    respond(host, root, 2)
    assert len(replies) == 1
    assert host.errors() == []


@pytest.mark.parametrize("fail_open", [False, True])
@pytest.mark.parametrize("kind", ["http", "grpc reply", "grpc failure"])
def test_a_reply_that_raises_ends_the_stream_that_asked(host, root, stream, monkeypatch, fail_open, kind):
    root.fail_open = fail_open

    def on_reply(reply):
        raise LookupError("lost")

    def on_request_headers(self, num_headers, end_of_stream):
        if kind == "http":
            self.http_call("auth", GET, on_reply)
        else:
            self.grpc_call(TARGET, "a.S", "M", b"", on_reply)
        return Action.PAUSE

    monkeypatch.setattr(HttpContext, "on_request_headers", on_request_headers)
    assert host.call(dispatch.on_request_headers, stream.id, 1, 1) == 1
    if kind == "http":
        respond(host, root, 1)
    elif kind == "grpc reply":
        receive(host, root, 1, b"")
    else:
        close(host, root, 1, 14)
    assert "LookupError: lost" in host.errors()[0]
    side = host.sides[stream.id]
    if fail_open:
        assert (side.continued, side.replies) == ([StreamType.HTTP_REQUEST], [])
    else:
        assert (side.continued, [reply[0] for reply in side.replies]) == ([], [500])


def test_a_reply_to_the_root_that_raises_is_logged(host, root):
    def on_reply(reply):
        raise LookupError("lost")

    during(host, root, lambda: root.http_call("auth", GET, on_reply))
    respond(host, root, 1)
    assert "uncaught exception in on_http_call_response" in host.errors()[0]


def test_grpc_stream(host, root, stream, recorded):
    listener = Listener(stream)
    during(host, stream, lambda: stream.open_grpc_stream(listener, TARGET, "a.S", "M", [("k", "v")]))
    assert host.calls == [("grpc_stream", 1, (TARGET.decode(), "a.S", "M", [("k", "v")]))]
    during(host, root, lambda: listener.send(b"\xff"))
    during(host, root, lambda: listener.send(b"", end_stream=True))
    side = host.sides[root.id]
    side.maps[MapType.GRPC_CALL_INITIAL_METADATA] = [("a", "\udcff")]
    host.call(dispatch.on_grpc_receive_initial_metadata, root.id, 1, 1)
    receive(host, root, 1, b"one")
    receive(host, root, 1, b"")
    side.maps[MapType.GRPC_CALL_TRAILING_METADATA] = [("b", "2")]
    host.call(dispatch.on_grpc_receive_trailing_metadata, root.id, 1, 1)
    close(host, root, 1, 3, "bad")
    receive(host, root, 1, b"late")
    assert Record.calls == [
        ("on_initial_metadata", [("a", "\udcff")], 1),
        ("on_message", b"one"),
        ("on_message", b""),
        ("on_trailing_metadata", [("b", "2")], 1),
        ("on_close", 3, "bad"),
    ]
    assert host.grpc_events == [("send", 1, (b"\xff", False)), ("send", 1, (b"", True))]
    assert host.errors() == []
    assert stream.call_ids == []


def test_grpc_stream_closed_and_cancelled_by_us(host, root, stream, recorded):
    listener = Listener(stream)
    during(host, stream, lambda: stream.open_grpc_stream(listener, TARGET, "a.S", "M"))
    during(host, root, listener.close)
    during(host, root, listener.cancel)
    during(host, root, listener.cancel)
    receive(host, root, 1, b"late")
    assert host.grpc_events == [("close", 1, None), ("cancel", 1, None)]
    assert Record.calls == []
    assert stream.call_ids == []


@pytest.mark.parametrize(
    ("callback", "event"),
    [
        ("on_initial_metadata", lambda h, r: h.call(dispatch.on_grpc_receive_initial_metadata, r.id, 1, 0)),
        ("on_message", lambda h, r: receive(h, r, 1, b"x")),
        ("on_trailing_metadata", lambda h, r: h.call(dispatch.on_grpc_receive_trailing_metadata, r.id, 1, 0)),
        ("on_close", lambda h, r: close(h, r, 1, 2)),
    ],
)
def test_a_grpc_stream_that_raises_ends_the_stream_that_owns_it(host, root, stream, recorded, callback, event):
    listener = Listener(stream)
    during(host, stream, lambda: stream.open_grpc_stream(listener, TARGET, "a.S", "M"))
    recorded.raising[callback] = OSError("broken")
    event(host, root)
    assert "OSError: broken" in host.errors()[0]
    assert [reply[0] for reply in host.sides[stream.id].replies] == [500]
