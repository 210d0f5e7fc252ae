"""The filter in a real Envoy, with the real services around it: what the tutorial does, and what can go wrong."""

import asyncio
import base64
import contextlib
import copy
import dataclasses
import gzip
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import grpc
import httpx
import pytest

from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.processes import ProcessError
from host_sim.gateway.world import LocalGateway, Options
from host_sim.kuadrant import load_resources
from host_sim.world.auth.server import Faults
from host_sim.world.limiter.faults import FaultInjection

ROOT: Final = Path(__file__).parents[2]
HOST: Final = "llm.example.com"
FREE: Final = "iamafreeuser"
GOLD: Final = "iamagolduser"
CHAT: Final = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "messages": [{"role": "user", "content": "What is Kubernetes?"}],
    "max_tokens": 100,
}
SCOPE: Final = "llm/llm-sim"

Configuration = dict[str, Any]


class World:
    """A running gateway with a client, and what its parts have counted."""

    def __init__(self, gateway: LocalGateway, client: httpx.AsyncClient) -> None:
        self.gateway = gateway
        self.client = client
        (self.simulator,) = gateway.simulators.values()

    async def ask(self, key: str | None = GOLD, /, *, override: object = None, **members: Any) -> httpx.Response:
        headers = {"Host": HOST}
        if key is not None:
            headers["Authorization"] = f"APIKEY {key}"
        if override is not None:
            headers["x-response-override"] = json.dumps(override)
        url = f"{self.gateway.url}/v1/chat/completions"
        return await self.client.post(url, headers=headers, json={**CHAT, **members})

    async def metric(self, name: str, **labels: str) -> int:
        """The sum of the plugin's counters of this name with these labels."""
        stats = (await self.client.get(f"{self.gateway.admin_url}/stats", params={"format": "json"})).json()["stats"]
        total = 0
        for stat in stats:
            base, *pairs = str(stat.get("name", "")).split("\x1f")
            found = dict(pair.split("=", 1) for pair in pairs if pair)
            if base.removeprefix("wasmcustom.") == name and labels.items() <= found.items():
                total += int(stat["value"])
        return total

    async def limiter(self, name: str) -> int:
        text = (await self.client.get(f"{self.gateway.limiter_url}/metrics")).text
        lines = [line for line in text.splitlines() if line.startswith(name) and line[len(name)] in " {"]
        return sum(int(float(line.rpartition(" ")[2])) for line in lines)

    async def settled(self, condition: Callable[[], Awaitable[bool]]) -> None:
        """Wait until reports, which no response waits for, have arrived."""
        for _ in range(100):
            if await condition():
                return
            await asyncio.sleep(0.05)
        raise AssertionError(f"not settled:\n{self.log()}")

    async def metric_is(self, expected: int, name: str, **labels: str) -> None:
        async def condition() -> bool:
            return await self.metric(name, **labels) == expected

        await self.settled(condition)

    async def accounted(self) -> None:
        """Every token that went out truthfully has been counted, and is in the limiter or known to be missing there."""

        async def condition() -> bool:
            reported, unreported = (
                await self.limiter("authorized_hits"),
                await self.metric("tallyman_tokens_unreported_total"),
            )
            counted = await self.metric("tallyman_tokens_total", kind="total")
            return counted == self.simulator.ledger.total().reported_tokens == reported + unreported

        await self.settled(condition)

    def log(self) -> str:
        return (self.gateway.folder / "envoy.log").read_text(errors="replace")


def play(
    scenario: Callable[[World], Awaitable[None]],
    *,
    configure: Callable[[Configuration], None] = lambda _: None,
    **options: Any,
) -> None:
    """Run a scenario against the tutorial's world, with the plugin's configuration changed. Nothing may trap."""
    module = ROOT / "dist" / "tallyman.wasm"
    assert module.is_file(), f"{module} is not there: run `make wasm` first"
    simulator = {"allow_response_override": True, "seed": 1}
    chosen = {"wasm": module, "prometheus": False, "simulator": simulator, "call_timeout": "5s", **options}

    async def run() -> None:
        gateway = LocalGateway(load_resources([ROOT / "envoy" / "tutorial"]), Options(**chosen))
        configuration = copy.deepcopy(gateway.translation.plugin_configuration)
        configure(configuration)
        gateway.translation = dataclasses.replace(gateway.translation, plugin_configuration=configuration)
        async with gateway, httpx.AsyncClient(timeout=30) as client:
            world = World(gateway, client)
            await scenario(world)
            log = world.log()
            assert "uncaught exception" not in log
            assert "Function: proxy_" not in log, "the VM has trapped"
            assert gateway.envoy.child.exit_code is None

    asyncio.run(run())


