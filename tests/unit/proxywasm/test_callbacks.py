"""Every callback of the ABI arrives at its method, with the arguments it has there."""

import pytest
from proxywasm import (
    BufferType,
    PeerType,
    RootContext,
    dispatch,
    register,
)
from proxywasm.vm import VM

from tests.unit.proxywasm.recorder import Root, TcpRoot

HTTP = [
    (dispatch.on_request_headers, (3, 0), ("on_request_headers", 3, False)),
    (dispatch.on_request_body, (10, 1), ("on_request_body", 10, True)),
    (dispatch.on_request_trailers, (2,), ("on_request_trailers", 2)),
    (dispatch.on_response_headers, (4, 1), ("on_response_headers", 4, True)),
    (dispatch.on_response_body, (5, 0), ("on_response_body", 5, False)),
    (dispatch.on_response_trailers, (1,), ("on_response_trailers", 1)),
]
TCP = [
    (dispatch.on_new_connection, (), ("on_new_connection",)),
    (dispatch.on_downstream_data, (7, 0), ("on_downstream_data", 7, False)),
    (dispatch.on_upstream_data, (8, 1), ("on_upstream_data", 8, True)),
]


def test_a_plugin_is_created_started_and_configured(host, recorded):
    assert host.start(Root, b"{}") == 1
    assert recorded.calls == [("root",), ("on_vm_start", b"vm"), ("on_configure", b"{}")]


def test_a_plugin_may_refuse_its_configuration(host, recorded):
    assert host.start(Root, b"refuse") == 0
    assert host.errors() == []


def test_an_empty_configuration_is_not_asked_for(host, recorded):
    assert host.start(Root) == 1
    assert recorded.calls[-1] == ("on_configure", b"")


@pytest.mark.parametrize(("callback", "arguments", "expected"), HTTP)
@pytest.mark.parametrize("pause", [False, True])
def test_http(host, recorded, callback, arguments, expected, pause):
    stream = host.stream(host.start(Root))
    if pause:
        recorded.pausing.add(expected[0])
    assert host.call(callback, stream, *arguments) == int(pause)
    assert recorded.calls[-1] == expected


@pytest.mark.parametrize(("callback", "arguments", "expected"), TCP)
@pytest.mark.parametrize("pause", [False, True])
def test_tcp(host, recorded, callback, arguments, expected, pause):
    stream = host.stream(host.start(TcpRoot), "tcp")
    if pause:
        recorded.pausing.add(expected[0])
    assert host.call(callback, stream, *arguments) == int(pause)
    assert recorded.calls[-1] == expected


def test_tcp_ends(host, recorded):
    stream = host.stream(host.start(TcpRoot), "tcp")
    host.call(dispatch.on_downstream_connection_close, stream, 2)
    host.call(dispatch.on_upstream_connection_close, stream, 1)
    assert recorded.calls[-2:] == [("on_downstream_close", PeerType.REMOTE), ("on_upstream_close", PeerType.LOCAL)]


def test_the_end_of_a_stream(host, recorded):
    stream = host.stream(host.start(Root))
    host.end(stream)
    assert recorded.calls[-3:] == [("on_log",), ("on_done",), ("on_delete",)]
    assert list(VM.contexts) == [1]


def test_a_root_is_done_later(host, recorded):
    root = host.start(Root)
    assert host.call(dispatch.on_done, root) == 0
    host.sides[root].pending_done = True
    host.effective = VM.current = root
    VM.contexts[root].finish()
    assert host.sides[root].done
    host.call(dispatch.on_delete, root)
    assert recorded.calls[-1] == ("on_delete",)
    assert VM.contexts == {}


def test_ticks_queues_and_foreign_functions(host, recorded):
    root = host.start(Root)
    stream = host.stream(root)
    host.call(dispatch.on_tick, root)
    host.call(dispatch.on_queue_ready, root, 9)
    for context in (root, stream):
        host.sides[context].buffers[BufferType.FOREIGN_FUNCTION_ARGUMENTS] = b"\xff!"
        host.call(dispatch.on_foreign_function, context, 4, 2)
    foreign = ("on_foreign_function", 4, b"\xff!")
    assert recorded.calls[-4:] == [("on_tick",), ("on_queue_ready", 9), foreign, foreign]


def test_callbacks_for_contexts_that_are_not_there_do_nothing(host, recorded):
    root = host.start(Root)
    before = list(recorded.calls)
    for callback, arguments, _ in HTTP + TCP:
        assert host.call(callback, 99, *arguments) == 0
    for callback, arguments in [
        (dispatch.on_tick, ()),
        (dispatch.on_queue_ready, (1,)),
        (dispatch.on_foreign_function, (1, 0)),
        (dispatch.on_log, ()),
        (dispatch.on_delete, ()),
        (dispatch.on_downstream_connection_close, (1,)),
        (dispatch.on_upstream_connection_close, (1,)),
    ]:
        host.call(callback, 99, *arguments)
    assert host.call(dispatch.on_done, 99) == 1
    assert host.call(dispatch.on_request_headers, root, 1, 1) == 0
    assert recorded.calls == before
    assert host.errors() == []


def test_a_root_context_alone_lets_everything_pass(host):
    stream = host.stream(host.start(RootContext))
    for callback, arguments, _ in HTTP + TCP:
        assert host.call(callback, stream, *arguments) == 0
    host.end(stream)
    assert host.errors() == []


def test_plugins_by_root_id_share_a_vm(host):
    class Named(RootContext):
        pass

    register(Named, "named")
    plain = host.start(RootContext)
    named = host.load(root_id="named")
    other = host.load(root_id="other")
    assert [type(VM.contexts[root]) for root in (plain, named, other)] == [RootContext, Named, RootContext]


def test_a_plugin_nobody_registered_is_refused(host):
    class Named(RootContext):
        pass

    VM.reset(host)
    register(Named, "named")
    assert host.load(root_id="other") == 0
    assert "no root context is registered for root id 'other'" in host.errors()[0]
