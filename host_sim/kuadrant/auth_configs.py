"""AuthConfigs for the auth service, as the operator makes them from AuthPolicies, and the Secrets they may read.

Source: kuadrant-operator `internal/controller/authconfigs_reconciler.go`; Authorino's `AuthConfig` v1beta3.
"""

from __future__ import annotations

from typing import Any, Final

from host_sim.kuadrant.diagnostics import Notice
from host_sim.kuadrant.objects import Secret
from host_sim.kuadrant.policies import AuthPolicy
from host_sim.kuadrant.resources import Resources
from host_sim.kuadrant.topology import RequestPath, effective_policy

AUTH_CONFIG_NAMESPACE: Final = "kuadrant-system"
MANAGED_LABEL: Final = ("authorino.kuadrant.io/managed-by", "authorino")
"""Label of the Secrets that Kuadrant's Authorino looks at."""


def auth_configs(resources: Resources, paths: list[RequestPath]) -> list[dict[str, Any]]:
    """One AuthConfig object per path with an AuthPolicy. Its name is its only host and the scope of the auth action.

    The policy's `when` is not in it: the filter decides that, before it calls.
    """
    configs: list[dict[str, Any]] = []
    for path in paths:
        policy = effective_policy(resources, AuthPolicy, path)
        if policy is None:
            continue
        spec: dict[str, Any] = {"hosts": [path.auth_scope]}
        for group in ("patterns", "authentication", "metadata", "authorization", "callbacks"):
            named = {name: rule.spec for name, rule in policy.named(group).items()}
            if named:
                spec[group] = named
        response = {
            verdict: policy.rules[f"response.{verdict}#"].spec
            for verdict in ("unauthenticated", "unauthorized")
            if f"response.{verdict}#" in policy.rules
        }
        success = {
            target: {name: rule.spec for name, rule in policy.named(f"response.success.{source}").items()}
            for source, target in (("headers", "headers"), ("filters", "dynamicMetadata"))
            if policy.named(f"response.success.{source}")
        }
        if success:
            response["success"] = success
        if response:
            spec["response"] = response
        configs.append(
            {
                "apiVersion": "authorino.kuadrant.io/v1beta3",
                "kind": "AuthConfig",
                "metadata": {"name": path.auth_scope, "namespace": AUTH_CONFIG_NAMESPACE},
                "spec": spec,
            }
        )
    return configs


def managed_secrets(resources: Resources) -> list[Secret]:
    """The Secrets that carry Authorino's label; others are reported, for they look like keys and open nothing."""
    label, value = MANAGED_LABEL
    managed: list[Secret] = []
    for secret in resources.all(Secret):
        if secret.metadata.labels.get(label) == value:
            managed.append(secret)
        else:
            text = f"Secret {secret.key} has no label {label}: {value}, so the auth service does not see it"
            resources.notices.append(Notice(secret.place("metadata", "labels"), text))
    return managed
