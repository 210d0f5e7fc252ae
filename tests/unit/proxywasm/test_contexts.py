"""Host functions act upon the context whose method is used, whichever callback runs."""

import pytest
from proxywasm import Action, HostError, HttpContext, RootContext, Status, StreamType, dispatch
from proxywasm.vm import VM

PATH = b"name"


class Stream(HttpContext):
    def on_request_headers(self, num_headers, end_of_stream):
        self.root.streams.append(self)
        return Action.PAUSE


class Root(RootContext):
    def __init__(self, context_id):
        super().__init__(context_id)
        self.streams = []

    def create_stream(self, context_id):
        return Stream(context_id, self)


@pytest.fixture
def streams(host):
    root = host.start(Root)
    made = [host.stream(root), host.stream(root)]
    for context_id in (root, *made):
        host.sides[context_id].properties["name"] = str(context_id).encode()
    for context_id in made:
        host.call(dispatch.on_request_headers, context_id, 1, 1)
    return root, *made


def within(host, monkeypatch, cls, callback, work):
    monkeypatch.setattr(cls, callback, work)
    host.switches.clear()


def test_a_root_uses_its_streams(host, streams, monkeypatch):
    root, first, second = streams
    seen = []

    def on_tick(self):
        for stream in self.streams:
            seen.append(stream.get_property(PATH))
            stream.continue_stream(StreamType.HTTP_REQUEST)
        seen.append(self.get_property(PATH))
        self.set_tick_period(0)

    within(host, monkeypatch, Root, "on_tick", on_tick)
    host.call(dispatch.on_tick, root)
    assert host.errors() == []
    assert seen == [b"2", b"3", b"1"]
    assert host.switches == [first, second, root]
    assert host.sides[first].continued == host.sides[second].continued == [StreamType.HTTP_REQUEST]


def test_a_stream_uses_its_root(host, streams, monkeypatch):
    root, first, _ = streams
    seen = []

    def on_response_headers(self, num_headers, end_of_stream):
        seen.append(self.get_property(PATH))
        self.root.set_tick_period(50)
        seen.append(self.root.get_property(PATH))
        seen.append(self.get_property(PATH))
        return Action.CONTINUE

    within(host, monkeypatch, Stream, "on_response_headers", on_response_headers)
    host.call(dispatch.on_response_headers, first, 1, 1)
    assert host.errors() == []
    assert seen == [b"2", b"1", b"2"]
    assert host.switches == [root, first]
    assert host.sides[root].tick_period == 50


def test_a_stream_uses_another(host, streams, monkeypatch):
    root, first, second = streams

    def on_response_headers(self, num_headers, end_of_stream):
        other = VM.contexts[root].streams[1]
        other.send_local_response(204)
        return Action.CONTINUE

    within(host, monkeypatch, Stream, "on_response_headers", on_response_headers)
    host.call(dispatch.on_response_headers, first, 1, 1)
    assert host.sides[first].replies == []
    assert host.sides[second].replies[0][0] == 204


def test_the_next_callback_starts_in_its_own_context(host, streams, monkeypatch):
    root, first, _ = streams
    seen = []

    def on_log(self):
        self.root.get_property(PATH)

    def on_tick(self):
        seen.append(self.get_property(PATH))

    within(host, monkeypatch, Stream, "on_log", on_log)
    monkeypatch.setattr(Root, "on_tick", on_tick)
    host.call(dispatch.on_log, first)
    host.call(dispatch.on_tick, root)
    assert host.switches == [root]
    assert seen == [b"1"]


def test_a_foreign_function_may_call_back_within_a_callback(host, streams, monkeypatch):
    root, first, _ = streams
    host.foreign["again"] = lambda _: bytes([host.call(dispatch.on_foreign_function, root, 1, 0)])
    seen = []

    def on_response_headers(self, num_headers, end_of_stream):
        self.call_foreign_function("again")
        seen.append(self.get_property(PATH))
        return Action.CONTINUE

    within(host, monkeypatch, Stream, "on_response_headers", on_response_headers)
    host.call(dispatch.on_response_headers, first, 1, 1)
    assert host.errors() == []
    assert seen == [b"2"]


def test_a_deleted_stream_can_no_longer_be_used(host, streams, monkeypatch):
    root, first, second = streams
    host.end(first)
    caught = []

    def on_tick(self):
        try:
            self.streams[0].continue_stream(StreamType.HTTP_REQUEST)
        except HostError as error:
            caught.append(error)
        self.streams[1].continue_stream(StreamType.HTTP_REQUEST)

    within(host, monkeypatch, Root, "on_tick", on_tick)
    host.call(dispatch.on_tick, root)
    assert [(error.status, error.function) for error in caught] == [
        (Status.BAD_ARGUMENT, "proxy_set_effective_context")
    ]
    assert host.sides[second].continued == [StreamType.HTTP_REQUEST]