@pytest.mark.parametrize("pipeline", [Pipeline.PLUGIN, Pipeline.EXT_AUTHZ])
def test_the_tutorial(pipeline: Pipeline) -> None:
    async def scenario(world: World) -> None:
        assert (await world.ask(None)).status_code == 401
        assert (await world.ask("nobody")).status_code == 401
        for key, limit in ((FREE, 100), (GOLD, 500)):
            used = 0
            answered = 0
            while used < limit:
                response = await world.ask(key)
                assert response.status_code == 200
                used += response.json()["usage"]["total_tokens"]
                answered += 1
                await world.accounted()
            for _ in range(3):
                response = await world.ask(key)
                assert (response.status_code, response.text) == (429, "Too Many Requests\n")
            user = {FREE: "user-1", GOLD: "user-2"}[key]
            assert await world.metric("tallyman_tokens_total", user=user, route=SCOPE, kind="total") == used
            assert await world.metric("tallyman_requests_total", user=user, decision="allowed") == answered
            assert await world.metric("tallyman_requests_total", user=user, decision="limited") == 3
            account = world.simulator.ledger.snapshot()[key]
            assert (account.requests, account.total_tokens) == (answered, used)
        assert await world.limiter("limited_calls") == 6
        assert await world.metric("kuadrant.errors") == 0
        if pipeline is Pipeline.PLUGIN:
            assert await world.metric("kuadrant.denied") == 8

    play(scenario, pipeline=pipeline)


def test_streamed_answers_of_any_shape_are_counted() -> None:
    async def scenario(world: World) -> None:
        with_usage = {"stream": True, "stream_options": {"include_usage": True}, "max_tokens": 20}
        for override in (None, {"chunk_size": 1}, {"chunk_size": 7}):
            response = await world.ask(GOLD, override=override, **with_usage)
            assert response.text.rstrip().endswith("data: [DONE]")
            await world.accounted()
        assert await world.metric("tallyman_usage_missing_total") == 0
        assert (await world.ask(GOLD, stream=True)).status_code == 200
        await world.metric_is(1, "tallyman_usage_missing_total", route=SCOPE, reason="no_usage")
        await world.accounted()

    play(scenario)


RESPONSES: Final[dict[str, tuple[Configuration, str]]] = {
    "no usage": ({"omit_usage": True}, "no_usage"),
    "a text for usage": ({"usage": "30"}, "bad_number"),
    "a text for the total": ({"usage": {"total_tokens": "30"}}, "bad_number"),
    "negative": ({"usage": {"total_tokens": -1}}, "bad_number"),
    "beyond 64 bits": ({"usage": {"total_tokens": 2**80}}, "bad_number"),
    "not JSON": ({"body": "<html>", "content_type": "application/json"}, "bad_json"),
    "text": ({"body": "hello", "content_type": "text/plain"}, "unknown_format"),
    "compressed": (
        {
            "body_base64": base64.b64encode(gzip.compress(b'{"usage": {"total_tokens": 3}}')).decode(),
            "content_type": "application/json",
            "headers": {"content-encoding": "gzip"},
        },
        "compressed",
    ),
    "empty": ({"body": "", "content_type": "application/json"}, "no_usage"),
    "an error": ({"status": 503, "body": "down", "content_type": "text/plain"}, "upstream_error"),
}


def test_a_misbehaving_upstream_is_passed_on_and_accounted_for() -> None:
    async def scenario(world: World) -> None:
        expected: dict[str, int] = {}
        for override, reason in RESPONSES.values():
            response = await world.ask(GOLD, override=override)
            assert response.status_code == override.get("status", 200)
            if "body" in override:
                assert response.text == override["body"]
            expected[reason] = expected.get(reason, 0) + 1
            await world.metric_is(expected[reason], "tallyman_usage_missing_total", route=SCOPE, reason=reason)
        assert await world.metric("tallyman_usage_missing_total") == len(RESPONSES)
        assert await world.metric("tallyman_tokens_total") == await world.limiter("authorized_hits") == 0
        assert await world.metric("tallyman_requests_total", decision="allowed") == len(RESPONSES)
        enormous = 2**63 - 1
        assert (await world.ask(GOLD, override={"usage": {"total_tokens": enormous}})).status_code == 200
        await world.metric_is(enormous, "tallyman_tokens_total", kind="total")
        unreported = await world.metric("tallyman_tokens_unreported_total")

        async def reported() -> bool:
            return await world.limiter("authorized_hits") + unreported == enormous

        await world.settled(reported)
        assert (await world.ask(GOLD)).status_code == 429

    play(scenario)


