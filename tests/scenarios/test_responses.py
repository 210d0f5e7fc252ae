"""The usage in responses of every kind, and what becomes of it."""

import gzip
import json
import random
from collections.abc import Callable

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.scenarios.configurations import IDENTITY, LABELS, configuration, limit_actions
from tests.scenarios.driver import CHAT, EVENTS_OK, JSON_OK, Exchange, Headers, Proxy, completion

METERED = configuration(limit_actions("free", []))
METADATA = {"metadata": {"filter_metadata": {"envoy.filters.http.ext_authz": IDENTITY}}}
SCOPE = "llm/llm-sim"


def allowed(proxy: Proxy, headers: Headers = CHAT) -> Exchange:
    """A request of user-1 that has gone on to the upstream."""
    if not proxy.plugins:
        proxy.load(METERED)
    stream = proxy.open(attributes=METADATA)
    stream.request(headers)
    proxy.call("CheckRateLimit").ok()
    assert stream.passed
    return stream


def events(*usages: object, done: bool = True, newline: str = "\n") -> bytes:
    """An event stream with a piece of text before each usage."""
    lines: list[str] = []
    for usage in usages:
        text = {"choices": [{"delta": {"content": "Grüße 🎉"}}], "usage": None}
        for members in (text, {"choices": [], "usage": usage}):
            lines += [f"data: {json.dumps({'model': 'llama', **members}, ensure_ascii=False)}", ""]
    lines += ["data: [DONE]", ""] if done else []
    return newline.join([*lines, ""]).encode()


