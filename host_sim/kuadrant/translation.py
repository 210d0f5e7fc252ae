"""From resources to everything a data plane needs: the one call behind `tallyman` and the local gateway."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from host_sim.kuadrant.auth_configs import auth_configs, managed_secrets
from host_sim.kuadrant.diagnostics import Notice
from host_sim.kuadrant.gateway_api import Gateway
from host_sim.kuadrant.limits import METRIC_LABELS_DEFAULT, limitador_limits
from host_sim.kuadrant.objects import Secret
from host_sim.kuadrant.plugin_configuration import plugin_configuration
from host_sim.kuadrant.policies import RateLimitPolicy, TokenRateLimitPolicy
from host_sim.kuadrant.resources import Resources
from host_sim.kuadrant.topology import (
    RequestPath,
    choose_gateway,
    effective_policy,
    report_loose_policies,
    request_paths,
)
from host_sim.kuadrant.workloads import Backend, backends


@dataclass(frozen=True)
class Translation:
    """What Kuadrant's operator would have made of the resources, for one Gateway."""

    gateway: Gateway
    paths: list[RequestPath]
    plugin_configuration: dict[str, Any]
    """The Wasm plugin's JSON."""
    limits: list[dict[str, Any]]
    """Limitador's limits file: `yaml.safe_dump(limits)` is one."""
    metric_labels_default: str
    """Limitador's `--metric-labels-default` (CEL)."""
    auth_configs: list[dict[str, Any]]
    """Authorino's AuthConfig objects."""
    secrets: list[Secret]
    """The Secrets the auth service may look at."""
    backends: dict[str, Backend]
    notices: list[Notice]
    """What was read and has no effect, or not the one it seems to have."""


def translate(resources: Resources, gateway: str | None = None) -> Translation:
    """Translate for the Gateway called `gateway` (`name` or `namespace/name`), or for the only one.

    `resources` stay as they are: what the translation notices is in its own `notices`, after those of the reading.

    Raises:
        ManifestError: there is not exactly one such Gateway. `GatewayMissing`: there is none at all.
    """
    resources = resources.copy()
    chosen = choose_gateway(resources, gateway)
    paths = request_paths(resources, chosen)
    translation = Translation(
        gateway=chosen,
        paths=paths,
        plugin_configuration=plugin_configuration(resources, paths),
        limits=_limits(resources, paths),
        metric_labels_default=METRIC_LABELS_DEFAULT,
        auth_configs=auth_configs(resources, paths),
        secrets=managed_secrets(resources),
        backends=backends(resources, paths),
        notices=resources.notices,
    )
    report_loose_policies(resources, paths)
    return translation


def _limits(resources: Resources, paths: list[RequestPath]) -> list[dict[str, Any]]:
    """Each limit once, however many paths of its route it stands on."""
    limits: list[dict[str, Any]] = []
    for kind in (RateLimitPolicy, TokenRateLimitPolicy):
        for path in paths:
            policy = effective_policy(resources, kind, path)
            if policy is not None:
                limits.extend(limit for limit in limitador_limits(path, policy) if limit not in limits)
    return limits
