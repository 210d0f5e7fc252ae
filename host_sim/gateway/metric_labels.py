"""Prometheus labels from the plugin's metric names, by Envoy's `stats_tags`.

A Proxy-Wasm metric has a name and no labels, so the plugin writes its labels into the name, each as `NAME=VALUE`
between two unit separators (U+001F): `tallyman_requests_total<US>user=ann<US>decision=allowed<US>`. Envoy matches each
tag's expression against the whole name, takes the second group as the label's value and the first out of the name.
"""

from __future__ import annotations

import re
from typing import Any, Final

from host_sim.gateway.routes import Json

OWN_LABELS: Final = ("route", "model", "kind", "decision", "reason", "service")
"""Labels of the plugin's metrics beside those that `requestData` asks for."""

_LABEL_PREFIX: Final = "metrics.labels."


def stats_tags(plugin_configuration: dict[str, Any]) -> list[Json]:
    """`stats_config.stats_tags` for a plugin with this configuration."""
    asked_for = (key.removeprefix(_LABEL_PREFIX) for key in plugin_configuration.get("requestData", {}))
    return [
        {"tag_name": label, "regex": rf"(\x1f{re.escape(label)}=([^\x1f]*)\x1f)"}
        for label in dict.fromkeys((*asked_for, *OWN_LABELS))
    ]
