"""Fixtures for tests that run a module in the host simulator."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from host_sim.host import Host, VirtualClock

ROOT = Path(__file__).parents[2]


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture(scope="session")
def compiled_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled modules that the whole run shares."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture
def make_host(clock: VirtualClock, compiled_modules: Path) -> Callable[..., Host]:
    """`make_host(module, **options)`: a host on the test's clock."""

    def make(module: str | Path | bytes, **options: Any) -> Host:
        return Host(module, **{"clock": clock, "cache": compiled_modules, **options})

    return make


@pytest.fixture(scope="session")
def tallyman_wasm() -> Path:
    """The filter's module."""
    path = ROOT / "dist" / "tallyman.wasm"
    assert path.exists(), f"{path} is not there: run `make wasm` first"
    return path
