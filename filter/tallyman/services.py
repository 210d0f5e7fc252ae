"""The gRPC methods behind each type of service (Envoy's and Kuadrant's protos)."""

from typing import Final

from tallyman.config.configuration import AUTH, CHECK, RATELIMIT, REPORT

METHODS: Final = {
    AUTH: ("envoy.service.auth.v3.Authorization", "Check"),
    RATELIMIT: ("envoy.service.ratelimit.v3.RateLimitService", "ShouldRateLimit"),
    CHECK: ("kuadrant.service.ratelimit.v1.RateLimitService", "CheckRateLimit"),
    REPORT: ("kuadrant.service.ratelimit.v1.RateLimitService", "Report"),
}

STATUS_NAMES: Final = (
    "ok",
    "cancelled",
    "unknown",
    "invalid_argument",
    "deadline_exceeded",
    "not_found",
    "already_exists",
    "permission_denied",
    "resource_exhausted",
    "failed_precondition",
    "aborted",
    "out_of_range",
    "unimplemented",
    "internal",
    "unavailable",
    "data_loss",
    "unauthenticated",
)


def status_name(status: int) -> str:
    """A gRPC status as a metric label."""
    return STATUS_NAMES[status] if 0 <= status < len(STATUS_NAMES) else "unknown"
