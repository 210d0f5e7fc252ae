"""An exception in any callback is logged with its traceback and answered as the plugin has chosen."""

import pytest
from proxywasm import Action, BufferType, HttpContext, LogLevel, RootContext, StreamType, dispatch
from proxywasm.failure import describe
from proxywasm.vm import VM

from tests.unit.proxywasm.recorder import Root, TcpRoot
from tests.unit.proxywasm.test_callbacks import HTTP, TCP

BAD = [ValueError("bad"), MemoryError(), RecursionError("deep"), KeyboardInterrupt(), SystemExit(3)]


def only_error(host):
    (message,) = host.errors()
    return message


@pytest.mark.parametrize("error", BAD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("callback", ["root", "on_vm_start", "on_configure"])
def test_a_plugin_that_raises_while_it_starts_is_refused(host, recorded, callback, error):
    recorded.raising[callback] = error
    assert host.start(Root) == 0
    assert type(error).__name__ in host.errors()[0]
    assert "in note" in host.errors()[0]


@pytest.mark.parametrize("error", BAD, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize(("callback", "arguments", "expected"), HTTP)
def test_http_fails_closed(host, recorded, callback, arguments, expected, error):
    root = host.start(Root)
    stream = host.stream(root)
    recorded.raising[expected[0]] = error
    assert host.call(callback, stream, *arguments) == Action.PAUSE
    assert f"uncaught exception in {expected[0]}\nTraceback" in only_error(host)
    side = host.sides[stream]
    assert side.replies == [(500, b"Internal Server Error.\n", [], "filter_failed", 0xFFFFFFFF)]
    recorded.calls.clear()
    # the reply passes as a response; of the request nothing goes on
    assert host.call(dispatch.on_response_headers, stream, 1, 0) == Action.CONTINUE
    assert host.call(dispatch.on_response_body, stream, 1, 1) == Action.CONTINUE
    assert host.call(dispatch.on_request_body, stream, 1, 1) == Action.PAUSE
    host.end(stream)
    assert recorded.calls == [("on_done",), ("on_delete",)]
    assert len(host.errors()) == 1
    later = host.stream(root)
    recorded.raising.clear()
    assert host.call(callback, later, *arguments) == Action.CONTINUE


@pytest.mark.parametrize(("callback", "arguments", "expected"), HTTP)
def test_http_fails_open(host, recorded, callback, arguments, expected):
    recorded.fail_open = True
    stream = host.stream(host.start(Root))
    recorded.raising[expected[0]] = ValueError("bad")
    assert host.call(callback, stream, *arguments) == Action.CONTINUE
    assert "ValueError: bad" in only_error(host)
    recorded.calls.clear()
    for other, rest, _ in HTTP:
        assert host.call(other, stream, *rest) == Action.CONTINUE
    assert recorded.calls == []
    assert host.sides[stream].replies == []


def test_failing_open_lets_go_of_both_directions(host, recorded):
    recorded.fail_open = True
    stream = host.stream(host.start(Root))
    recorded.pausing.update(("on_request_body", "on_response_headers"))
    host.call(dispatch.on_request_headers, stream, 1, 0)
    host.call(dispatch.on_request_body, stream, 1, 0)
    host.call(dispatch.on_response_headers, stream, 1, 0)
    recorded.raising["on_request_trailers"] = ValueError("bad")
    host.call(dispatch.on_request_trailers, stream, 1)
    assert sorted(host.sides[stream].continued) == [StreamType.HTTP_REQUEST, StreamType.HTTP_RESPONSE]


def test_a_stream_that_goes_on_by_itself_is_not_continued_again(host, recorded):
    recorded.fail_open = True
    stream = host.stream(host.start(Root))
    recorded.pausing.add("on_request_headers")
    host.call(dispatch.on_request_headers, stream, 1, 0)
    host.effective = VM.current = stream
    VM.contexts[stream].continue_stream(StreamType.HTTP_REQUEST)
    recorded.raising["on_response_headers"] = ValueError("bad")
    host.call(dispatch.on_response_headers, stream, 1, 1)
    assert host.sides[stream].continued == [StreamType.HTTP_REQUEST]


@pytest.mark.parametrize(("callback", "arguments", "expected"), TCP)
@pytest.mark.parametrize("fail_open", [False, True])
def test_tcp(host, recorded, callback, arguments, expected, fail_open):
    recorded.fail_open = fail_open
    stream = host.stream(host.start(TcpRoot), "tcp")
    recorded.raising[expected[0]] = ValueError("bad")
    assert host.call(callback, stream, *arguments) == (Action.CONTINUE if fail_open else Action.PAUSE)
    assert host.sides[stream].closed == ([] if fail_open else [StreamType.DOWNSTREAM])
    assert "ValueError: bad" in only_error(host)


def test_tcp_failing_open_lets_paused_data_go(host, recorded):
    recorded.fail_open = True
    stream = host.stream(host.start(TcpRoot), "tcp")
    recorded.pausing.update(("on_new_connection", "on_downstream_data", "on_upstream_data"))
    for callback, arguments, _ in TCP:
        host.call(callback, stream, *arguments)
    recorded.raising["on_upstream_close"] = ValueError("bad")
    host.call(dispatch.on_upstream_connection_close, stream, 1)
    assert sorted(host.sides[stream].continued) == [StreamType.DOWNSTREAM, StreamType.UPSTREAM]


@pytest.mark.parametrize("side", ["downstream", "upstream"])
def test_tcp_close_that_raises(host, recorded, side):
    stream = host.stream(host.start(TcpRoot), "tcp")
    recorded.raising[f"on_{side}_close"] = ValueError("bad")
    host.call(getattr(dispatch, f"on_{side}_connection_close"), stream, 1)
    assert "ValueError: bad" in only_error(host)


@pytest.mark.parametrize(
    ("callback", "arguments", "answer"),
    [("on_tick", (), 0), ("on_queue_ready", (1,), 0), ("on_foreign_function", (1, 0), 0), ("on_done", (), 1),
     ("on_delete", (), 0)],
)  # fmt: skip
def test_a_root_that_raises_goes_on_living(host, recorded, callback, arguments, answer):
    root = host.start(Root)
    recorded.raising[callback] = ValueError("bad")
    assert host.call(getattr(dispatch, callback), root, *arguments) == answer
    assert f"uncaught exception in {callback}\n" in only_error(host)
    if callback == "on_delete":
        assert VM.contexts == {}
    else:
        assert host.call(dispatch.on_request_headers, host.stream(root), 1, 1) == Action.CONTINUE


@pytest.mark.parametrize("callback", ["on_log", "on_done", "on_delete", "on_foreign_function"])
def test_the_end_of_a_stream_that_raises(host, recorded, callback):
    stream = host.stream(host.start(Root))
    recorded.raising[callback] = ValueError("bad")
    if callback == "on_foreign_function":
        host.sides[stream].buffers[BufferType.FOREIGN_FUNCTION_ARGUMENTS] = b""
        host.call(dispatch.on_foreign_function, stream, 1, 0)
    host.end(stream)
    assert "ValueError: bad" in only_error(host)
    assert list(VM.contexts) == [1]


@pytest.mark.parametrize("fail_open", [False, True])
def test_http_streams_that_cannot_be_made(host, recorded, fail_open):
    recorded.fail_open = fail_open
    root = host.start(Root)
    recorded.raising["create_stream"] = ValueError("bad")
    stream = host.stream(root)
    assert "uncaught exception in on_context_create\n" in only_error(host)
    first = host.call(dispatch.on_request_headers, stream, 1, 0)
    second = host.call(dispatch.on_request_body, stream, 1, 1)
    expected = Action.CONTINUE if fail_open else Action.PAUSE
    assert (first, second) == (expected, expected)
    assert [reply[0] for reply in host.sides[stream].replies] == ([] if fail_open else [500])
    assert host.call(dispatch.on_response_headers, stream, 1, 1) == Action.CONTINUE
    host.end(stream)
    assert list(VM.contexts) == [root]
    assert len(host.errors()) == 1
    recorded.raising.clear()
    assert host.call(dispatch.on_request_headers, host.stream(root), 1, 1) == Action.CONTINUE


@pytest.mark.parametrize("fail_open", [False, True])
def test_tcp_streams_that_cannot_be_made(host, recorded, fail_open):
    recorded.fail_open = fail_open
    root = host.start(TcpRoot)
    recorded.raising["create_stream"] = ValueError("bad")
    stream = host.stream(root, "tcp")
    expected = Action.CONTINUE if fail_open else Action.PAUSE
    assert host.call(dispatch.on_new_connection, stream) == expected
    assert host.call(dispatch.on_downstream_data, stream, 1, 0) == expected
    assert host.sides[stream].closed == ([] if fail_open else [StreamType.DOWNSTREAM])
    host.end(stream)
    assert len(host.errors()) == 1


@pytest.mark.parametrize("answer", [None, 1, True, "pause"])
@pytest.mark.parametrize(("callback", "arguments", "expected"), HTTP + TCP)
def test_an_answer_that_is_no_action_is_an_error(host, recorded, monkeypatch, callback, arguments, expected, answer):
    tcp = (callback, arguments, expected) in TCP
    stream = host.stream(host.start(TcpRoot if tcp else Root), "tcp" if tcp else "http")
    monkeypatch.setattr(type(VM.contexts[stream]), expected[0], lambda self, *_: answer)
    assert host.call(callback, stream, *arguments) == Action.PAUSE
    assert f"TypeError: expected an Action, got {answer!r}" in only_error(host)


def test_even_the_answer_to_a_failure_may_fail(host, recorded, monkeypatch):
    stream = host.stream(host.start(Root))
    recorded.raising["on_request_headers"] = ValueError("first")

    def refuse(self):
        raise OSError("second")

    monkeypatch.setattr(HttpContext, "refuse", refuse)
    assert host.call(dispatch.on_request_headers, stream, 1, 1) == Action.PAUSE
    assert ["ValueError: first" in host.errors()[0], "OSError: second" in host.errors()[1]] == [True, True]


def test_a_log_that_fails_is_borne(host, recorded, monkeypatch):
    stream = host.stream(host.start(Root))
    recorded.raising["on_request_headers"] = ValueError("bad")

    def log(level, message):
        raise MemoryError

    monkeypatch.setattr(host, "log", log)
    assert host.call(dispatch.on_request_headers, stream, 1, 1) == Action.PAUSE
    assert [reply[0] for reply in host.sides[stream].replies] == [500]


def test_memory_that_the_failed_callback_holds_is_freed_for_the_log(host, recorded, monkeypatch):
    """Nothing can be logged while a local variable of the failed frame is alive."""

    class Held:
        alive = 0

        def __init__(self):
            Held.alive += 1

        def __del__(self):
            Held.alive -= 1

    def on_tick(self):
        held = Held()
        raise MemoryError(str(held is None))

    real_log = host.log

    def log(level, message):
        if Held.alive:
            raise MemoryError
        real_log(level, message)

    monkeypatch.setattr(Root, "on_tick", on_tick)
    monkeypatch.setattr(host, "log", log)
    host.call(dispatch.on_tick, host.start(Root))
    assert "uncaught exception in on_tick\n" in only_error(host)
    assert "in on_tick\nMemoryError: False" in only_error(host)


@pytest.mark.parametrize("fail_open", [False, True])
def test_rescue_answers_for_a_callback_that_could_not(host, recorded, fail_open):
    recorded.fail_open = fail_open
    root = host.start(Root)
    stream = host.stream(root)
    assert host.call(dispatch.rescue, stream) == (Action.CONTINUE if fail_open else Action.PAUSE)
    assert len(host.sides[stream].replies) == (not fail_open)
    assert host.call(dispatch.rescue, root) == host.call(dispatch.rescue, 99) == Action.CONTINUE


def raised(raise_it):
    try:
        raise_it()
    except BaseException as error:
        return error
    raise AssertionError


def test_description_has_causes_and_frames():
    def inner():
        raise KeyError("inner")

    def middle():
        try:
            inner()
        except KeyError as error:
            raise ValueError("middle") from error

    def outer():
        try:
            middle()
        except ValueError:
            raise RuntimeError("outer")  # noqa: B904

    text = describe(raised(outer))
    assert text.index("KeyError: 'inner'") < text.index("ValueError: middle") < text.index("RuntimeError: outer")
    assert text.count("while handling it") == 2
    assert f'File "{__file__}", line ' in text
    assert text.rindex("in outer") > text.rindex("in inner")


def test_a_suppressed_context_is_left_out():
    def work():
        try:
            raise KeyError("hidden")
        except KeyError:
            raise ValueError("shown") from None

    assert "hidden" not in describe(raised(work))


def test_long_stacks_and_texts_are_cut():
    def down(depth):
        if depth == 0:
            raise ValueError("x" * 100_000)
        down(depth - 1)

    text = describe(raised(lambda: down(300)))
    assert len(text) < 5000
    assert "frames more" in text
    assert text.rstrip().endswith("x...")


def test_causes_in_a_circle_end():
    first, second = ValueError("first"), ValueError("second")
    first.__cause__, second.__cause__ = second, first
    assert describe(first).count("ValueError") == 2


def test_an_exception_without_a_text_is_still_described():
    class Mute(Exception):
        def __str__(self):
            raise ZeroDivisionError

    def work():
        raise Mute

    text = describe(raised(work))
    assert "in work" in text
    assert "Mute: (its text cannot be made: ZeroDivisionError)" in text


def test_levels(host, recorded):
    recorded.raising["on_tick"] = ValueError("bad")
    host.call(dispatch.on_tick, host.start(Root))
    assert [level for level, _ in host.logs] == [LogLevel.ERROR]


def test_the_default_is_to_fail_closed():
    assert RootContext(1).fail_open is False
