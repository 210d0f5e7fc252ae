"""Configurations that change, plugins that share a VM, streams that end at the wrong moment."""

import json

import pytest

from host_sim.host import ConfigurationRefused
from tests.scenarios.configurations import IDENTITY, auth_action, configuration, group, limit_actions, tutorial
from tests.scenarios.driver import CHAT, JSON_OK, Call, Proxy, completion
from tests.scenarios.test_limits import authorized

REFUSED = {
    "not JSON": (b"{not json", "$: is not JSON at line 1, column 2"),
    "a wrong type": (json.dumps(tutorial() | {"actionSets": 3}).encode(), "$.actionSets: found a number 3, expected a"),
    "an unknown service": (
        json.dumps(configuration([{"service": "nobody", "scope": "s"}])).encode(),
        '$.actionSets[0].actions[0].service: found "nobody", expected a name under $.services (auth-service, ',
    ),
    "a broken expression": (
        json.dumps(configuration([auth_action()], predicates=["request.method = 'GET'"])).encode(),
        "$.actionSets[0].routeRuleConditions.predicates[0]: is not a valid CEL expression at 1:16: ",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_a_bad_configuration_is_refused_and_the_one_before_stays(proxy: Proxy, case: str) -> None:
    text, reason = REFUSED[case]
    plugin = proxy.load(tutorial())
    with pytest.raises(ConfigurationRefused) as refusal:
        proxy.load(text)
    assert [record.level.name for record in refusal.value.logs] == ["ERROR"]
    assert refusal.value.logs[0].text.startswith(f"configuration refused: {reason}")
    assert proxy.plugins == [plugin]
    authorized(proxy)
    proxy.call("CheckRateLimit").ok()
    assert proxy.metric("kuadrant.configs") > 0


def test_the_caret_of_a_broken_expression_reaches_the_log(proxy: Proxy) -> None:
    with pytest.raises(ConfigurationRefused) as refusal:
        proxy.load(REFUSED["a broken expression"][0])
    assert refusal.value.logs[0].text.splitlines()[1:] == ["  request.method = 'GET'", "                 ^"]


def test_unknown_keys_are_logged_as_warnings(proxy: Proxy) -> None:
    proxy.load(tutorial() | {"sevices": {}})
    assert proxy.warned("configuration: $.sevices: unknown key, ignored; known here are actionSets, ")


def test_a_stream_keeps_the_configuration_it_began_with(proxy: Proxy) -> None:
    old = proxy.load(tutorial())
    stream = authorized(proxy)
    new = proxy.load(configuration(limit_actions("other", [])), "reloaded")
    proxy.call("CheckRateLimit").ok()
    stream.response(JSON_OK, completion(), end=False)
    fresh = proxy.open(new, attributes={"metadata": {"filter_metadata": {"envoy.filters.http.ext_authz": IDENTITY}}})
    fresh.request()
    assert "tokenlimit.other" in proxy.call("CheckRateLimit").entries[0]
    proxy.call("CheckRateLimit").ok()
    stream.stream.response_body(b"", end_of_stream=True)
    assert "tokenlimit.free" in proxy.call("Report").entries[0]
    stream.close()
    old.unload()
    assert proxy.calls == [], "the host cancels the calls of a plugin that has gone"
    fresh.response(JSON_OK, completion())
    report = proxy.call("Report")
    assert "tokenlimit.other" in report.entries[0]
    report.ok()
    assert proxy.decisions() == {"allowed": 2}


def test_two_plugins_in_one_vm_stay_apart(proxy: Proxy) -> None:
    first = proxy.load(configuration([auth_action()], labels={"metrics.labels.a": '"one"'}), "first")
    second = proxy.load(configuration(limit_actions("x", []), labels={}, limits="deny"), "second")
    metadata = {"metadata": {"filter_metadata": {"envoy.filters.http.ext_authz": IDENTITY}}}
    one, two = proxy.open(first, attributes=metadata), proxy.open(second, attributes=metadata)
    one.request()
    two.request()
    assert [call.method.rpartition("/")[2] for call in proxy.calls] == ["Check", "CheckRateLimit"]
    check, limit = proxy.calls
    limit.fail()
    assert two.reply is not None
    assert two.reply.status == 500
    assert not one.passed
    check.allow()
    assert one.passed
    names = {metric.name for metric in proxy.host.metrics if metric.name.startswith("tallyman_requests_total")}
    assert names == {
        "tallyman_requests_total\x1fa=one\x1froute=chat\x1fdecision=allowed\x1f",
        "tallyman_requests_total\x1froute=llm/llm-sim\x1fdecision=error\x1f",
    }


def test_identities_do_not_leak_between_streams(proxy: Proxy) -> None:
    proxy.load(tutorial(limits="deny"))
    authorized(proxy)
    proxy.call("CheckRateLimit").ok()
    stream = authorized(proxy, {"identity": {"group": "free"}})
    assert stream.reply is not None, "without a user there is no counter to ask for"
    assert stream.reply.status == 500


@pytest.mark.parametrize("answer", ["ok", "over_limit", "fail"])
def test_a_client_that_leaves_while_a_check_is_pending(proxy: Proxy, answer: str) -> None:
    proxy.load(tutorial())
    stream = authorized(proxy)
    call = proxy.call("CheckRateLimit")
    stream.close()
    getattr(call, answer)()
    assert proxy.calls == []
    assert proxy.decisions() == {"aborted": 1}
    assert proxy.metric("kuadrant.errors") == proxy.metric("kuadrant.denied") == proxy.metric("kuadrant.allowed") == 0
    assert proxy.metric("tallyman_requests_total", user="user-1", decision="aborted") == 1


def test_a_client_that_leaves_while_auth_is_pending(proxy: Proxy) -> None:
    proxy.load(tutorial())
    stream = proxy.open()
    stream.request()
    call = proxy.call("Check")
    stream.close()
    call.allow(IDENTITY)
    assert proxy.calls == []
    assert proxy.decisions() == {"aborted": 1}


def test_another_filters_answer_while_a_check_is_pending(proxy: Proxy) -> None:
    """As when a stream has waited too long for Envoy's taste: the response comes before the check's answer."""
    proxy.load(tutorial())
    stream = authorized(proxy)
    call = proxy.call("CheckRateLimit")
    stream.stream.request.passed_headers = True
    stream.response([(":status", "408"), ("content-type", "text/plain")], b"stream timeout")
    call.over_limit()
    assert stream.reply is None
    stream.close()
    assert proxy.calls == []
    assert proxy.decisions() == {"aborted": 1}
    assert proxy.metric("tallyman_usage_missing_total") == 0


def test_a_local_reply_ends_all_that_was_under_way(proxy: Proxy) -> None:
    proxy.load(configuration([auth_action(), *limit_actions("free", [group("free")])]))
    stream = authorized(proxy)
    proxy.call("CheckRateLimit").over_limit()
    stream.close()
    stream.close()
    assert proxy.calls == []
    assert proxy.decisions() == {"limited": 1}


def test_streams_without_a_request_come_and_go(proxy: Proxy) -> None:
    proxy.load(tutorial())
    proxy.open().close()
    stream = proxy.open()
    stream.stream.request_headers([(":method", "GET"), (":path", "/")], end_of_stream=True)
    assert stream.passed, "without an authority there is no host to match"
    stream.close()
    assert proxy.metric("kuadrant.misses") == 1


def test_nothing_is_kept_of_streams_that_have_gone(proxy: Proxy) -> None:
    plugin = proxy.load(tutorial())

    def rounds(count: int) -> None:
        for index in range(count):
            stream = authorized(proxy)
            call = proxy.call("CheckRateLimit")
            if index % 3 == 0:
                stream.close()
            call.ok()
            if index % 3:
                stream.response(JSON_OK, completion(content="x" * 20_000))
                report: Call = proxy.call("Report")
                stream.close()
                report.ok()

    rounds(30)
    size = plugin.memory_size
    rounds(90)
    assert plugin.memory_size == size


def test_a_flood_of_hostile_labels_stays_within_memory(proxy: Proxy) -> None:
    labels = {"metrics.labels.agent": "request.useragent"}
    plugin = proxy.load(configuration([auth_action()], labels=labels, tallyman={"maxSeries": 1_000_000}))
    before = plugin.memory_size
    for index in range(300):
        stream = proxy.open()
        stream.request(CHAT, extra=[("user-agent", "x" * 50_000 + str(index))])
        proxy.call("Check").allow()
        stream.close()
    assert plugin.memory_size - before < 4 << 20
    assert len([metric for metric in proxy.host.metrics if metric.name.startswith("tallyman_requests")]) == 1
