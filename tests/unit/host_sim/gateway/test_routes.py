"""Virtual hosts and routes from HTTPRoutes."""

from pathlib import Path
from typing import Any

import pytest

from host_sim.gateway.routes import virtual_hosts
from host_sim.kuadrant import Translation, load_resources, translate

MANIFESTS = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: external, namespace: llm}
spec: {gatewayClassName: istio, listeners: [{name: http, protocol: HTTP, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: one, namespace: llm}
spec: {ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: two, namespace: llm}
spec: {ports: [{port: 80}]}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: route, namespace: llm}
spec:
  parentRefs: [{name: external}]
  hostnames: HOSTNAMES
  rules: RULES
"""


def hosts_of(folder: Path, rules: str, hostnames: str = "[]") -> list[dict[str, Any]]:
    (folder / "manifests.yaml").write_text(MANIFESTS.replace("RULES", rules).replace("HOSTNAMES", hostnames))
    translation: Translation = translate(load_resources([folder]))
    return virtual_hosts(translation.paths, translation.backends)


def routes_of(folder: Path, rules: str) -> list[dict[str, Any]]:
    (host,) = hosts_of(folder, rules)
    routes: list[dict[str, Any]] = host["routes"]
    return routes


@pytest.mark.parametrize(
    ("match", "expected"),
    [
        ("{}", {"prefix": "/"}),
        ("{path: {value: /v1}}", {"path_separated_prefix": "/v1"}),
        ("{path: {value: /v1/}}", {"path_separated_prefix": "/v1"}),
        ("{path: {type: Exact, value: /v1/}}", {"path": "/v1/"}),
        ("{path: {type: RegularExpression, value: '/v[12]'}}", {"safe_regex": {"regex": "/v[12]"}}),
        (
            "{method: GET, headers: [{name: X-A, value: b}]}",
            {
                "prefix": "/",
                "headers": [
                    {"name": ":method", "string_match": {"exact": "GET"}},
                    {"name": "x-a", "string_match": {"exact": "b"}},
                ],
            },
        ),
        (
            "{queryParams: [{name: a, type: RegularExpression, value: b+}]}",
            {
                "prefix": "/",
                "query_parameters": [{"name": "a", "string_match": {"safe_regex": {"regex": "b+"}}}],
            },
        ),
    ],
)
def test_matches(tmp_path: Path, match: str, expected: dict[str, Any]) -> None:
    assert routes_of(tmp_path, f"[{{matches: [{match}], backendRefs: [{{name: one}}]}}]")[0]["match"] == expected


def test_the_most_specific_match_is_tried_first(tmp_path: Path) -> None:
    matches = "[{}, {path: {value: /a}}, {path: {value: /a/b}}, {path: {type: Exact, value: /a}}]"
    found = [route["match"] for route in routes_of(tmp_path, f"[{{matches: {matches}}}]")]
    assert found == [
        {"path": "/a"},
        {"path_separated_prefix": "/a/b"},
        {"path_separated_prefix": "/a"},
        {"prefix": "/"},
    ]


def test_equal_matches_keep_the_order_of_the_rules(tmp_path: Path) -> None:
    routes = routes_of(tmp_path, "[{backendRefs: [{name: two}]}, {backendRefs: [{name: one}]}]")
    assert [route["route"]["cluster"] for route in routes] == ["llm/two:80", "llm/one:80"]


def test_host_names_are_virtual_hosts(tmp_path: Path) -> None:
    hosts = hosts_of(tmp_path, "[{}]", '["*.example.com", a.example.com, example.org]')
    assert [host["domains"] for host in hosts] == [["a.example.com"], ["*.example.com"], ["example.org"]]


def test_several_backends_share_by_weight(tmp_path: Path) -> None:
    (route,) = routes_of(tmp_path, "[{backendRefs: [{name: one, weight: 3}, {name: two}, {name: gone}]}]")
    assert route["route"]["weighted_clusters"]["clusters"] == [
        {"name": "llm/one:80", "weight": 3},
        {"name": "llm/two:80", "weight": 1},
    ]


@pytest.mark.parametrize("backends", ["[]", "[{name: gone}]", "[{name: one, weight: 0}]"])
def test_rules_that_lead_nowhere_answer_500(tmp_path: Path, backends: str) -> None:
    (route,) = routes_of(tmp_path, f"[{{backendRefs: {backends}}}]")
    assert route["direct_response"] == {"status": 500}


@pytest.mark.parametrize(
    ("timeouts", "expected"),
    [("{}", "0s"), ("{request: 1m30s}", "90.000s"), ("{backendRequest: 250ms}", "0.250s")],
)
def test_streams_have_no_time_limit_unless_asked_for(tmp_path: Path, timeouts: str, expected: str) -> None:
    (route,) = routes_of(tmp_path, f"[{{backendRefs: [{{name: one}}], timeouts: {timeouts}}}]")
    assert route["route"]["timeout"] == expected
