"""What each call changes: the answer, the counter, and the three metrics (the recorded table, row by row)."""

import pytest
from prometheus_client.parser import text_string_to_metric_families

from host_sim.world.limiter import Limiter
from host_sim.world.limiter.expressions import ConditionError, Descriptors, Expression
from host_sim.world.limiter.metered_limiter import MeteredLimiter
from host_sim.world.limiter.metrics import CallMetrics
from tests.unit.host_sim.world.limiter.tutorial import FREE, GOLD, NAMESPACE, descriptors

CHECK, REPORT, SHOULD = "CheckRateLimit", "Report", "ShouldRateLimit"
OK, OVER = False, True


class Metered:
    def __init__(self, limiter: Limiter) -> None:
        self.limiter = limiter
        self.metrics = CallMetrics(Expression("descriptors[1]"))
        self._metered = MeteredLimiter(limiter, self.metrics)

    def call(self, method: str, request: Descriptors, hits: int, namespace: str = NAMESPACE) -> bool:
        if method == CHECK:
            return self._metered.check(namespace, request).limited
        if method == REPORT:
            self._metered.report(namespace, request, hits)
            return OK
        return self._metered.check_and_report(namespace, request, hits).limited

    def remaining(self) -> int | None:
        states = self.limiter.counters(NAMESPACE)
        return states[0].remaining - states[0].overshoot if states else None

    def totals(self) -> tuple[int, int, int]:
        """authorized_calls, authorized_hits, limited_calls."""
        totals = {"authorized_calls": 0, "authorized_hits": 0, "limited_calls": 0}
        for family in text_string_to_metric_families(self.metrics.exposition()):
            if family.name in totals:
                totals[family.name] = sum(int(sample.value) for sample in family.samples)
        return totals["authorized_calls"], totals["authorized_hits"], totals["limited_calls"]


@pytest.fixture
def metered(limiter: Limiter) -> Metered:
    return Metered(limiter)


def test_the_life_of_a_free_user(metered: Metered) -> None:
    request = descriptors(FREE, "user-1")
    rows = [
        # method, hits, answer, remaining afterwards, change of calls, hits, limited
        (CHECK, 1, OK, None, (1, 0, 0)),
        (REPORT, 42, OK, 58, (0, 42, 0)),
        (CHECK, 90, OK, 58, (1, 0, 0)),
        (REPORT, 57, OK, 1, (0, 57, 0)),
        (CHECK, 1, OK, 1, (1, 0, 0)),
        (REPORT, 1, OK, 0, (0, 1, 0)),
        (CHECK, 1, OVER, 0, (0, 0, 1)),
        (REPORT, 30, OK, -30, (0, 30, 0)),
    ]
    before = (0, 0, 0)
    for method, hits, answer, remaining, change in rows:
        assert metered.call(method, request, hits) is answer
        assert metered.remaining() == remaining
        after = metered.totals()
        assert tuple(new - old for new, old in zip(after, before, strict=True)) == change
        before = after


def test_should_rate_limit(metered: Metered) -> None:
    request = descriptors(GOLD, "user-2", "gold")
    assert metered.call(SHOULD, request, 500) is OK
    assert metered.call(SHOULD, request, 1) is OVER
    assert metered.remaining() == 0
    assert metered.totals() == (1, 500, 1)


def test_should_rate_limit_that_does_not_fit_adds_nothing(metered: Metered) -> None:
    request = descriptors(FREE, "user-1")
    assert metered.call(SHOULD, request, 101) is OVER
    assert metered.totals() == (0, 0, 1)
    assert metered.call(SHOULD, request, 60) is OK
    assert metered.remaining() == 40


@pytest.mark.parametrize(
    ("method", "change"), [(CHECK, (1, 0, 0)), (REPORT, (0, 7, 0)), (SHOULD, (1, 7, 0))], ids=[CHECK, REPORT, SHOULD]
)
@pytest.mark.parametrize("namespace", [NAMESPACE, "nope"])
def test_calls_that_meet_no_limit_are_counted_all_the_same(
    metered: Metered, namespace: str, method: str, change: tuple[int, int, int]
) -> None:
    assert metered.call(method, [{}, {"user": "user-1"}], 7, namespace) is OK
    assert metered.totals() == change
    assert metered.remaining() is None
    assert f'limitador_namespace="{namespace}"' in metered.metrics.exposition()


@pytest.mark.parametrize("method", [CHECK, REPORT, SHOULD])
def test_a_call_that_fails_counts_nothing(metered: Metered, method: str) -> None:
    with pytest.raises(ConditionError):
        metered.call(method, [], 1)
    assert metered.totals() == (0, 0, 0)
