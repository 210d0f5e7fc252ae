"""Faults a test asks for: a limiter that is slow or down, on purpose."""

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

import grpc


@dataclass
class FaultInjection:
    """What goes wrong with the gRPC calls of a limiter; an option of `serve`, and may be changed while it runs.

    `delay_seconds`: how long each call waits before it is looked at. `fail_with`: the status each call then fails
    with; UNAVAILABLE is what a real limiter answers when its storage is gone. `methods`: the calls it is about, by
    method name (`CheckRateLimit`, `Report`, `ShouldRateLimit`); all if empty. `calls`: how many calls it lasts; None is
    for ever.
    """

    delay_seconds: float = 0.0
    fail_with: grpc.StatusCode | None = None
    methods: Collection[str] = ()
    calls: int | None = None

    async def strike(self, method: str) -> grpc.StatusCode | None:
        """Wait if there is a delay; the status to fail with, None to go on."""
        if (self.methods and method not in self.methods) or self.calls == 0:
            return None
        if self.calls is not None:
            self.calls -= 1
        failure = self.fail_with
        if self.delay_seconds > 0:
            await asyncio.sleep(self.delay_seconds)
        return failure
