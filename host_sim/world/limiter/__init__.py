"""A rate limit server with Limitador's contract: limits file, gRPC services, HTTP API and Prometheus metrics.

`limiter.Limiter` is the core, without I/O; `serve` runs it as a server on the current event loop.
"""

from .faults import FaultInjection
from .limiter import CounterState, Decision, Limiter
from .limits import Limit, LimitsFileError, load_limits, parse_limits
from .rate_limit_headers import RateLimitHeaders
from .server import LimiterConfig, ListenError, RunningLimiter, serve

__all__ = [
    "CounterState",
    "Decision",
    "FaultInjection",
    "Limit",
    "Limiter",
    "LimiterConfig",
    "LimitsFileError",
    "ListenError",
    "RateLimitHeaders",
    "RunningLimiter",
    "load_limits",
    "parse_limits",
    "serve",
]
