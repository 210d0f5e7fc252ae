"""Checks before the request goes on: what is asked, and what the answers do."""

from collections.abc import Callable

import pytest

from tests.scenarios.configurations import (
    IDENTITY,
    auth_action,
    configuration,
    group,
    limit_actions,
    services,
    tutorial,
)
from tests.scenarios.driver import JSON_OK, UNKNOWN_CLUSTER, Call, Exchange, Proxy, completion

SCOPE = "llm/llm-sim"


def authorized(proxy: Proxy, identity: object = IDENTITY) -> Exchange:
    """A request that the auth service has let pass."""
    stream = proxy.open()
    stream.request()
    proxy.call("Check").allow(identity)  # type: ignore[arg-type]
    return stream


def test_only_the_limit_of_the_callers_group_is_checked(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = authorized(proxy)
    assert not stream.passed
    call = proxy.call("CheckRateLimit")
    assert call.method == "kuadrant.service.ratelimit.v1.RateLimitService/CheckRateLimit"
    assert (call.callout.cluster, call.callout.timeout) == ("kuadrant-ratelimit-service", 100)
    assert (call.limits.domain, call.limits.hits_addend) == (SCOPE, 0)
    assert call.entries == [
        {"tokenlimit.free": "1", "auth.identity.userid": "user-1"}, {"group": "free", "user": "user-1"},
    ]  # fmt: skip
    call.ok({"x-ratelimit-limit": "100", "x-ratelimit-remaining": "99"})
    assert stream.passed
    stream.response(JSON_OK, completion())
    assert ("x-ratelimit-remaining", "99") in stream.client_headers
    report = proxy.call("Report")
    assert report.method == "kuadrant.service.ratelimit.v1.RateLimitService/Report"
    assert (report.limits.domain, report.limits.hits_addend) == (SCOPE, 30)
    assert report.entries == call.entries
    report.ok()
    stream.close()
    assert proxy.decisions() == {"allowed": 1}


def test_over_the_limit_is_429_with_the_limiters_headers(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = authorized(proxy)
    proxy.call("CheckRateLimit").over_limit({"x-ratelimit-limit": "100, 100;w=60", "x-ratelimit-reset": "17"})
    assert not stream.passed
    assert stream.reply is not None
    assert (stream.reply.status, stream.reply.body) == (429, "Too Many Requests\n")
    assert ("x-ratelimit-reset", "17") in stream.client_headers
    stream.close()
    assert proxy.calls == []
    assert proxy.decisions() == {"limited": 1}
    assert proxy.metric("tallyman_requests_total", route=SCOPE, user="user-1", decision="limited") == 1
    assert (proxy.metric("kuadrant.denied"), proxy.metric("kuadrant.errors")) == (1, 0)


BAD_ANSWERS: dict[str, tuple[Callable[[Call], None], str]] = {
    "unknown code": (lambda call: call.code(0), "bad_code"),
    "a code without a name": (lambda call: call.code(77), "bad_code"),
    "bad bytes": (lambda call: call.raw(b"\x08"), "bad_reply"),
    "unavailable": (lambda call: call.fail(), "unavailable"),
    "timed out": (lambda call: call.callout.time_out(), "unavailable"),
    "closed with status ok and no message": (lambda call: call.callout.fail(0, ""), "unknown"),
    "a status without a name": (lambda call: call.callout.fail(99, ""), "unknown"),
}


@pytest.mark.parametrize("answer", BAD_ANSWERS)
@pytest.mark.parametrize("mode", ["deny", "allow"])
def test_a_failing_limiter_follows_the_failure_mode(proxy: Proxy, answer: str, mode: str) -> None:
    proxy.load(tutorial(limits=mode))
    stream = authorized(proxy)
    act, reason = BAD_ANSWERS[answer]
    act(proxy.call("CheckRateLimit"))
    assert stream.passed is (mode == "allow")
    assert proxy.metric("tallyman_service_errors_total", service="ratelimit-check-service", reason=reason) == 1
    assert proxy.metric("kuadrant.errors") == 1
    assert proxy.warned(f"service ratelimit-check-service: {reason}")
    if mode == "deny":
        assert stream.reply is not None
        assert (stream.reply.status, stream.reply.body) == (500, "Internal Server Error.\n")
        assert proxy.decisions() == {"error": 1}
    else:
        assert proxy.decisions() == {"allowed": 1}
        stream.response(JSON_OK, completion())
        assert proxy.call("Report").limits.hits_addend == 30, "an unlimited answer is reported all the same"


@pytest.mark.parametrize("mode", ["deny", "allow"])
def test_a_limiter_whose_cluster_is_unknown_follows_the_failure_mode(proxy: Proxy, mode: str) -> None:
    config = tutorial(limits=mode)
    config["services"]["ratelimit-check-service"]["endpoint"] = UNKNOWN_CLUSTER
    proxy.load(config)
    stream = authorized(proxy)
    assert stream.passed is (mode == "allow")
    assert proxy.metric("tallyman_service_errors_total", reason="not_sent") == 1


def test_cluster_names_that_look_like_messages(proxy: Proxy) -> None:
    config = tutorial()
    config["services"]["ratelimit-check-service"]["endpoint"] = "my-limiter"
    proxy.load(config)
    authorized(proxy)
    assert proxy.call("CheckRateLimit").callout.cluster == "my-limiter"


def two_limits() -> dict[str, object]:
    minute, day = limit_actions("minute", [group("free")]), limit_actions("day", ['request.method == "POST"'])
    return configuration([auth_action(), minute[0], day[0], minute[1], day[1]])


def test_each_limit_that_applies_is_checked_and_reported(proxy: Proxy) -> None:
    proxy.load(two_limits())
    stream = authorized(proxy)
    first = proxy.call("CheckRateLimit")
    assert "tokenlimit.minute" in first.entries[0]
    first.ok({"x-ratelimit-remaining": "7"})
    assert not stream.passed
    second = proxy.call("CheckRateLimit")
    assert "tokenlimit.day" in second.entries[0]
    second.ok({"x-ratelimit-remaining": "70"})
    assert stream.passed
    stream.response(JSON_OK, completion())
    assert [value for name, value in stream.client_headers if name == "x-ratelimit-remaining"] == ["7", "70"]
    reports = proxy.calls
    assert [next(iter(report.entries[0])) for report in reports] == ["tokenlimit.minute", "tokenlimit.day"]
    assert [report.limits.hits_addend for report in reports] == [30, 30]
    assert proxy.metric("tallyman_tokens_total", kind="total") == 30, "tokens are counted once, however many limits"
    assert proxy.metric("kuadrant.allowed") == 1


def test_the_second_limit_can_refuse(proxy: Proxy) -> None:
    proxy.load(two_limits())
    stream = authorized(proxy)
    proxy.call("CheckRateLimit").ok({"x-first": "yes"})
    proxy.call("CheckRateLimit").over_limit({"x-second": "yes"})
    assert stream.reply is not None
    assert stream.reply.status == 429
    assert "x-first" not in dict(stream.client_headers)
    assert proxy.decisions() == {"limited": 1}


def test_a_caller_of_no_group_passes_unlimited_and_is_metered(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = authorized(proxy, {"identity": {"userid": "user-9", "group": "staff"}})
    assert stream.passed
    stream.response(JSON_OK, completion())
    assert proxy.calls == []
    assert proxy.decisions() == {"allowed": 1}
    assert proxy.metric("tallyman_tokens_total", user="user-9", group="staff", kind="total") == 30


def test_a_label_that_cannot_be_told_is_empty_and_counted(proxy: Proxy) -> None:
    labels = {"metrics.labels.user": "auth.identity.userid", "metrics.labels.team": "auth.identity.team"}
    proxy.load(tutorial(labels=labels))
    stream = authorized(proxy)
    call = proxy.call("CheckRateLimit")
    assert call.entries[1] == {"user": "user-1", "team": ""}
    call.ok()
    stream.response(JSON_OK, completion())
    assert proxy.call("Report").entries[1] == {"user": "user-1", "team": ""}
    assert proxy.metric("tallyman_label_errors_total") > 0
    assert proxy.metric("tallyman_tokens_total", user="user-1", team="", kind="total") == 30


def test_labels_that_read_the_response_come_with_the_report(proxy: Proxy) -> None:
    labels = {"metrics.labels.user": "auth.identity.userid", "metrics.labels.model": 'responseBodyJSON("/model")'}
    proxy.load(tutorial(labels=labels))
    stream = authorized(proxy)
    call = proxy.call("CheckRateLimit")
    assert call.entries[1] == {"user": "user-1"}
    call.ok()
    stream.response(JSON_OK, completion())
    assert proxy.call("Report").entries[1] == {"user": "user-1", "model": "llama"}
    assert proxy.metric("tallyman_label_errors_total") == 0


@pytest.mark.parametrize("mode", ["deny", "allow"])
def test_a_counter_that_cannot_be_told_follows_the_failure_mode(proxy: Proxy, mode: str) -> None:
    proxy.load(tutorial(limits=mode))
    stream = authorized(proxy, {"identity": {"group": "free"}})
    assert stream.passed is (mode == "allow")
    assert proxy.metric("tallyman_service_errors_total", service="ratelimit-check-service", reason="expression") == 1
    assert proxy.warned("auth.identity.userid")
    if mode == "allow":
        stream.response(JSON_OK, completion())
        assert proxy.calls == []
        assert proxy.metric("tallyman_tokens_unreported_total", route=SCOPE) == 30
        assert proxy.metric("tallyman_tokens_total", group="free", kind="total") == 30


def test_a_false_predicate_wins_over_one_that_fails(proxy: Proxy) -> None:
    config = configuration([*limit_actions("a", ["auth.identity.level > 3", 'request.method == "GET"'])], limits="deny")
    proxy.load(config)
    stream = proxy.open()
    stream.request()
    assert stream.passed
    assert proxy.metric("kuadrant.errors") == 0


def classic(kind: str, data: list[dict[str, object]], predicates: list[str] | None = None) -> dict[str, object]:
    action = {"service": kind, "scope": "s", "conditionalData": [{"predicates": predicates or [], "data": data}]}
    return {
        "services": services("deny", "deny"),
        "actionSets": [{"name": "a", "routeRuleConditions": {"hostnames": ["*"]}, "actions": [action]}],
    }


def test_a_rate_limit_of_requests_counts_one(proxy: Proxy) -> None:
    data: list[dict[str, object]] = [
        {"static": {"key": "limit", "value": 'a "quoted"\nvalue\\'}},
        {"expression": {"key": "host", "value": "request.host"}},
        {"static": {"key": "last", "value": ""}},
    ]
    proxy.load(classic("ratelimit-service", data))
    stream = proxy.open()
    stream.request()
    call = proxy.call("ShouldRateLimit")
    assert call.method == "envoy.service.ratelimit.v3.RateLimitService/ShouldRateLimit"
    assert (call.limits.domain, call.limits.hits_addend) == ("s", 1)
    assert call.entries == [{"limit": 'a "quoted"\nvalue\\', "host": "llm.example.com", "last": ""}]
    call.ok()
    assert stream.passed
    stream.response(JSON_OK, completion())
    assert proxy.calls == []


def test_domain_and_hits_can_be_told_by_data(proxy: Proxy) -> None:
    data: list[dict[str, object]] = [
        {"expression": {"key": "ratelimit.domain", "value": '"d/" + request.host'}},
        {"expression": {"key": "ratelimit.hits_addend", "value": 'size(request.headers["x-cost"])'}},
        {"static": {"key": "k", "value": "v"}},
    ]
    proxy.load(classic("ratelimit-service", data))
    stream = proxy.open()
    stream.request(extra=[("x-cost", "12345")])
    call = proxy.call("ShouldRateLimit")
    assert (call.limits.domain, call.limits.hits_addend) == ("d/llm.example.com", 5)
    assert call.entries == [{"k": "v"}]


def test_an_action_none_of_whose_blocks_applies_is_skipped(proxy: Proxy) -> None:
    data: list[dict[str, object]] = [{"static": {"key": "k", "value": "v"}}]
    proxy.load(classic("ratelimit-service", data, ['request.method == "DELETE"']))
    stream = proxy.open()
    stream.request()
    assert stream.passed


def test_checks_of_many_streams_are_not_mixed_up(proxy: Proxy) -> None:
    proxy.load(tutorial())
    streams = [proxy.open() for _ in range(5)]
    for stream in streams:
        stream.request()
    for index, call in enumerate(proxy.calls):
        call.allow({"identity": {"userid": f"user-{index}", "group": "free"}})
    calls: dict[str, Call] = {call.entries[0]["auth.identity.userid"]: call for call in proxy.calls}
    for index in (3, 0, 4):
        calls[f"user-{index}"].ok()
    calls["user-2"].over_limit()
    assert [stream.passed for stream in streams] == [True, False, False, True, True]
    assert [stream.reply is not None for stream in streams] == [False, False, True, False, False]
    streams[1].close()
    calls["user-1"].ok()
    assert proxy.decisions() == {"allowed": 3, "limited": 1, "aborted": 1}
