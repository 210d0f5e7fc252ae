"""Which routes attach where, and which policy is in force on a path."""

from collections.abc import Callable
from textwrap import indent

import pytest

from host_sim.kuadrant import GatewayMissing, ManifestError, Resources
from host_sim.kuadrant.gateway_api import Gateway, HTTPRoute, shared_hostnames
from host_sim.kuadrant.policies import TokenRateLimitPolicy
from host_sim.kuadrant.topology import (
    RequestPath,
    choose_gateway,
    effective_policy,
    report_loose_policies,
    request_paths,
)

Load = Callable[..., Resources]


def paths_of(resources: Resources) -> list[RequestPath]:
    return request_paths(resources, choose_gateway(resources, None))


def policy(name: str, target: str, block: str, created: str = "", section: str = "") -> str:
    """A TokenRateLimitPolicy in the target's namespace; `block` is what stands in `spec` beside the targetRef."""
    namespace, object_name = ("api-gateway", "external") if target == "Gateway" else ("llm", "llm-sim")
    section_name = f", sectionName: {section}" if section else ""
    created_at = f", creationTimestamp: {created}" if created else ""
    return (
        "apiVersion: kuadrant.io/v1alpha1\n"
        "kind: TokenRateLimitPolicy\n"
        f"metadata: {{name: {name}, namespace: {namespace}{created_at}}}\n"
        "spec:\n"
        "  targetRef: {group: gateway.networking.k8s.io, kind: "
        f"{target}, name: {object_name}{section_name}}}\n{indent(block, '  ')}"
    )


def limits(**maxima: int) -> str:
    return "limits:\n" + "".join(
        f"  {name}: {{rates: [{{limit: {maximum}, window: 1m}}]}}\n" for name, maximum in maxima.items()
    )


def block(kind: str, strategy: str, inner: str) -> str:
    return f"{kind}:\n  strategy: {strategy}\n{indent(inner, '  ')}"


def in_force(resources: Resources, path_number: int = 0) -> dict[str, tuple[int, str]]:
    """Limit and the policy it comes from, by name."""
    effective = effective_policy(resources, TokenRateLimitPolicy, paths_of(resources)[path_number])
    assert effective is not None
    return {name: (rule.spec.rates[0].limit, rule.source.name) for name, rule in effective.named("limit").items()}


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        (limits(a=1, b=1), {"a": (2, "route"), "c": (2, "route")}),
        (block("defaults", "atomic", limits(a=1, b=1)), {"a": (2, "route"), "c": (2, "route")}),
        (block("overrides", "atomic", limits(a=1, b=1)), {"a": (1, "gateway"), "b": (1, "gateway")}),
        (
            block("defaults", "merge", limits(a=1, b=1)),
            {"a": (2, "route"), "b": (1, "gateway"), "c": (2, "route")},
        ),
        (
            block("overrides", "merge", limits(a=1, b=1)),
            {"a": (1, "gateway"), "b": (1, "gateway"), "c": (2, "route")},
        ),
    ],
)
def test_gateway_and_route_policies_merge(
    load_routed: Load, gateway: str, expected: dict[str, tuple[int, str]]
) -> None:
    resources = load_routed(policy("gateway", "Gateway", gateway), policy("route", "HTTPRoute", limits(a=2, c=2)))
    assert in_force(resources) == expected


def test_a_gateways_policy_alone_is_in_force(load_routed: Load) -> None:
    assert in_force(load_routed(policy("gateway", "Gateway", limits(a=1)))) == {"a": (1, "gateway")}


def test_the_more_specific_section_decides(load_routed: Load) -> None:
    resources = load_routed(
        policy("listener", "Gateway", limits(a=1), section="http"),
        policy("gateway", "Gateway", limits(a=2)),
        policy("rule", "HTTPRoute", limits(a=3), section="rule-1"),
        policy("other-rule", "HTTPRoute", limits(a=4), section="rule-2"),
    )
    assert in_force(resources) == {"a": (3, "rule")}


def test_of_two_for_one_target_the_younger_decides(load_routed: Load) -> None:
    resources = load_routed(
        policy("young", "HTTPRoute", limits(a=1), created="2026-02-01T00:00:00Z"),
        policy("old", "HTTPRoute", limits(a=2), created="2026-01-01T00:00:00Z"),
    )
    assert in_force(resources) == {"a": (1, "young")}


