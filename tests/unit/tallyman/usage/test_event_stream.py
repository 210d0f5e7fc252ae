import json
import re
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tallyman.usage.event_stream import EventStream
from tallyman.usage.findings import Findings
from tallyman.usage.json_members import LONGEST_VALUE
from tallyman.usage.wanted import WantedMembers

WANTED = WantedMembers(["/usage/total_tokens", "/usage/x/0", "/model", "/id"])


def follow(chunks: list[bytes]) -> dict[str, Any]:
    findings = Findings(WANTED)
    stream = EventStream(WANTED, findings)
    for chunk in chunks:
        stream.feed(chunk)
    stream.finish()
    return {
        pointer: findings.values[place] for pointer, place in WANTED.index.items() if findings.values[place] is not None
    }


def cut(data: bytes, places: list[int]) -> list[bytes]:
    ends = sorted({place % (len(data) + 1) for place in places} | {len(data)})
    return [data[start:end] for start, end in zip([0, *ends], ends, strict=False)]


def event_data(stream: str) -> Iterator[str]:
    """The data of all events, read from the whole text as WHATWG has it, but for an unfinished last event."""
    lines = re.split("\r\n|\r|\n", stream.removeprefix("\ufeff"))
    data: list[str] = []
    for line in [*lines, ""]:
        if line == "":
            if data:
                yield "\n".join(data)
            data = []
            continue
        name, _, value = line.partition(":")
        if name == "data":
            data.append(value.removeprefix(" "))


