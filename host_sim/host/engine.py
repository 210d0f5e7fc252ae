"""Compiled modules, a cache of them on disk, and a limit on how long a module may run."""

import contextlib
import hashlib
import math
import os
import tempfile
import threading
import weakref
from importlib.metadata import version
from pathlib import Path
from typing import Final

import wasmtime

_WASM_MAGIC: Final = b"\0asm"
_CACHED_MODULES: Final = 16
_EPOCH: Final = 0.05
"""Seconds between the moments when running modules are looked at, if their time is limited."""


class ModuleRejected(Exception):
    """The bytes are no WebAssembly module, or none that this host can run. The message says what is missing."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/tallyman/wasm`, or `~/.cache/tallyman/wasm`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tallyman" / "wasm"


class Engine:
    """Compiles modules.

    * `cache`: a folder for compiled code, one file for each module and wasmtime version, the latest 16; None compiles
      every time. The folder must only be writable by its owner: compiled code is trusted when it is loaded.
    * `time_limit`: seconds that a callback may take before it traps; None, as in Envoy, is no limit.
    """

    def __init__(self, cache: Path | None = None, time_limit: float | None = None) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "speed"
        # host.memory keeps the memory's address, so memory must stay where it is when it grows.
        config.memory_may_move = False
        config.epoch_interruption = time_limit is not None
        self.wasmtime = wasmtime.Engine(config)
        self.epochs = None if time_limit is None else math.ceil(time_limit / _EPOCH) + 1
        """How many epochs a callback may last, None without a limit."""
        self._cache = cache
        if self.epochs is not None:
            threading.Thread(target=_count_epochs, args=(weakref.ref(self),), daemon=True).start()

    def compile(self, code: bytes) -> wasmtime.Module:
        """Raises ModuleRejected for anything but a valid binary module."""
        if not code.startswith(_WASM_MAGIC):
            raise ModuleRejected(f"not a WebAssembly module: starts with {code[:4]!r}, expected {_WASM_MAGIC!r}")
        path = self._path(code)
        if path is not None and path.exists():
            try:
                # Not deserialize_file: it maps the file, and whoever shortens it later would crash this process.
                return wasmtime.Module.deserialize(self.wasmtime, path.read_bytes())
            except wasmtime.WasmtimeError:
                path.unlink(missing_ok=True)
        try:
            module = wasmtime.Module(self.wasmtime, code)
        except wasmtime.WasmtimeError as error:
            raise ModuleRejected(f"not a valid WebAssembly module: {error}") from None
        if path is not None:
            self._store(path, bytes(module.serialize()))
        return module

    def _path(self, code: bytes) -> Path | None:
        if self._cache is None:
            return None
        kind = "" if self.epochs is None else "-limited"
        return self._cache / f"{hashlib.sha256(code).hexdigest()}-wasmtime-{version('wasmtime')}{kind}.cwasm"

    @staticmethod
    def _store(path: Path, compiled: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written beside and renamed, so that a second process never reads half a file.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(compiled)
        os.replace(name, path)
        # Another process may be clearing the folder at the same moment.
        with contextlib.suppress(FileNotFoundError):
            cached = sorted(path.parent.glob("*.cwasm"), key=lambda file: file.stat().st_mtime, reverse=True)
            for old in cached[_CACHED_MODULES:]:
                old.unlink()


def _count_epochs(reference: "weakref.ref[Engine]") -> None:
    pause = threading.Event()
    while (engine := reference()) is not None:
        engine.wasmtime.increment_epoch()
        del engine
        pause.wait(_EPOCH)
