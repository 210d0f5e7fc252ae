"""What `/status` tells: since when the limiter runs, and how its configuration fares."""

import time
from datetime import UTC, datetime


class Status:
    """`config_version` counts good reloads, `config_err_since` the bad ones since the last good one. Times are UTC."""

    def __init__(self) -> None:
        self.started_at = _utc_now()
        self.config_applied_at = self.started_at
        self.config_version = 0
        self.config_err_since = 0

    def reloaded(self) -> None:
        self.config_applied_at = _utc_now()
        self.config_version += 1
        self.config_err_since = 0

    def reload_failed(self) -> None:
        self.config_err_since += 1

    def to_dict(self) -> dict[str, object]:
        return {
            "started_at": self.started_at,
            "config_applied_at": self.config_applied_at,
            "config_version": self.config_version,
            "config_err_since": self.config_err_since,
        }


def _utc_now() -> str:
    """ISO 8601 with nanoseconds and, as Limitador has it, without a zone."""
    seconds, nanoseconds = divmod(time.time_ns(), 1_000_000_000)
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}.{nanoseconds:09d}"
