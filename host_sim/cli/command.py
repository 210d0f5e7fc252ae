"""The parser, the subcommands, and how failures become exit codes."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Final

from host_sim.cli import check, demo_command, up
from host_sim.cli.common import Failure, Interrupted, messages, version
from host_sim.gateway.processes import ProcessError
from host_sim.kuadrant import GatewayMissing, ManifestError

OK: Final = 0
FAILED: Final = 1
"""The work was not done, or a number or a manifest is wrong."""
USAGE: Final = 2
"""The command line is wrong."""
INTERRUPTED: Final = 130


def main(argv: Sequence[str] | None = None) -> int:
    """Run `tallyman` with `argv` (without the program's name; None takes the process's); answers the exit code."""
    try:
        arguments = _parser().parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USAGE
    try:
        return int(arguments.run(arguments))
    except (Failure, ManifestError, GatewayMissing, ProcessError) as error:
        messages().print(f"tallyman {arguments.command}: {error}", soft_wrap=True)
        return FAILED
    except (Interrupted, KeyboardInterrupt):
        messages().print(f"tallyman {arguments.command}: interrupted; all that ran has been stopped")
        return INTERRUPTED


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="tallyman",
        description="LLM token metering and limiting at the gateway: Kuadrant's token metrics guide without a cluster.",
        epilog="""examples:
  tallyman demo                              play the guide, check every number, stop
  tallyman demo --window 5s                  and prove that limited users get through when their window has passed
  tallyman demo --policies my/ --output json the same with your own copy of envoy/tutorial
  tallyman up                                the same world, left running
  tallyman check my/*.yaml                   are these policies fine, and what becomes of them?

exit codes: 0 all well; 1 something failed or a number is wrong; 2 wrong usage; 130 interrupted""",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=f"tallyman {version()}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for module in (demo_command, up, check):
        module.add_parser(commands)
    return parser
