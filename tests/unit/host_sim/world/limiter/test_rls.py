"""The two gRPC services over loopback."""

from collections.abc import AsyncIterator, Awaitable, Callable

import grpc
import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse

from host_sim.world.limiter import (
    FaultInjection,
    Limit,
    LimiterConfig,
    RateLimitHeaders,
    RunningLimiter,
    parse_limits,
    serve,
)
from host_sim.world.limiter.counters import MemoryStorage, StorageError, Window
from host_sim.world.limiter.expressions import Descriptors
from tests.unit.host_sim.world.limiter.tutorial import FREE, GOLD, NAMESPACE, descriptors

pytestmark = pytest.mark.anyio

CHECK = "/kuadrant.service.ratelimit.v1.RateLimitService/CheckRateLimit"
REPORT = "/kuadrant.service.ratelimit.v1.RateLimitService/Report"
SHOULD = "/envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"

Call = Callable[[str, bytes], Awaitable[RateLimitResponse]]


def message(request: Descriptors, hits: int | None = None, domain: str = NAMESPACE) -> bytes:
    built = RateLimitRequest(domain=domain, hits_addend=hits)
    for descriptor in request:
        entries = built.descriptors.add().entries
        for key, value in descriptor.items():
            entries.add(key=key, value=value)
    encoded: bytes = built.SerializeToString()
    return encoded


def config(limits: list[Limit], **options: object) -> LimiterConfig:
    return LimiterConfig(limits=limits, rls_port=0, http_port=0, **options)  # type: ignore[arg-type]


@pytest.fixture
async def running(tutorial: list[Limit]) -> AsyncIterator[RunningLimiter]:
    async with await serve(config(tutorial)) as running:
        yield running


@pytest.fixture
async def call(running: RunningLimiter) -> AsyncIterator[Call]:
    async with grpc.aio.insecure_channel(running.rls_address) as channel:
        yield caller(channel)


def caller(channel: grpc.aio.Channel) -> Call:
    async def call(method: str, message: bytes) -> RateLimitResponse:
        return await channel.unary_unary(method, None, RateLimitResponse.FromString)(message, timeout=5)

    return call


async def status_of(call: Awaitable[RateLimitResponse]) -> tuple[grpc.StatusCode, str]:
    with pytest.raises(grpc.aio.AioRpcError) as caught:
        await call
    return caught.value.code(), caught.value.details()


async def test_check_until_the_limit_is_reached(call: Call, running: RunningLimiter) -> None:
    request = descriptors(FREE, "user-1")
    assert (await call(CHECK, message(request, 90))).overall_code == RateLimitResponse.OK
    assert (await call(REPORT, message(request, 99))).overall_code == RateLimitResponse.OK
    assert (await call(CHECK, message(request))).overall_code == RateLimitResponse.OK
    assert (await call(REPORT, message(request, 1))).overall_code == RateLimitResponse.OK
    assert (await call(CHECK, message(request))).overall_code == RateLimitResponse.OVER_LIMIT
    (state,) = running.limiter.counters(NAMESPACE)
    assert state.remaining == 0


async def test_an_addend_of_zero_is_one_hit(call: Call, running: RunningLimiter) -> None:
    request = descriptors(GOLD, "user-2")
    for method, hits in ((REPORT, 0), (REPORT, None), (SHOULD, 0), (SHOULD, None)):
        assert (await call(method, message(request, hits))).overall_code == RateLimitResponse.OK
    (state,) = running.limiter.counters(NAMESPACE)
    assert state.remaining == 496


@pytest.mark.parametrize("method", [CHECK, REPORT, SHOULD])
async def test_an_empty_domain_is_unknown_and_counted_nowhere(call: Call, running: RunningLimiter, method: str) -> None:
    response = await call(method, message(descriptors(FREE, "user-1"), 5, domain=""))
    assert response == RateLimitResponse(overall_code=RateLimitResponse.UNKNOWN)
    assert "authorized" not in running.metrics.exposition()


async def test_answers_hold_nothing_but_the_code(call: Call) -> None:
    request = message(descriptors(FREE, "user-1"), 5)
    for method in (CHECK, REPORT, SHOULD):
        assert await call(method, request) == RateLimitResponse(overall_code=RateLimitResponse.OK)