def oracle(stream: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for data in event_data(stream):
        try:
            document = json.loads(data)
        except ValueError:
            continue
        if not isinstance(document, dict):
            continue
        usage = document.get("usage")
        if isinstance(usage, dict):
            x = usage.get("x")
            values = {"/usage/total_tokens": usage.get("total_tokens"), "/usage/x/0": x[0] if x else None}
        else:
            values = {}
        values |= {"/model": document.get("model"), "/id": document.get("id")}
        found |= {pointer: value for pointer, value in values.items() if value is not None}
    return found


TEXTS = st.sampled_from(
    ["m1", "m2", "", "é😀", '"usage":{"total_tokens":9}', "\\", '"', "{", "}", "data: {", "<", "\n\n"]
)
USAGES = st.none() | st.fixed_dictionaries(
    {}, optional={"total_tokens": st.none() | st.integers(0, 99), "x": st.lists(st.integers() | TEXTS, max_size=2)}
)
DOCUMENTS = st.fixed_dictionaries(
    {},
    optional={
        "id": TEXTS | st.integers(),
        "model": st.none() | TEXTS,
        "choices": st.lists(st.fixed_dictionaries({"delta": TEXTS, "usage": USAGES, "model": TEXTS}), max_size=2),
        "usage": USAGES,
    },
).flatmap(lambda members: st.permutations(list(members.items())).map(dict))


@st.composite
def written(draw: st.DrawFn) -> str:
    document = draw(DOCUMENTS)
    way = draw(st.integers(0, 3))
    if way == 0:
        return json.dumps(document, indent=1)
    text = json.dumps(document, ensure_ascii=way == 1, separators=(",", ":") if way < 3 else None)
    return text.replace("<", "\\u003c").replace('"model":', draw(st.sampled_from(['"model":', '"m\\u006fdel":'])))


@st.composite
def streams(draw: st.DrawFn) -> str:
    # Never "\r" and then "\n" as two ends: together they are one.
    ends = st.sampled_from(draw(st.sampled_from([["\n"], ["\r\n"], ["\r"], ["\n", "\r\n"], ["\r", "\r\n"]])))
    out = [draw(st.sampled_from(["", "", "\ufeff"]))]

    def new_line() -> str:
        return draw(ends)

    for _ in range(draw(st.integers(0, 6))):
        for line in draw(st.sampled_from([[], [], [": comment"], ["event: message", "id: 1"], ["database: {}"], [""]])):
            out += [line, new_line()]
        data = draw(st.sampled_from(["[DONE]", "", "nonsense"]) | written() | written() | written())
        for line in data.split("\n"):
            if line or draw(st.booleans()):
                out += [draw(st.sampled_from(["data: ", "data: ", "data:"])), line, new_line()]
            else:
                out += ["data", new_line()]
        out.append(new_line())
    if draw(st.booleans()):
        out.pop()
    return "".join(out)


@given(streams(), st.lists(st.integers(0, 10_000), max_size=12))
@settings(max_examples=600, deadline=None)
def test_any_stream_in_any_chunks_gives_what_its_whole_text_gives(stream: str, places: list[int]) -> None:
    assert follow(cut(stream.encode(), places)) == oracle(stream)


@given(streams())
@settings(max_examples=200, deadline=None)
def test_a_chunk_for_each_event_and_byte_by_byte(stream: str) -> None:
    expected = oracle(stream)
    assert follow(re.findall(rb".*?(?:\n\n|\r\n\r\n|\Z)", stream.encode(), re.DOTALL)) == expected
    assert follow([bytes([byte]) for byte in stream.encode()]) == expected


@given(
    st.binary(max_size=300)
    | st.lists(st.sampled_from(["data", ":", " ", "\r", "\n", "{", '"usage"', "1", "}"])).map(
        lambda parts: "".join(parts).encode()
    ),
    st.lists(st.integers(0, 1000), max_size=8),
)
@settings(max_examples=400, deadline=None)
def test_any_bytes_are_survived(data: bytes, places: list[int]) -> None:
    follow(cut(data, places))


@pytest.mark.parametrize(
    ("stream", "found"),
    [
        (b'data: {"model":"a"}', {"/model": "a"}),
        (b'data: {"model":"a"}\n', {"/model": "a"}),
        (b'data: {"model":\ndata: "a"}\n\n', {"/model": "a"}),
        (b'data:{"model":"a"}\r\rdata:{"model":"b"}\r\r', {"/model": "b"}),
        (b'data:  {"model":"a"}\n\n', {"/model": "a"}),
        (b'DATA: {"model":"a"}\n\n', {}),
        (b' data: {"model":"a"}\n\n', {}),
        (b'datas: {"model":"a"}\n\n', {}),
        (b': data: {"model":"a"}\n\n', {}),
        (b'data: {"model":"a"}\n\ndata: {"model":null}\n\n', {"/model": "a"}),
        (b'data: {"model":"a"}\n\ndata: [DONE]\n\n', {"/model": "a"}),
        (b'data: {"a":\ndata: {"model":"a"}}\n\n', {}),
        (b"data: [DONE]", {}),
        (b"", {}),
        (b"\xef\xbb", {}),
    ],
)
def test_lines(stream: bytes, found: dict[str, Any]) -> None:
    assert follow([stream]) == found
    assert follow([bytes([byte]) for byte in stream]) == found


def test_a_value_that_changes_back_is_seen() -> None:
    chunks = [b'data: {"model":"%b"}\n\n' % name for name in (b"a", b"a", b"b", b"a", b"a")]
    assert follow(chunks[:3]) == {"/model": "b"}
    assert follow(chunks) == {"/model": "a"}
    assert follow([*chunks, b'data: {"model":7}\n\n', chunks[0]]) == {"/model": "a"}
    assert follow([*chunks, b'data: {"x":{"model":"c"}}\n\n']) == {"/model": "a"}
    assert follow([*chunks, b'data: {"model":"a","model":"c"}\n\n']) == {"/model": "c"}


def test_an_event_of_any_length_is_not_held() -> None:
    stream = EventStream(WANTED, Findings(WANTED))
    stream.feed(b'data: {"choices":[{"text":"')
    for _ in range(1000):
        stream.feed(b"text " * 1000)
        document = stream._document
        assert len(document._gathered) + len(document._carry) + len(stream._begun) <= LONGEST_VALUE
    stream.feed(b'"}],"usage":{"total_tokens":5}}\n\n')
    stream.finish()
    assert stream._findings.values[0] == 5
