"""Requests that meet no action set, and what the auth service's answers do."""

from collections.abc import Callable

import grpc
import pytest
from google.protobuf.json_format import MessageToDict

from tests.scenarios.configurations import IDENTITY, auth_action, configuration, tutorial
from tests.scenarios.driver import CHAT, EVENTS_OK, JSON_OK, UNKNOWN_CLUSTER, Call, Proxy, completion

AUTH_ONLY = configuration([auth_action()])


def test_a_request_for_another_host_passes_untouched(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = proxy.open()
    stream.request([(":method", "GET"), (":path", "/"), (":authority", "other.example.com")], body=b"")
    assert stream.passed
    stream.response(JSON_OK, completion())
    stream.close()
    assert proxy.calls == []
    assert proxy.metric("kuadrant.misses") == 1
    assert proxy.metric("kuadrant.hits") == proxy.metric("tallyman_tokens_total") == 0


def test_predicates_choose_the_action_set(proxy: Proxy) -> None:
    config = configuration([auth_action()], predicates=['request.method == "POST"', 'request.url_path == "/v1/models"'])
    proxy.load(config)
    for method, path, chosen in [("GET", "/v1/models", False), ("POST", "/", False), ("POST", "/v1/models?a=b", True)]:
        stream = proxy.open()
        stream.request([(":method", method), (":path", path), (":authority", "LLM.example.com:8080")], body=b"")
        assert stream.passed is not chosen
        assert len(proxy.calls) == chosen
    proxy.call("Check").allow()


def test_the_auth_service_is_told_of_the_request(proxy: Proxy) -> None:
    proxy.load(configuration([auth_action()], labels={"metrics.labels.user": "auth.identity.userid", "x": "1 + 1"}))
    stream = proxy.open(attributes={"source.address": "10.1.2.3:4711", "source.port": 4711})
    headers = [*CHAT, ("x-two", "a"), ("x-two", "b"), ("cookie", "c=1"), ("user-agent", "pytest")]
    stream.request(headers)
    assert not stream.passed
    call = proxy.call("Check")
    assert (call.callout.cluster, call.callout.timeout) == ("kuadrant-auth-service", 200)
    attributes = MessageToDict(call.check, preserving_proto_field_name=True)["attributes"]
    http = attributes["request"]["http"]
    assert (http["method"], http["host"], http["path"]) == ("POST", "llm.example.com", "/v1/chat/completions")
    assert http["headers"]["x-two"] == "a,b"
    assert attributes["source"]["address"]["socket_address"] == {"address": "10.1.2.3", "port_value": 4711}
    assert attributes["context_extensions"] == {"host": "0123abcd"}
    metadata = attributes["metadata_context"]["filter_metadata"]
    assert metadata["io.kuadrant.metrics.labels"] == {"user": {"cel_expr": "auth.identity.userid"}}
    assert metadata["io.kuadrant"] == {"x": 2.0} or metadata["io.kuadrant"] == {"x": "2"}
    call.allow(IDENTITY, {"x-user": "user-1", "x-two": "c"})
    assert stream.passed
    assert ("x-user", "user-1") in stream.upstream_headers
    assert [value for name, value in stream.upstream_headers if name == "x-two"] == ["c"]
    assert proxy.decisions() == {"allowed": 1}
    assert proxy.metric("kuadrant.allowed") == proxy.metric("kuadrant.hits") == 1
    assert proxy.metric("tallyman_requests_total", user="user-1", decision="allowed") == 1


def test_a_denied_request_is_answered_as_the_service_says(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = proxy.open()
    stream.request()
    proxy.call("Check").deny(401, "who are you?\n", {"www-authenticate": 'APIKEY realm="api-key"', "x-ext-auth": "no"})
    assert not stream.passed
    assert stream.reply is not None
    assert (stream.reply.status, stream.reply.body) == (401, "who are you?\n")
    assert ("www-authenticate", 'APIKEY realm="api-key"') in stream.client_headers
    assert ("x-ext-auth", "no") in stream.client_headers
    stream.close()
    assert proxy.decisions() == {"denied": 1}
    assert (proxy.metric("kuadrant.denied"), proxy.metric("kuadrant.errors")) == (1, 0)
    assert proxy.metric("tallyman_usage_missing_total") == 0, "an answer of our own owes no usage"
    assert proxy.calls == []


@pytest.mark.parametrize(("status", "sent"), [(0, 403), (403, 403), (302, 302), (7, 403), (1000, 403), (-1, 403)])
def test_a_denial_without_a_status_is_403(proxy: Proxy, status: int, sent: int) -> None:
    proxy.load(AUTH_ONLY)
    stream = proxy.open()
    stream.request()
    proxy.call("Check").deny(status)
    assert stream.reply is not None
    assert (stream.reply.status, stream.reply.body) == (sent, "")


FAILURES: dict[str, Callable[[Call], None]] = {
    "unsupported response header": lambda call: call.allow(
        response_headers_to_add=[{"header": {"key": "a", "value": "b"}}]
    ),
    "unsupported removal": lambda call: call.allow(headers_to_remove=["authorization"]),
    "unsupported query": lambda call: call.allow(query_parameters_to_set=[{"key": "a", "value": "b"}]),
    "no http_response": lambda call: call.raw(b""),
    "an error response": lambda call: call.raw(b"\x2a\x00"),
    "not protobuf": lambda call: call.raw(b"\xff\xff\xff"),
    "unavailable": lambda call: call.fail(),
    "timed out": lambda call: call.callout.time_out(),
    "cancelled": lambda call: call.fail(grpc.StatusCode.CANCELLED, "x" * 10_000),
}


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_auth_service_denies(proxy: Proxy, failure: str) -> None:
    proxy.load(tutorial())
    stream = proxy.open()
    stream.request()
    FAILURES[failure](proxy.call("Check"))
    assert not stream.passed
    assert stream.reply is not None
    assert (stream.reply.status, stream.reply.body) == (500, "Internal Server Error.\n")
    assert proxy.decisions() == {"error": 1}
    assert proxy.metric("tallyman_service_errors_total", service="auth-service") == 1
    assert proxy.metric("kuadrant.errors") == 1
    assert proxy.warned("auth-service")
    assert max(map(len, proxy.logs)) < 1000
    assert proxy.calls == []


@pytest.mark.parametrize("failure", FAILURES)
def test_a_failing_auth_service_with_failure_mode_allow_lets_pass(proxy: Proxy, failure: str) -> None:
    proxy.load(configuration([auth_action()], auth="allow"))
    stream = proxy.open()
    stream.request()
    FAILURES[failure](proxy.call("Check"))
    assert stream.passed
    assert proxy.decisions() == {"allowed": 1}
    assert proxy.metric("tallyman_service_errors_total", service="auth-service") == 1
    assert proxy.warned("auth-service")


def test_the_host_times_the_call_out(proxy: Proxy) -> None:
    proxy.load(AUTH_ONLY)
    stream = proxy.open()
    stream.request()
    proxy.clock.advance(0.19)
    assert stream.reply is None
    proxy.clock.advance(0.02)
    assert stream.reply is not None
    assert stream.reply.status == 500


def test_an_unknown_cluster_follows_the_failure_mode(proxy: Proxy) -> None:
    for mode, passes in (("deny", False), ("allow", True)):
        broken = configuration([auth_action()], auth=mode)
        broken["services"]["auth-service"]["endpoint"] = UNKNOWN_CLUSTER
        proxy.load(broken, mode)
        stream = proxy.open()
        stream.request()
        assert stream.passed is passes
        stream.close()
    assert proxy.metric("tallyman_service_errors_total", reason="not_sent") == 2


def test_action_set_predicates_that_cannot_be_told_refuse(proxy: Proxy) -> None:
    proxy.load(configuration([auth_action()], predicates=['request.headers["x-tier"] == "gold"']))
    for _ in range(50):
        stream = proxy.open()
        stream.request()
        assert stream.reply is not None
        assert stream.reply.status == 500
        stream.close()
    stream = proxy.open()
    stream.request(extra=[("x-tier", "free")])
    assert stream.passed
    assert proxy.decisions() == {"error": 50}
    assert proxy.warned("action set chat")
    lines = [line for line in proxy.logs if "action set chat" in line]
    assert len(lines) <= 10, "a flood of requests is no flood of logs"


def test_headers_of_the_auth_service_are_seen_by_later_predicates(proxy: Proxy) -> None:
    config = tutorial()
    tier = 'request.headers[?"x-tier"].orValue("") == "gold"'
    for action in config["actionSets"][0]["actions"][1:]:
        action["predicates"] = [tier] if "gold" in str(action) else [f"!({tier})"]
    config["actionSets"][0]["routeRuleConditions"]["predicates"] = [f"({tier}) || true", f"!({tier})"]
    proxy.load(config)
    stream = proxy.open()
    stream.request()
    proxy.call("Check").allow(IDENTITY, {"x-tier": "gold"})
    assert proxy.call("CheckRateLimit").entries[0]["tokenlimit.gold"] == "1"


def test_bytes_that_are_not_utf_8_survive(proxy: Proxy) -> None:
    labels = {"metrics.labels.path": "request.path", "metrics.labels.user": 'request.headers["x-user"]'}
    proxy.load(tutorial(labels=labels))
    stream = proxy.open()
    hostile = [(name, b"/\xff\xfe%00" if name == ":path" else value) for name, value in CHAT]
    stream.request(hostile, extra=[("x-user", b"\xc3\x28\x1fkind=total\x1f\x80")])
    check = proxy.call("Check")
    assert check.check.attributes.request.http.path.startswith("/")
    check.allow(IDENTITY)
    limit = proxy.call("CheckRateLimit")
    assert limit.entries[1]["path"].startswith("/")
    limit.ok()
    assert stream.passed
    assert dict(stream.stream.request.headers.pairs())[b"x-user"] == b"\xc3\x28\x1fkind=total\x1f\x80"  # type: ignore[union-attr]
    stream.response(EVENTS_OK, b"data: [DONE]\n\n")
    stream.close()
    assert proxy.metric("tallyman_requests_total", decision="allowed") == 1
    assert proxy.metric("tallyman_requests_total", kind="total") == 0


def test_identity_comes_from_metadata_when_ext_authz_has_asked(proxy: Proxy) -> None:
    config = tutorial()
    del config["actionSets"][0]["actions"][0]
    proxy.load(config)
    metadata = {"metadata": {"filter_metadata": {"envoy.filters.http.ext_authz": IDENTITY}}}
    stream = proxy.open(attributes=metadata)
    stream.request()
    call = proxy.call("CheckRateLimit")
    assert call.entries == [
        {"tokenlimit.free": "1", "auth.identity.userid": "user-1"}, {"group": "free", "user": "user-1"},
    ]  # fmt: skip
    call.ok()
    stream.response(JSON_OK, completion())
    report = proxy.call("Report")
    assert report.limits.hits_addend == 30
    report.ok()
    assert proxy.metric("tallyman_tokens_total", user="user-1", group="free", kind="total") == 30
