"""Warnings in the host's log, limited in rate: what goes wrong for one request may go wrong for all."""

from typing import Final, final

from proxywasm import LogLevel, RootContext
from proxywasm.log import now

_MOST: Final = 10
_LONGEST: Final = 500
_PERIOD_NS: Final = 10_000_000_000


@final
class WarningLog:
    """At most ten lines in ten seconds; what was left out is told in the next period."""

    def __init__(self, root: RootContext) -> None:
        self._root = root
        self._period_began = 0
        self._warned = 0

    def warn(self, message: str) -> None:
        time = now()
        if time - self._period_began >= _PERIOD_NS:
            suppressed = self._warned - _MOST
            if suppressed > 0:
                self._root.log(LogLevel.WARN, f"{suppressed} warnings were not logged; the metrics count them all")
            self._period_began = time
            self._warned = 0
        self._warned += 1
        if self._warned <= _MOST:
            self._root.log(LogLevel.WARN, message if len(message) <= _LONGEST else f"{message[:_LONGEST]}...")
