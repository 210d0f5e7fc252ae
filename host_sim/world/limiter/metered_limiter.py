"""What the rate-limit services do, free of any transport: ask the limiter, and count what it said."""

from .expressions import Descriptors
from .limiter import Decision, Limiter
from .metrics import CallMetrics


class MeteredLimiter:
    """A limiter whose decisions are counted. Methods raise what `Limiter`'s do, and then count nothing."""

    def __init__(self, limiter: Limiter, metrics: CallMetrics) -> None:
        self._limiter = limiter
        self._metrics = metrics

    def check(self, namespace: str, descriptors: Descriptors) -> Decision:
        """CheckRateLimit: is there room for one hit? Its addend says nothing: what a request costs is not known yet."""
        decision = self._limiter.check(namespace, descriptors)
        self._count(decision, namespace, descriptors, 0)
        return decision

    def report(self, namespace: str, descriptors: Descriptors, hits: int) -> None:
        """Report: `hits` have been used."""
        self._limiter.report(namespace, descriptors, hits)
        self._metrics.authorized(namespace, descriptors, hits=hits)

    def check_and_report(self, namespace: str, descriptors: Descriptors, hits: int) -> Decision:
        """ShouldRateLimit: take `hits` if they fit."""
        decision = self._limiter.check_and_report(namespace, descriptors, hits)
        self._count(decision, namespace, descriptors, hits)
        return decision

    def _count(self, decision: Decision, namespace: str, descriptors: Descriptors, hits: int) -> None:
        if decision.limited:
            self._metrics.limited_call(namespace, descriptors, decision.limit_name)
        else:
            self._metrics.authorized(namespace, descriptors, calls=1, hits=hits)
