"""Counters against the simplest model there is: a list of hits and the clock."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from host_sim.world.limiter import Limit
from host_sim.world.limiter import counters as counters_module
from host_sim.world.limiter.counters import Counter, MemoryStorage
from host_sim.world.limiter.expressions import Expression
from tests.unit.host_sim.world.limiter.tutorial import VirtualClock

USER = (Expression("user"),)
LIMITS = [
    Limit("n", 5, 10),
    Limit("n", 8, 60),
    Limit("n", 3, 10, variables=USER),
    Limit("n", 20, 45, variables=USER),
    Limit("n", 1, 0),
]


def counter(limit: Limit, user: str) -> Counter:
    return Counter(limit, (user,) if limit.variables else ())


class CountersAgainstModel(RuleBasedStateMachine):
    """The model keeps every hit for ever and finds the window by replaying them."""

    picks = st.lists(st.tuples(st.sampled_from(LIMITS), st.sampled_from("ab")), min_size=1, max_size=5, unique=True)

    def __init__(self) -> None:
        super().__init__()
        self.clock = VirtualClock()
        self.storage = MemoryStorage(self.clock)
        self.hits: dict[tuple[Limit, tuple[str, ...]], list[tuple[float, int]]] = {}

    def window(self, counter: Counter) -> tuple[int, float]:
        """Hits and end of the window that is running, or would start, now."""
        now, seconds = self.clock.now, counter.limit.seconds
        total, end = 0, float("-inf")
        for at, delta in self.hits.get((counter.limit, counter.values), []):
            if at >= end:
                total, end = 0, at + seconds
            total += delta
        return (total, end) if end > now else (0, now + seconds)

    def record(self, counters: list[Counter], delta: int) -> None:
        for one in counters:
            self.hits.setdefault((one.limit, one.values), []).append((self.clock.now, delta))

    @rule(seconds=st.sampled_from([0.001, 1, 9.999, 10, 30, 60]))
    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    @rule(picks=picks, delta=st.integers(0, 9))
    def report(self, picks: list[tuple[Limit, str]], delta: int) -> None:
        counters = list({one.key: one for one in (counter(*pick) for pick in picks)}.values())
        self.storage.add(counters, delta)
        self.record(counters, delta)

    @rule(picks=picks, delta=st.integers(0, 9))
    def check_and_report(self, picks: list[tuple[Limit, str]], delta: int) -> None:
        counters = list({one.key: one for one in (counter(*pick) for pick in picks)}.values())
        expected = [self.window(one) for one in counters]
        found = self.storage.check_and_add(counters, delta)
        assert [(window.value, window.expires_at) for window in found] == expected
        if all(total + delta <= one.limit.max_value for one, (total, _) in zip(counters, expected, strict=True)):
            self.record(counters, delta)

    @rule(limit=st.sampled_from(LIMITS))
    def forget(self, limit: Limit) -> None:
        self.storage.forget({limit.identity})
        self.hits = {key: hits for key, hits in self.hits.items() if key[0] is not limit}

    @invariant()
    def windows_agree(self) -> None:
        every = [counter(limit, user) for limit in LIMITS for user in "ab"]
        found = [(window.value, window.expires_at) for window in self.storage.read(every)]
        assert found == [self.window(one) for one in every]

    @invariant()
    def only_running_windows_are_listed(self) -> None:
        running = {key: window.value for key, window in self.storage.running({limit.identity for limit in LIMITS})}
        every = {counter(limit, user) for limit in LIMITS for user in "ab"}
        for one in every:
            if one.key in running:
                assert running[one.key] == self.window(one)[0]
            else:
                assert self.window(one)[0] == 0
        assert set(running) <= {one.key for one in every}


TestCountersAgainstModel = CountersAgainstModel.TestCase
TestCountersAgainstModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)

PER_USER = LIMITS[3]


def test_expired_counters_are_dropped() -> None:
    clock = VirtualClock()
    storage = MemoryStorage(clock)
    for user in range(1000):
        storage.add([counter(PER_USER, f"user-{user}")], 1)
    assert len(storage) == 1000
    clock.advance(45)
    storage.add([counter(PER_USER, "user-x")], 1)
    assert len(storage) == 1


def test_beyond_the_bound_the_least_recently_used_counter_goes() -> None:
    storage = MemoryStorage(VirtualClock(), max_counters=3)
    for user in "abc":
        storage.add([counter(PER_USER, user)], 1)
    storage.read([counter(PER_USER, "a")])
    storage.add([counter(PER_USER, "d")], 1)
    assert sorted(key[1][0] for key, _ in storage.running({PER_USER.identity})) == ["a", "c", "d"]


def test_counters_without_variables_are_never_evicted() -> None:
    storage = MemoryStorage(VirtualClock(), max_counters=1)
    storage.add([counter(LIMITS[0], "")], 1)
    for user in "abc":
        storage.add([counter(PER_USER, user)], 1)
    assert storage.read([counter(LIMITS[0], "")])[0].value == 1
    assert len(storage) == 2


def test_long_values_cannot_fill_the_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counters_module, "MAX_KEY_CHARACTERS", 10_000)
    storage = MemoryStorage(VirtualClock())
    for user in range(100):
        storage.add([counter(PER_USER, f"{user:01000}")], 1)
    assert len(storage) == 10


def test_a_bound_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one counter"):
        MemoryStorage(max_counters=0)
