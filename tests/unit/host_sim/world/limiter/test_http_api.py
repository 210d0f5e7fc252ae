"""The HTTP API as an ASGI application; `test_server` has it on a port."""

import re
from collections.abc import AsyncIterator

import httpx
import pytest

from host_sim.world.limiter import Limiter, parse_limits
from host_sim.world.limiter.http_api import http_api
from host_sim.world.limiter.metrics import CallMetrics
from host_sim.world.limiter.status import Status
from tests.unit.host_sim.world.limiter.tutorial import FREE, NAMESPACE, VirtualClock, descriptors

pytestmark = pytest.mark.anyio

ESCAPED = "llm%2Fllm-sim"
FREE_JSON = (
    '{"id":null,"namespace":"llm/llm-sim","max_value":100,"seconds":60,"name":"free",'
    '"conditions":["descriptors[0][\\"tokenlimit.free__cca14490\\"] == \\"1\\""],'
    '"variables":["descriptors[0][\\"auth.identity.userid\\"]"]}'
)


@pytest.fixture
def metrics() -> CallMetrics:
    return CallMetrics()


@pytest.fixture
async def client(limiter: Limiter, metrics: CallMetrics) -> AsyncIterator[httpx.AsyncClient]:
    async with client_of(limiter, metrics) as client:
        yield client


def client_of(limiter: Limiter, metrics: CallMetrics) -> httpx.AsyncClient:
    app = http_api(limiter, metrics, Status())
    return httpx.AsyncClient(base_url="http://limiter", transport=httpx.ASGITransport(app))


def body(delta: int, user: str = "user-1", **members: object) -> dict[str, object]:
    return {"namespace": NAMESPACE, "values": {FREE: "1", "auth.identity.userid": user}, "delta": delta, **members}


async def test_status(client: httpx.AsyncClient) -> None:
    response = await client.get("/status")
    assert response.headers["content-type"] == "application/json"
    time = r'"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}"'
    assert re.fullmatch(
        rf'{{"started_at":({time}),"config_applied_at":\1,"config_version":0,"config_err_since":0}}', response.text
    )


async def test_metrics(client: httpx.AsyncClient) -> None:
    response = await client.get("/metrics")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert "limitador_up 1\n" in response.text


async def test_limits(client: httpx.AsyncClient) -> None:
    response = await client.get(f"/limits/{ESCAPED}")
    assert response.headers["content-type"] == "application/json"
    assert response.text.startswith(f"[{FREE_JSON},{{")
    assert [limit["name"] for limit in response.json()] == ["free", "gold"]


async def test_counters(client: httpx.AsyncClient, limiter: Limiter, clock: VirtualClock) -> None:
    limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 42)
    clock.advance(0.5)
    response = await client.get(f"/counters/{ESCAPED}")
    assert response.text == (
        f'[{{"limit":{FREE_JSON},"set_variables":{{"descriptors[0][\\"auth.identity.userid\\"]":"user-1"}},'
        '"remaining":58,"expires_in_seconds":59}]'
    )


@pytest.mark.parametrize("what", ["limits", "counters"])
async def test_an_unknown_namespace_is_empty(client: httpx.AsyncClient, what: str) -> None:
    response = await client.get(f"/{what}/nope")
    assert (response.status_code, response.text) == (200, "[]")


@pytest.mark.parametrize("path", ["/", "/nope", "/limits", "/limits/", "/limits/llm/llm-sim", "/counters/llm/llm-sim"])
async def test_not_found_is_empty(client: httpx.AsyncClient, path: str) -> None:
    response = await client.get(path)
    assert (response.status_code, response.content) == (404, b"")


async def test_check(client: httpx.AsyncClient, limiter: Limiter) -> None:
    response = await client.post("/check", json=body(100))
    assert (response.status_code, response.text) == (200, "null")
    assert response.headers["content-type"] == "application/json"
    response = await client.post("/check", json=body(101))
    assert (response.status_code, response.text) == (429, "Too many requests")
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert limiter.counters(NAMESPACE) == []


async def test_report(client: httpx.AsyncClient, limiter: Limiter, metrics: CallMetrics) -> None:
    for remaining in (40, 0):
        response = await client.post("/report", json=body(60))
        assert (response.status_code, response.text) == (200, "null")
        assert [state.remaining for state in limiter.counters(NAMESPACE)] == [remaining]
    assert "authorized" not in metrics.exposition()


async def test_check_and_report(client: httpx.AsyncClient, metrics: CallMetrics) -> None:
    for status, metric in ((200, "authorized_hits"), (429, "limited_calls")):
        response = await client.post("/check_and_report", json=body(60))
        assert (response.status_code, response.text) == (status, "null")
        assert response.headers["content-type"] == "application/json"
        assert "x-ratelimit-limit" not in response.headers
        assert metric in metrics.exposition()
    assert 'authorized_hits{limitador_namespace="llm/llm-sim"} 60' in metrics.exposition()


async def test_check_and_report_with_quota_headers(client: httpx.AsyncClient) -> None:
    response = await client.post("/check_and_report", json=body(60, response_headers="DraftVersion03"))
    assert response.headers["x-ratelimit-limit"] == '100, 100;w=60;name="free"'
    assert response.headers["x-ratelimit-remaining"] == "40"
    assert response.headers["x-ratelimit-reset"] == "60"


@pytest.mark.parametrize("path", ["/check", "/report", "/check_and_report"])
async def test_a_bad_body(client: httpx.AsyncClient, path: str) -> None:
    response = await client.post(path, content="{", headers={"content-type": "application/json"})
    assert response.status_code == 400
    assert response.headers["content-type"] == "text/plain; charset=utf-8"
    assert response.text == "Json deserialize error: EOF while parsing an object at line 1 column 1"


@pytest.mark.parametrize(
    ("content_type", "status"),
    [
        ("application/json; charset=utf-8", 200),
        ("application/vnd.x+json", 200),
        ("text/plain", 400),
        (None, 400),
    ],
)
async def test_content_types(client: httpx.AsyncClient, content_type: str | None, status: int) -> None:
    headers = {"content-type": content_type} if content_type else {}
    response = await client.post("/check", content='{"namespace":"n","values":{},"delta":1}', headers=headers)
    assert (response.status_code, response.text) == (status, "null" if status == 200 else "Content type error")


async def test_a_large_body_is_refused(client: httpx.AsyncClient) -> None:
    response = await client.post("/check", json=body(1, "x" * 300_000))
    assert response.status_code == 413


async def test_an_undecidable_condition_is_an_internal_error(metrics: CallMetrics) -> None:
    limits = parse_limits("- {namespace: n, seconds: 1, conditions: ['descriptors[3].a == \"1\"'], variables: []}")
    async with client_of(Limiter(limits), metrics) as client:
        response = await client.post("/check", json={"namespace": "n", "values": {}, "delta": 1})
    assert (response.status_code, response.text) == (500, "Internal server error")
