"""Gateway API v1: Gateway and HTTPRoute, the parts a request can meet, with the defaults their CRDs fill in.

Source: gateway.networking.k8s.io/v1 (`sigs.k8s.io/gateway-api/apis/v1`).
"""

from __future__ import annotations

import re
from typing import Annotated, ClassVar, Final, Literal

from pydantic import AfterValidator, Field

from host_sim.kuadrant.objects import KubernetesObject, LabelSelector, Model

GATEWAY_GROUP: Final = "gateway.networking.k8s.io"

PathMatchType = Literal["Exact", "PathPrefix", "RegularExpression"]
MatchType = Literal["Exact", "RegularExpression"]
Method = Literal["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH"]


_DURATION: Final = re.compile(r"([0-9]{1,5}(h|m|s|ms)){1,4}", re.ASCII)
_DURATION_PART: Final = re.compile(r"([0-9]+)(ms|h|m|s)", re.ASCII)
_MILLISECONDS: Final = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}


def duration_milliseconds(text: str) -> int:
    """Milliseconds of a Gateway API duration (GEP-2257) such as `1m` or `1h30m`.

    Raises `ValueError` if `text` is no such duration.
    """
    if not _DURATION.fullmatch(text):
        raise ValueError("a duration such as 30s, 1m or 1h30m (at most four parts of h, m, s, ms)")
    return sum(int(number) * _MILLISECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _duration(text: str) -> str:
    duration_milliseconds(text)
    return text


def _hostname(value: str) -> str:
    labels = value.removeprefix("*.").split(".")
    if len(value) > 253 or not all(label.replace("-", "a").isalnum() and label.isascii() for label in labels):
        raise ValueError("a host name such as llm.example.com or *.example.com, without a port")
    return value.lower()


Duration = Annotated[str, AfterValidator(_duration)]
Hostname = Annotated[str, AfterValidator(_hostname)]


class RouteNamespaces(Model):
    from_: Literal["All", "Same", "Selector", "None"] = Field(default="Same", alias="from")
    selector: LabelSelector = Field(default_factory=LabelSelector)

    def admits(self, namespace: str, own: str) -> bool:
        """Whether routes of `namespace` may attach. Of a namespace's labels only its name is known here."""
        if self.from_ == "All":
            return True
        if self.from_ == "Selector":
            known = {"kubernetes.io/metadata.name": namespace}
            return all(known.get(label) == value for label, value in self.selector.match_labels.items())
        return self.from_ == "Same" and namespace == own


class RouteKind(Model):
    kind: str
    group: str = GATEWAY_GROUP


class AllowedRoutes(Model):
    namespaces: RouteNamespaces = Field(default_factory=RouteNamespaces)
    kinds: list[RouteKind] = Field(default_factory=list)


class Listener(Model):
    name: str = Field(min_length=1)
    protocol: str
    port: int = Field(ge=1, le=65535)
    hostname: Hostname | None = None
    allowed_routes: AllowedRoutes = Field(default_factory=AllowedRoutes)


class GatewaySpec(Model):
    gateway_class_name: str = Field(min_length=1)
    listeners: list[Listener] = Field(min_length=1)


class Gateway(KubernetesObject):
    GROUP: ClassVar[str] = GATEWAY_GROUP
    KIND: ClassVar[str] = "Gateway"

    spec: GatewaySpec


class ParentReference(Model):
    name: str
    group: str = GATEWAY_GROUP
    kind: str = "Gateway"
    namespace: str | None = None
    section_name: str | None = None
    port: int | None = None


class PathMatch(Model):
    type: PathMatchType = "PathPrefix"
    value: str = "/"


class NamedMatch(Model):
    """A header or query parameter and the value it must have."""

    name: str = Field(min_length=1)
    value: str
    type: MatchType = "Exact"


class HTTPRouteMatch(Model):
    path: PathMatch = Field(default_factory=PathMatch)
    headers: list[NamedMatch] = Field(default_factory=list)
    query_params: list[NamedMatch] = Field(default_factory=list)
    method: Method | None = None


class BackendReference(Model):
    name: str
    group: str = ""
    kind: str = "Service"
    namespace: str | None = None
    port: int | None = Field(default=None, ge=1, le=65535)
    weight: int = Field(default=1, ge=0, le=1_000_000)


class HTTPRouteTimeouts(Model):
    request: Duration | None = None
    backend_request: Duration | None = None


class HTTPRouteRule(Model):
    name: str | None = None
    matches: list[HTTPRouteMatch] = Field(default_factory=lambda: [HTTPRouteMatch()])
    backend_refs: list[BackendReference] = Field(default_factory=list)
    timeouts: HTTPRouteTimeouts = Field(default_factory=HTTPRouteTimeouts)


class HTTPRouteSpec(Model):
    parent_refs: list[ParentReference] = Field(default_factory=list)
    hostnames: list[Hostname] = Field(default_factory=list)
    rules: list[HTTPRouteRule] = Field(default_factory=lambda: [HTTPRouteRule()])


class HTTPRoute(KubernetesObject):
    GROUP: ClassVar[str] = GATEWAY_GROUP
    KIND: ClassVar[str] = "HTTPRoute"

    spec: HTTPRouteSpec


def shared_hostnames(listener: Listener, route: HTTPRoute) -> list[str]:
    """The hosts on which the route answers through the listener: where the two sets of names meet, `*` for all.

    Where a route's wildcard is wider than the listener's name, the listener's name is what is left.
    """
    own = listener.hostname or "*"
    shared: list[str] = []
    for hostname in route.spec.hostnames or [own]:
        if _covers(own, hostname):
            shared.append(hostname)
        elif _covers(hostname, own):
            shared.append(own)
    return list(dict.fromkeys(shared))


def host_specificity(hostname: str) -> tuple[int, bool, str]:
    """Sort key: the more labels the earlier, exact names before wildcards, then by name."""
    return (-len(hostname.split(".")), hostname.startswith("*"), hostname)


def match_specificity(match: HTTPRouteMatch) -> tuple[int, int, bool, int, int]:
    """Sort key of the Gateway API's precedence: kind and length of the path, method, headers, parameters."""
    order = ("Exact", "RegularExpression", "PathPrefix").index(match.path.type)
    return (order, -len(match.path.value), match.method is None, -len(match.headers), -len(match.query_params))


def _covers(pattern: str, hostname: str) -> bool:
    if not pattern.startswith("*"):
        return pattern == hostname
    return hostname.endswith(pattern[1:]) and len(hostname) >= len(pattern)
