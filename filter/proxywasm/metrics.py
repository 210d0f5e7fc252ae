"""Metrics of the host: counters, gauges and histograms of integers (specification, section "Metrics")."""

from proxywasm.types import MetricType
from proxywasm.vm import VM


class Metric:
    """A metric defined in the host; the same name and type give the same metric again.

    Raises `HostError` when the host refuses the definition.
    """

    def __init__(self, metric_type: MetricType, name: str) -> None:
        self.name = name
        self.id = VM.host.define_metric(metric_type, name)

    @property
    def value(self) -> int:
        """The value now. Histograms have none: `HostError`."""
        return VM.host.get_metric(self.id)


class Counter(Metric):
    """Only grows."""

    def __init__(self, name: str) -> None:
        super().__init__(MetricType.COUNTER, name)

    def increment(self, delta: int = 1) -> None:
        VM.host.increment_metric(self.id, delta)


class Gauge(Metric):
    """Goes up and down."""

    def __init__(self, name: str) -> None:
        super().__init__(MetricType.GAUGE, name)

    def add(self, delta: int) -> None:
        VM.host.increment_metric(self.id, delta)

    def set(self, value: int) -> None:
        VM.host.record_metric(self.id, value)


class Histogram(Metric):
    """Records non-negative integers; the host owns the buckets."""

    def __init__(self, name: str) -> None:
        super().__init__(MetricType.HISTOGRAM, name)

    def record(self, value: int) -> None:
        VM.host.record_metric(self.id, value)
