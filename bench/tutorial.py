"""The tutorial's flow through one Envoy worker: CPU time of the Envoy process per request, and latency."""

from __future__ import annotations

import asyncio
import contextlib
import statistics
from dataclasses import dataclass
from pathlib import Path

from bench.load import Load, Request, cpu_seconds, run_load
from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.world import LocalGateway, Options
from host_sim.kuadrant import load_resources

ROOT = Path(__file__).resolve().parent.parent
NO_LIMIT = 10**12

CHAT = Request(
    "POST",
    "/v1/chat/completions",
    "llm.example.com",
    (("content-type", "application/json"), ("authorization", "APIKEY iamafreeuser")),
    b'{"model": "meta-llama/Llama-3.1-8B-Instruct", "max_tokens": 100,'
    b' "messages": [{"role": "user", "content": "What is Kubernetes?"}]}',
)


@dataclass(frozen=True)
class Variant:
    """A pipeline with the module it runs."""

    name: str
    pipeline: Pipeline
    wasm: Path | None = None


@dataclass(frozen=True)
class Figure:
    """Medians over the rounds. CPU in microseconds per request, latencies in milliseconds."""

    name: str
    cpu_us: float
    p50_ms: float
    p99_ms: float


async def measure(variants: list[Variant], requests: int, connections: int, rounds: int) -> list[Figure]:
    """Measure all variants in turn, `rounds` times, so that a slow moment of the machine meets them all."""
    measured: dict[str, list[tuple[float, Load]]] = {variant.name: [] for variant in variants}
    async with contextlib.AsyncExitStack() as stack:
        worlds = {variant.name: await stack.enter_async_context(_world(variant)) for variant in variants}
        for world in worlds.values():
            await run_load(_port(world), CHAT, requests // 4, connections)
        for _ in range(rounds):
            for name, world in worlds.items():
                before = cpu_seconds(world.envoy.child.pid)
                load = await run_load(_port(world), CHAT, requests, connections)
                # reports follow the responses
                await asyncio.sleep(0.2)
                used = cpu_seconds(world.envoy.child.pid) - before
                if set(load.statuses) != {200}:
                    raise RuntimeError(f"{name}: expected every answer to be 200, got {load.statuses}")
                measured[name].append((used / load.requests * 1e6, load))
    return [_figure(name, rounds_of) for name, rounds_of in measured.items()]


def _world(variant: Variant) -> LocalGateway:
    options = Options(
        wasm=variant.wasm,
        pipeline=variant.pipeline,
        prometheus=False,
        call_timeout="5s",
        envoy_log_level="warning",
        simulator={"seed": 1, "max_num_seqs": 1000},
    )
    world = LocalGateway(load_resources([ROOT / "envoy" / "tutorial"]), options)
    for limit in world.translation.limits:
        limit["max_value"] = NO_LIMIT
    return world


def _port(world: LocalGateway) -> int:
    return int(world.url.rpartition(":")[2])


def _figure(name: str, rounds: list[tuple[float, Load]]) -> Figure:
    return Figure(
        name,
        statistics.median(cpu for cpu, _ in rounds),
        statistics.median(load.percentile(0.5) * 1e3 for _, load in rounds),
        statistics.median(load.percentile(0.99) * 1e3 for _, load in rounds),
    )
