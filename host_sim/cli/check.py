"""`tallyman check`: reads and translates manifests, starts nothing."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from rich.table import Table

from host_sim.cli.common import messages, results
from host_sim.kuadrant import Translation, load_resources, translate


def add_parser(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "check",
        help="are these manifests fine, and what becomes of them?",
        description="Reads Gateway API resources and Kuadrant policies as the operator does, and shows routes and"
        " limits. What has no effect is named with its file and line.",
    )
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH", help="files and folders of manifests")
    parser.add_argument("--gateway", metavar="NAME", help="which Gateway, if there are several")
    parser.add_argument(
        "--output",
        choices=("text", "json", "plugin"),
        default="text",
        help="what standard output shows: tables, everything as JSON, or only the plugin's configuration",
    )
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    translation = translate(load_resources(arguments.paths), arguments.gateway)
    for notice in translation.notices:
        messages().print(f"note: {notice}", soft_wrap=True)
    if arguments.output == "json":
        print(json.dumps(_document(translation), indent=2))
    elif arguments.output == "plugin":
        print(json.dumps(translation.plugin_configuration, indent=2))
    else:
        _show(translation)
    return 0


def _document(translation: Translation) -> dict[str, Any]:
    return {
        "gateway": translation.gateway.key,
        "pluginConfiguration": translation.plugin_configuration,
        "limits": translation.limits,
        "metricLabelsDefault": translation.metric_labels_default,
        "authConfigs": translation.auth_configs,
        "notices": [str(notice) for notice in translation.notices],
    }


def _show(translation: Translation) -> None:
    console = results()
    paths = Table(title=f"Gateway {translation.gateway.key}", title_justify="left")
    for column in ("host names", "HTTPRoute", "rule"):
        paths.add_column(column)
    for path in translation.paths:
        paths.add_row(", ".join(path.hostnames), path.route.key, str(path.rule_number))
    console.print(paths)
    limits = Table(title="Limits", title_justify="left")
    for column in ("namespace", "name", "at most", "in", "counted by"):
        limits.add_column(column, justify="right" if column in ("at most", "in") else "left")
    for limit in translation.limits:
        counted = ", ".join(limit["variables"]) or "all together"
        limits.add_row(limit["namespace"], limit["name"], str(limit["max_value"]), f"{limit['seconds']} s", counted)
    console.print(limits)
    labels = [key.removeprefix("metrics.labels.") for key in translation.plugin_configuration.get("requestData", {})]
    console.print(f"metric labels: {', '.join(labels) or 'none'}")
