"""`tallyman up`: the guide's world, left running until Ctrl-C."""

from __future__ import annotations

import argparse
import asyncio
import dataclasses
from typing import Any, Final

from rich.table import Table

from host_sim.cli.common import (
    Failure,
    Interrupted,
    add_world_options,
    local_gateway,
    messages,
    results,
    run_until_signal,
)
from host_sim.gateway.bootstrap import LOOPBACK
from host_sim.gateway.processes import ProcessError, require_free_port
from host_sim.gateway.world import LocalGateway, Ports

_PORTS: Final = tuple(field.name.replace("_", "-") for field in dataclasses.fields(Ports))


def add_parser(commands: Any) -> None:
    parser: argparse.ArgumentParser = commands.add_parser(
        "up",
        help="leave the guide's world running",
        description="Starts Envoy with the plugin, limiter, auth service, LLM simulator and Prometheus on their usual"
        " ports of 127.0.0.1, prints how to reach them, and runs until Ctrl-C.",
    )
    add_world_options(parser)
    parser.add_argument(
        "--port",
        action="append",
        default=[],
        type=_port,
        metavar="NAME=PORT",
        help=f"another port, 0 for a free one; names: {', '.join(_PORTS)}",
    )
    parser.add_argument("--free-ports", action="store_true", help="take free ports instead of the usual ones")
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    try:
        return run_until_signal(_run(arguments))
    except Interrupted:
        messages().print("all stopped")
        return 0


async def _run(arguments: argparse.Namespace) -> int:
    async with local_gateway(arguments, _ports(arguments)) as world:
        _show(world)
        await _until_one_ends(world)
    return 1


def _ports(arguments: argparse.Namespace) -> Ports:
    """The usual ports with the changes asked for; a Prometheus that runs already keeps its port.

    Raises `Failure` if one is taken.
    """
    asked: dict[str, int] = dict(arguments.port)
    usual = Ports() if arguments.free_ports else Ports.fixed()
    if "prometheus" not in asked and not arguments.no_prometheus:
        try:
            require_free_port("Prometheus", LOOPBACK, usual.prometheus)
        except ProcessError:
            asked["prometheus"] = 0
    elif arguments.no_prometheus:
        asked["prometheus"] = 0
    ports = dataclasses.replace(usual, **asked)
    for name, port in dataclasses.asdict(ports).items():
        try:
            require_free_port(name.replace("_", " "), LOOPBACK, port)
        except ProcessError as error:
            option = f"--port {name.replace('_', '-')}=PORT"
            raise Failure(f"{error} ({option}; --free-ports chooses all anew)") from error
    return ports


async def _until_one_ends(world: LocalGateway) -> None:
    """Come back, with a message, when Envoy or Prometheus ends by itself."""
    children = [world.envoy.child, *([world.prometheus.child] if world.prometheus is not None else [])]
    waits = {asyncio.ensure_future(child.wait()): child for child in children}
    try:
        ended, _ = await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for wait in waits:
            wait.cancel()
    child = waits[ended.pop()]
    raise ProcessError(f"{child.name} ended with exit code {child.exit_code}{child.excerpt()}")


def _show(world: LocalGateway) -> None:
    console = results()
    table = Table(title="Running, all on this machine only", title_justify="left", show_header=False)
    host = world.hostnames[0].replace("*", "llm")
    port = world.url.rpartition(":")[2]
    table.add_row("gateway", world.url)
    table.add_row("host names", ", ".join(world.hostnames))
    table.add_row("Envoy admin", f"{world.admin_url}/stats/prometheus")
    table.add_row("limiter", f"{world.limiter_url}/metrics")
    table.add_row("limiter, gRPC", str(world.limiter.rls_address))
    table.add_row("auth service, gRPC", f"{LOOPBACK}:{world.auth.port}")
    for name, simulator in world.simulators.items():
        table.add_row(f"LLM simulator {name}", f"http://{simulator.host}:{simulator.port}/ledger")
    table.add_row("Prometheus", world.prometheus_url or "not running")
    table.add_row("logs", str(world.folder))
    console.print(table)
    lines = [
        f"export KUADRANT_LLM_DOMAIN={host}",
        "export KUADRANT_INGRESS_HOST=127.0.0.1",
        f"export KUADRANT_INGRESS_PORT={port}",
    ]
    if world.prometheus_url is not None:
        lines += [
            "export PROMETHEUS_HOST=127.0.0.1",
            f"export PROMETHEUS_PORT={world.prometheus_url.rpartition(':')[2]}",
        ]
    console.print("\nIn another shell, for the guide's call_llm and its queries:\n")
    for line in lines:
        console.print(line, soft_wrap=True)
    console.print("\nCtrl-C stops everything.")


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in _PORTS:
        raise argparse.ArgumentTypeError(f"{text!r} names no port; expected NAME=PORT with one of {', '.join(_PORTS)}")
    if not number.isascii() or not number.isdecimal() or int(number) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} has no port; expected NAME=PORT with a number from 0 to 65535")
    return name.replace("-", "_"), int(number)
