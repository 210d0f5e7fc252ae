"""What the demo found: per user, and every number beside the LLM simulator's own ledger."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from host_sim.cli.guide import Exchange, User
from host_sim.cli.numbers import Sample, total
from host_sim.world.llm import Account

QUERIES: Final = ("authorized_hits", "authorized_calls", "limited_calls")
"""The three queries of the guide's last step."""

_TROUBLE: Final = ("service_errors", "usage_missing", "tokens_unreported", "label_errors")


@dataclass(frozen=True)
class Limit:
    """The limit that a user's requests count against."""

    name: str
    tokens: int
    seconds: int


@dataclass
class UserRun:
    """One user's traffic."""

    user: User
    limit: Limit | None = None
    exchanges: list[Exchange] = field(default_factory=list)
    after_window: Exchange | None = None
    """The request with which a limited user came again when the window had passed."""

    @property
    def all_exchanges(self) -> list[Exchange]:
        return self.exchanges if self.after_window is None else [*self.exchanges, self.after_window]

    def answered(self) -> int:
        return sum(exchange.answered for exchange in self.all_exchanges)

    def limited(self) -> int:
        return sum(exchange.limited for exchange in self.all_exchanges)

    def others(self) -> list[int]:
        """Statuses that are neither an answer nor a refusal by the limit."""
        return [item.status for item in self.all_exchanges if not item.answered and not item.limited]

    def tokens(self) -> int:
        return sum(exchange.tokens for exchange in self.all_exchanges)


@dataclass(frozen=True)
class Check:
    """One comparison. `source` says who claims the found number."""

    what: str
    source: str
    expected: int
    found: int

    @property
    def ok(self) -> bool:
        return self.expected == self.found

    def __str__(self) -> str:
        return f"{self.what}: {self.source} says {self.found}, expected {self.expected}"


def judged_by_limit(run: UserRun) -> list[tuple[Exchange, bool]]:
    """Requests that ended within the first window, and whether the limit lets each through.

    Each request waits until the limiter has the report of the one before, so one is let through if, and only if, the
    tokens answered before it are below the limit. The window begins with the first report, which is not before the
    first answered request was sent; what ended later than one window after that is left to the totals.
    """
    if run.limit is None:
        return [(exchange, True) for exchange in run.exchanges]
    first = next((exchange.sent_at for exchange in run.exchanges if exchange.answered), 0.0)
    judged: list[tuple[Exchange, bool]] = []
    spent = 0
    for exchange in run.exchanges:
        if exchange.ended_at >= first + run.limit.seconds:
            break
        judged.append((exchange, spent < run.limit.tokens))
        spent += exchange.tokens
    return judged


def check_traffic(run: UserRun, account: Account) -> list[Check]:
    """What the client saw against the ledger and against the limit."""
    name = run.user.name
    judged = judged_by_limit(run)
    checks = [
        Check(f"{name}: answered requests", "the client", account.requests, run.answered()),
        Check(f"{name}: tokens", "the client", account.reported_tokens, run.tokens()),
        Check(f"{name}: tokens with usage", "the ledger", account.total_tokens, account.reported_tokens),
        Check(f"{name}: statuses other than 200 and 429", "the client", 0, len(run.others())),
        Check(
            f"{name}: requests let through below the limit, and only there",
            "the client",
            len(judged),
            sum(exchange.answered == expected for exchange, expected in judged),
        ),
    ]
    if run.after_window is not None:
        checks.append(Check(f"{name}: status after the window", "the client", 200, run.after_window.status))
    return checks


def check_limiter(
    runs: Sequence[UserRun], accounts: dict[str, Account], route: str, samples: list[Sample], source: str
) -> list[Check]:
    """The limiter's three counters, scraped by us or by Prometheus, per user and in all."""
    checks: list[Check] = []
    wanted: dict[str, list[int]] = {query: [] for query in QUERIES}
    for run in runs:
        account = accounts[run.user.api_key]
        for query, expected in zip(QUERIES, (account.reported_tokens, account.requests, run.limited()), strict=True):
            found = total(samples, query, limitador_namespace=route, **run.user.labels())
            checks.append(Check(f"{run.user.name}: {query}", source, expected, found))
            wanted[query].append(expected)
    checks.extend(Check(f"all users: {query}", source, sum(wanted[query]), total(samples, query)) for query in QUERIES)
    return checks


def check_filter(
    runs: Sequence[UserRun], accounts: dict[str, Account], route: str, samples: list[Sample], source: str
) -> list[Check]:
    """The filter's own counters in Envoy's exposition, and that it met no trouble."""
    checks: list[Check] = []
    for run in runs:
        account = accounts[run.user.api_key]
        labels = {**run.user.labels(), "route": route}
        for kind, tokens in (
            ("input", account.prompt_tokens),
            ("output", account.completion_tokens),
            ("total", account.reported_tokens),
        ):
            found = total(samples, "tallyman_tokens_total", kind=kind, **labels)
            checks.append(Check(f"{run.user.name}: tallyman_tokens_total {kind}", source, tokens, found))
        for decision, requests in (("allowed", account.requests), ("limited", run.limited())):
            found = total(samples, "tallyman_requests_total", decision=decision, **labels)
            checks.append(Check(f"{run.user.name}: tallyman_requests_total {decision}", source, requests, found))
    for trouble in _TROUBLE:
        metric = f"tallyman_{trouble}_total"
        checks.append(Check(f"in all: {metric}", source, 0, total(samples, metric)))
    return checks


def as_report(
    runs: Sequence[UserRun],
    accounts: dict[str, Account],
    queries: dict[str, list[Sample]],
    queries_from: str,
    checks: Iterable[Check],
) -> dict[str, Any]:
    """`report.json`: users by name, the three queries, all checks, and `ok`. API keys are not in it."""
    checks = list(checks)
    return {
        "ok": all(check.ok for check in checks),
        "users": {run.user.name: _user(run, accounts[run.user.api_key]) for run in runs},
        "queries_from": queries_from,
        "queries": {
            metric: [{"labels": item.labels, "value": int(item.value)} for item in samples]
            for metric, samples in queries.items()
        },
        "checks": [{**asdict(check), "ok": check.ok} for check in checks],
    }


def _user(run: UserRun, account: Account) -> dict[str, Any]:
    return {
        "group": run.user.groups,
        "limit": None if run.limit is None else asdict(run.limit),
        "sent": len(run.all_exchanges),
        "streamed": sum(exchange.streamed for exchange in run.all_exchanges),
        "answered": run.answered(),
        "limited": run.limited(),
        "other_statuses": run.others(),
        "tokens": run.tokens(),
        "statuses": [exchange.status for exchange in run.exchanges],
        "status_after_window": None if run.after_window is None else run.after_window.status,
        "ledger": asdict(account),
    }
