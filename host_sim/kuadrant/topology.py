"""The ways a request can take (gateway, listener, route, rule) and the policies that meet it on each.

Source: Kuadrant's policy-machinery and kuadrant-operator `api/v1/merge_strategies.go`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, TypeVar

from host_sim.kuadrant.diagnostics import ManifestError, Notice
from host_sim.kuadrant.gateway_api import (
    Gateway,
    HTTPRoute,
    HTTPRouteRule,
    Listener,
    ParentReference,
    shared_hostnames,
)
from host_sim.kuadrant.policies import WHEN, MergeablePolicy, TargetReference, TelemetryPolicy
from host_sim.kuadrant.resources import Resources

P = TypeVar("P", bound=MergeablePolicy)


@dataclass(frozen=True)
class RequestPath:
    """One listener of a gateway and one rule of a route attached to it."""

    gateway: Gateway
    listener: Listener
    route: HTTPRoute
    rule: HTTPRouteRule
    rule_number: int
    """From 1, as Kuadrant counts."""
    hostnames: tuple[str, ...]

    @property
    def id(self) -> str:
        """Kuadrant's id of the path; the names of AuthConfigs and action sets are hashes of it."""
        return "|".join(
            (
                self.gateway.spec.gateway_class_name,
                self.gateway.key,
                f"{self.gateway.key}#{self.listener.name}",
                self.route.key,
                f"{self.route.key}#rule-{self.rule_number}",
            )
        )

    @property
    def auth_scope(self) -> str:
        """Name and host of the path's AuthConfig, scope of its auth action."""
        return hashlib.sha256(self.id.encode()).hexdigest()

    def depth_of(self, target: TargetReference, namespace: str) -> int | None:
        """How far down the path `target` stands (0 gateway, 1 listener, 2 route, 3 rule); None if it is elsewhere."""
        if target.kind == "Gateway" and (namespace, target.name) == (self.gateway.namespace, self.gateway.name):
            if target.section_name is None:
                return 0
            return 1 if target.section_name == self.listener.name else None
        if target.kind == "HTTPRoute" and (namespace, target.name) == (self.route.namespace, self.route.name):
            if target.section_name is None:
                return 2
            return 3 if target.section_name in (f"rule-{self.rule_number}", self.rule.name) else None
        return None


@dataclass(frozen=True)
class Rule:
    """One rule of an effective policy, and the policy it was written in."""

    spec: Any
    source: MergeablePolicy


@dataclass(frozen=True)
class EffectivePolicy:
    """What is left when all policies of one kind on a path are merged."""

    rules: dict[str, Rule]

    @property
    def when(self) -> list[str]:
        """The policy's own predicates (CEL)."""
        rule = self.rules.get(WHEN)
        return [item.predicate for item in rule.spec] if rule is not None else []

    @property
    def sources(self) -> list[str]:
        """Locators of the policies that contributed a rule."""
        return sorted({rule.source.locator for rule in self.rules.values()})

    def named(self, group: str) -> dict[str, Rule]:
        """The rules `group#name`, by name, sorted."""
        prefix = f"{group}#"
        return {id.removeprefix(prefix): rule for id, rule in sorted(self.rules.items()) if id.startswith(prefix)}


def request_paths(resources: Resources, gateway: Gateway) -> list[RequestPath]:
    """All paths through `gateway`; routes that wanted to attach and could not are reported in `resources.notices`."""
    paths: dict[str, RequestPath] = {}
    for route in resources.all(HTTPRoute):
        attached = False
        wanted = False
        for reference in route.spec.parent_refs:
            if reference.kind != "Gateway" or (reference.namespace or route.namespace, reference.name) != (
                gateway.namespace,
                gateway.name,
            ):
                continue
            wanted = True
            for listener in gateway.spec.listeners:
                if not _accepts(gateway, listener, route, reference):
                    continue
                hostnames = tuple(shared_hostnames(listener, route))
                if hostnames:
                    attached = True
                    for number, rule in enumerate(route.spec.rules, start=1):
                        path = RequestPath(gateway, listener, route, rule, number, hostnames)
                        paths[path.id] = path
        if wanted and not attached:
            text = (
                f"HTTPRoute {route.key} fits no listener of Gateway {gateway.key}: look at sectionName, port, "
                "hostnames and the listener's allowedRoutes (by default only routes of the Gateway's own namespace)"
            )
            resources.notices.append(Notice(route.place("spec", "parentRefs"), text))
    return list(paths.values())


