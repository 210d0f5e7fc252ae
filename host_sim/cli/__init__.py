"""The command line: `tallyman ...`, or `python -m host_sim ...`.

command   the parser, the subcommands, exit codes
common   options and messages that subcommands share
demo   the guide played through: traffic, arithmetic, and every number against the simulator's ledger
up   the same world left running
check   policies read and translated, nothing started
guide   the guide's users and its `call_llm`
numbers   metrics read from the limiter, from Envoy and from Prometheus
findings   the comparisons, and `report.json`
"""

from host_sim.cli.command import main

__all__ = ["main"]
