"""`tallyman demo`: starts the world, plays the guide, shows what was found, writes `report.json`."""

from __future__ import annotations

import argparse
import json
import time
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn
from rich.table import Table

from host_sim.cli.common import (
    PROJECT,
    Failure,
    add_world_options,
    local_gateway,
    messages,
    results,
    run_until_signal,
    shown,
)
from host_sim.cli.demo import Demo, DemoError
from host_sim.cli.guide import Exchange, User
from host_sim.gateway.world import Ports

REPORT: Final = PROJECT / "dist" / "demo" / "report.json"


def add_parser(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "demo",
        help="play the guide on a real Envoy and check every number",
        description="Starts Envoy with the plugin, limiter, auth service and LLM simulator on free ports; sends one"
        " streamed and the guide's 30 requests with each API key; compares what the client, the limiter, Envoy and"
        " Prometheus counted with the simulator's own ledger; stops all. Exit code 0 only if every number agrees.",
    )
    add_world_options(parser)
    parser.add_argument(
        "--report",
        type=Path,
        metavar="FILE",
        default=REPORT,
        help="where the report goes (default: dist/demo/report.json)",
    )
    parser.add_argument("--output", choices=("text", "json"), default="text", help="what standard output shows")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    return run_until_signal(_run(arguments))


async def _run(arguments: argparse.Namespace) -> int:
    began = time.monotonic()
    arguments.report.parent.mkdir(parents=True, exist_ok=True)
    async with local_gateway(arguments, Ports()) as world:
        started = time.monotonic()
        with _ProgressBars(messages()) as bars:
            try:
                report = await Demo(world, bars, prove_window=arguments.window is not None).play()
            except DemoError as error:
                raise Failure(str(error)) from error
        ended = time.monotonic()
    report["seconds"] = {"start": round(started - began, 2), "play": round(ended - started, 2)}
    arguments.report.write_text(json.dumps(report, indent=2) + "\n")
    if arguments.output == "json":
        print(json.dumps(report, indent=2))
    else:
        _show(report, results())
        results().print(f"report: {shown(arguments.report)}")
    for check in report["checks"]:
        if not check["ok"]:
            text = f"{check['what']}: {check['source']} says {check['found']}, expected {check['expected']}"
            messages().print(f"wrong: {text}", soft_wrap=True)
    return 0 if report["ok"] else 1


class _ProgressBars:
    """Progress on standard error: a bar for each user."""

    def __init__(self, console: Console) -> None:
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[counts]}"),
            console=console,
        )
        self._tasks: dict[str, TaskID] = {}
        self._answered: dict[str, int] = {}
        self._limited: dict[str, int] = {}

    def __enter__(self) -> _ProgressBars:
        self._progress.start()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._progress.stop()

    def phase(self, text: str) -> None:
        self._progress.console.print(text)

    def user_begins(self, user: User, requests: int) -> None:
        self._tasks[user.name] = self._progress.add_task(f"{user.name} ({user.groups})", total=requests, counts="")
        self._answered[user.name] = self._limited[user.name] = 0

    def exchanged(self, user: User, exchange: Exchange) -> None:
        self._answered[user.name] += exchange.answered
        self._limited[user.name] += exchange.limited
        counts = f"{self._answered[user.name]} answered, {self._limited[user.name]} limited"
        self._progress.update(self._tasks[user.name], advance=1, counts=counts)


def _show(report: dict[str, Any], console: Console) -> None:
    """The report as a person reads it."""
    table = Table(title="Usage against limits", title_justify="left")
    table.add_column("user")
    table.add_column("group")
    for column in ("sent", "answered", "limited", "tokens", "limit"):
        table.add_column(column, justify="right")
    for name, user in report["users"].items():
        limit = user["limit"]
        shown_limit = f"{limit['tokens']} in {limit['seconds']} s" if limit else "none met"
        numbers = (str(user[key]) for key in ("sent", "answered", "limited", "tokens"))
        table.add_row(name, user["group"], *numbers, shown_limit)
    console.print(table)
    for metric, samples in report["queries"].items():
        console.print(f"\n{metric}", style="bold")
        for sample in samples:
            labels = ", ".join(f'{label}="{value}"' for label, value in sorted(sample["labels"].items()))
            console.print(f"  {{{labels}}} {sample['value']}", soft_wrap=True)
    agreeing = sum(check["ok"] for check in report["checks"])
    source = "Prometheus" if report["queries_from"] == "prometheus" else "the limiter's /metrics"
    console.print(f"\nqueries answered by {source}")
    for name, user in report["users"].items():
        if user["status_after_window"] is not None:
            console.print(f"{name} after the window: {user['status_after_window']}")
    verdict = "every number equals" if report["ok"] else "NOT every number equals"
    console.print(f"{agreeing} of {len(report['checks'])} checks agree: {verdict} the LLM simulator's ledger")
