"""Noticing that a file changed, by looking at it."""

import asyncio
import logging
from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

_LOG = logging.getLogger(__name__)

_Signature: TypeAlias = tuple[int, int, int, int]


class FileWatch:
    """Looks at what `path` leads to, through symbolic links: a mounted ConfigMap changes by a link that is replaced.

    A file that goes away is no change; one that comes back as another is. Make the watch before the file is first read,
    or a change in between is missed.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._seen = self._signature()

    def changed(self) -> bool:
        """Is the file another than at the last call, or at the start?"""
        signature = self._signature()
        if signature is None or signature == self._seen:
            return False
        self._seen = signature
        return True

    async def run(self, on_change: Callable[[], None], interval_seconds: float) -> None:
        """Call `on_change` after every change, until cancelled."""
        while True:
            await asyncio.sleep(interval_seconds)
            if self.changed():
                _LOG.info("%s has changed", self._path)
                on_change()

    def _signature(self) -> _Signature | None:
        try:
            status = self._path.stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_size, status.st_dev, status.st_ino
