"""The demo's judgement, on runs made up here: it must notice every number that is off."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.cli.findings import (
    Limit,
    UserRun,
    as_report,
    check_filter,
    check_limiter,
    check_traffic,
    judged_by_limit,
)
from host_sim.cli.guide import Exchange, User
from host_sim.cli.numbers import Sample
from host_sim.world.llm import Account

USER = User("user-1", "free", "secret-key")
ROUTE = "llm/llm-sim"


def exchanges(*tokens: int | None, every: float = 0.1) -> list[Exchange]:
    """Answers with these tokens; None is a 429."""
    return [
        Exchange(False, 429 if used is None else 200, used or 0, number * every, number * every + 0.05)
        for number, used in enumerate(tokens)
    ]


def run(*tokens: int | None, limit: int = 100) -> UserRun:
    return UserRun(USER, Limit("free", limit, 60), exchanges(*tokens))


RUN = run(60, 50, None, None)
ACCOUNT = Account(
    requests=2, plain=2, prompt_tokens=20, completion_tokens=90, total_tokens=110, reported_tokens=110
)  # fmt: skip
LABELS = {"user": "user-1", "group": "free", "limitador_namespace": ROUTE}
LIMITER = [
    Sample("authorized_hits", LABELS, 110.0),
    Sample("authorized_calls", LABELS, 2.0),
    Sample("limited_calls", LABELS, 2.0),
]
_FILTER_LABELS = {"user": "user-1", "group": "free", "route": ROUTE}
FILTER = [
    Sample("tallyman_tokens_total", {**_FILTER_LABELS, "model": "m", "kind": "input"}, 20.0),
    Sample("tallyman_tokens_total", {**_FILTER_LABELS, "model": "m", "kind": "output"}, 90.0),
    Sample("tallyman_tokens_total", {**_FILTER_LABELS, "model": "m", "kind": "total"}, 110.0),
    Sample("tallyman_requests_total", {**_FILTER_LABELS, "decision": "allowed"}, 2.0),
    Sample("tallyman_requests_total", {**_FILTER_LABELS, "decision": "limited"}, 2.0),
]
ACCOUNTS = {USER.api_key: ACCOUNT}


def test_a_run_that_agrees() -> None:
    checks = [
        *check_traffic(RUN, ACCOUNT),
        *check_limiter([RUN], ACCOUNTS, ROUTE, LIMITER, "the limiter"),
        *check_filter([RUN], ACCOUNTS, ROUTE, FILTER, "Envoy"),
    ]
    assert [str(check) for check in checks if not check.ok] == []
    report = as_report([RUN], ACCOUNTS, {"limited_calls": LIMITER[2:]}, "limiter", checks)
    assert report["ok"]
    assert report["users"]["user-1"]["statuses"] == [200, 200, 429, 429]
    assert report["queries"] == {"limited_calls": [{"labels": LABELS, "value": 2}]}
    assert USER.api_key not in str(report)


@pytest.mark.parametrize("number", range(3))
@pytest.mark.parametrize("by", [-1, 1])
def test_the_limiters_numbers_must_be_exact(number: int, by: int) -> None:
    samples = [replace(item, value=item.value + by * (index == number)) for index, item in enumerate(LIMITER)]
    assert not all(check.ok for check in check_limiter([RUN], ACCOUNTS, ROUTE, samples, "the limiter"))


@pytest.mark.parametrize("label", sorted(LABELS))
def test_the_limiters_labels_must_be_right(label: str) -> None:
    samples = [replace(item, labels={**item.labels, label: "other"}) for item in LIMITER]
    assert not all(check.ok for check in check_limiter([RUN], ACCOUNTS, ROUTE, samples, "the limiter"))


def test_tokens_of_strangers_are_noticed() -> None:
    stranger = Sample("authorized_hits", {**LABELS, "user": "user-9"}, 1.0)
    checks = check_limiter([RUN], ACCOUNTS, ROUTE, [*LIMITER, stranger], "the limiter")
    assert [check.what for check in checks if not check.ok] == ["all users: authorized_hits"]


@pytest.mark.parametrize("number", range(5))
def test_the_filters_numbers_must_be_exact(number: int) -> None:
    samples = [replace(item, value=item.value + (index == number)) for index, item in enumerate(FILTER)]
    assert not all(check.ok for check in check_filter([RUN], ACCOUNTS, ROUTE, samples, "Envoy"))


@pytest.mark.parametrize("trouble", ["service_errors", "usage_missing", "tokens_unreported", "label_errors"])
def test_the_filters_trouble_is_noticed(trouble: str) -> None:
    sample = Sample(f"tallyman_{trouble}_total", {"route": ROUTE}, 1.0)
    assert not all(check.ok for check in check_filter([RUN], ACCOUNTS, ROUTE, [*FILTER, sample], "Envoy"))


@pytest.mark.parametrize(
    ("found", "account"),
    [
        (run(60, 50, 40, None), replace(ACCOUNT, requests=3, total_tokens=150, reported_tokens=150)),  # one too many
        (run(60, None, None, None), replace(ACCOUNT, requests=1, total_tokens=60, reported_tokens=60)),  # one too few
        (RUN, replace(ACCOUNT, requests=3)),
        (RUN, replace(ACCOUNT, total_tokens=111, reported_tokens=111)),
        (RUN, replace(ACCOUNT, total_tokens=111)),  # an answer without usage
        (replace(RUN, exchanges=[*RUN.exchanges, Exchange(False, 500, 0, 1.0, 1.1)]), ACCOUNT),
        (replace(RUN, after_window=Exchange(False, 429, 0, 70.0, 70.1)), ACCOUNT),
    ],
)
def test_traffic_that_cannot_be_right(found: UserRun, account: Account) -> None:
    assert not all(check.ok for check in check_traffic(found, account))


def test_a_request_after_the_window_counts() -> None:
    found = replace(RUN, after_window=Exchange(False, 200, 30, 70.0, 70.1))
    account = replace(ACCOUNT, requests=3, total_tokens=140, reported_tokens=140)
    assert all(check.ok for check in check_traffic(found, account))


@given(st.lists(st.integers(1, 120), min_size=1, max_size=40), st.integers(1, 500))
def test_a_limiter_in_one_window_is_always_judged_right(tokens: list[int], limit: int) -> None:
    spent = 0
    seen: list[int | None] = []
    for used in tokens:
        seen.append(used if spent < limit else None)
        spent += seen[-1] or 0
    judged = judged_by_limit(run(*seen, limit=limit))
    assert len(judged) == len(tokens)
    assert all(exchange.answered == expected for exchange, expected in judged)


def test_what_comes_after_the_first_window_is_left_to_the_totals() -> None:
    slow = UserRun(USER, Limit("free", 100, 3), exchanges(60, 60, None, 60, every=1.0))
    assert [expected for _, expected in judged_by_limit(slow)] == [True, True, False]


def test_a_user_without_a_limit_always_gets_through() -> None:
    free = UserRun(USER, None, exchanges(1000, 1000))
    assert [expected for _, expected in judged_by_limit(free)] == [True, True]
