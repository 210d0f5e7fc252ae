"""Kuadrant's policies: AuthPolicy, RateLimitPolicy, TokenRateLimitPolicy, TelemetryPolicy.

Source: kuadrant-operator `api/v1`, `api/v1alpha1`, `cmd/extensions/telemetry-policy/api`. The rules of a policy stand
in `spec` itself, in `spec.defaults` or in `spec.overrides`; `rules()` gives them by id, which is what merging works on.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Final, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from host_sim.kuadrant.gateway_api import GATEWAY_GROUP, duration_milliseconds
from host_sim.kuadrant.objects import KubernetesObject, Model

KUADRANT_GROUP: Final = "kuadrant.io"
EXTENSIONS_GROUP: Final = "extensions.kuadrant.io"

WHEN: Final = "when"
"""Id of the rule that holds a policy's own predicates; limits are prefixed, so none can be called like it."""


def _window(text: str) -> str:
    if duration_milliseconds(text) < 1000:
        raise ValueError("a window of at least 1s")
    return text


class TargetReference(Model):
    group: str
    kind: str
    name: str
    section_name: str | None = None

    @model_validator(mode="after")
    def _targets_gateway_api(self) -> Self:
        if self.group != GATEWAY_GROUP or self.kind not in ("Gateway", "HTTPRoute"):
            raise ValueError(f"group {GATEWAY_GROUP} and kind Gateway or HTTPRoute")
        return self


class Predicate(Model):
    predicate: str = Field(min_length=1)


class Counter(Model):
    expression: str = Field(min_length=1)


class Rate(Model):
    limit: int = Field(ge=-(2**63), lt=2**63)
    """Hits or tokens in a window; below 0 counts as 0, as in the operator."""
    window: Annotated[str, AfterValidator(_window)]

    @property
    def window_seconds(self) -> int:
        """Whole seconds, rounded down: Limitador knows no others."""
        return duration_milliseconds(self.window) // 1000


class Limit(Model):
    rates: list[Rate] = Field(default_factory=list)
    when: list[Predicate] = Field(default_factory=list)
    counters: list[Counter] = Field(default_factory=list)


class RuleBlock(Model):
    """Rules as they stand in `spec`, `spec.defaults` or `spec.overrides`."""

    when: list[Predicate] = Field(default_factory=list)
    strategy: Literal["atomic", "merge"] = "atomic"

    def rules(self) -> dict[str, Any]:
        return {WHEN: self.when} if self.when else {}


class LimitBlock(RuleBlock):
    limits: dict[str, Limit] = Field(default_factory=dict)

    def rules(self) -> dict[str, Any]:
        return super().rules() | {f"limit#{name}": limit for name, limit in self.limits.items()}


class DenyWith(Model):
    """`response.unauthenticated` and `.unauthorized`: what Authorino answers instead of its own 401 and 403."""

    code: int | None = Field(default=None, ge=300, le=599)
    headers: dict[str, Any] = Field(default_factory=dict)
    message: dict[str, Any] | None = None
    body: dict[str, Any] | None = None


class SuccessResponse(Model):
    headers: dict[str, dict[str, Any]] = Field(default_factory=dict)
    filters: dict[str, dict[str, Any]] = Field(default_factory=dict)


class AuthResponse(Model):
    unauthenticated: DenyWith | None = None
    unauthorized: DenyWith | None = None
    success: SuccessResponse = Field(default_factory=SuccessResponse)


class AuthScheme(Model):
    """Authorino's AuthConfig rules; what is inside each is the auth service's to read."""

    authentication: dict[str, dict[str, Any]] = Field(default_factory=dict)
    metadata: dict[str, dict[str, Any]] = Field(default_factory=dict)
    authorization: dict[str, dict[str, Any]] = Field(default_factory=dict)
    response: AuthResponse = Field(default_factory=AuthResponse)
    callbacks: dict[str, dict[str, Any]] = Field(default_factory=dict)


