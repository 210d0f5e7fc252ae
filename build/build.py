"""Python to Proxy-Wasm: `python build/build.py tallyman`, or any filter written against the SDK.

python build/build.py tallyman                      -> dist/tallyman.wasm, dist/tallyman.wasm.json
python build/build.py filter/examples/header.py     -> dist/header.wasm
python build/build.py ~/mine/filter.py --mode bytecode --output mine.wasm
"""

from __future__ import annotations

import argparse
import contextlib
import fcntl
import hashlib
import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))

from compile import CompiledModules, compile_modules
from freeze import Closure, freeze
from link import link
from rich.console import Console
from rich.table import Table
from toolchain import CACHE, FILTER, ROOT, BuildError
from verify import Verified, verify

BUDGET_SIZE = 6_000_000
BUDGET_START_MS = 25.0
BUDGET_MEMORY = 8 * 1024 * 1024


def build(source: str, mode: str, output: Path | None, configuration: Path | None) -> Path:
    """Build one filter; prints the table and answers the module's path. Raises `BuildError`."""
    entry, folder = _entry(source)
    name = entry.split(".")[0]
    output = output or ROOT / "dist" / f"{name}.wasm"
    output.parent.mkdir(parents=True, exist_ok=True)
    begun = time.monotonic()
    closure = freeze(entry, folder)
    compiled = compile_modules(entry, closure.frozen, folder) if mode == "compiled" else None
    partial = output.with_name(f".{output.name}")
    link(entry, closure, compiled, partial)
    built = time.monotonic() - begun
    verified = verify(partial, configuration.read_bytes() if configuration else None)
    partial.chmod(0o644)
    partial.replace(output)
    report = _report(output, mode, closure, compiled, verified)
    output.with_name(f"{output.name}.json").write_text(json.dumps(report, indent=2) + "\n")
    return _print(output, report, verified, built)


def _entry(source: str) -> tuple[str, Path]:
    """The module to import and the folder it lies in: of a package or file in `filter/`, or of any file."""
    path = Path(source)
    if path.suffix == ".py":
        if not path.is_file():
            raise BuildError(
                f"{source}: no such file; expected a filter's main module, such as filter/examples/header.py"
            )
        return path.stem, path.resolve().parent
    if (FILTER / source / "plugin.py").is_file():
        return f"{source}.plugin", FILTER
    raise BuildError(f"{source}: neither a file ending in .py nor a package with a plugin.py in {FILTER.name}/")


def _report(
    output: Path, mode: str, closure: Closure, compiled: CompiledModules | None, verified: Verified
) -> dict[str, object]:
    data = output.read_bytes()
    inits = compiled.inits if compiled else {}
    return {
        "sha256": hashlib.sha256(data).hexdigest(),
        "size": len(data),
        "abi": "0.2.1",
        "mode": mode,
        "cpython": closure.python_version,
        "imports": verified.imports,
        "exports": verified.exports,
        "compiled": sorted(inits),
        "bytecode": sorted(module.name for module in closure.frozen if module.name not in inits),
        "bytecode_size": sum(len(module.code) for module in closure.frozen if module.name not in inits),
        "memory_after_configure": verified.memory_after_configure,
    }


def _print(output: Path, report: dict[str, object], verified: Verified, built: float) -> Path:
    table = Table(title=f"{output.name}  sha256 {str(report['sha256'])[:16]}", title_justify="left")
    for column in ("", "is", "budget"):
        table.add_column(column, justify="left" if not column else "right")
    size = output.stat().st_size
    table.add_row("module", f"{size / 1e6:.2f} MB", f"{BUDGET_SIZE / 1e6:.0f} MB")
    table.add_row("VM start", f"{verified.start_ms:.1f} ms", f"{BUDGET_START_MS:.0f} ms")
    table.add_row("memory after configure", f"{verified.memory_after_configure / 2**20:.2f} MiB", "8 MiB")
    table.add_row("build", f"{built:.1f} s", "15 s (clean: 180 s)")
    Console(stderr=True).print(table)
    if size > BUDGET_SIZE or verified.memory_after_configure > BUDGET_MEMORY:
        raise BuildError(f"{output}: over its budget, see the table; what grew is listed in {output.name}.json")
    return output


@contextlib.contextmanager
def _cache_to_ourselves() -> Iterator[None]:
    """Builds that share a cache folder run one after the other."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def main(argv: list[str]) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("filter", help="a package in filter/ with a plugin.py, or the path of a filter's main module")
    parser.add_argument("--mode", choices=("compiled", "bytecode"), default="compiled")
    parser.add_argument("--output", type=Path)
    parser.add_argument("--configuration", type=Path, help="plugin configuration for the trial start")
    arguments = parser.parse_args(argv)
    try:
        with _cache_to_ourselves():
            build(arguments.filter, arguments.mode, arguments.output, arguments.configuration)
    except BuildError as error:
        print(f"build: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
