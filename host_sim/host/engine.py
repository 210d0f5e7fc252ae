"""Compiled modules, and a cache of them on disk."""

import hashlib
import os
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Final

import wasmtime

_WASM_MAGIC: Final = b"\0asm"


class ModuleRejected(Exception):
    """The bytes are no WebAssembly module, or none that this host can run. The message says what is missing."""


def default_cache() -> Path:
    """`$XDG_CACHE_HOME/tallyman/wasm`, or `~/.cache/tallyman/wasm`."""
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "tallyman" / "wasm"


class Engine:
    """Compiles modules. Compiled code is kept in `cache`, one file for each module, wasmtime version and kind of
    processor.

    The folder must only be writable by its owner: compiled code is trusted when it is loaded. `cache=None` compiles
    every time.
    """

    def __init__(self, cache: Path | None = None) -> None:
        config = wasmtime.Config()
        config.cranelift_opt_level = "speed"
        # host.memory keeps the memory's address, so memory must stay where it is when it grows.
        config.memory_may_move = False
        self.wasmtime = wasmtime.Engine(config)
        self._cache = cache

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
        return self._cache / f"{hashlib.sha256(code).hexdigest()}-wasmtime-{version('wasmtime')}.cwasm"

    @staticmethod
    def _store(path: Path, compiled: bytes) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Written beside and renamed, so that a second process never reads half a file.
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=path.name)
        with os.fdopen(descriptor, "wb") as file:
            file.write(compiled)
        os.replace(name, path)
