"""Envoy's virtual hosts from the paths through a Gateway.

Source: Gateway API v1 HTTPRouteRule (precedence of matches), Envoy `config/route/v3/route_components.proto`. What is
built here is the proto's JSON form.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from host_sim.kuadrant.gateway_api import (
    HTTPRouteMatch,
    NamedMatch,
    PathMatch,
    duration_milliseconds,
    host_specificity,
    match_specificity,
)
from host_sim.kuadrant.topology import RequestPath
from host_sim.kuadrant.workloads import Backend, backend_name

Json: TypeAlias = dict[str, Any]


def virtual_hosts(
    paths: list[RequestPath],
    backends: Mapping[str, Backend],
    filter_configs: Mapping[str, Json] | None = None,
    rate_limits: Mapping[str, list[Json]] | None = None,
) -> list[Json]:
    """One virtual host per host name, its routes in the order of their precedence.

    Args:
        paths: paths through listeners that share a port.
        backends: what may be routed to, by name; a rule without any answers 500.
        filter_configs: `typed_per_filter_config` of the routes, by path id.
        rate_limits: their `rate_limits`, by path id.
    """
    by_host: dict[str, list[tuple[Any, Json]]] = {}
    for path in paths:
        for hostname in path.hostnames:
            for match in path.rule.matches:
                rank = (match_specificity(match), path.route.age_order, path.rule_number)
                route = _route(path, match, backends, (rate_limits or {}).get(path.id, []))
                if filter_configs and path.id in filter_configs:
                    route["typed_per_filter_config"] = filter_configs[path.id]
                by_host.setdefault(hostname, []).append((rank, route))
    return [
        {
            "name": hostname,
            "domains": [hostname],
            "routes": [route for _, route in sorted(by_host[hostname], key=lambda item: item[0])],
        }
        for hostname in sorted(by_host, key=host_specificity)
    ]


def _route(path: RequestPath, match: HTTPRouteMatch, backends: Mapping[str, Backend], rate_limits: list[Json]) -> Json:
    route: Json = {"name": f"{path.route.key}#rule-{path.rule_number}", "match": _match(match)}
    clusters = [
        {"name": backend_name(path, reference), "weight": reference.weight}
        for reference in path.rule.backend_refs
        if backend_name(path, reference) in backends and reference.weight > 0
    ]
    if not clusters:
        return route | {"direct_response": {"status": 500}}
    # Event streams may run for minutes: like Istio's gateways, no time limit unless the route asks for one.
    timeout = path.rule.timeouts.request or path.rule.timeouts.backend_request
    action: Json = {"timeout": _seconds(timeout) if timeout else "0s"}
    if len(clusters) == 1:
        action["cluster"] = clusters[0]["name"]
    else:
        action["weighted_clusters"] = {"clusters": clusters}
    if rate_limits:
        action["rate_limits"] = rate_limits
    return route | {"route": action}


def _match(match: HTTPRouteMatch) -> Json:
    result = _path_match(match.path)
    headers = [_header(header) for header in match.headers]
    if match.method is not None:
        headers.insert(0, {"name": ":method", "string_match": {"exact": match.method}})
    if headers:
        result["headers"] = headers
    if match.query_params:
        result["query_parameters"] = [
            {"name": parameter.name, "string_match": _string_match(parameter)} for parameter in match.query_params
        ]
    return result


def _path_match(path: PathMatch) -> Json:
    if path.type == "Exact":
        return {"path": path.value}
    if path.type == "RegularExpression":
        return {"safe_regex": {"regex": path.value}}
    prefix = path.value.rstrip("/")
    return {"path_separated_prefix": prefix} if prefix else {"prefix": "/"}


def _header(header: NamedMatch) -> Json:
    return {"name": header.name.lower(), "string_match": _string_match(header)}


def _string_match(match: NamedMatch) -> Json:
    return {"exact": match.value} if match.type == "Exact" else {"safe_regex": {"regex": match.value}}


def _seconds(duration: str) -> str:
    milliseconds = duration_milliseconds(duration)
    return f"{milliseconds // 1000}.{milliseconds % 1000:03d}s"
