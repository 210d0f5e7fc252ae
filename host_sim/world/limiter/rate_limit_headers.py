"""Response headers that tell a client its quota: draft-polli-ratelimit-headers-03."""

import math
from enum import Enum

from .limiter import Decision


class RateLimitHeaders(Enum):
    """Which headers ShouldRateLimit answers with; the values are those of `--rate-limit-headers`."""

    NONE = "NONE"
    DRAFT_VERSION_03 = "DRAFT_VERSION_03"


def draft_version_03(decision: Decision) -> dict[str, str]:
    """X-RateLimit-Limit, -Remaining and -Reset, sorted by name; none if no limit applied.

    The limit with the least room comes first and is repeated in the list of all. -Reset is in whole seconds.
    """
    if not decision.counters:
        return {}
    tightest = decision.counters[0]
    quotas = []
    for state in decision.counters:
        quota = f"{state.limit.max_value};w={state.limit.seconds}"
        if state.limit.name is not None:
            # The draft has no escape for a quote within a name.
            quota += ';name="{}"'.format(state.limit.name.replace('"', "'"))
        quotas.append(quota)
    return {
        "X-RateLimit-Limit": ", ".join([str(tightest.limit.max_value), *quotas]),
        "X-RateLimit-Remaining": str(tightest.remaining),
        "X-RateLimit-Reset": str(math.floor(tightest.expires_in)),
    }
