"""Counters: how much of each limit is used up in the running window, and where that is kept."""

import heapq
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from typing import Protocol, TypeAlias

from .limits import Limit, LimitIdentity

Clock: TypeAlias = Callable[[], float]
"""Seconds since any fixed moment, never running backwards."""

CounterKey: TypeAlias = tuple[LimitIdentity, tuple[str, ...]]
"""A limit, and the values of its variables in the order of `Limit.variables`."""

MAX_QUALIFIED_COUNTERS = 100_000
"""How many counters with variables MemoryStorage keeps unless told otherwise."""

MAX_KEY_CHARACTERS = 64 * 1024 * 1024
"""How many characters the variables' values of all those counters may have together."""


@dataclass(frozen=True, slots=True)
class Counter:
    """One limit for one set of values of its variables."""

    limit: Limit
    values: tuple[str, ...]
    key: CounterKey = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", (self.limit.identity, self.values))


@dataclass(slots=True)
class Window:
    """A running window: `value` hits so far; over at `expires_at` (clock seconds)."""

    value: int
    expires_at: float


class StorageError(Exception):
    """The storage cannot be reached or does not answer."""


class CounterStorage(Protocol):
    """Where counters live. A window starts with the first hit and lasts `limit.seconds`; no later hit prolongs it.

    Every method may raise StorageError. A storage that others share, such as Redis, must itself make `check_and_add`
    atomic.
    """

    def read(self, counters: Sequence[Counter]) -> list[Window]:
        """A copy of each counter's running window; where none is running, the empty one that a hit would start now."""
        ...

    def add(self, counters: Sequence[Counter], delta: int) -> None:
        """Add `delta` hits to every counter, over the limit or not."""
        ...

    def check_and_add(self, counters: Sequence[Counter], delta: int) -> list[Window]:
        """Add `delta` to all counters if it fits every one, else to none; the windows as `read` gave them before."""
        ...

    def running(self, limits: AbstractSet[LimitIdentity]) -> list[tuple[CounterKey, Window]]:
        """The running windows of these limits."""
        ...

    def forget(self, limits: AbstractSet[LimitIdentity]) -> None:
        """Drop all counters of these limits."""
        ...

    def now(self) -> float:
        """The clock by which `Window.expires_at` is meant."""
        ...


def fits(counter: Counter, window: Window, delta: int) -> bool:
    """Is there room for `delta` more hits?"""
    return window.value + delta <= counter.limit.max_value


class MemoryStorage:
    """Counters of this process; used from one thread.

    Bounded: a window that is over is dropped with the next hit anywhere, and of the counters with variables, whose
    values a client chooses, at most `max_counters`, and at most MAX_KEY_CHARACTERS of values, are kept. Beyond that the
    counter asked for longest ago is dropped, as in Limitador's cache; its user then starts a fresh window. Counters
    without variables are as few as the limits and are never dropped.

    The `limits` library's MemoryStorage does not fit: it has no clock to inject, no bound, and no check-and-add over
    several counters at once.
    """

    def __init__(self, clock: Clock = time.monotonic, max_counters: int = MAX_QUALIFIED_COUNTERS) -> None:
        if max_counters < 1:
            raise ValueError(f"max_counters is {max_counters}; at least one counter must fit")
        self._clock = clock
        self._max_counters = max_counters
        self._simple: dict[CounterKey, Window] = {}
        self._qualified: OrderedDict[CounterKey, Window] = OrderedDict()  # the longest unused first
        self._characters = 0
        self._expiries: list[tuple[float, int, CounterKey]] = []  # a heap; entries of dropped windows are passed over
        self._sequence = 0  # keeps the heap from comparing keys

    def __len__(self) -> int:
        """How many counters are kept."""
        return len(self._simple) + len(self._qualified)

    def now(self) -> float:
        return self._clock()

    def read(self, counters: Sequence[Counter]) -> list[Window]:
        return self._read(counters, self._clock())

    def add(self, counters: Sequence[Counter], delta: int) -> None:
        self._add(counters, delta, self._clock())

    def check_and_add(self, counters: Sequence[Counter], delta: int) -> list[Window]:
        now = self._clock()
        before = self._read(counters, now)
        if all(fits(counter, window, delta) for counter, window in zip(counters, before, strict=True)):
            self._add(counters, delta, now)
        return before

    def running(self, limits: AbstractSet[LimitIdentity]) -> list[tuple[CounterKey, Window]]:
        now = self._clock()
        kept: Iterable[tuple[CounterKey, Window]] = [*self._simple.items(), *self._qualified.items()]
        return [(key, window) for key, window in kept if key[0] in limits and window.expires_at > now]

    def forget(self, limits: AbstractSet[LimitIdentity]) -> None:
        for key in [key for key in self._simple if key[0] in limits]:
            del self._simple[key]
        for key in [key for key in self._qualified if key[0] in limits]:
            self._drop(key)

    def _read(self, counters: Sequence[Counter], now: float) -> list[Window]:
        windows = []
        for counter in counters:
            window = self._window(counter.key, now)
            if window is not None:
                windows.append(Window(window.value, window.expires_at))
            else:
                windows.append(Window(0, now + counter.limit.seconds))
        return windows

    def _window(self, key: CounterKey, now: float) -> Window | None:
        window = (self._qualified if key[1] else self._simple).get(key)
        if window is None or window.expires_at <= now:
            return None
        if key[1]:
            self._qualified.move_to_end(key)
        return window

    def _add(self, counters: Sequence[Counter], delta: int, now: float) -> None:
        self._drop_expired(now)
        for counter in counters:
            window = self._window(counter.key, now)
            if window is not None:
                window.value += delta
                continue
            window = Window(delta, now + counter.limit.seconds)
            if counter.values:
                self._keep(counter.key, window)
            else:
                self._simple[counter.key] = window

    def _keep(self, key: CounterKey, window: Window) -> None:
        if key in self._qualified:
            self._drop(key)
        self._qualified[key] = window
        self._characters += _characters(key)
        self._sequence += 1
        heapq.heappush(self._expiries, (window.expires_at, self._sequence, key))
        while len(self._qualified) > self._max_counters or self._characters > MAX_KEY_CHARACTERS:
            self._drop(next(iter(self._qualified)))
        if len(self._expiries) > 2 * len(self._qualified) + 64:
            self._expiries = [entry for entry in self._expiries if self._is_current(entry)]
            heapq.heapify(self._expiries)

    def _drop(self, key: CounterKey) -> None:
        del self._qualified[key]
        self._characters -= _characters(key)

    def _drop_expired(self, now: float) -> None:
        while self._expiries and self._expiries[0][0] <= now:
            entry = heapq.heappop(self._expiries)
            if self._is_current(entry):
                self._drop(entry[2])

    def _is_current(self, entry: tuple[float, int, CounterKey]) -> bool:
        window = self._qualified.get(entry[2])
        return window is not None and window.expires_at == entry[0]


def _characters(key: CounterKey) -> int:
    return sum(map(len, key[1]))
