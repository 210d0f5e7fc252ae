import pytest

from host_sim.world.limiter import Limit, Limiter, parse_limits
from host_sim.world.limiter.counters import MemoryStorage
from tests.unit.host_sim.world.limiter.tutorial import TUTORIAL, VirtualClock


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


@pytest.fixture
def tutorial() -> list[Limit]:
    return parse_limits(TUTORIAL)


@pytest.fixture
def limiter(tutorial: list[Limit], clock: VirtualClock) -> Limiter:
    return Limiter(tutorial, MemoryStorage(clock))