def test_merged_predicates_follow_the_same_rules(load_routed: Load) -> None:
    above = block("overrides", "merge", "when: [{predicate: 'true'}]\n" + limits(b=1))
    resources = load_routed(
        policy("gateway", "Gateway", above),
        policy("route", "HTTPRoute", "when: [{predicate: 'false'}]\n" + limits(a=2)),
    )
    effective = effective_policy(resources, TokenRateLimitPolicy, paths_of(resources)[0])
    assert effective is not None
    assert effective.when == ["true"]
    assert effective.sources == [
        "tokenratelimitpolicy.kuadrant.io:api-gateway/gateway",
        "tokenratelimitpolicy.kuadrant.io:llm/route",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("{name: external, namespace: api-gateway}]", "{name: other, namespace: api-gateway}]"),
        ("{name: external, namespace: api-gateway}]", "{name: external}]"),
        ("hostnames: [llm.example.com]", "hostnames: [llm.example.org]"),
        ("namespace: api-gateway}]", "namespace: api-gateway, sectionName: https}]"),
        ("namespace: api-gateway}]", "namespace: api-gateway, port: 81}]"),
        ("{namespaces: {from: All}}", "{namespaces: {from: Same}}"),
        ("{namespaces: {from: All}}", "{}"),
        ("{namespaces: {from: All}}", "{namespaces: {from: All}, kinds: [{kind: GRPCRoute}]}"),
        ("{from: All}", "{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: other}}}"),
    ],
)
def test_routes_that_do_not_attach_have_no_path(
    load: Load, gateway_text: str, route_text: str, old: str, new: str
) -> None:
    assert old in gateway_text + route_text
    resources = load(gateway_text.replace(old, new), route_text.replace(old, new))
    assert paths_of(resources) == []
    asked_for_it = new not in ("{name: other, namespace: api-gateway}]", "{name: external}]")
    assert [notice.text.startswith("HTTPRoute llm/llm-sim fits no listener") for notice in resources.notices] == [
        True
    ] * asked_for_it


def test_a_selector_knows_a_namespaces_name(load: Load, gateway_text: str, route_text: str) -> None:
    selector = "{from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: llm}}}"
    assert len(paths_of(load(gateway_text.replace("{from: All}", selector), route_text))) == 1


def test_a_route_that_names_a_listener_twice_attaches_once(load: Load, gateway_text: str, route_text: str) -> None:
    external = "{name: external, namespace: api-gateway"
    twice = route_text.replace(f"[{external}}}]", f"[{external}}}, {external}, sectionName: http}}]")
    assert twice != route_text
    assert len(paths_of(load(gateway_text, twice))) == 1


def test_policies_that_meet_no_request_are_reported(load_routed: Load) -> None:
    resources = load_routed(policy("lost", "HTTPRoute", limits(a=1), section="rule-9"))
    report_loose_policies(resources, paths_of(resources))
    assert [notice.text for notice in resources.notices] == [
        "TokenRateLimitPolicy llm/lost targets HTTPRoute llm/llm-sim section rule-9, "
        "which no request through this gateway meets"
    ]


@pytest.mark.parametrize(
    ("listener", "route", "shared"),
    [
        ("*", [], ["*"]),
        ("*.example.com", [], ["*.example.com"]),
        ("*.example.com", ["a.example.com", "b.example.org"], ["a.example.com"]),
        ("*.example.com", ["a.b.example.com", "example.com"], ["a.b.example.com"]),
        ("a.example.com", ["*.example.com"], ["a.example.com"]),
        ("*.example.com", ["*.b.example.com", "*.com"], ["*.b.example.com", "*.example.com"]),
        ("a.example.com", ["b.example.com"], []),
        ("a.example.com", ["A.Example.com"], ["a.example.com"]),
    ],
)
def test_hosts_are_where_listener_and_route_meet(
    load: Load, gateway_text: str, route_text: str, listener: str, route: list[str], shared: list[str]
) -> None:
    hostname = "" if listener == "*" else f'hostname: "{listener}"'
    resources = load(
        gateway_text.replace('hostname: "*.example.com"', hostname),
        route_text.replace("hostnames: [llm.example.com]", f"hostnames: {route}"),
    )
    (gateway,), (http_route,) = resources.all(Gateway), resources.all(HTTPRoute)
    assert shared_hostnames(gateway.spec.listeners[0], http_route) == shared


def test_one_gateway_is_chosen(load: Load, gateway_text: str) -> None:
    two = load(gateway_text, gateway_text.replace("name: external", "name: internal"))
    assert choose_gateway(two, "internal").key == "api-gateway/internal"
    assert choose_gateway(two, "api-gateway/external").key == "api-gateway/external"
    with pytest.raises(ManifestError, match="found the Gateways api-gateway/external, api-gateway/internal"):
        choose_gateway(two, None)
    with pytest.raises(ManifestError, match="expected one called nowhere"):
        choose_gateway(two, "nowhere")
    with pytest.raises(GatewayMissing):
        choose_gateway(Resources(), None)