@pytest.mark.parametrize("method", [CHECK, REPORT, SHOULD])
async def test_bytes_that_are_no_message(call: Call, method: str) -> None:
    assert (await status_of(call(method, b"\xff\xff")))[0] is grpc.StatusCode.INTERNAL


@pytest.mark.parametrize(
    "method",
    ["/grpc.health.v1.Health/Check", "/kuadrant.service.ratelimit.v1.RateLimitService/ShouldRateLimit", "/x/y"],
)
async def test_other_methods_are_unimplemented(call: Call, method: str) -> None:
    assert (await status_of(call(method, b"")))[0] is grpc.StatusCode.UNIMPLEMENTED


async def test_large_messages_are_refused(call: Call) -> None:
    request = message(descriptors(FREE, "x" * 300_000))
    assert (await status_of(call(REPORT, request)))[0] is grpc.StatusCode.RESOURCE_EXHAUSTED


async def test_an_undecidable_condition_cancels_the_call_and_the_server_lives_on(call: Call) -> None:
    assert (await status_of(call(CHECK, message([]))))[0] is grpc.StatusCode.CANCELLED
    assert (await call(CHECK, message(descriptors(FREE, "user-1")))).overall_code == RateLimitResponse.OK


async def test_a_variable_without_a_text_makes_the_service_unavailable() -> None:
    limits = parse_limits("- {namespace: n, max_value: 1, seconds: 1, conditions: [], variables: [descriptors]}")
    async with (
        await serve(config(limits)) as running,
        grpc.aio.insecure_channel(running.rls_address) as channel,
    ):
        status = await status_of(caller(channel)(CHECK, message([{}], domain="n")))
    assert status == (grpc.StatusCode.UNAVAILABLE, "Service unavailable")


class BrokenStorage(MemoryStorage):
    def read(self, counters: object) -> list[Window]:
        raise StorageError("no route to the store")


async def test_a_storage_that_fails_makes_the_service_unavailable(tutorial: list[Limit]) -> None:
    async with (
        await serve(config(tutorial, storage=BrokenStorage())) as running,
        grpc.aio.insecure_channel(running.rls_address) as channel,
    ):
        status = await status_of(caller(channel)(CHECK, message(descriptors(FREE, "user-1"))))
        assert status == (grpc.StatusCode.UNAVAILABLE, "Service unavailable")
        assert "authorized" not in running.metrics.exposition()


async def test_rate_limit_headers_on_should_rate_limit(tutorial: list[Limit]) -> None:
    asked = config(tutorial, rate_limit_headers=RateLimitHeaders.DRAFT_VERSION_03)
    async with await serve(asked) as running, grpc.aio.insecure_channel(running.rls_address) as channel:
        call = caller(channel)
        request = message(descriptors(FREE, "user-1"), 1)
        response = await call(SHOULD, request)
        assert [(header.key, header.value) for header in response.response_headers_to_add] == [
            ("X-RateLimit-Limit", '100, 100;w=60;name="free"'),
            ("X-RateLimit-Remaining", "99"),
            ("X-RateLimit-Reset", "59"),
        ]
        assert not (await call(CHECK, request)).response_headers_to_add
        assert not (await call(SHOULD, message([{}]))).response_headers_to_add


async def test_injected_faults(running: RunningLimiter, call: Call) -> None:
    request = message(descriptors(FREE, "user-1"), 1)
    running.faults.fail_with = grpc.StatusCode.UNAVAILABLE
    running.faults.methods = {"Report"}
    running.faults.calls = 2
    assert (await call(CHECK, request)).overall_code == RateLimitResponse.OK
    for _ in range(2):
        assert await status_of(call(REPORT, request)) == (grpc.StatusCode.UNAVAILABLE, "Service unavailable")
    assert (await call(REPORT, request)).overall_code == RateLimitResponse.OK
    (state,) = running.limiter.counters(NAMESPACE)
    assert state.remaining == 99


async def test_an_injected_delay(tutorial: list[Limit]) -> None:
    slow = config(tutorial, faults=FaultInjection(delay_seconds=30))
    async with await serve(slow) as running, grpc.aio.insecure_channel(running.rls_address) as channel:
        method = channel.unary_unary(CHECK, None, RateLimitResponse.FromString)
        request = message(descriptors(FREE, "user-1"))
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await method(request, timeout=0.1)
        assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        running.faults.delay_seconds = 0
        assert (await method(request, timeout=5)).overall_code == RateLimitResponse.OK
