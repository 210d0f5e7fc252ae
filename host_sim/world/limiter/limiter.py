"""The limiter's core, sans-I/O: which limits a request meets, and whether there is room for it."""

import logging
import math
from collections.abc import Iterable
from dataclasses import dataclass

from .counters import Counter, CounterStorage, MemoryStorage, Window, fits
from .expressions import Descriptors, RequestActivation
from .limits import Limit, LimitIdentity

_LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class CounterState:
    """A counter as a client sees it.

    `set_variables` maps a variable's source to its value. `remaining` is 0 when the limit is reached or overshot;
    `overshoot` tells by how many hits. `expires_in` is in seconds.
    """

    limit: Limit
    set_variables: dict[str, str]
    remaining: int
    overshoot: int
    expires_in: float

    def to_dict(self) -> dict[str, object]:
        """The counter as the HTTP API shows it, keys in Limitador's order."""
        return {
            "limit": self.limit.to_dict(),
            "set_variables": self.set_variables,
            "remaining": self.remaining,
            "expires_in_seconds": math.floor(self.expires_in),
        }


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether there is room for a request.

    `limited`: there is none. `limit_name`: the name of the first limit without room, if it has one. `counters`: every
    counter of the request as it is, or would be, with its hits, the one with the least room first.
    """

    limited: bool
    limit_name: str | None
    counters: tuple[CounterState, ...]


class Limiter:
    """Limits and their counters.

    A limit applies to a request of its namespace if all its conditions hold and all its variables have a value. Methods
    that evaluate raise `expressions.EvaluationError`; all may raise `counters.StorageError`. Not for use from several
    threads at once.
    """

    def __init__(self, limits: Iterable[Limit] = (), storage: CounterStorage | None = None) -> None:
        self._storage: CounterStorage = storage if storage is not None else MemoryStorage()
        self._limits: dict[str, dict[LimitIdentity, Limit]] = {}
        self.configure(limits)

    def configure(self, limits: Iterable[Limit]) -> None:
        """Replace all limits. Counters of limits that stay go on; those of dropped limits are dropped."""
        wanted: dict[str, dict[LimitIdentity, Limit]] = {}
        for limit in limits:
            in_namespace = wanted.setdefault(limit.namespace, {})
            if limit.identity in in_namespace:
                _LOG.warning(
                    "limit %r of namespace %r is ignored: one before it has the same seconds, conditions, variables",
                    limit.name,
                    limit.namespace,
                )
                continue
            in_namespace[limit.identity] = limit
        kept = {identity for in_namespace in wanted.values() for identity in in_namespace}
        dropped = {identity for in_namespace in self._limits.values() for identity in in_namespace} - kept
        if dropped:
            self._storage.forget(dropped)
        self._limits = wanted

    def limits(self, namespace: str) -> list[Limit]:
        """The limits of a namespace in the order of the file; none if it is unknown."""
        return list(self._limits.get(namespace, {}).values())

    def counters(self, namespace: str) -> list[CounterState]:
        """The counters of a namespace whose window is running."""
        limits = self._limits.get(namespace, {})
        if not limits:
            return []
        return [
            self._state(Counter(limits[identity], values), window, 0)
            for (identity, values), window in self._storage.running(limits.keys())
        ]

    def check(self, namespace: str, descriptors: Descriptors, delta: int = 1) -> Decision:
        """Is there room for `delta` hits in every limit that applies? Adds nothing."""
        counters = self._matching(namespace, descriptors)
        return self._decision(counters, self._storage.read(counters) if counters else [], delta)

    def report(self, namespace: str, descriptors: Descriptors, delta: int) -> None:
        """Add `delta` hits to every limit that applies, over the limit or not."""
        counters = self._matching(namespace, descriptors)
        if counters:
            self._storage.add(counters, delta)

    def check_and_report(self, namespace: str, descriptors: Descriptors, delta: int) -> Decision:
        """Add `delta` hits to every limit that applies if there is room in all of them; to none otherwise."""
        counters = self._matching(namespace, descriptors)
        return self._decision(counters, self._storage.check_and_add(counters, delta) if counters else [], delta)

    def _matching(self, namespace: str, descriptors: Descriptors) -> list[Counter]:
        limits = self._limits.get(namespace)
        if not limits:
            return []
        request = RequestActivation(descriptors)
        matching = []
        for limit in limits.values():
            request.bind_limit(limit.name, limit.id)
            if not all(condition.holds(request) for condition in limit.conditions):
                continue
            values = []
            for variable in limit.variables:
                value = variable.text(request)
                if value is None:
                    break
                values.append(value)
            else:
                matching.append(Counter(limit, tuple(values)))
        return matching

    def _decision(self, counters: list[Counter], windows: list[Window], delta: int) -> Decision:
        """The decision on `delta` hits, given the windows without them."""
        pairs = list(zip(counters, windows, strict=True))
        refusing = next((counter for counter, window in pairs if not fits(counter, window, delta)), None)
        states = [self._state(counter, window, delta) for counter, window in pairs]
        states.sort(key=lambda state: state.remaining)
        return Decision(refusing is not None, refusing.limit.name if refusing is not None else None, tuple(states))

    def _state(self, counter: Counter, window: Window, delta: int) -> CounterState:
        left = counter.limit.max_value - window.value - delta
        sources = [variable.source for variable in counter.limit.variables]
        return CounterState(
            limit=counter.limit,
            set_variables=dict(zip(sources, counter.values, strict=True)),
            remaining=max(0, left),
            overshoot=max(0, -left),
            expires_in=max(0.0, window.expires_at - self._storage.now()),
        )
