"""Filters built for tests, by the command that builds any filter."""

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "filter" / "examples"
FILTERS = ROOT / "tests" / "filters"


def run_build(*arguments: str | Path, cache: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`python build/build.py ...`, in a cache folder of its own if one is given."""
    environment = {**os.environ, "NO_COLOR": "1"}
    if cache is not None:
        environment["TALLYMAN_BUILD_CACHE"] = str(cache)
    command = [sys.executable, ROOT / "build" / "build.py", *arguments]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


class Builder:
    """Builds each filter once for the whole run."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._built: dict[tuple[Path, str], Path] = {}

    def __call__(self, source: Path, mode: str = "compiled") -> Path:
        """The module of a filter; fails the test with the build's own words."""
        key = (source, mode)
        if key not in self._built:
            output = self._folder / f"{source.stem}-{mode}.wasm"
            done = run_build(source, "--mode", mode, "--output", output)
            assert done.returncode == 0, done.stderr
            self._built[key] = output
        return self._built[key]
