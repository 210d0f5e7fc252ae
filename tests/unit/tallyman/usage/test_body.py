import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.usage.body import ResponseBody
from tallyman.usage.wanted import WantedMembers

WANTED = WantedMembers(["/usage/total_tokens", "/model", "/choices/0/finish_reason"])
USAGE = (
    '"usage":{"prompt_tokens":13,"completion_tokens":79,"total_tokens":92,"prompt_tokens_details":{"cached_tokens":0}}'
)


def follow(
    body: bytes | str,
    content_type: str = "application/json",
    encoding: str = "",
    status: int = 200,
    size: int = 1 << 20,
) -> ResponseBody:
    data = body.encode() if isinstance(body, str) else body
    followed = ResponseBody(WANTED, content_type, encoding, status)
    for start in range(0, len(data), size):
        followed.feed(data[start : start + size])
    followed.finish()
    return followed


def told(followed: ResponseBody) -> tuple[Any, ...]:
    usage = followed.usage
    if usage is None:
        return (followed.missing,)
    assert followed.missing == ""
    return usage.input, usage.output, usage.total


# As the LLM simulator answers, in its two releases.
CHAT = (
    '{"id":"chatcmpl-1","model":"M","object":"chat.completion","created":1795549528,"usage":{"prompt_tokens":13,'
    '"completion_tokens":2,"total_tokens":15,"prompt_tokens_details":{"cached_tokens":0}},"choices":[{"index":0,'
    '"finish_reason":"stop","message":{"role":"assistant","content":"The rest "}}]}'
)
OLD_CHAT = (
    '{"id":"chatcmpl-1","created":1795549507,"model":"M","usage":{"prompt_tokens":6,"completion_tokens":4,'
    '"total_tokens":10},"choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant",'
    '"content":"The rest is silence. "}}]}'
)


def stream_event(usage: str, choices: str) -> str:
    head = '{"id":"chatcmpl-1","model":"M","object":"chat.completion.chunk","created":1795549528,'
    return f"data: {head}{usage},{choices}}}\n\n"


def stream(*, include_usage: bool, old: bool = False) -> list[str]:
    null = '"usage":null'
    events = [stream_event(null, '"choices":[{"index":0,"finish_reason":null,"delta":{"role":"assistant"}}]')]
    for token in (" The", " rest", " \\u003c{}\\u003e", ' \\"usage\\":7'):
        reason = '"length"' if old and token.endswith("7") else "null"
        events.append(
            stream_event(null, f'"choices":[{{"index":0,"finish_reason":{reason},"delta":{{"content":"{token}"}}}}]')
        )
    if not old:
        events.append(stream_event(null, '"choices":[{"index":0,"finish_reason":"stop","delta":{}}]'))
    if include_usage:
        events.append(stream_event(USAGE, '"choices":[]'))
    return [*events, "data: [DONE]\n\n"]


@pytest.mark.parametrize("size", [1, 7, 100, 1 << 20])
def test_plain_answers_of_the_simulator(size: int) -> None:
    assert told(follow(CHAT, size=size)) == (13, 2, 15)
    assert told(follow(OLD_CHAT, size=size)) == (6, 4, 10)
    assert follow(CHAT, size=size).pointer("/choices/0/finish_reason") == "stop"
    assert follow(CHAT, size=size).pointer("/usage/total_tokens") == 15


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("size", [0, 1, 7, 100, 1000, 1 << 20])
def test_streams_of_the_simulator(size: int, old: bool) -> None:
    for include_usage in (True, False):
        events = stream(include_usage=include_usage, old=old)
        if size:
            followed = follow("".join(events), "text/event-stream", size=size)
        else:
            followed = ResponseBody(WANTED, "text/event-stream", "", 200)
            for event in events:
                followed.feed(event.encode())
            followed.finish()
        assert told(followed) == ((13, 79, 92) if include_usage else ("no_usage",))
        assert followed.pointer("/model") == "M"
        assert followed.pointer("/choices/0/finish_reason") == ("length" if old else "stop")


def test_usage_in_the_last_but_two_event_is_found() -> None:
    events = stream(include_usage=True)
    followed = follow(
        "".join([*events[:-1], 'data: {"usage":null}\n\n', 'data: {"model":"N"}\n\n']), "text/event-stream"
    )
    assert told(followed) == (13, 79, 92)
    assert followed.pointer("/model") == "N"


@pytest.mark.parametrize(
    ("content_type", "body"),
    [
        ("application/json", CHAT),
        ("Application/JSON; charset=utf-8", CHAT),
        ("application/problem+json", CHAT),
        ("", CHAT),
        ("text/plain", " \n" + CHAT),
        ("text/event-stream;charset=utf-8", "data: " + CHAT),
        ("", "data: " + CHAT),
        ("text/plain", ": hello\n\ndata: " + CHAT),
        ("", "\ufeffevent: x\ndata:" + CHAT),
        ("", "retry: 3\ndata:" + CHAT),
    ],
)
@pytest.mark.parametrize("size", [1, 1 << 20])
def test_the_kind_is_told_by_content_type_or_first_bytes(content_type: str, body: str, size: int) -> None:
    assert told(follow(body, content_type, size=size)) == (13, 2, 15)


