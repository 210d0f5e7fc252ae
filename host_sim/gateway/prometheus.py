"""Prometheus beside the gateway, if the machine has it: what it scrapes, and the process."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import httpx
import yaml

from host_sim.gateway.bootstrap import Address
from host_sim.gateway.processes import ChildProcess, free_port, require_free_port

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

    async def stop(self) -> None:
        await self.child.stop()
