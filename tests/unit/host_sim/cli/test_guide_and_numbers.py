"""The guide's requests on the wire, and metrics as they are read."""

import asyncio
import json
from collections.abc import Awaitable, Callable

import httpx
import pytest

from host_sim.cli.guide import CHAT, Exchange, User, call_llm, users
from host_sim.cli.numbers import Sample, query, scrape, total
from host_sim.kuadrant import load_resources, translate
from tests.unit.host_sim.cli.test_command import TUTORIAL

USER = User("user-1", "free", "iamafreeuser")


def against(handler: Callable[[httpx.Request], httpx.Response], call: Callable[[httpx.AsyncClient], Awaitable[object]]):  # type: ignore[no-untyped-def]
    async def run() -> object:
        async with httpx.AsyncClient(transport=httpx.MockTransport(handler)) as client:
            return await call(client)

    return asyncio.run(run())


def test_the_guides_users() -> None:
    found = users(translate(load_resources([TUTORIAL])))
    assert found == [User("user-1", "free", "iamafreeuser"), User("user-2", "gold", "iamagolduser")]
    assert "iama" not in repr(found)


@pytest.mark.parametrize("streamed", [False, True])
def test_call_llm(streamed: bool) -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://127.0.0.1:8080/v1/chat/completions"
        assert request.headers["host"] == "llm.example.com:8080"
        assert request.headers["authorization"] == "APIKEY iamafreeuser"
        assert json.loads(request.content) == {**CHAT, "stream": streamed}
        if not streamed:
            return httpx.Response(200, json={"usage": {"total_tokens": 42}})
        events = ['{"usage": null}', '{"usage": {"total_tokens": 42}}', "[DONE]"]
        body = "".join(f"data: {event}\n\n" for event in events)
        return httpx.Response(200, text=body, headers={"content-type": "text/event-stream"})

    found = against(
        answer, lambda client: call_llm(client, "http://127.0.0.1:8080", "llm.example.com", USER, streamed=streamed)
    )
    assert isinstance(found, Exchange)
    assert (found.answered, found.limited, found.tokens, found.streamed) == (True, False, 42, streamed)


def test_a_refused_call_has_no_tokens() -> None:
    found = against(
        lambda request: httpx.Response(429, text="Too Many Requests\n"),
        lambda client: call_llm(client, "http://127.0.0.1:8080", "llm.example.com", USER),
    )
    assert isinstance(found, Exchange)
    assert (found.answered, found.limited, found.tokens) == (False, True, 0)


EXPOSITION = """# HELP authorized_hits Authorized hits
# TYPE authorized_hits counter
authorized_hits{user="user-1",group="free"} 110
authorized_hits{user="user-2",group="gold"} 500

# TYPE tallyman_tokens_total counter
tallyman_tokens_total{user="a\\"b",kind="total"} 7
# TYPE kuadrant_hits counter
kuadrant_hits{} 3
"""


def test_scraped_names_are_those_shown() -> None:
    samples = against(lambda request: httpx.Response(200, text=EXPOSITION), lambda client: scrape(client, "http://x/m"))
    assert {sample.name for sample in samples} == {"authorized_hits", "tallyman_tokens_total", "kuadrant_hits"}
    assert total(samples, "authorized_hits") == 610
    assert total(samples, "authorized_hits", user="user-2") == 500
    assert total(samples, "tallyman_tokens_total", user='a"b') == 7
    assert total(samples, "authorized_calls") == 0


def test_prometheus_is_asked_as_the_guide_does() -> None:
    def answer(request: httpx.Request) -> httpx.Response:
        assert str(request.url) == "http://p:9090/api/v1/query?query=limited_calls"
        metric = {"__name__": "limited_calls", "user": "user-1", "job": "limitador"}
        return httpx.Response(200, json={"data": {"result": [{"metric": metric, "value": [1795561770.2, "29"]}]}})

    samples = against(answer, lambda client: query(client, "http://p:9090", "limited_calls"))
    assert samples == [Sample("limited_calls", {"user": "user-1", "job": "limitador"}, 29.0)]
