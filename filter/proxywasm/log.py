"""The host's log, and its clock."""

from proxywasm.types import LogLevel
from proxywasm.vm import VM


def log(level: LogLevel, message: str) -> None:
    """Write a line to the host's log."""
    VM.host.log(level, message)


def get_log_level() -> LogLevel:
    """The least severe level that the host writes."""
    return LogLevel(VM.host.get_log_level())


def now() -> int:
    """Nanoseconds since the Unix epoch (`proxy_get_current_time_nanoseconds`)."""
    return VM.host.get_current_time_nanoseconds()
