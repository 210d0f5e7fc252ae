"""Over a real socket, with the stub that Envoy's own protocol definition gives."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import grpc
import grpc.aio
import pytest
from envoy.service.auth.v3.external_auth_pb2_grpc import AuthorizationStub
from google.protobuf.json_format import MessageToDict

from host_sim.world.auth import AuthService, Faults, RunningAuth, serve


@asynccontextmanager
async def connected(service: AuthService, **options: Any) -> AsyncIterator[tuple[RunningAuth, AuthorizationStub]]:
    running = await serve(service, **options)
    try:
        async with grpc.aio.insecure_channel(f"127.0.0.1:{running.port}") as channel:
            yield running, AuthorizationStub(channel)
    finally:
        await running.stop()


def test_check(kit: Any) -> None:
    async def scenario() -> None:
        async with connected(kit.service()) as (_running, stub):
            allowed = await stub.Check(kit.request(authorization="APIKEY iamafreeuser"))
            assert MessageToDict(allowed.dynamic_metadata) == {"identity": {"groups": "free", "userid": "user-1"}}
            denied = await stub.Check(kit.request())
            assert kit.summary(denied)[:2] == (16, 401)

    asyncio.run(scenario())


def test_the_service_may_change_while_it_serves(kit: Any) -> None:
    async def scenario() -> None:
        service = kit.service()
        async with connected(service) as (_running, stub):
            service.replace([], [])
            assert (await stub.Check(kit.request())).status.code == 5

    asyncio.run(scenario())


def test_faults(kit: Any) -> None:
    async def scenario() -> None:
        async with connected(kit.service(), faults=Faults(unavailable=True)) as (running, stub):
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Check(kit.request())
            assert error.value.code() is grpc.StatusCode.UNAVAILABLE
            running.faults = Faults(delay=0.2)
            began = time.monotonic()
            assert (await stub.Check(kit.request())).status.code == 16
            assert time.monotonic() - began >= 0.2
            with pytest.raises(grpc.aio.AioRpcError) as error:
                await stub.Check(kit.request(), timeout=0.05)
            assert error.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED

    asyncio.run(scenario())


def test_a_taken_port_is_an_error(kit: Any) -> None:
    async def scenario() -> None:
        async with connected(kit.service()) as (running, _stub):
            with pytest.raises(OSError, match=f"cannot listen on 127.0.0.1:{running.port}"):
                await serve(kit.service(), port=running.port)

    asyncio.run(scenario())
