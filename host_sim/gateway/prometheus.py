"""Prometheus beside the gateway, if the machine has it: what it scrapes, and the process."""

from __future__ import annotations

import shutil
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Final

import httpx
import yaml

from host_sim.gateway.bootstrap import Address
from host_sim.gateway.processes import ChildProcess, ProcessError, free_port, require_free_port

READY_SECONDS: Final = 30.0


def find_prometheus() -> Path | None:
    """Prometheus's program on PATH, or None."""
    found = shutil.which("prometheus")
    return Path(found) if found is not None else None


def scrape_configuration(targets: Mapping[str, tuple[Address, str]], interval: str = "1s") -> str:
    """A Prometheus configuration file (YAML) for `targets`: job name to address and metrics path."""
    document = {
        "global": {"scrape_interval": interval, "evaluation_interval": interval},
        "scrape_configs": [
            {"job_name": job, "metrics_path": path, "static_configs": [{"targets": [str(address)]}]}
            for job, (address, path) in targets.items()
        ],
    }
    return str(yaml.safe_dump(document, sort_keys=False))


class PrometheusProcess:
    """A running Prometheus; its data lives and dies with the run folder."""

    def __init__(self, child: ChildProcess, address: Address) -> None:
        self.child = child
        self.address = address

    @property
    def url(self) -> str:
        return f"http://{self.address}"

    @classmethod
    async def start(cls, program: Path, configuration: str, folder: Path, listen: Address) -> PrometheusProcess:
        """Start `program` and come back when it answers queries.

        Raises `ProcessError` if the configuration is refused or the port is taken.
        """
        require_free_port("Prometheus", listen.host, listen.port)
        address = listen if listen.port else Address(free_port(listen.host), listen.host)
        file = folder / "prometheus.yml"
        file.write_text(configuration)
        child = await ChildProcess.start(
            "Prometheus",
            [
                program,
                f"--config.file={file}",
                f"--storage.tsdb.path={folder / 'prometheus-data'}",
                f"--web.listen-address={address}",
            ],
            folder / "prometheus.log",
        )
        try:
            async with httpx.AsyncClient(timeout=5.0) as client:

                async def is_ready() -> bool:
                    try:
                        return (await client.get(f"http://{address}/-/ready")).is_success
                    except httpx.TransportError:
                        return False

                await child.wait_ready(is_ready, READY_SECONDS)
        except BaseException:
            await child.stop()
            raise
        return cls(child, address)

    async def wait_scraped(self, timeout_seconds: float = 15.0) -> None:
        """Come back when every target has been scraped after this call, so that queries show what was true at it.

        Prometheus first looks at its targets about five seconds after it started. Raises `ProcessError` if a target
        is not reached in time, or not up.
        """
        asked = time.time()
        unreached: list[str] = []

        async def all_scraped() -> bool:
            response = await client.get(f"{self.url}/api/v1/targets", params={"state": "active"})
            targets = response.raise_for_status().json()["data"]["activeTargets"]
            unreached[:] = [
                f"{target['scrapeUrl']} ({target['lastError'] or 'not scraped yet'})"
                for target in targets
                if target["health"] != "up" or datetime.fromisoformat(target["lastScrape"]).timestamp() < asked
            ]
            return bool(targets) and not unreached

        async with httpx.AsyncClient(timeout=5.0) as client:
            try:
                await self.child.wait_ready(all_scraped, timeout_seconds)
            except ProcessError:
                if self.child.exit_code is not None:
                    raise
                what = ", ".join(unreached) or "any target"
                raise ProcessError(f"Prometheus has not scraped {what} within {timeout_seconds:g} s") from None

    async def stop(self) -> None:
        await self.child.stop()