def choose_gateway(resources: Resources, name: str | None) -> Gateway:
    """The Gateway called `name` (`name` or `namespace/name`), or the only one there is.

    Raises `ManifestError` if there is none or several.
    """
    gateways = resources.all(Gateway)
    fitting = [gateway for gateway in gateways if name is None or name in (gateway.name, gateway.key)]
    if len(fitting) == 1:
        return fitting[0]
    known = ", ".join(gateway.key for gateway in gateways) or "none"
    if gateways:
        expected = f"one called {name}" if name is not None else "one, or the name of the one to use"
        raise ManifestError(gateways[0].place(), found=f"the Gateways {known}", expected=expected)
    raise GatewayMissing


class GatewayMissing(ValueError):
    """There is nothing to translate."""

    def __init__(self) -> None:
        super().__init__("found no Gateway in the manifests, expected one (gateway.networking.k8s.io/v1)")


def effective_policy(resources: Resources, kind: type[P], path: RequestPath) -> EffectivePolicy | None:
    """Merge the policies of `kind` on `path`, from the most specific up; None if there is none.

    Defaults give way to what is below them, overrides do not. `strategy: merge` decides that rule by rule, `atomic` as
    a whole.
    """
    policies = policies_on(resources, kind, path)
    if not policies:
        return None
    effective: dict[str, Rule] = {}
    for policy in reversed(policies):
        own = {id: Rule(spec, policy) for id, spec in policy.rules().items()}
        if policy.block.strategy == "merge":
            effective = effective | own if policy.overrides else own | effective
        elif policy.overrides or not effective.keys() - {WHEN}:
            effective = own
    return EffectivePolicy(effective)


def policies_on(resources: Resources, kind: type[P], path: RequestPath) -> list[P]:
    """Policies of `kind` that target a part of `path`, the least specific first, the oldest first within one target."""
    found: list[tuple[int, tuple[bool, float, str], P]] = []
    for policy in resources.all(kind):
        depth = path.depth_of(policy.spec.target_ref, policy.namespace)
        if depth is not None:
            found.append((depth, policy.age_order, policy))
    return [policy for _, _, policy in sorted(found, key=lambda item: item[:2])]


def report_loose_policies(resources: Resources, paths: list[RequestPath]) -> None:
    """A notice for each policy whose target is on none of `paths`: it looks in force and is not."""
    policies: list[MergeablePolicy | TelemetryPolicy] = [
        *resources.all(MergeablePolicy),
        *resources.all(TelemetryPolicy),
    ]
    for policy in policies:
        target = policy.spec.target_ref
        if all(path.depth_of(target, policy.namespace) is None for path in paths):
            name = f"{target.kind} {policy.namespace}/{target.name}" + (
                f" section {target.section_name}" if target.section_name else ""
            )
            text = f"{policy.KIND} {policy.key} targets {name}, which no request through this gateway meets"
            resources.notices.append(Notice(policy.place("spec", "targetRef"), text))


def _accepts(gateway: Gateway, listener: Listener, route: HTTPRoute, reference: ParentReference) -> bool:
    kinds = listener.allowed_routes.kinds
    return (
        reference.section_name in (None, listener.name)
        and reference.port in (None, listener.port)
        and (not kinds or any(kind.kind == "HTTPRoute" for kind in kinds))
        and listener.allowed_routes.namespaces.admits(route.namespace, gateway.namespace)
    )
