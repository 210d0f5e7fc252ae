"""Time as the host sees it: a wall clock, a monotonic clock, and timers that fire when someone lets time pass."""

import heapq
import time
from collections.abc import Callable
from typing import Final, Protocol

NANOSECONDS: Final = 1_000_000_000


class Timer:
    """A callback due at a time. Cancelled timers stay in the queue until their time has come."""

    def __init__(self, due: int, callback: Callable[[], None]) -> None:
        self.due = due
        self._callback: Callable[[], None] | None = callback

    def cancel(self) -> None:
        self._callback = None

    @property
    def cancelled(self) -> bool:
        return self._callback is None

    def fire(self) -> None:
        callback, self._callback = self._callback, None
        if callback is not None:
            callback()


class Clock(Protocol):
    """What the host needs of time; all values are nanoseconds."""

    def now(self) -> int:
        """Since the Unix epoch."""

    def monotonic(self) -> int:
        """Since an arbitrary start; never goes back."""

    def call_at(self, due: int, callback: Callable[[], None]) -> Timer:
        """Runs `callback` once `monotonic()` has reached `due` and time is let pass."""


class _Timers:
    def __init__(self) -> None:
        self._heap: list[tuple[int, int, Timer]] = []
        self._sequence = 0

    def add(self, due: int, callback: Callable[[], None]) -> Timer:
        timer = Timer(due, callback)
        self._sequence += 1
        heapq.heappush(self._heap, (due, self._sequence, timer))
        return timer

    def next(self, until: int) -> Timer | None:
        """Takes the earliest timer due at or before `until`."""
        while self._heap and self._heap[0][0] <= until:
            timer = heapq.heappop(self._heap)[2]
            if not timer.cancelled:
                return timer
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return None

    def earliest(self) -> int | None:
        while self._heap and self._heap[0][2].cancelled:
            heapq.heappop(self._heap)
        return self._heap[0][0] if self._heap else None


class VirtualClock:
    """Time that stands still until `advance`; two runs of a test see the same times.

    `start` is the wall-clock time at the beginning, in seconds since the Unix epoch.
    """

    def __init__(self, start: float = 1_700_000_000.0) -> None:
        self._start = round(start * NANOSECONDS)
        self._elapsed = 0
        self._timers = _Timers()

    def now(self) -> int:
        return self._start + self._elapsed

    def monotonic(self) -> int:
        return self._elapsed

    def call_at(self, due: int, callback: Callable[[], None]) -> Timer:
        return self._timers.add(due, callback)

    def advance(self, seconds: float) -> None:
        """Lets time pass; timers fire in the order of their times, each seeing its own time on the clock."""
        until = self._elapsed + round(seconds * NANOSECONDS)
        while (timer := self._timers.next(until)) is not None:
            self._elapsed = max(self._elapsed, timer.due)
            timer.fire()
        self._elapsed = until


class SystemClock:
    """The machine's time. Its owner calls `run_due` from the thread that owns the host, as often as ticks should be
    precise."""

    def __init__(self) -> None:
        self._timers = _Timers()

    def now(self) -> int:
        return time.time_ns()

    def monotonic(self) -> int:
        return time.monotonic_ns()

    def call_at(self, due: int, callback: Callable[[], None]) -> Timer:
        return self._timers.add(due, callback)

    def run_due(self) -> float | None:
        """Fires what is due and returns the seconds until the next timer, None without one."""
        while (timer := self._timers.next(time.monotonic_ns())) is not None:
            timer.fire()
        earliest = self._timers.earliest()
        return None if earliest is None else max(0, earliest - time.monotonic_ns()) / NANOSECONDS
