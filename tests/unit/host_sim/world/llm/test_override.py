"""Dictated responses, as a filter under test would meet them."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest

from host_sim.world.llm.override import HEADER, ResponseOverride

Play = Callable[..., None]


def dictate(**members: Any) -> dict[str, str]:
    return {HEADER: json.dumps(members)}


def test_it_is_off_by_default(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(headers=dictate(status=503, body="no"))
        assert response.status_code == 200
        assert response.json()["usage"]["prompt_tokens"] == 13

    play(scenario)


def test_a_whole_response(play: Play) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(
            headers=dictate(status=503, body="down", content_type="text/plain", headers={"Retry-After": "1"})
        )
        assert (response.status_code, response.text) == (503, "down")
        assert (response.headers["content-type"], response.headers["retry-after"]) == ("text/plain", "1")
        assert response.headers["content-length"] == "4"
        binary = await world.chat(headers=dictate(body_base64="AP8="))
        assert binary.content == b"\x00\xff"
        empty = await world.chat(headers=dictate(status=204, body=""))
        assert empty.status_code == 204
        account = world.running.ledger.snapshot()[""]
        assert (account.overridden, account.requests, account.total_tokens) == (3, 0, 0)

    play(scenario, allow_response_override=True)


@pytest.mark.parametrize(
    "usage", [{"total_tokens": "12"}, {"total_tokens": -5}, {"total_tokens": 10**30}, "twelve", [], None, 1.5]
)
@pytest.mark.parametrize("stream", [False, True])
def test_usage_of_any_shape(play: Play, usage: Any, stream: bool) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(
            max_tokens=4,
            ignore_eos=True,
            stream=stream,
            stream_options={"include_usage": True},
            headers=dictate(usage=usage),
        )
        document = json.loads(response.text.split("\n\n")[-3][6:]) if stream else response.json()
        assert document["usage"] == usage
        account = world.running.ledger.snapshot()[""]
        assert (account.total_tokens, account.reported_tokens) == (17, 0)

    play(scenario, allow_response_override=True)


def test_usage_left_out(play: Play) -> None:
    async def scenario(world: Any) -> None:
        assert "usage" not in (await world.chat(headers=dictate(omit_usage=True))).json()
        streamed = await world.chat(
            stream=True, stream_options={"include_usage": True}, headers=dictate(omit_usage=True)
        )
        assert "usage" not in streamed.text

    play(scenario, allow_response_override=True)


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("size", [1, 7, 100, 100_000])
def test_chunks_of_any_size(play: Play, stream: bool, size: int) -> None:
    async def scenario(world: Any) -> None:
        body = {"model": world.model, "messages": [], "stream": stream, "max_tokens": 3, "ignore_eos": True}
        headers = dictate(chunk_size=size, chunk_delay=0.0001)
        received = b""
        async with world.client.stream("POST", "/v1/chat/completions", json=body, headers=headers) as response:
            assert response.headers["transfer-encoding"] == "chunked"
            async for data in response.aiter_raw():
                received += data
        if stream:
            assert received.endswith(b"data: [DONE]\n\n")
        else:
            assert json.loads(received)["usage"]["completion_tokens"] == 3
        assert world.running.ledger.snapshot()[""].completion_tokens == 3

    play(scenario, allow_response_override=True)


def test_a_body_that_ends_early_as_if_whole(play: Play) -> None:
    async def scenario(world: Any) -> None:
        plain = await world.chat(headers=dictate(truncate_after=40))
        assert len(plain.content) == 40
        assert plain.headers["content-length"] == "40"
        stream = await world.chat(stream=True, max_tokens=50, ignore_eos=True, headers=dictate(truncate_after=900))
        assert len(stream.content) == 900
        account = world.running.ledger.snapshot()[""]
        whole_events = stream.text.split("\n\n")[:-1]
        assert (account.cut, account.completion_tokens) == (2, "".join(whole_events).count('"content"'))

    play(scenario, allow_response_override=True)


@pytest.mark.parametrize("stream", [False, True])
def test_a_connection_that_breaks_in_the_middle(play: Play, stream: bool) -> None:
    async def scenario(world: Any) -> None:
        with pytest.raises(httpx.RemoteProtocolError):
            await world.chat(stream=stream, headers=dictate(truncate_after=40, end="reset"))
        account = world.running.ledger.snapshot()[""]
        assert (account.cut, account.total_tokens) == (1, 0)

    play(scenario, allow_response_override=True)


@pytest.mark.parametrize(
    ("header", "where"),
    [
        ("{", HEADER),
        ('{"status": 99}', f"{HEADER}.status"),
        ('{"nonsense": 1}', f"{HEADER}.nonsense"),
        ('{"body_base64": "?"}', HEADER),
        ('{"headers": {"a": "b\\r\\nc: d"}}', f"{HEADER}.headers"),
        ('{"status": 204}', HEADER),
        ('{"body": "a", "body_base64": ""}', HEADER),
    ],
)
def test_a_wrong_override_is_refused_by_name(play: Play, header: str, where: str) -> None:
    async def scenario(world: Any) -> None:
        response = await world.chat(headers={HEADER: header})
        assert response.status_code == 400
        assert response.json()["error"]["message"].startswith(f"{where}: ")

    play(scenario, allow_response_override=True)


def test_an_override_of_nothing_changes_nothing() -> None:
    override = ResponseOverride()
    document = {"usage": {"total_tokens": 1}}
    assert override.usage_of(document) == document
    assert not override.falsifies_usage
