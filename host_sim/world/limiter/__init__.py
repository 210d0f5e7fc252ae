"""A rate limit server with Limitador's contract: limits file, gRPC services, HTTP API and Prometheus metrics.

`limiter.Limiter` is the core, without I/O; `serve` runs it as a server on the current event loop.
"""

from .faults import FaultInjection
from .limiter import CounterState, Decision, Limiter
from .limits import Limit, LimitsFileError, load_limits, parse_limits
from .rate_limit_headers import RateLimitHeaders
from .server import AddressInUseError, LimiterConfig, RunningLimiter, serve

__all__ = [
    "AddressInUseError",
    "CounterState",
    "Decision",
    "FaultInjection",
    "Limit",
    "Limiter",
    "LimiterConfig",
    "LimitsFileError",
    "RateLimitHeaders",
    "RunningLimiter",
    "load_limits",
    "parse_limits",
    "serve",
]
