"""`python -m bench`: the tutorial's flow with no filter, with Envoy's own filters, and with Tallyman."""

from __future__ import annotations

import argparse
import asyncio
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.tutorial import ROOT, Figure, Variant, measure
from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.processes import ProcessError


def _variants(wasm: Path, bytecode: Path | None) -> list[Variant]:
    variants = [
        Variant("none", Pipeline.NONE),
        Variant("native (ext_authz, ratelimit twice)", Pipeline.NATIVE),
        Variant("tallyman", Pipeline.PLUGIN, wasm),
        Variant("tallyman behind ext_authz", Pipeline.EXT_AUTHZ, wasm),
    ]
    if bytecode is not None:
        variants.append(Variant("tallyman, bytecode", Pipeline.PLUGIN, bytecode))
    return variants


def _table(figures: list[Figure]) -> Table:
    none, native = figures[0], figures[1]
    table = Table(title="tutorial flow, JSON, one Envoy worker", title_justify="left")
    for column in ("", "CPU/request", "x none", "x native", "p50", "p99"):
        table.add_column(column, justify="right" if column else "left")
    for figure in figures:
        table.add_row(
            figure.name,
            f"{figure.cpu_us:.0f} us",
            f"{figure.cpu_us / none.cpu_us:.2f}",
            f"{figure.cpu_us / native.cpu_us:.2f}",
            f"{figure.p50_ms:.1f} ms",
            f"{figure.p99_ms:.1f} ms",
        )
    return table


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--wasm", type=Path, default=ROOT / "dist" / "tallyman.wasm")
    parser.add_argument("--bytecode", type=Path, help="the module built with MODE=bytecode, to compare")
    parser.add_argument("--requests", type=int, default=1500, help="in each round of each variant")
    parser.add_argument("--connections", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args(argv)
    try:
        figures = asyncio.run(
            measure(
                _variants(arguments.wasm, arguments.bytecode),
                arguments.requests,
                arguments.connections,
                arguments.rounds,
            )
        )
    except (ProcessError, RuntimeError) as error:
        print(f"bench: {error}", file=sys.stderr)
        return 1
    Console().print(_table(figures))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
