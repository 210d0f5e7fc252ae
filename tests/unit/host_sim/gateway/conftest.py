"""Fixtures: the tutorial's resources, and the smallest module Envoy takes for a Proxy-Wasm plugin."""

from pathlib import Path

import pytest
import wasmtime

from host_sim.gateway.bootstrap import Address, BootstrapOptions
from host_sim.kuadrant import Resources, Translation, load_resources, translate

TUTORIAL = Path(__file__).parents[4] / "envoy" / "tutorial"

_PLUGIN = """
(module
  (memory (export "memory") 4)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const ACCEPTED)))
"""


def _write_plugin(file: Path, *, accepts: bool) -> Path:
    file.write_bytes(wasmtime.wat2wasm(_PLUGIN.replace("ACCEPTED", str(int(accepts)))))
    return file


@pytest.fixture
def plugin(tmp_path: Path) -> Path:
    """A module that accepts every configuration and lets all requests pass."""
    return _write_plugin(tmp_path / "plugin.wasm", accepts=True)


@pytest.fixture
def refusing_plugin(tmp_path: Path) -> Path:
    """A module that refuses every configuration."""
    return _write_plugin(tmp_path / "refusing.wasm", accepts=False)


@pytest.fixture
def resources() -> Resources:
    return load_resources([TUTORIAL])


@pytest.fixture
def translation(resources: Resources) -> Translation:
    return translate(resources)


@pytest.fixture
def options(plugin: Path) -> BootstrapOptions:
    """Options for the tutorial; nothing listens at the addresses."""
    return BootstrapOptions(
        auth_service=Address(50051),
        rate_limit_service=Address(8081),
        backends={"llm/llm-sim:80": Address(8000)},
        wasm=plugin,
    )