@pytest.mark.parametrize("encoding", ["", "identity", " Identity "])
def test_identity_is_no_compression(encoding: str) -> None:
    assert told(follow(CHAT, encoding=encoding)) == (13, 2, 15)


def json_body(**members: object) -> str:
    return json.dumps(members)


@pytest.mark.parametrize(
    ("reason", "followed"),
    [
        ("no_usage", follow("{}")),
        ("no_usage", follow("[1]")),
        ("no_usage", follow("")),
        ("no_usage", follow("", "")),
        ("no_usage", follow("", "text/event-stream")),
        ("no_usage", follow(json_body(usage=None))),
        ("no_usage", follow(json_body(usage={}))),
        ("bad_json", follow("hello")),
        ("bad_json", follow(CHAT.replace('"usage"', '"x"')[:-1])),
        ("bad_json", follow(CHAT.replace('"usage"', '"x"') + "x")),
        ("bad_json", follow('{"usage":{"total_tokens":+1}}')),
        ("bad_json", follow('data: {"usage":{"total_tokens":01},"a":1}', "text/event-stream")),
        ("bad_number", follow(json_body(usage={"total_tokens": "12"}))),
        ("bad_number", follow(json_body(usage={"total_tokens": -1}))),
        ("bad_number", follow(json_body(usage={"total_tokens": 2**63}))),
        ("bad_number", follow(json_body(usage="12"))),
        ("bad_number", follow('{"usage":{"total_tokens":NaN}}')),
        ("bad_number", follow('data: {"usage":{"total_tokens":1.5}}', "text/event-stream")),
        ("compressed", follow(CHAT, encoding="gzip")),
        ("compressed", follow(CHAT, "text/event-stream", encoding="br")),
        ("too_long", follow(json_body(usage={"total_tokens": 1, "x": "y" * 20_000}))),
        ("unknown_format", follow("<html>", "text/html")),
        ("unknown_format", follow(b"\x00\xff", "")),
        ("unknown_format", follow("dat", "")),
        ("no_usage", follow("Failed to read and parse request body", "text/plain", status=400)),
        ("no_usage", follow('{"error":', status=500)),
    ],
)
def test_reasons(reason: str, followed: ResponseBody) -> None:
    assert told(followed) == (reason,)
    assert followed.pointer_missing("/usage/total_tokens") in (reason, "", "no_usage")
    with pytest.raises(KeyError):
        followed.pointer("/model/x")


@pytest.mark.parametrize("content_type", ["application/json", "text/event-stream", ""])
def test_a_body_that_is_cut(content_type: str) -> None:
    def cut(body: str) -> ResponseBody:
        followed = ResponseBody(WANTED, content_type, "", 200)
        followed.feed(body.encode())
        followed.cut()
        return followed

    prefix = "data: " if content_type == "text/event-stream" else ""
    assert told(cut("")) == ("aborted",)
    assert told(cut(prefix + '{"model":"m","usa')) == ("aborted",)
    assert told(cut(prefix + '{"usage":{"total_tokens":12')) == ("aborted",)
    assert told(cut(prefix + '{"usage":12')) == ("aborted",)
    assert told(cut(prefix + '{"usage":{"total_tokens":12},"ch')) == (None, None, 12)
    assert cut(prefix + '{"model":"m","usa').pointer("/model") == "m"
    assert cut(prefix + '{"model":"m","usa').pointer_missing("/usage/total_tokens") == "aborted"


def test_pointers() -> None:
    followed = follow('{"model":"M","choices":[{"text":"' + "x" * 20_000 + '","finish_reason":"stop"}]}')
    assert followed.pointer("/model") == "M"
    assert followed.pointer_missing("/model") == ""
    assert followed.pointer_missing("/choices/0/finish_reason") == "too_long"
    assert followed.pointer_missing("/usage/total_tokens") == "no_usage"
    for pointer in ("/choices/0/finish_reason", "/usage/total_tokens", "/unasked"):
        with pytest.raises(KeyError):
            followed.pointer(pointer)


def test_one_plan_serves_many_bodies() -> None:
    first, second = (ResponseBody(WANTED, "application/json", "", 200) for _ in range(2))
    first.feed(CHAT[:50].encode())
    second.feed(OLD_CHAT.encode())
    first.feed(CHAT[50:].encode())
    first.finish()
    second.finish()
    assert (told(first), told(second)) == ((13, 2, 15), (6, 4, 10))


@given(
    st.sampled_from(["", "application/json", "text/event-stream"]),
    st.lists(st.binary(max_size=40), max_size=6),
    st.booleans(),
)
def test_any_bytes_end_with_usage_or_a_reason(content_type: str, chunks: list[bytes], cut: bool) -> None:
    followed = ResponseBody(WANTED, content_type, "", 200)
    for chunk in chunks:
        followed.feed(chunk)
    if cut:
        followed.cut()
    else:
        followed.finish()
    assert (followed.usage is None) == (followed.missing != "")
