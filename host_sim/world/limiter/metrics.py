"""Limitador's Prometheus metrics: calls and hits by namespace and by the labels a configuration asks for."""

import logging
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from tallyman.cel.errors import CelSyntaxError

from .expressions import Descriptors, EvaluationError, Expression, RequestActivation
from .yaml_document import ConfigFileError, compose, entries_of, read_text, text_of

_LOG = logging.getLogger(__name__)

CONTENT_TYPE: Final = "text/plain; charset=utf-8"
NAMESPACE_LABEL: Final = "limitador_namespace"
LIMIT_NAME_LABEL: Final = "limit_name"

MAX_LABEL_SETS: Final = 10_000
"""How many label sets one counter family has; label values come from requests, so their number needs a bound."""

MAX_LABELS: Final = 32
MAX_LABEL_CHARACTERS: Final = 1024
OVERFLOW_LABEL: Final = "limitador_overflow"
"""What does not fit the three bounds above is counted under this label alone, so that sums stay right."""

Labels: TypeAlias = tuple[tuple[str, str], ...]

_HELP: Final = {
    "authorized_calls": "Authorized calls",
    "authorized_hits": "Authorized hits",
    "limited_calls": "Limited calls",
}
_OVERFLOW: Final[Labels] = ((OVERFLOW_LABEL, "true"),)
_NOT_IN_A_LABEL_NAME: Final = re.compile(r"[^a-zA-Z0-9_]")


class LabelsFileError(ConfigFileError):
    """A labels file that cannot be read or is no map of label name to CEL."""


class CallMetrics(Collector):
    """What the rate-limit services count. A prometheus-client collector, registered in a registry of its own.

    `default_labels` is an expression whose value is a map (`descriptors[1]`); `limit_name_label` adds the limit's name
    to `limited_calls`.
    """

    def __init__(self, default_labels: Expression | None = None, limit_name_label: bool = False) -> None:
        self._default_labels = default_labels
        self._custom_labels: Mapping[str, Expression] = {}
        self._limit_name_label = limit_name_label
        self._families: dict[str, dict[Labels, int]] = {name: {} for name in _HELP}
        self._overflowed = False
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def set_custom_labels(self, labels: Mapping[str, Expression]) -> None:
        """Labels on top of the default ones, which they replace where the name is the same."""
        self._custom_labels = dict(labels)

    def authorized(self, namespace: str, descriptors: Descriptors, *, calls: int = 0, hits: int = 0) -> None:
        """Count calls let through, hits taken from the limits, or both."""
        labels = self._labels(namespace, descriptors)
        if calls:
            self._count("authorized_calls", labels, calls)
        if hits:
            self._count("authorized_hits", labels, hits)

    def limited_call(self, namespace: str, descriptors: Descriptors, limit_name: str | None) -> None:
        """Count a call refused; `limit_name` as in `limiter.Decision`."""
        labels = self._labels(namespace, descriptors)
        if self._limit_name_label:
            labels = (*labels, (LIMIT_NAME_LABEL, limit_name or ""))
        self._count("limited_calls", labels, 1)

    def collect(self) -> Iterator[Metric]:
        """The families as prometheus-client has them; a counter family appears with its first hit, without `_total`."""
        for name, series in self._families.items():
            if series:
                family = Metric(name, _HELP[name], "counter")
                for labels, value in series.items():
                    family.add_sample(name, dict(labels), value)
                yield family
        yield GaugeMetricFamily("limitador_up", "Limitador is running", 1)
        yield GaugeMetricFamily("datastore_partitioned", "Limitador is partitioned from backing datastore", 0)

    def exposition(self) -> str:
        """The registry in Prometheus' text format 0.0.4.

        Not `prometheus_client.generate_latest`: that appends `_total` to every counter, and these names are a contract.
        """
        blocks = []
        for family in self.registry.collect():
            lines = [f"# HELP {family.name} {family.documentation}", f"# TYPE {family.name} {family.type}"]
            for sample in family.samples:
                labels = ",".join(f'{name}="{_escape(value)}"' for name, value in sample.labels.items())
                lines.append(f"{sample.name}{{{labels}}} {sample.value}" if labels else f"{sample.name} {sample.value}")
            blocks.append("\n".join(lines) + "\n")
        return "\n".join(blocks)

    def _labels(self, namespace: str, descriptors: Descriptors) -> Labels:
        request = RequestActivation(descriptors)
        found = self._default_labels.texts(request) if self._default_labels is not None else {}
        for name, expression in self._custom_labels.items():
            try:
                value = expression.text(request)
            except EvaluationError:
                continue
            if value is not None:
                found[name] = value
        labels = {_label_name(name): value for name, value in found.items() if name}
        # Last, and not to be overridden by a request.
        labels.pop(NAMESPACE_LABEL, None)
        labels.pop(LIMIT_NAME_LABEL, None)
        labels[NAMESPACE_LABEL] = namespace
        return tuple(labels.items())

    def _count(self, name: str, labels: Labels, hits: int) -> None:
        series = self._families[name]
        if labels not in series and (len(series) >= MAX_LABEL_SETS or not _is_small(labels)):
            if not self._overflowed:
                self._overflowed = True
                _LOG.warning("metrics: too many or too large label sets; the rest is counted as %s", OVERFLOW_LABEL)
            labels = _OVERFLOW
        series[labels] = series.get(labels, 0) + hits


def load_custom_labels(path: Path) -> dict[str, Expression]:
    """A YAML map of label name to CEL expression. An expression that does not parse is logged and left out.

    Raises LabelsFileError if the file cannot be read or is no such map.
    """
    try:
        root = compose(read_text(path))
        nodes = entries_of(root, "") if root is not None else {}
        sources = {name: text_of(node, f".{name}") for name, node in nodes.items()}
    except ConfigFileError as error:
        raise LabelsFileError(str(error)) from error
    labels = {}
    for name, source in sources.items():
        try:
            labels[name] = Expression(source)
        except CelSyntaxError as error:
            _LOG.error("custom label %r of %s is left out: couldn't parse %r: %s", name, path, source, error)
    return labels


def _is_small(labels: Labels) -> bool:
    return len(labels) <= MAX_LABELS and all(len(name) + len(value) <= MAX_LABEL_CHARACTERS for name, value in labels)


def _label_name(name: str) -> str:
    name = _NOT_IN_A_LABEL_NAME.sub("_", name)
    return f"_{name}" if name[0].isdigit() else name


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')
