"""The filter's metrics in the host.

A Proxy-Wasm metric has a name and no labels. Ours carry theirs in the name, `<metric>␟<label>=<value>␟...` with the
ASCII unit separator, which no header value can hold; Envoy's `stats_tags` turn them into labels (`envoy/`).
"""

from typing import Final, final

from proxywasm import Counter

SEPARATOR: Final = "\x1f"
OVERFLOW: Final = "__overflow__"
_LONGEST_VALUE: Final = 256


@final
class CounterFamily:
    """Counters of one name, one for each set of label values; beyond `max_series` all count as `__overflow__`."""

    def __init__(self, name: str, labels: list[str], max_series: int) -> None:
        self.name = name
        self.labels = labels
        self._max_series = max_series
        self._counters: dict[tuple[str, ...], Counter] = {}
        self.overflowed = False

    def add(self, values: tuple[str, ...], amount: int) -> None:
        """Count `amount` under `values`, given in the order of `labels`."""
        counter = self._counters.get(values)
        if counter is None:
            counter = self._new(values)
        counter.increment(amount)

    def _new(self, values: tuple[str, ...]) -> Counter:
        if len(self._counters) >= self._max_series:
            self.overflowed = True
            values = tuple([OVERFLOW for _ in values])
            found = self._counters.get(values)
            if found is not None:
                return found
        else:
            # what is kept is bounded too: values that differ beyond the bound are the same counter
            values = tuple([_clean(value) for value in values])
            found = self._counters.get(values)
            if found is not None:
                return found
        parts = [f"{label}={value}" for label, value in zip(self.labels, values, strict=True)]
        counter = Counter(SEPARATOR.join([self.name, *parts, ""]) if parts else self.name)
        self._counters[values] = counter
        return counter


def _clean(value: str) -> str:
    """A label value that is valid UTF-8, bounded, and free of the separator and of NUL."""
    text = value[:_LONGEST_VALUE].replace(SEPARATOR, " ").replace("\0", " ")
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


@final
class Metrics:
    """All metrics of one plugin configuration."""

    def __init__(self, label_names: list[str], max_series: int) -> None:
        names = [name for name in label_names if name not in ("route", "model", "kind", "decision")]
        self.shown = [name in names for name in label_names]
        self.configs = Counter("kuadrant.configs")
        self.hits = Counter("kuadrant.hits")
        self.misses = Counter("kuadrant.misses")
        self.allowed = Counter("kuadrant.allowed")
        self.denied = Counter("kuadrant.denied")
        self.errors = Counter("kuadrant.errors")
        self.tokens = CounterFamily("tallyman_tokens_total", [*names, "route", "model", "kind"], max_series)
        self.requests = CounterFamily("tallyman_requests_total", [*names, "route", "decision"], max_series)
        self.usage_missing = CounterFamily("tallyman_usage_missing_total", ["route", "reason"], max_series)
        self.service_errors = CounterFamily("tallyman_service_errors_total", ["service", "reason"], max_series)
        self.tokens_unreported = CounterFamily("tallyman_tokens_unreported_total", ["route"], max_series)
        self.label_errors = CounterFamily("tallyman_label_errors_total", [], 1)

    def label_values(self, values: list[str]) -> tuple[str, ...]:
        """The values of `requestData` labels that our own labels do not take the names of."""
        return tuple([value for value, shown in zip(values, self.shown, strict=True) if shown])

    def no_labels(self) -> tuple[str, ...]:
        """Empty values, for a request whose `requestData` cannot be told."""
        return tuple(["" for shown in self.shown if shown])
