import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import httpx
import pytest

from host_sim.world.llm import RunningSimulator, SimulatorConfig, serve

MODEL = "meta-llama/Llama-3.1-8B-Instruct"


class World:
    """A simulator on a real port and a client to it."""

    model = MODEL

    def __init__(self, running: RunningSimulator, client: httpx.AsyncClient) -> None:
        self.running = running
        self.client = client

    async def chat(self, content: Any = "Hello there, how are you today?", **members: Any) -> httpx.Response:
        headers = members.pop("headers", {})
        body = {"model": MODEL, "messages": [{"role": "user", "content": content}], **members}
        return await self.client.post("/v1/chat/completions", json=body, headers=headers)

    async def text(self, prompt: Any = "Hello there, how are you today?", **members: Any) -> httpx.Response:
        headers = members.pop("headers", {})
        return await self.client.post(
            "/v1/completions", json={"model": MODEL, "prompt": prompt, **members}, headers=headers
        )


@asynccontextmanager
async def simulated(**settings: Any) -> AsyncIterator[World]:
    running = await serve(SimulatorConfig(**{"model": MODEL, "port": 0, "seed": 7, **settings}))
    try:
        async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{running.port}", trust_env=False) as client:
            yield World(running, client)
    finally:
        await running.stop()


Scenario = Callable[[World], Awaitable[None]]


@pytest.fixture
def play() -> Callable[..., None]:
    """Runs a coroutine function with a :class:`World` made from the given settings."""

    def run(scenario: Scenario, **settings: Any) -> None:
        async def main() -> None:
            async with asyncio.timeout(20), simulated(**settings) as world:
                await scenario(world)

        asyncio.run(main())

    return run