USAGE = {"prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30}


def reported(proxy: Proxy) -> list[int]:
    """The hits of all reports, which are answered."""
    hits = []
    for call in proxy.calls:
        assert call.method.endswith("/Report")
        hits.append(call.limits.hits_addend)
        call.ok()
    return hits


def missing(proxy: Proxy, reason: str) -> int:
    return proxy.metric("tallyman_usage_missing_total", route=SCOPE, reason=reason)


def test_tokens_of_a_completion_are_reported_and_counted(proxy: Proxy) -> None:
    usage = {
        "prompt_tokens": 10, "completion_tokens": 20, "total_tokens": 30,
        "prompt_tokens_details": {"cached_tokens": 4}, "completion_tokens_details": {"reasoning_tokens": 7},
    }  # fmt: skip
    allowed(proxy).response(JSON_OK, completion(usage=usage))
    assert reported(proxy) == [30]
    kinds = {
        kind: proxy.metric("tallyman_tokens_total", user="user-1", group="free", route=SCOPE, model="llama", kind=kind)
        for kind in ("input", "output", "total", "cached", "reasoning")
    }
    assert kinds == {"input": 10, "output": 20, "total": 30, "cached": 4, "reasoning": 7}
    assert proxy.metric("tallyman_usage_missing_total") == 0


@pytest.mark.parametrize("size", [1, 2, 7, 1000])
def test_json_in_any_chunks(proxy: Proxy, size: int) -> None:
    body = completion()
    allowed(proxy).response(JSON_OK, [body[at : at + size] for at in range(0, len(body), size)])
    assert reported(proxy) == [30]


@pytest.mark.parametrize("size", [1, 3, 50, 1000])
@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r"])
def test_event_streams_in_any_chunks(proxy: Proxy, size: int, newline: str) -> None:
    body = events(USAGE, newline=newline)
    allowed(proxy).response(EVENTS_OK, [body[at : at + size] for at in range(0, len(body), size)])
    assert reported(proxy) == [30]
    assert proxy.metric("tallyman_tokens_total", model="llama", kind="total") == 30


def test_the_latest_usage_of_an_event_stream_counts(proxy: Proxy) -> None:
    final = {"prompt_tokens": 10, "completion_tokens": 90, "total_tokens": 100}
    allowed(proxy).response(EVENTS_OK, events(USAGE, final))
    assert reported(proxy) == [100]


def test_an_end_of_stream_without_a_byte_ends_the_body(proxy: Proxy) -> None:
    stream = allowed(proxy)
    stream.response(JSON_OK, completion(), end=False)
    assert proxy.calls == []
    stream.stream.response_body(b"", end_of_stream=True)
    assert reported(proxy) == [30]
    stream.close()
    assert reported(proxy) == []


def test_trailers_end_the_body(proxy: Proxy) -> None:
    stream = allowed(proxy)
    stream.response(EVENTS_OK, events(USAGE), end=False)
    assert proxy.calls == []
    stream.stream.response_trailers([("x-trailer", "1")])
    assert reported(proxy) == [30]
    stream.close()
    assert proxy.metric("tallyman_tokens_total", kind="total") == 30


BODIES: dict[str, tuple[Headers, bytes, str]] = {
    "no usage": (JSON_OK, b'{"id": "x", "choices": []}', "no_usage"),
    "usage is null": (JSON_OK, b'{"usage": null}', "no_usage"),
    "usage is text": (JSON_OK, b'{"usage": "30"}', "bad_number"),
    "usage is a list": (JSON_OK, b'{"usage": [30]}', "bad_number"),
    "total is text": (JSON_OK, completion("30"), "bad_number"),
    "total is negative": (JSON_OK, completion(-30), "bad_number"),
    "total is a fraction": (JSON_OK, completion(30.5), "bad_number"),
    "total is true": (JSON_OK, completion(True), "bad_number"),
    "total is beyond 64 bits": (JSON_OK, completion(2**63), "bad_number"),
    "total is beyond all bounds": (JSON_OK, b'{"usage": {"total_tokens": ' + b"9" * 4000 + b"}}", "bad_number"),
    "not JSON": (JSON_OK, b"<html>not what it says</html>", "bad_json"),
    "cut JSON": (JSON_OK, completion()[:-30], "bad_json"),
    "JSON with bytes that are not UTF-8": (JSON_OK, b'{"a": "\xff\xfe"}', "no_usage"),
    "deeply nested": (JSON_OK, b'{"usage":' + b"[" * 100_000, "too_long"),
    "events without usage": (EVENTS_OK, events(), "no_usage"),
    "events with a text for usage": (EVENTS_OK, events({"total_tokens": "x"}), "bad_number"),
    "text": ([(":status", "200"), ("content-type", "text/plain")], b"hello", "unknown_format"),
    "compressed": ([*JSON_OK, ("content-encoding", "gzip")], gzip.compress(completion(), mtime=0), "compressed"),
    "an error of the upstream": ([(":status", "500")], b"upstream is down", "upstream_error"),
    "an error in JSON": ([(":status", "400"), JSON_OK[1]], b'{"error": {}}', "upstream_error"),
}


@pytest.mark.parametrize("body", BODIES)
def test_missing_usage_is_counted_with_its_reason(proxy: Proxy, body: str) -> None:
    headers, text, reason = BODIES[body]
    stream = allowed(proxy)
    stream.response(headers, text)
    stream.close()
    assert proxy.calls == []
    found = [metric.name.split("\x1f")[2] for metric in proxy.host.metrics if "usage_missing" in metric.name]
    assert found == [f"reason={reason}"]
    assert missing(proxy, reason) == 1
    assert proxy.metric("tallyman_tokens_total") == 0
    assert proxy.warned(f"no token usage in a response on {SCOPE}: {reason}") is (reason != "upstream_error")


@pytest.mark.parametrize("status", ["200", "204", "304"])
def test_responses_without_a_body(proxy: Proxy, status: str) -> None:
    stream = allowed(proxy, [(":method", "HEAD"), *CHAT[1:]])
    stream.response([(":status", status), JSON_OK[1]])
    stream.close()
    assert proxy.calls == []
    assert missing(proxy, "no_usage") == 1


def test_no_tokens_are_not_reported(proxy: Proxy) -> None:
    allowed(proxy).response(JSON_OK, completion(0, 0, 0))
    assert proxy.calls == []
    assert proxy.metric("tallyman_usage_missing_total") == 0
    assert proxy.metric("kuadrant.errors") == 0


def test_more_than_a_message_holds_goes_out_in_several(proxy: Proxy) -> None:
    total = 2 * (2**32 - 1) + 5
    allowed(proxy).response(JSON_OK, completion(total, 0, total))
    assert reported(proxy) == [2**32 - 1, 2**32 - 1, 5]
    assert proxy.metric("tallyman_tokens_total", kind="total") == total


def test_an_absurd_number_of_tokens_floods_nobody(proxy: Proxy) -> None:
    total = 2**63 - 1
    allowed(proxy).response(JSON_OK, completion(total, 0, total))
    hits = reported(proxy)
    assert len(hits) <= 16
    unreported = proxy.metric("tallyman_tokens_unreported_total", route=SCOPE)
    assert sum(hits) + unreported == total
    assert proxy.metric("tallyman_service_errors_total", reason="too_many_tokens") == 1
    assert proxy.warned("too_many_tokens")


@pytest.mark.parametrize("complete", [True, False])
def test_an_event_stream_that_is_cut(proxy: Proxy, complete: bool) -> None:
    """What came before the cut counts: a usage that was there is owed, one that was not is missing."""
    stream = allowed(proxy)
    stream.response(EVENTS_OK, events(USAGE, done=False) if complete else events(USAGE)[:60], end=False)
    assert proxy.calls == []
    stream.close()
    assert reported(proxy) == ([30] if complete else [])
    assert missing(proxy, "aborted") == (not complete)


def test_a_client_that_hangs_up_before_the_response(proxy: Proxy) -> None:
    stream = allowed(proxy)
    stream.close()
    assert proxy.calls == []
    assert proxy.decisions() == {"allowed": 1}


def test_another_filters_answer_owes_no_tokens(proxy: Proxy) -> None:
    stream = allowed(proxy)
    stream.response([(":status", "503"), ("content-type", "text/plain")], b"no healthy upstream")
    stream.close()
    assert missing(proxy, "upstream_error") == 1
    assert proxy.calls == []
    assert not proxy.warned("usage")


def test_reports_can_depend_on_the_response(proxy: Proxy) -> None:
    config = configuration(limit_actions("free", []))
    report = config["actionSets"][0]["actions"][1]
    report["predicates"] = [
        "response.code == 200", 'responseBodyJSON("/model") == "llama"', 'response.headers["x-tier"] == "a"',
        'request.headers["x-asked"] == "yes"', 'request.url_path.startsWith("/v1")', 'request.method == "POST"',
        'request.headers.exists(name, name == "x-asked")',
    ]  # fmt: skip
    report["conditionalData"][0]["data"].append({"expression": {"key": "agent", "value": "request.useragent"}})
    proxy.load(config)
    stream = allowed(proxy, [*CHAT, ("x-asked", "yes"), ("user-agent", "pytest")])
    stream.response([*JSON_OK, ("x-tier", "a")], [completion()[:40], completion()[40:]])
    call = proxy.call("Report")
    assert call.entries[0]["agent"] == "pytest"
    call.ok()
    stream = allowed(proxy, [*CHAT, ("x-asked", "yes")])
    stream.response([*JSON_OK, ("x-tier", "a")], completion(model="other"))
    assert proxy.calls == []
    assert proxy.metric("kuadrant.errors") == 0
    assert proxy.metric("tallyman_tokens_total", kind="total") == 60


def test_a_report_that_cannot_be_told_counts_its_tokens(proxy: Proxy) -> None:
    config = configuration(limit_actions("free", []))
    config["actionSets"][0]["actions"][1]["predicates"] = ['responseBodyJSON("/tier") == "a"']
    proxy.load(config)
    allowed(proxy).response(JSON_OK, completion())
    assert proxy.calls == []
    assert proxy.metric("tallyman_tokens_unreported_total", route=SCOPE) == 30
    assert proxy.metric("tallyman_service_errors_total", reason="expression") == 1
    assert proxy.warned("responseBodyJSON")


def test_hits_of_other_expressions_are_reported(proxy: Proxy) -> None:
    config = configuration(limit_actions("free", []))
    data = config["actionSets"][0]["actions"][1]["conditionalData"][0]["data"]
    weighted = 'responseBodyJSON("/usage/prompt_tokens") + 2 * responseBodyJSON("/usage/completion_tokens")'
    data[2] = {"expression": {"key": "ratelimit.hits_addend", "value": weighted}}
    proxy.load(config)
    allowed(proxy).response(JSON_OK, completion())
    assert reported(proxy) == [50]
    allowed(proxy).response(JSON_OK, b'{"usage": {"prompt_tokens": 3}}')
    assert proxy.calls == []
    assert proxy.metric("tallyman_service_errors_total", reason="expression") == 1


FAILED_REPORTS: dict[str, Callable[..., None]] = {
    "unavailable": lambda call: call.fail(),
    "bad_reply": lambda call: call.raw(b"\xff"),
    "bad_code": lambda call: call.code(0),
}


@pytest.mark.parametrize("reason", FAILED_REPORTS)
def test_a_report_that_fails_counts_its_tokens(proxy: Proxy, reason: str) -> None:
    stream = allowed(proxy)
    stream.response(JSON_OK, completion())
    stream.close()
    FAILED_REPORTS[reason](proxy.call("Report"))
    assert proxy.metric("tallyman_tokens_unreported_total", route=SCOPE) == 30
    assert proxy.metric("tallyman_service_errors_total", service="ratelimit-report-service", reason=reason) == 1
    assert proxy.metric("kuadrant.errors") == 1
    assert proxy.warned(f"report of 30 tokens on {SCOPE} to ratelimit-report-service failed: {reason}")


def test_a_report_over_the_limit_has_arrived(proxy: Proxy) -> None:
    allowed(proxy).response(JSON_OK, completion())
    proxy.call("Report").over_limit()
    assert proxy.metric("tallyman_tokens_unreported_total") == proxy.metric("kuadrant.errors") == 0


def test_reports_outlive_their_stream_and_time_out(proxy: Proxy) -> None:
    stream = allowed(proxy)
    stream.response(JSON_OK, completion())
    stream.close()
    proxy.clock.advance(0.11)
    assert proxy.calls == []
    assert proxy.metric("tallyman_tokens_unreported_total") == 30


def test_label_sets_are_bounded(proxy: Proxy) -> None:
    labels = {**LABELS, "metrics.labels.agent": "request.useragent"}
    proxy.load(configuration(limit_actions("free", []), labels=labels, tallyman={"maxSeries": 12}))
    for index in range(20):
        allowed(proxy, [*CHAT, ("user-agent", f"agent-{index}")]).response(JSON_OK, completion())
        assert reported(proxy) == [30]
    tokens = [metric for metric in proxy.host.metrics if metric.name.startswith("tallyman_tokens_total")]
    assert len(tokens) <= 13
    assert sum(metric.value for metric in tokens) == 20 * 60
    assert (
        proxy.metric("tallyman_requests_total", decision="allowed")
        + proxy.metric("tallyman_requests_total", decision="__overflow__")
        == 20
    )


def test_labels_named_as_our_own_do_not_collide(proxy: Proxy) -> None:
    labels = {f"metrics.labels.{name}": f'"mine-{name}"' for name in ("route", "model", "kind", "decision", "user")}
    proxy.load(configuration(limit_actions("free", []), labels=labels))
    allowed(proxy).response(JSON_OK, completion())
    report = proxy.call("Report")
    assert report.entries[1]["decision"] == "mine-decision"
    assert proxy.metric("tallyman_tokens_total", route=SCOPE, model="llama", kind="total", user="mine-user") == 30
    for metric in proxy.host.metrics:
        names = [pair.split("=")[0] for pair in metric.name.split("\x1f")[1:-1]]
        assert len(names) == len(set(names)), metric.name


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,  # every guest must see the same bodies
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(
    st.binary(max_size=200) | st.text(max_size=200).map(str.encode), st.sampled_from([JSON_OK, EVENTS_OK]), st.randoms()
)
def test_any_body_passes_and_is_accounted_for(
    proxy: Proxy, body: bytes, headers: Headers, random: random.Random
) -> None:
    before = proxy.metric("tallyman_usage_missing_total") + proxy.metric("tallyman_tokens_total", kind="total")
    cuts = sorted(random.randrange(len(body) + 1) for _ in range(3))
    chunks = [body[start:end] for start, end in zip([0, *cuts], [*cuts, len(body)], strict=True)]
    stream = allowed(proxy)
    stream.response(headers, chunks)
    stream.close()
    after = proxy.metric("tallyman_usage_missing_total") + proxy.metric("tallyman_tokens_total", kind="total")
    assert after == before + 1 + sum(reported(proxy))