class AuthBlock(RuleBlock):
    patterns: dict[str, dict[str, Any]] = Field(default_factory=dict)
    scheme: AuthScheme = Field(default_factory=AuthScheme, alias="rules")

    def rules(self) -> dict[str, Any]:
        scheme = self.scheme
        groups: dict[str, dict[str, Any]] = {
            "patterns": self.patterns,
            "authentication": scheme.authentication,
            "metadata": scheme.metadata,
            "authorization": scheme.authorization,
            "callbacks": scheme.callbacks,
            "response.success.headers": scheme.response.success.headers,
            "response.success.filters": scheme.response.success.filters,
        }
        rules = super().rules()
        rules.update((f"{group}#{name}", rule) for group, named in groups.items() for name, rule in named.items())
        for verdict in ("unauthenticated", "unauthorized"):
            denial: DenyWith | None = getattr(scheme.response, verdict)
            if denial is not None:
                rules[f"response.{verdict}#"] = denial.model_dump(by_alias=True, exclude_unset=True)
        return rules


class LimitSpec(LimitBlock):
    target_ref: TargetReference
    defaults: LimitBlock | None = None
    overrides: LimitBlock | None = None

    @model_validator(mode="after")
    def _one_block(self) -> Self:
        _check_one_block({"defaults", "overrides", "limits"}, {"when", "limits"}, self)
        return self


class AuthSpec(AuthBlock):
    target_ref: TargetReference
    defaults: AuthBlock | None = None
    overrides: AuthBlock | None = None

    @model_validator(mode="after")
    def _one_block(self) -> Self:
        _check_one_block({"defaults", "overrides", "rules"}, {"when", "patterns", "scheme"}, self)
        return self


def _check_one_block(expected: set[str], bare: set[str], spec: LimitSpec | AuthSpec) -> None:
    explicit = [name for name in ("defaults", "overrides") if getattr(spec, name) is not None]
    written = spec.model_fields_set & bare
    if len(explicit) > 1 or (explicit and written):
        raise ValueError(f"only one of {', '.join(sorted(expected))}")


class MergeablePolicy(KubernetesObject):
    """A policy whose rules merge with those of policies further up or down the way of a request."""

    spec: LimitSpec | AuthSpec

    @property
    def block(self) -> RuleBlock:
        """The rules that count: overrides, defaults, or those in `spec` (defaults by another name)."""
        return self.spec.overrides or self.spec.defaults or self.spec

    @property
    def overrides(self) -> bool:
        return self.spec.overrides is not None

    @property
    def block_path(self) -> tuple[str, ...]:
        """Path of `block` in the object."""
        if self.spec.overrides is not None:
            return ("spec", "overrides")
        return ("spec", "defaults") if self.spec.defaults is not None else ("spec",)

    def rules(self) -> dict[str, Any]:
        return self.block.rules()


class AuthPolicy(MergeablePolicy):
    GROUP: ClassVar[str] = KUADRANT_GROUP
    KIND: ClassVar[str] = "AuthPolicy"

    spec: AuthSpec


class RateLimitPolicy(MergeablePolicy):
    GROUP: ClassVar[str] = KUADRANT_GROUP
    KIND: ClassVar[str] = "RateLimitPolicy"

    spec: LimitSpec


class TokenRateLimitPolicy(MergeablePolicy):
    GROUP: ClassVar[str] = KUADRANT_GROUP
    KIND: ClassVar[str] = "TokenRateLimitPolicy"

    spec: LimitSpec


class MetricLabels(Model):
    labels: dict[str, str] = Field(min_length=1)


class TelemetryMetrics(Model):
    default: MetricLabels


class TelemetrySpec(Model):
    target_ref: TargetReference
    metrics: TelemetryMetrics


class TelemetryPolicy(KubernetesObject):
    GROUP: ClassVar[str] = EXTENSIONS_GROUP
    KIND: ClassVar[str] = "TelemetryPolicy"

    spec: TelemetrySpec
