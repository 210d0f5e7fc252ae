"""The guide played through on a running local gateway: its traffic, and what became of it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

import httpx

from host_sim.cli.findings import (
    QUERIES,
    Check,
    Limit,
    UserRun,
    as_report,
    check_filter,
    check_limiter,
    check_traffic,
)
from host_sim.cli.guide import REQUESTS_PER_USER, Exchange, User, call_llm, users
from host_sim.cli.numbers import Sample, query, scrape, total
from host_sim.gateway.world import LocalGateway
from host_sim.world.llm import Account

SETTLE_SECONDS: Final = 5.0
"""How long a report may be under way, or a counter may lag behind its request."""
_POLL_SECONDS: Final = 0.01


class DemoError(Exception):
    """The demo cannot be played; the text says why and how to mend it."""


class Observer(Protocol):
    """Who watches the demo."""

    def phase(self, text: str) -> None: ...

    def user_begins(self, user: User, requests: int) -> None: ...

    def exchanged(self, user: User, exchange: Exchange) -> None: ...


class Demo:
    """One run. `play` makes the traffic and answers the report."""

    def __init__(self, world: LocalGateway, observer: Observer, *, prove_window: bool) -> None:
        self._world = world
        self._observer = observer
        self._prove_window = prove_window
        self._route = world.translation.paths[0].route.key
        self._host = world.hostnames[0].replace("*", "llm")
        self._client: httpx.AsyncClient
        self._patience_seconds = SETTLE_SECONDS

    async def play(self) -> dict[str, Any]:
        """The content of `report.json`; its `ok` tells whether all numbers agree.

        Raises:
            DemoError: there are no users, or the gateway does not answer.
            ProcessError: Prometheus does not reach what it should scrape.
        """
        found = users(self._world.translation)
        if not found:
            raise DemoError(
                "found no API keys: expected Secrets with `api_key`, the annotation kuadrant.io/user-id and the label"
                " authorino.kuadrant.io/managed-by, as in envoy/tutorial/4-api-key-authentication.yaml"
            )
        try:
            async with httpx.AsyncClient() as self._client:
                runs = [await self._run(user) for user in found]
                if self._prove_window:
                    for run in runs:
                        await self._come_again(run)
                return await self._findings(runs)
        except httpx.HTTPError as error:
            raise DemoError(f"{type(error).__name__} on the way to the local gateway: {error}") from error

    async def _run(self, user: User) -> UserRun:
        """One streamed request, then the guide's; each waits until the limiter knows of the tokens before it.

        The guide's loop does not wait, so there a request may slip through while the report before it is under way.
        Waiting makes it certain who is let through, and so the limit itself can be checked.
        """
        run = UserRun(user)
        self._observer.user_begins(user, REQUESTS_PER_USER + 1)
        for number in range(REQUESTS_PER_USER + 1):
            exchange = await self._call(user, streamed=number == 0)
            run.exchanges.append(exchange)
            if run.limit is None:
                run.limit = self._limit(user)
        return run

    async def _call(self, user: User, *, streamed: bool = False) -> Exchange:
        exchange = await call_llm(self._client, self._world.url, self._host, user, streamed=streamed)
        self._observer.exchanged(user, exchange)
        if exchange.answered and not await _settled(lambda: self._is_reported(user), self._patience_seconds):
            # One lost report makes all later waits useless; what is missing shows in the numbers.
            self._patience_seconds = 0.0
        return exchange

    async def _is_reported(self, user: User) -> bool:
        samples = await scrape(self._client, f"{self._world.limiter_url}/metrics")
        return total(samples, "authorized_hits", **user.labels()) >= self._accounts()[user.api_key].reported_tokens

    async def _come_again(self, run: UserRun) -> None:
        """Send one more request when the limited user's window has passed."""
        if run.limit is None or not run.exchanges[-1].limited:
            return
        self._observer.phase(f"waiting until the window of {run.limit.seconds} s has passed for {run.user.name}")
        self._observer.user_begins(run.user, 1)
        await _settled(lambda: self._has_no_counter(run.user), run.limit.seconds + SETTLE_SECONDS)
        run.after_window = await self._call(run.user)

    async def _has_no_counter(self, user: User) -> bool:
        return self._limit(user) is None

    def _limit(self, user: User) -> Limit | None:
        """The limit whose window is running for `user`."""
        for counter in self._world.limiter.limiter.counters(self._route):
            if user.name in counter.set_variables.values():
                return Limit(counter.limit.name or "", counter.limit.max_value, counter.limit.seconds)
        return None

    def _accounts(self) -> dict[str, Account]:
        """The simulators' ledgers as one, with an empty account for a user who was never answered."""
        accounts = {user.api_key: Account() for user in users(self._world.translation)}
        for simulator in self._world.simulators.values():
            accounts.update(simulator.ledger.snapshot())
        return accounts

    async def _findings(self, runs: Sequence[UserRun]) -> dict[str, Any]:
        accounts = self._accounts()
        checks: list[Check] = []
        for run in runs:
            checks.extend(check_traffic(run, accounts[run.user.api_key]))
        samples: list[Sample] = []

        async def counted() -> bool:
            limiter = await scrape(self._client, f"{self._world.limiter_url}/metrics")
            envoy = await scrape(self._client, f"{self._world.admin_url}/stats/prometheus")
            samples[:] = limiter
            counters[:] = [
                *check_limiter(runs, accounts, self._route, limiter, "the limiter"),
                *check_filter(runs, accounts, self._route, envoy, "Envoy"),
            ]
            return all(check.ok for check in counters)

        counters: list[Check] = []
        await _settled(counted, SETTLE_SECONDS)
        checks.extend(counters)
        queries, source = {metric: [item for item in samples if item.name == metric] for metric in QUERIES}, "limiter"
        prometheus = self._world.prometheus
        if prometheus is not None:
            self._observer.phase("waiting for Prometheus to scrape")
            await prometheus.wait_scraped()
            queries, source = (
                {metric: await query(self._client, prometheus.url, metric) for metric in QUERIES},
                "prometheus",
            )
            scraped = [sample for found in queries.values() for sample in found]
            checks.extend(check_limiter(runs, accounts, self._route, scraped, "Prometheus"))
        return as_report(runs, accounts, queries, source, checks)


async def _settled(is_so: Callable[[], Awaitable[bool]], seconds: float) -> bool:
    """Ask until the answer is yes; no if it is not within `seconds`."""
    deadline = time.monotonic() + seconds
    while not await is_so():
        if time.monotonic() > deadline:
            return False
        await asyncio.sleep(_POLL_SECONDS)
    return True