def test_answers_that_are_cut() -> None:
    async def scenario(world: World) -> None:
        streamed = {"stream": True, "stream_options": {"include_usage": True}}
        with contextlib.suppress(httpx.RemoteProtocolError, httpx.ReadError):
            await world.ask(GOLD, override={"truncate_after": 200, "end": "reset"}, **streamed)
        await world.metric_is(1, "tallyman_usage_missing_total", reason="aborted")
        url = f"{world.gateway.url}/v1/chat/completions"
        headers = {"Host": HOST, "Authorization": f"APIKEY {GOLD}"}
        headers["x-response-override"] = json.dumps({"chunk_size": 40, "chunk_delay": 0.05})
        async with (
            httpx.AsyncClient(timeout=30) as leaving,
            leaving.stream("POST", url, headers=headers, json={**CHAT, **streamed}) as response,
        ):
            assert response.status_code == 200
            async for _ in response.aiter_raw():
                break
        await world.metric_is(2, "tallyman_usage_missing_total", reason="aborted")
        assert await world.metric("tallyman_tokens_total") == await world.limiter("authorized_hits") == 0
        assert (await world.ask(GOLD)).status_code == 200
        await world.accounted()

    play(scenario)


def test_services_that_are_down() -> None:
    async def scenario(world: World) -> None:
        limiter, auth = world.gateway.limiter, world.gateway.auth
        limiter.faults = _set(limiter.faults, fail_with=grpc.StatusCode.UNAVAILABLE, methods=("CheckRateLimit",))
        assert (await world.ask(FREE)).status_code == 200, "failureMode allow"
        await world.metric_is(1, "tallyman_service_errors_total", service="ratelimit-check-service")
        await world.accounted()
        limiter.faults = _set(limiter.faults, fail_with=grpc.StatusCode.UNAVAILABLE, methods=("Report",))
        answer = await world.ask(GOLD)
        assert answer.status_code == 200
        await world.metric_is(answer.json()["usage"]["total_tokens"], "tallyman_tokens_unreported_total", route=SCOPE)
        assert "ratelimit-report-service failed: unavailable" in world.log()
        await world.accounted()
        auth.faults = Faults(unavailable=True)
        denied = await world.ask(GOLD)
        assert (denied.status_code, denied.text) == (500, "Internal Server Error.\n")
        await world.metric_is(1, "tallyman_service_errors_total", service="auth-service", reason="unavailable")
        assert "service auth-service: unavailable" in world.log()

    play(scenario)


def test_services_that_are_slow() -> None:
    def quick(configuration: Configuration) -> None:
        for service in configuration["services"].values():
            service["timeout"] = "150ms"
        configuration["services"]["ratelimit-check-service"]["failureMode"] = "deny"

    async def scenario(world: World) -> None:
        world.gateway.auth.faults = Faults(delay=1.0)
        assert (await world.ask(GOLD)).status_code == 500
        await world.metric_is(1, "tallyman_service_errors_total", service="auth-service")
        world.gateway.auth.faults = Faults()
        limiter = world.gateway.limiter
        limiter.faults = _set(limiter.faults, delay_seconds=1.0, methods=("CheckRateLimit",))
        assert (await world.ask(GOLD)).status_code == 500
        await world.metric_is(1, "tallyman_service_errors_total", service="ratelimit-check-service")
        limiter.faults = _set(limiter.faults, delay_seconds=1.0, methods=("Report",))
        answer = await world.ask(GOLD)
        assert answer.status_code == 200
        await world.metric_is(answer.json()["usage"]["total_tokens"], "tallyman_tokens_unreported_total")
        limiter.faults = _set(limiter.faults, delay_seconds=2.0, methods=("CheckRateLimit",))
        with contextlib.suppress(httpx.ReadTimeout):
            async with httpx.AsyncClient(timeout=0.05) as hasty:
                await World(world.gateway, hasty).ask(GOLD)
        await world.metric_is(1, "tallyman_requests_total", decision="aborted")

    play(scenario, configure=quick)


def _set(faults: FaultInjection, **changes: Any) -> FaultInjection:
    """The limiter's faults, which its services hold on to, changed in place."""
    for field in dataclasses.fields(FaultInjection):
        setattr(faults, field.name, changes.get(field.name, field.default))
    return faults


def _break(place: str) -> Callable[[Configuration], None]:
    def change(configuration: Configuration) -> None:
        action_set = configuration["actionSets"][0]
        if place == "type":
            configuration["services"]["auth-service"]["timeout"] = 5
        elif place == "service":
            action_set["actions"][0]["service"] = "nobody"
        else:
            action_set["routeRuleConditions"]["predicates"] = ["request.method = 'GET'"]

    return change


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("type", "$.services.auth-service.timeout: found a number 5, expected a duration"),
        ("service", '$.actionSets[0].actions[0].service: found "nobody", expected a name under $.services'),
        ("expression", "$.actionSets[0].routeRuleConditions.predicates[0]: is not a valid CEL expression at 1:16"),
    ],
)
def test_envoy_refuses_a_bad_configuration(place: str, reason: str, tmp_path: Path) -> None:
    async def scenario(world: World) -> None:
        raise AssertionError("Envoy has taken the configuration")

    with pytest.raises(ProcessError):
        play(scenario, configure=_break(place), folder=tmp_path)
    log = (tmp_path / "envoy.log").read_text()
    assert f"configuration refused: {reason}" in log
    assert "uncaught exception" not in log
