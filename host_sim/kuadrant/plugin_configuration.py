"""The Wasm plugin's configuration, in the classic form that released Kuadrant operators write.

Source: kuadrant-operator `internal/wasm/{utils,action_spec,types}.go`,
`internal/controller/{ratelimit_workflow_helpers,data_plane_policies_workflow,istio_extension_reconciler}.go`.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Any, Final

from host_sim.kuadrant.gateway_api import HTTPRouteMatch, host_specificity, match_specificity
from host_sim.kuadrant.limits import counter_key, limit_identifier
from host_sim.kuadrant.policies import (
    AuthPolicy,
    Limit,
    RateLimitPolicy,
    TelemetryPolicy,
    TokenRateLimitPolicy,
)
from host_sim.kuadrant.resources import Resources
from host_sim.kuadrant.topology import EffectivePolicy, RequestPath, Rule, effective_policy

AUTH_SERVICE: Final = "auth-service"
RATELIMIT_SERVICE: Final = "ratelimit-service"
RATELIMIT_CHECK_SERVICE: Final = "ratelimit-check-service"
RATELIMIT_REPORT_SERVICE: Final = "ratelimit-report-service"

AUTH_CLUSTER: Final = "kuadrant-auth-service"
RATELIMIT_CLUSTER: Final = "kuadrant-ratelimit-service"

TOTAL_TOKENS: Final = 'responseBodyJSON("/usage/total_tokens")'


def services() -> dict[str, dict[str, str]]:
    """The services every configuration has, with the operator's default timeouts and failure modes."""
    limiter = {"endpoint": RATELIMIT_CLUSTER, "failureMode": "allow", "timeout": "100ms"}
    return {
        AUTH_SERVICE: {"type": "auth", "endpoint": AUTH_CLUSTER, "failureMode": "deny", "timeout": "200ms"},
        RATELIMIT_SERVICE: {"type": "ratelimit", **limiter},
        RATELIMIT_CHECK_SERVICE: {"type": "ratelimit-check", **limiter},
        RATELIMIT_REPORT_SERVICE: {"type": "ratelimit-report", **limiter},
    }


def plugin_configuration(resources: Resources, paths: list[RequestPath]) -> dict[str, Any]:
    """The configuration for all paths through one gateway; JSON-ready, keys as the plugin names them."""
    configuration: dict[str, Any] = {"services": services(), "actionSets": _action_sets(resources, paths)}
    labels = _telemetry_labels(resources, paths)
    if labels:
        configuration["requestData"] = {f"metrics.labels.{name}": labels[name] for name in sorted(labels)}
    return configuration


def _action_sets(resources: Resources, paths: list[RequestPath]) -> list[dict[str, Any]]:
    """One action set per host and match, the most specific first; paths without policies have none."""
    ranked: list[tuple[Any, dict[str, Any]]] = []
    for path in paths:
        actions = _actions(resources, path)
        if not actions:
            continue
        for hostname in path.hostnames:
            for number, match in enumerate(path.rule.matches, start=1):
                name = hashlib.sha256(f"{path.id}|{number}|{hostname}".encode()).hexdigest()
                action_set = {
                    "name": name,
                    "routeRuleConditions": {"hostnames": [hostname], "predicates": match_predicates(match)},
                    "actions": actions,
                }
                rank = (host_specificity(hostname), match_specificity(match), path.route.age_order, path.rule_number)
                ranked.append((rank, action_set))
    return [action_set for _, action_set in sorted(ranked, key=lambda item: item[0])]


def match_predicates(match: HTTPRouteMatch) -> list[str]:
    """An HTTPRoute match as CEL over Envoy's attributes."""
    predicates: list[str] = []
    if match.method is not None:
        predicates.append(f"request.method == {_cel(match.method)}")
    path = _cel(match.path.value)
    predicates.append(
        {
            "Exact": f"request.url_path == {path}",
            "PathPrefix": f"request.url_path.startsWith({path})",
            "RegularExpression": f"request.url_path.matches({path})",
        }[match.path.type]
    )
    for header in match.headers:
        name, value = _cel(header.name.lower()), _cel(header.value)
        test = f"request.headers[h].matches({value})" if header.type != "Exact" else f"request.headers[h] == {value}"
        predicates.append(f"request.headers.exists(h, h.lowerAscii() == {name} && {test})")
    # The Gateway API counts only the first entry for a parameter.
    for parameter in {item.name: item for item in reversed(match.query_params)}.values():
        name, value = _cel(parameter.name), _cel(parameter.value)
        actual = f"queryMap(request.query)[{name}]"
        test = f"{actual}.matches({value})" if parameter.type != "Exact" else f"{actual} == {value}"
        predicates.append(f"{name} in queryMap(request.query) ? {test} : false")
    return predicates


