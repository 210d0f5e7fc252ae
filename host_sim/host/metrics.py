"""Counters, gauges and histograms that plugins define, and Envoy's Prometheus text of them."""

import math
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import Metric as PrometheusMetric
from prometheus_client.registry import Collector

from host_sim.host.abi import MetricType, Status

DEFAULT_BUCKETS: Final = (
    0.5, 1, 5, 10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000, 600000, 1800000, 3600000,
)  # fmt: skip
"""Upper bounds of Envoy's histogram buckets when `stats_config.histogram_bucket_settings` is not set."""

_U64: Final = (1 << 64) - 1
_UNFIT: Final = re.compile(r"[^a-zA-Z0-9_]")


@dataclass
class Metric:
    """One metric under the name the plugin gave it. Counters and gauges are unsigned 64-bit, as in Envoy."""

    name: str
    type: MetricType
    value: int = 0
    observations: int = 0
    total: int = 0
    buckets: list[int] = field(default_factory=lambda: [0] * len(DEFAULT_BUCKETS))

    def observe(self, value: int) -> None:
        self.observations += 1
        self.total += value
        for index, bound in enumerate(DEFAULT_BUCKETS):
            if value <= bound:
                self.buckets[index] += 1


@dataclass(frozen=True)
class StatsTag:
    """A label taken out of metric names, as Envoy's `stats_config.stats_tags`.

    What the first group of `regex` matches is removed from the name; the second group, or the first without one, is
    the value.
    """

    name: str
    regex: str


class Metrics:
    """All metrics of a host by name; the same name and type is the same metric, whichever VM defined it."""

    def __init__(self) -> None:
        self._metrics: dict[tuple[MetricType, str], Metric] = {}

    def define(self, type: MetricType, name: str) -> Metric:
        return self._metrics.setdefault((type, name), Metric(name, type))

    def __getitem__(self, name: str) -> Metric:
        for metric in self._metrics.values():
            if metric.name == name:
                return metric
        raise KeyError(f"no metric {name!r}; defined are {sorted(metric.name for metric in self)}")

    def __contains__(self, name: str) -> bool:
        return any(metric.name == name for metric in self)

    def __iter__(self) -> Iterator[Metric]:
        return iter(self._metrics.values())

    def __len__(self) -> int:
        return len(self._metrics)

    def value(self, name: str) -> int:
        """The value of a counter or gauge, the number of observations of a histogram; 0 for what is not defined."""
        if name not in self:
            return 0
        metric = self[name]
        return metric.observations if metric.type is MetricType.HISTOGRAM else metric.value


class MetricHandles:
    """The metric ids of one VM. The two low bits of an id are the type (proxy-wasm-cpp-host, `wasm.h`)."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics
        self._handles: dict[int, Metric] = {}
        self._last = {type: int(type) for type in MetricType}

    def define(self, type: MetricType, name: str) -> int:
        self._last[type] += 4
        self._handles[self._last[type]] = self._metrics.define(type, name)
        return self._last[type]

    def increment(self, handle: int, offset: int) -> Status:
        """`offset` is signed. Counters only go up; gauges wrap below 0 as unsigned numbers do."""
        if handle & 3 not in (MetricType.COUNTER, MetricType.GAUGE):
            return Status.BAD_ARGUMENT
        metric = self._handles.get(handle)
        if metric is None:
            return Status.NOT_FOUND
        if metric.type is MetricType.COUNTER and offset <= 0:
            return Status.BAD_ARGUMENT
        metric.value = (metric.value + offset) & _U64
        return Status.OK

    def record(self, handle: int, value: int) -> Status:
        metric = self._handles.get(handle)
        if metric is None:
            return Status.NOT_FOUND
        if metric.type is MetricType.COUNTER:
            metric.value = (metric.value + value) & _U64
        elif metric.type is MetricType.GAUGE:
            metric.value = value
        else:
            metric.observe(value)
        return Status.OK

    def get(self, handle: int) -> int | Status:
        if handle & 3 not in (MetricType.COUNTER, MetricType.GAUGE):
            return Status.BAD_ARGUMENT
        metric = self._handles.get(handle)
        return Status.NOT_FOUND if metric is None else metric.value


def exposition(metrics: Iterable[Metric], tags: Sequence[StatsTag] = ()) -> str:
    """Prometheus text as Envoy's `/stats/prometheus` writes custom metrics.

    Names lose what `tags` take out of them and every character but letters, digits and `_` becomes `_`; a name that
    then begins with a digit, or is empty, is left out. Counters get no `_total`.
    """
    families: dict[tuple[MetricType, str], list[tuple[dict[str, str], Metric]]] = {}
    for metric in metrics:
        name, labels = _extract(metric.name, tags)
        if name and not name[0].isdigit():
            families.setdefault((metric.type, name), []).append((labels, metric))
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Families(families))
    lines = generate_latest(registry).decode().splitlines()
    return "".join(f"{_as_envoy(line, families)}\n" for line in lines if not line.startswith("# HELP "))


def _as_envoy(line: str, families: dict[tuple[MetricType, str], list[tuple[dict[str, str], Metric]]]) -> str:
    # prometheus-client insists on `_total` in the type line of a counter; Envoy writes names as they were defined.
    match = re.fullmatch(r"# TYPE (\w+)_total counter", line)
    if match and (MetricType.COUNTER, match[1]) in families:
        return f"# TYPE {match[1]} counter"
    return line


def _extract(name: str, tags: Sequence[StatsTag]) -> tuple[str, dict[str, str]]:
    labels: dict[str, str] = {}
    removed: list[tuple[int, int]] = []
    for tag in tags:
        match = re.search(tag.regex, name)
        if match and match.groups():
            value = match[2] if len(match.groups()) > 1 else match[1]
            labels[_UNFIT.sub("_", tag.name)] = value or ""
            removed.append(match.span(1))
    for start, end in sorted(removed, reverse=True):
        name = name[:start] + name[end:]
    return _UNFIT.sub("_", name), labels


class _Families(Collector):
    def __init__(self, families: dict[tuple[MetricType, str], list[tuple[dict[str, str], Metric]]]) -> None:
        self._families = families

    def collect(self) -> Iterator[PrometheusMetric]:
        for type, name in sorted(self._families, key=lambda family: (family[1], family[0])):
            family = PrometheusMetric(name, "", type.name.lower())
            # Metric drops a `_total` from a counter's name and generate_latest puts it back.
            for labels, metric in self._families[type, name]:
                if type is MetricType.HISTOGRAM:
                    self._histogram(family, name, labels, metric)
                else:
                    family.add_sample(name, labels, metric.value)
            yield family

    @staticmethod
    def _histogram(family: PrometheusMetric, name: str, labels: dict[str, str], metric: Metric) -> None:
        for bound, count in zip((*DEFAULT_BUCKETS, math.inf), (*metric.buckets, metric.observations), strict=True):
            le = "+Inf" if bound == math.inf else f"{bound:g}" if bound < 1 else str(int(bound))
            family.add_sample(f"{name}_bucket", {**labels, "le": le}, count)
        family.add_sample(f"{name}_sum", labels, metric.total)
        family.add_sample(f"{name}_count", labels, metric.observations)
