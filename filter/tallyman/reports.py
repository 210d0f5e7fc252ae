"""Reports of tokens to the rate-limit service.

They belong to the root context: no response waits for them, and their answers come after the stream has gone.
"""

from typing import Final, final

from proxywasm import GrpcReply, HostError, RootContext

from tallyman.config.configuration import REPORT, Service
from tallyman.metrics import Metrics
from tallyman.services import METHODS, status_name
from tallyman.warnings_log import WarningLog
from tallyman.wire import ratelimit
from tallyman.wire.protobuf import WireError

MOST_PARTS: Final = 8
"""Messages that one response may lead to: an upstream that claims 2^63 tokens must not become a flood."""


@final
class Reporter:
    """Sends reports for one plugin configuration, and counts those that fail in tokens."""

    def __init__(self, root: RootContext, metrics: Metrics, warnings: WarningLog) -> None:
        self._root = root
        self._metrics = metrics
        self._warnings = warnings

    def send(self, service: Service, route: str, domain: str, descriptors: bytes, hits: int) -> None:
        """Report `hits` tokens; more than fit into the message's field go out in several.

        0 is not reported: Limitador would count it as 1.
        """
        parts = 0
        while hits > 0:
            if parts == MOST_PARTS:
                self.lost(service, route, hits, "too_many_tokens", f"{MOST_PARTS} messages cannot tell so many")
                return
            parts += 1
            part = min(hits, ratelimit.MOST_HITS)
            hits -= part
            Report(self, service, route, part).send(ratelimit.request(domain, descriptors, part))

    def lost(self, service: Service, route: str, hits: int, reason: str, detail: str = "") -> None:
        """A report was not made, did not arrive, or was not taken, as its answer says."""
        self._metrics.errors.increment()
        self._metrics.service_errors.add((service.name, reason), 1)
        if hits:
            self._metrics.tokens_unreported.add((route,), hits)
        end = f": {detail}" if detail else ""
        self._warnings.warn(f"report of {hits} tokens on {route} to {service.name} failed: {reason}{end}")

    def call(self, service: Service, message: bytes, report: "Report") -> None:
        """Make the call of a report, as the root context."""
        grpc_service, method = METHODS[REPORT]
        self._root.grpc_call(service.upstream, grpc_service, method, message, report.on_reply, service.timeout_ms)


@final
class Report:
    """One report under way."""

    def __init__(self, reporter: Reporter, service: Service, route: str, hits: int) -> None:
        self._reporter = reporter
        self._service = service
        self._route = route
        self._hits = hits

    def send(self, message: bytes) -> None:
        try:
            self._reporter.call(self._service, message, self)
        except HostError:
            self._lost("not_sent")

    def on_reply(self, reply: GrpcReply) -> None:
        if not reply.ok:
            self._lost(status_name(reply.status))
            return
        try:
            code = ratelimit.decode_response(reply.message).overall_code
        except WireError:
            self._lost("bad_reply")
            return
        if code not in (ratelimit.OK, ratelimit.OVER_LIMIT):
            self._lost("bad_code")

    def _lost(self, reason: str) -> None:
        self._reporter.lost(self._service, self._route, self._hits, reason)
