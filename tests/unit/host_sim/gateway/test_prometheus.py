from pathlib import Path

import pytest
import yaml

from host_sim.gateway.bootstrap import Address
from host_sim.gateway.prometheus import find_prometheus, scrape_configuration


def test_every_target_is_scraped_every_second() -> None:
    configuration = yaml.safe_load(
        scrape_configuration({"limitador": (Address(8082), "/metrics"), "envoy": (Address(9901), "/stats/prometheus")})
    )
    assert configuration["global"]["scrape_interval"] == "1s"
    assert [
        (job["job_name"], job["metrics_path"], job["static_configs"]) for job in configuration["scrape_configs"]
    ] == [
        ("limitador", "/metrics", [{"targets": ["127.0.0.1:8082"]}]),
        ("envoy", "/stats/prometheus", [{"targets": ["127.0.0.1:9901"]}]),
    ]


def test_prometheus_is_found_on_path_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_prometheus() is None
    program = tmp_path / "prometheus"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    assert find_prometheus() == program
