"""Child processes with logs, readiness and a certain end.

A child is started in a session of its own, so that Ctrl-C reaches only us and we can stop it in order. Should we die
without stopping it, the kernel does (Linux; it watches the thread that started the child).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import socket
import sys
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

_POLL_SECONDS: Final = 0.05
_LOG_LINES_SHOWN: Final = 12
_LOG_COLUMNS_SHOWN: Final = 400
_DIE_WITH_PARENT: Final = Path(__file__).with_name("die_with_parent.py")


class ProcessError(RuntimeError):
    """A process that cannot be started, does not become ready, or ends by itself. The text shows its log."""


class ChildProcess:
    """One running child. Make it with `start`, end it with `stop`."""

    def __init__(self, name: str, process: asyncio.subprocess.Process, log: Path) -> None:
        self.name = name
        self.log = log
        """Standard output and error of the child."""
        self._process = process

    @classmethod
    async def start(
        cls, name: str, command: Sequence[str | Path], log: Path, env: Mapping[str, str] | None = None
    ) -> ChildProcess:
        """Start `command`, its output going to the file `log`.

        Raises `ProcessError` if the program cannot be run.
        """
        program = shutil.which(command[0])
        if program is None:
            raise ProcessError(f"{name}: cannot run {command[0]}: no such program, or not executable")
        arguments = [os.path.abspath(program), *map(str, command[1:])]
        if sys.platform == "linux":
            arguments = [sys.executable, "-I", "-S", str(_DIE_WITH_PARENT), str(os.getpid()), *arguments]
        with log.open("wb") as output:
            try:
                process = await asyncio.create_subprocess_exec(
                    *arguments,
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    env=None if env is None else dict(env),
                    start_new_session=True,
                )
            except OSError as error:
                raise ProcessError(f"{name}: cannot run {program}: {error.strerror or error}") from None
        return cls(name, process, log)

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative if a signal ended it."""
        return self._process.returncode

    async def wait_ready(self, is_ready: Callable[[], Awaitable[bool]], timeout_seconds: float) -> None:
        """Ask `is_ready` again and again until it says yes; a connection that is refused counts as no.

        Raises `ProcessError` if the child ends before, or if the time is over.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            if self.exit_code is not None:
                raise ProcessError(
                    f"{self.name} ended with exit code {self.exit_code} before it was ready{self.excerpt()}"
                )
            with contextlib.suppress(OSError):
                if await is_ready():
                    return
            if time.monotonic() > deadline:
                raise ProcessError(f"{self.name} was not ready within {timeout_seconds:g} s{self.excerpt()}")
            await asyncio.sleep(_POLL_SECONDS)

    async def stop(self, grace_seconds: float = 5.0) -> None:
        """SIGTERM, and SIGKILL when the grace is over. Does nothing if the child has ended."""
        if self.exit_code is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()
        try:
            await asyncio.wait_for(self._process.wait(), grace_seconds)
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()

    async def wait(self) -> int:
        """The exit code, once the child has ended."""
        return await self._process.wait()

    def excerpt(self) -> str:
        """The telling lines of the log (those about errors, else the last ones), as the end of a message."""
        lines = self.log_lines()
        telling = [line for line in lines if _TROUBLE.search(line)] or lines
        shown = telling[-_LOG_LINES_SHOWN:]
        if not shown:
            return f"; its log is empty ({self.log})"
        return f"; from its log ({self.log}):\n  " + "\n  ".join(line[:_LOG_COLUMNS_SHOWN] for line in shown)

    def log_lines(self) -> list[str]:
        """The log so far, or its last 256 KiB."""
        try:
            with self.log.open("rb") as stream:
                stream.seek(0, os.SEEK_END)
                stream.seek(max(0, stream.tell() - 256 * 1024))
                return stream.read().decode(errors="replace").splitlines()
        except OSError:
            return []


_TROUBLE: Final = re.compile(
    r"\[(error|critical)\]|level=error|\b(error|fatal|cannot|failed|refused|invalid|denied)\b", re.IGNORECASE
)


def require_free_port(name: str, host: str, port: int) -> None:
    """Raise `ProcessError` if something listens on `port` already; 0 (any free one) always passes."""
    if port == 0:
        return
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # As servers do, so that a port that only waits out TIME_WAIT counts as free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            reason = error.strerror or str(error)
            raise ProcessError(
                f"{name}: cannot listen on {host}:{port}: {reason}; stop what listens there or choose another port"
            ) from None


def free_port(host: str = "127.0.0.1") -> int:
    """A port nobody listens on now, for programs that cannot choose one themselves."""
    with socket.socket() as probe:
        probe.bind((host, 0))
        port: int = probe.getsockname()[1]
        return port
