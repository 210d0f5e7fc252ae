"""Action sets beyond the tutorial: matches, order, RateLimitPolicies, labels."""

from collections.abc import Callable
from typing import Any

import pytest

from host_sim.kuadrant import Resources, translate

Load = Callable[..., Resources]

AUTH = """\
apiVersion: kuadrant.io/v1
kind: AuthPolicy
metadata: {name: auth, namespace: llm}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: llm-sim}
  when: [{predicate: request.method != "OPTIONS"}]
  rules: {authentication: {anyone: {anonymous: {}}}}
"""

RATE_LIMIT = """\
apiVersion: kuadrant.io/v1
kind: RateLimitPolicy
metadata: {name: requests, namespace: llm}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: llm-sim}
  when: [{predicate: request.method == "POST"}]
  limits:
    per-user:
      rates: [{limit: 5, window: 10s}, {limit: 50, window: 1h}]
      when: [{predicate: WHEN}]
      counters: [{expression: " request.headers['x-user'] "}]
    all: {rates: [{limit: -1, window: 1m}]}
"""

TELEMETRY = """\
apiVersion: extensions.kuadrant.io/v1alpha1
kind: TelemetryPolicy
metadata: {name: %s, namespace: api-gateway}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: Gateway, name: %s}
  metrics: {default: {labels: %s}}
"""


def action_sets(resources: Resources) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = translate(resources).plugin_configuration["actionSets"]
    return found


@pytest.mark.parametrize(
    ("match", "predicates"),
    [
        ("{}", ["request.url_path.startsWith('/')"]),
        ("{path: {type: Exact, value: /v1}}", ["request.url_path == '/v1'"]),
        ("{path: {type: RegularExpression, value: '/v[0-9]\\d'}}", [r"request.url_path.matches('/v[0-9]\\d')"]),
        ("{method: POST}", ["request.method == 'POST'", "request.url_path.startsWith('/')"]),
        (
            "{headers: [{name: X-Model, value: it's}]}",
            [
                "request.url_path.startsWith('/')",
                r"request.headers.exists(h, h.lowerAscii() == 'x-model' && request.headers[h] == 'it\'s')",
            ],
        ),
        (
            "{queryParams: [{name: a, value: x}, {name: a, value: y}, {name: b, type: RegularExpression, value: .+}]}",
            [
                "request.url_path.startsWith('/')",
                "'b' in queryMap(request.query) ? queryMap(request.query)['b'].matches('.+') : false",
                "'a' in queryMap(request.query) ? queryMap(request.query)['a'] == 'x' : false",
            ],
        ),
    ],
)
def test_matches_become_predicates(
    load: Load, gateway_text: str, route_text: str, match: str, predicates: list[str]
) -> None:
    route = route_text.replace("- backendRefs:", f"- matches: [{match}]\n      backendRefs:")
    (action_set,) = action_sets(load(gateway_text, route, AUTH))
    assert action_set["routeRuleConditions"]["predicates"] == predicates


def test_the_most_specific_action_set_comes_first(load: Load, gateway_text: str, route_text: str) -> None:
    matches = "[{}, {path: {value: /v1}}, {path: {type: Exact, value: /v1}}, {path: {value: /v1}, method: GET}]"
    route = route_text.replace("- backendRefs:", f"- matches: {matches}\n      backendRefs:")
    route = route.replace("[llm.example.com]", '["*.example.com", llm.example.com]')
    found = [
        (item["routeRuleConditions"]["hostnames"][0], item["routeRuleConditions"]["predicates"][-1])
        for item in action_sets(load(gateway_text, route, AUTH))
    ]
    paths = ["== '/v1'", ".startsWith('/v1')", ".startsWith('/v1')", ".startsWith('/')"]
    hosts = ["llm.example.com", "*.example.com"]
    assert found == [
        (host, f"request.url_path{'' if path[0] == '.' else ' '}{path}") for host in hosts for path in paths
    ]


def test_routes_without_policies_have_no_action_set(load_routed: Load) -> None:
    assert action_sets(load_routed()) == []


def test_auth_policys_when_is_the_actions(load_routed: Load) -> None:
    (action_set,) = action_sets(load_routed(AUTH))
    assert [action["predicates"] for action in action_set["actions"]] == [['request.method != "OPTIONS"']]


@pytest.mark.parametrize(
    ("when", "services"),
    [
        ("'true'", ["ratelimit-service", "auth-service"]),
        ("auth.identity.userid != ''", ["auth-service", "ratelimit-service"]),
    ],
)
def test_limits_that_read_no_auth_come_before_it(load_routed: Load, when: str, services: list[str]) -> None:
    (action_set,) = action_sets(load_routed(AUTH, RATE_LIMIT.replace("WHEN", when)))
    assert [action["service"] for action in action_set["actions"]] == services


def test_rate_limits_share_one_call(load_routed: Load) -> None:
    (action_set,) = action_sets(load_routed(RATE_LIMIT.replace("WHEN", "request.path == '/v1'")))
    (action,) = action_set["actions"]
    assert action["scope"] == "llm/llm-sim"
    assert action["sources"] == ["ratelimitpolicy.kuadrant.io:llm/requests"]
    post = 'request.method == "POST"'
    expression = " request.headers['x-user'] "
    identifiers = [block["data"][0]["expression"]["key"] for block in action["conditionalData"]]
    assert [identifier.rpartition("__")[0] for identifier in identifiers] == ["limit.all", "limit.per_user"]
    assert action["conditionalData"] == [
        {"predicates": [post], "data": [{"expression": {"key": identifiers[0], "value": "1"}}]},
        {
            "predicates": [post, "request.path == '/v1'"],
            "data": [
                {"expression": {"key": identifiers[1], "value": "1"}},
                {"expression": {"key": expression.strip(), "value": expression}},
            ],
        },
    ]


def test_a_limit_has_an_entry_for_each_rate(load_routed: Load) -> None:
    limits = translate(load_routed(RATE_LIMIT)).limits
    assert [(limit["name"], limit["max_value"], limit["seconds"], limit["variables"]) for limit in limits] == [
        ("all", 0, 60, []),
        ("per-user", 5, 10, ["descriptors[0][\"request.headers['x-user']\"]"]),
        ("per-user", 50, 3600, ["descriptors[0][\"request.headers['x-user']\"]"]),
    ]


def test_limits_of_a_route_with_several_rules_are_not_doubled(load: Load, gateway_text: str, route_text: str) -> None:
    route = route_text + "    - matches: [{path: {value: /v2}}]\n"
    translation = translate(load(gateway_text, route, RATE_LIMIT))
    assert len(translation.limits) == 3
    assert len(translation.plugin_configuration["actionSets"]) == 2


def test_labels_of_the_gateways_policies_are_joined(load_routed: Load) -> None:
    resources = load_routed(
        AUTH,
        TELEMETRY % ("b", "external", "{user: late, model: m}"),
        TELEMETRY % ("a", "external", "{user: early}"),
        TELEMETRY % ("c", "other", "{user: elsewhere, x: y}"),
    )
    translation = translate(resources)
    assert translation.plugin_configuration["requestData"] == {
        "metrics.labels.model": "m",
        "metrics.labels.user": "early",
    }
    assert "TelemetryPolicy api-gateway/c targets Gateway api-gateway/other" in str(translation.notices[-1])
