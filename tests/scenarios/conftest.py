"""Each scenario runs in every guest: the filter on plain CPython, compiled in wasmtime, and as bytecode in wasmtime
(marked `slow`). What they did must be the same."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import tallyman.plugin  # noqa: F401  (registers itself)

from host_sim.host import Host, VirtualClock
from tests.scenarios.driver import CLUSTERS, Proxy
from tests.scenarios.python_guest import PythonHost

DIST = Path(__file__).parents[2] / "dist"
MODULES = {"compiled": DIST / "tallyman.wasm", "bytecode": DIST / "tallyman-bytecode.wasm"}

_transcripts: dict[str, tuple[str, object]] = {}


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "slow: leave out with -m 'not slow'")


@pytest.fixture(scope="session")
def compiled_modules(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for compiled modules that the whole run shares."""
    return tmp_path_factory.mktemp("compiled")


@pytest.fixture(params=["python", "compiled", pytest.param("bytecode", marks=pytest.mark.slow)])
def proxy(request: pytest.FixtureRequest, compiled_modules: Path) -> Iterator[Proxy]:
    guest: str = request.param
    clock = VirtualClock()
    if guest == "python":
        host: Host = PythonHost(clock=clock, clusters=CLUSTERS)
    else:
        module = MODULES[guest]
        assert module.exists(), f"{module} is not there: run `make wasm` (for bytecode with MODE=bytecode) first"
        host = Host(module, clock=clock, clusters=CLUSTERS, cache=compiled_modules)
    proxy = Proxy(host, clock)
    yield proxy
    assert not [line for line in proxy.logs if "uncaught exception" in line]
    assert [plugin.failure for plugin in proxy.plugins] == [None] * len(proxy.plugins)
    test = f"{request.node.path}::{request.node.name.replace(guest, '')}"
    other, seen = _transcripts.setdefault(test, (guest, proxy.transcript()))
    assert proxy.transcript() == seen, f"{guest} has not done the same as {other}"
