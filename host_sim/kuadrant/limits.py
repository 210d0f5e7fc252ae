"""Limits as Limitador takes them, and the identifiers by which the filter's descriptors name them.

Source: kuadrant-operator `internal/controller/{ratelimit_workflow_helpers,limitador_limits_reconciler}.go`.
"""

from __future__ import annotations

import hashlib
from typing import Any, Final

from host_sim.kuadrant.policies import Counter, Limit, MergeablePolicy, TokenRateLimitPolicy
from host_sim.kuadrant.topology import EffectivePolicy, RequestPath

METRIC_LABELS_DEFAULT: Final = "descriptors[1]"
"""Limitador's `--metric-labels-default`: the second descriptor carries the telemetry labels."""


def limit_identifier(policy: MergeablePolicy, name: str) -> str:
    """The descriptor key of a limit, e.g. `tokenlimit.free__cca14490`: readable, and unique through the hash."""
    prefix = "tokenlimit." if isinstance(policy, TokenRateLimitPolicy) else "limit."
    readable = "".join(char if char.isalpha() or char.isdecimal() or char == "_" else "_" for char in name)
    digest = hashlib.sha256(f"{policy.key}/{name}".encode()).hexdigest()
    return f"{prefix}{readable}__{digest[:8]}"


def counter_key(counter: Counter) -> str:
    """The descriptor key of a counter: its expression. Without the blanks around it, which a YAML block leaves there.

    The operator keeps them in the plugin's configuration and drops them in Limitador's, so such a limit never applies.
    """
    return counter.expression.strip()


def limitador_limits(path: RequestPath, policy: EffectivePolicy) -> list[dict[str, Any]]:
    """The entries of Limitador's limits file for one effective policy: one for each rate of each limit."""
    limits: list[dict[str, Any]] = []
    for name, rule in policy.named("limit").items():
        limit: Limit = rule.spec
        for rate in limit.rates:
            limits.append(
                {
                    "namespace": path.route.key,
                    "max_value": max(rate.limit, 0),
                    "seconds": rate.window_seconds,
                    "name": name,
                    "conditions": [f'descriptors[0]["{limit_identifier(rule.source, name)}"] == "1"'],
                    "variables": [f"descriptors[0][{_cel(counter_key(counter))}]" for counter in limit.counters],
                }
            )
    return limits


def _cel(text: str) -> str:
    """A CEL text literal; the operator's is none if the expression has quotes in it."""
    escaped = text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return f'"{escaped}"'
