"""The ledger agrees with what clients received, key by key, also when they leave in the middle."""

import asyncio
import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.llm.ledger import MAX_KEYS, OTHER, Answered, Ledger, credential, mask

Play = Callable[..., None]


def test_every_answered_token_is_entered_under_its_key(play: Play) -> None:
    async def scenario(world: Any) -> None:
        received = {"iamafreeuser": 0, "iamagolduser": 0, "": 0}
        for index in range(30):
            key = ("iamafreeuser", "iamagolduser", "")[index % 3]
            headers = {"authorization": f"APIKEY {key}"} if key else {}
            stream = index % 2 == 0
            response = await world.chat(
                max_tokens=30, stream=stream, stream_options={"include_usage": True}, headers=headers
            )
            document = json.loads(response.text.split("\n\n")[-3][6:]) if stream else response.json()
            received[key] += document["usage"]["total_tokens"]
        accounts = world.running.ledger.snapshot()
        assert {key: account.total_tokens for key, account in accounts.items()} == received
        for account in accounts.values():
            assert (account.requests, account.plain, account.streamed, account.cut) == (10, 5, 5, 0)
            assert account.total_tokens == account.prompt_tokens + account.completion_tokens == account.reported_tokens
        assert world.running.ledger.total().total_tokens == sum(received.values())

    play(scenario)


def test_a_stream_without_usage_is_answered_but_not_reported(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.chat(max_tokens=3, ignore_eos=True, stream=True)
        account = world.running.ledger.snapshot()[""]
        assert (account.total_tokens, account.reported_tokens) == (16, 0)

    play(scenario)


def test_a_stream_the_client_cuts_is_entered_with_what_was_sent(play: Play) -> None:
    async def scenario(world: Any) -> None:
        body = {"model": world.model, "messages": [{"role": "user", "content": "x"}], "max_tokens": 100}
        body |= {"stream": True, "ignore_eos": True, "stream_options": {"include_usage": True}}
        tokens = 0
        async with world.client.stream("POST", "/v1/chat/completions", json=body) as response:
            async for line in response.aiter_lines():
                tokens += '"content"' in line
                if tokens == 5:
                    break
        ledger = world.running.ledger
        while "" not in ledger.snapshot():
            await asyncio.sleep(0.01)
        account = ledger.snapshot()[""]
        assert (account.requests, account.cut, account.prompt_tokens, account.reported_tokens) == (1, 1, 6, 0)
        assert 5 <= account.completion_tokens <= 8

    play(scenario, inter_token_latency=0.02)


def test_a_client_that_leaves_before_the_answer_costs_nothing(play: Play) -> None:
    async def scenario(world: Any) -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.1):
                await world.chat()
        ledger = world.running.ledger
        while "" not in ledger.snapshot():
            await asyncio.sleep(0.01)
        account = ledger.snapshot()[""]
        assert (account.requests, account.cut, account.total_tokens) == (1, 1, 0)

    play(scenario, time_to_first_token=5)


def test_stopping_enters_open_streams_with_what_was_sent(play: Play) -> None:
    async def scenario(world: Any) -> None:
        body = {"model": world.model, "messages": [], "stream": True, "max_tokens": 50, "ignore_eos": True}
        async with world.client.stream("POST", "/v1/chat/completions", json=body) as response:
            lines = response.aiter_lines()
            await anext(lines)
            await world.running.stop()
        account = world.running.ledger.snapshot()[""]
        assert account.cut == 1
        assert 0 < account.completion_tokens < 50

    play(scenario, inter_token_latency=0.1)


def test_errors_have_no_tokens(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.client.post("/v1/completions", json={"model": "nope", "prompt": "x"})
        account = world.running.ledger.snapshot()[""]
        assert (account.errors, account.requests, account.total_tokens) == (1, 0, 0)

    play(scenario)


def test_the_view_masks_keys(play: Play) -> None:
    async def scenario(world: Any) -> None:
        await world.chat(headers={"authorization": "APIKEY iamafreeuser"})
        await world.chat(headers={"authorization": "short"})
        response = await world.client.get("/ledger")
        first, second = response.json()["keys"]
        assert "iamafree" not in response.text
        assert (first["key"], second["key"]) == ("iam***", "***")
        assert first["fingerprint"] != second["fingerprint"]
        tokens = first["account"]["total_tokens"] + second["account"]["total_tokens"]
        assert tokens == response.json()["total"]["total_tokens"]

    play(scenario)


@pytest.mark.parametrize(
    ("header", "expected"),
    [("APIKEY abc", "abc"), ("Bearer  a b ", "a b"), ("abc", "abc"), ("", ""), ("Bearer ", "Bearer")],
)
def test_the_credential_is_what_follows_the_scheme(header: str, expected: str) -> None:
    assert credential(header) == expected


@given(st.text(min_size=1))
def test_a_mask_shows_at_most_a_quarter(key: str) -> None:
    assert mask(key) == OTHER if key == OTHER else len(mask(key).removesuffix("***")) * 4 <= len(key)


def test_keys_are_bounded() -> None:
    ledger = Ledger()
    for index in range(MAX_KEYS + 5):
        ledger.enter(str(index), Answered(1, 1, 2), streamed=False, cut=False)
    accounts = ledger.snapshot()
    assert len(accounts) == MAX_KEYS + 1
    assert accounts[OTHER].requests == 5
    assert ledger.total().total_tokens == 2 * (MAX_KEYS + 5)
