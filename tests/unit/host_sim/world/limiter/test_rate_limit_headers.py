from host_sim.world.limiter import Limiter, parse_limits
from host_sim.world.limiter.counters import MemoryStorage
from host_sim.world.limiter.rate_limit_headers import draft_version_03
from tests.unit.host_sim.world.limiter.tutorial import VirtualClock

LIMITS = """
- {namespace: n, name: 'na"me', max_value: 5, seconds: 60, conditions: [], variables: []}
- {namespace: n, max_value: 3, seconds: 3600, conditions: [], variables: []}
"""


def test_the_tightest_limit_comes_first(clock: VirtualClock) -> None:
    limiter = Limiter(parse_limits(LIMITS), MemoryStorage(clock))
    limiter.check_and_report("n", [], 1)
    clock.advance(0.5)
    headers = draft_version_03(limiter.check_and_report("n", [], 1))
    assert list(headers.items()) == [
        ("X-RateLimit-Limit", """3, 3;w=3600, 5;w=60;name="na'me\""""),
        ("X-RateLimit-Remaining", "1"),
        ("X-RateLimit-Reset", "3599"),
    ]
    assert draft_version_03(limiter.check_and_report("n", [], 5))["X-RateLimit-Remaining"] == "0"


def test_no_headers_if_no_limit_applies() -> None:
    assert draft_version_03(Limiter().check_and_report("n", [], 1)) == {}
