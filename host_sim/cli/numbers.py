"""Metrics as a reader of the world sees them: an exposition, or Prometheus's answer to a query."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import httpx
from prometheus_client.parser import text_string_to_metric_families


@dataclass(frozen=True)
class Sample:
    """One series and its value."""

    name: str
    labels: dict[str, str]
    value: float


async def scrape(client: httpx.AsyncClient, url: str) -> list[Sample]:
    """All samples of the exposition at `url`, under the names that it shows. Raises `httpx.HTTPError`."""
    response = await client.get(url)
    response.raise_for_status()
    # Without the `# TYPE` lines, for the parser appends `_total` to the names of counters that have none.
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    families = text_string_to_metric_families("\n".join(lines) + "\n")
    return [Sample(item.name, item.labels, item.value) for family in families for item in family.samples]


async def query(client: httpx.AsyncClient, prometheus_url: str, metric: str) -> list[Sample]:
    """What Prometheus answers to the query `metric`, as the guide asks it. Raises `httpx.HTTPError`."""
    response = await client.get(f"{prometheus_url}/api/v1/query", params={"query": metric})
    response.raise_for_status()
    found = response.json()["data"]["result"]
    return [
        Sample(
            metric,
            {label: value for label, value in item["metric"].items() if label != "__name__"},
            float(item["value"][1]),
        )
        for item in found
    ]


def total(samples: Iterable[Sample], metric: str, **labels: str) -> int:
    """The sum of the series of `metric` that have (at least) these labels; 0 if there are none."""
    wanted = labels.items()
    return int(sum(item.value for item in samples if item.name == metric and wanted <= item.labels.items()))