def _actions(resources: Resources, path: RequestPath) -> list[dict[str, Any]]:
    """Auth first; limits that read no `auth.` go before it, so that refused requests cost no auth call."""
    actions: list[dict[str, Any]] = []
    auth = effective_policy(resources, AuthPolicy, path)
    if auth is not None:
        actions.append(
            {
                "service": AUTH_SERVICE,
                "scope": path.auth_scope,
                **({"predicates": auth.when} if auth.when else {}),
                "sources": auth.sources,
            }
        )
    for policy, build in (
        (effective_policy(resources, RateLimitPolicy, path), _rate_limit_actions),
        (effective_policy(resources, TokenRateLimitPolicy, path), _token_limit_actions),
    ):
        if policy is not None:
            built = build(path, policy)
            actions = [*actions, *built] if any(map(_reads_auth, built)) else [*built, *actions]
    return _merge_neighbours(actions)


def _rate_limit_actions(path: RequestPath, policy: EffectivePolicy) -> list[dict[str, Any]]:
    return [
        _limit_action(RATELIMIT_SERVICE, path, policy, rule, limit_identifier(rule.source, name))
        for name, rule in policy.named("limit").items()
    ]


def _token_limit_actions(path: RequestPath, policy: EffectivePolicy) -> list[dict[str, Any]]:
    """Each limit asks before the request whether there is room, and reports after the response what was used."""
    actions: list[dict[str, Any]] = []
    for name, rule in policy.named("limit").items():
        identifier = limit_identifier(rule.source, name)
        for service, hits in ((RATELIMIT_CHECK_SERVICE, "0"), (RATELIMIT_REPORT_SERVICE, TOTAL_TOKENS)):
            actions.append(_limit_action(service, path, policy, rule, identifier, hits))
    return actions


def _limit_action(
    service: str, path: RequestPath, policy: EffectivePolicy, rule: Rule, identifier: str, hits: str | None = None
) -> dict[str, Any]:
    limit: Limit = rule.spec
    data = [_expression(identifier, "1")]
    data.extend(_expression(counter_key(counter), counter.expression) for counter in limit.counters)
    if hits is not None:
        data.append(_expression("ratelimit.hits_addend", hits))
    predicates = [*policy.when, *(item.predicate for item in limit.when)]
    block = {"predicates": predicates, "data": data} if predicates else {"data": data}
    sources = [rule.source.locator]
    return {"service": service, "scope": path.route.key, "conditionalData": [block], "sources": sources}


def _merge_neighbours(actions: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Neighbours that call the same service with the same scope become one call."""
    merged: list[dict[str, Any]] = []
    for action in actions:
        last = merged[-1] if merged else None
        if (
            last is not None
            and action["service"] != AUTH_SERVICE
            and (last["service"], last["scope"]) == (action["service"], action["scope"])
        ):
            blocks = [*last["conditionalData"], *action["conditionalData"]]
            blocks.sort(key=lambda block: "|".join(block.get("predicates", [])))
            sources = sorted({*last["sources"], *action["sources"]})
            merged[-1] = {**last, "conditionalData": blocks, "sources": sources}
        else:
            merged.append(action)
    return merged


def _telemetry_labels(resources: Resources, paths: list[RequestPath]) -> dict[str, str]:
    """Metric labels (name to CEL) of the TelemetryPolicies on the gateway; of two for one name the older policy's."""
    labels: dict[str, str] = {}
    for policy in sorted(resources.all(TelemetryPolicy), key=lambda item: item.age_order):
        if any(path.depth_of(policy.spec.target_ref, policy.namespace) is not None for path in paths):
            labels = policy.spec.metrics.default.labels | labels
    return labels


def _reads_auth(action: dict[str, Any]) -> bool:
    return any(
        "auth." in text
        for block in action["conditionalData"]
        for text in (*block.get("predicates", []), *(item["expression"]["value"] for item in block["data"]))
    )


def _expression(key: str, value: str) -> dict[str, dict[str, str]]:
    return {"expression": {"key": key, "value": value}}


def _cel(text: str) -> str:
    """A CEL text literal. Unlike the operator's it stays one whatever the route's author wrote."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n").replace("\r", "\\r")
    return f"'{escaped}'"
