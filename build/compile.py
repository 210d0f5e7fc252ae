"""Step 2: typed Python to C, by mypyc, all modules of a filter as one group.

Runs mypyc in a process of its own: for a 32-bit target it has to believe in 4-byte words from its first import on.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from freeze import FrozenModule
from recursion import guard_recursion
from toolchain import CACHE, FILTER, PYTHON_VERSION, BuildError

GROUP = "filter"
GROUP_MODULE = f"{GROUP}__mypyc"
"""The module that holds what compiled modules share; the glue imports it before them."""

_MYPYC = """
import collections, sys, sysconfig
answer = sysconfig.get_config_var
target = {"SIZEOF_SIZE_T": 4, "EXT_SUFFIX": ".wasm"}
sysconfig.get_config_var = lambda name: target.get(name, answer(name))
import importlib.machinery
importlib.machinery.EXTENSION_SUFFIXES[:] = [".wasm"]
# mypyc writes C for the Python it runs on. The VM's counts references where later ones do not, and has other structs.
Version = collections.namedtuple("Version", "major minor micro releaselevel serial")
running, older = sys.version_info, Version(*map(int, sys.argv[3].split(".")), 0, "final", 0)
sys.version_info = older
import mypyc.common
sys.version_info = running  # what is imported next is compiled for the Python that runs
from mypyc.build import mypyc_build
from mypyc.options import CompilerOptions
sys.version_info = older
target, group, version, *paths = sys.argv[1:]
options = CompilerOptions(
    multi_file=True,
    target_dir=target,
    include_runtime_files=True,
    group_name=group,
    capi_version=tuple(int(part) for part in version.split(".")),
    python_version=tuple(int(part) for part in version.split(".")),
)
mypyc_build(["--strict", "--config-file=", "--python-version", version, *paths], options)
"""


@dataclass(frozen=True)
class CompiledModules:
    """C sources of the group, mypyc's headers to include before each, and the init function of each module."""

    sources: list[Path]
    include: Path
    headers: list[str]
    inits: dict[str, str]


def compile_modules(entry: str, modules: list[FrozenModule], entry_folder: Path) -> CompiledModules:
    """Compile the filter's own modules, packages' `__init__` aside: a built-in module cannot be a package.

    Raises `BuildError` with mypy's messages when the sources are not what it accepts.
    """
    wanted = [module for module in modules if module.ours and not module.package]
    target = CACHE / "mypyc" / entry
    paths = [str(_source(module, entry_folder)) for module in wanted]
    version = ".".join(map(str, PYTHON_VERSION))
    target.mkdir(parents=True, exist_ok=True)
    for stale in target.glob("*.[ch]"):
        stale.unlink()
    environment = {"MYPYPATH": f"{FILTER}:{entry_folder}", "PATH": "", "MYPY_CACHE_DIR": str(CACHE / "mypy")}
    done = subprocess.run(
        [sys.executable, "-c", _MYPYC, str(target), GROUP, version, *paths],
        cwd=FILTER,  # tracebacks name sources relative to it
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise BuildError(f"mypyc refuses the sources:\n{done.stdout}{done.stderr}")
    sources = sorted(target.rglob("*.c"))
    guard_recursion(sources)
    inits = {module.name: f"CPyInit_{module.name.replace('.', '___')}" for module in wanted}
    inits[GROUP_MODULE] = f"PyInit_{GROUP_MODULE}"
    # the sources use what these declare, but with several files only the group's own includes the definitions
    extras = re.findall(r"^#include <(\w+_extra_ops)\.c>$", (target / f"__native_{GROUP}.c").read_text(), re.MULTILINE)
    return CompiledModules(sources, target, [f"{extra}.h" for extra in extras], inits)


def _source(module: FrozenModule, entry_folder: Path) -> Path:
    _, folder, rest = module.path.split("/", 2)
    return Path(os.path.relpath((FILTER if folder == "filter" else entry_folder) / rest, FILTER))
