"""The limiter over gRPC: Kuadrant's RateLimitService (check, report) and Envoy's (both in one).

Protos: `envoy/service/ratelimit/v3/rls.proto`; `kuadrant.service.ratelimit.v1.RateLimitService` has the methods
CheckRateLimit and Report with Envoy's messages.
"""

import logging
from collections.abc import Callable
from typing import Final, NoReturn

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.protobuf.message import DecodeError

from .counters import StorageError
from .expressions import ConditionError, Descriptors, EvaluationError
from .faults import FaultInjection
from .metered_limiter import MeteredLimiter
from .rate_limit_headers import RateLimitHeaders, draft_version_03

_LOG = logging.getLogger(__name__)

ENVOY_SERVICE: Final = "envoy.service.ratelimit.v3.RateLimitService"
KUADRANT_SERVICE: Final = "kuadrant.service.ratelimit.v1.RateLimitService"

MAX_MESSAGE_BYTES: Final = 256 * 1024
"""Larger requests are refused with RESOURCE_EXHAUSTED: descriptors end up in counters and labels, which stay."""

_UNAVAILABLE: Final = "Service unavailable"

_Answer = Callable[[str, Descriptors, int], RateLimitResponse]


class RateLimitServices:
    """Method handlers for a `grpc.aio` server."""

    def __init__(self, limiter: MeteredLimiter, headers: RateLimitHeaders, faults: FaultInjection) -> None:
        self._limiter = limiter
        self._headers = headers
        self._faults = faults

    def register(self, server: grpc.aio.Server) -> None:
        """Add both services to a server that has not started."""
        server.add_generic_rpc_handlers(
            (
                grpc.method_handlers_generic_handler(
                    KUADRANT_SERVICE,
                    {
                        "CheckRateLimit": self._handler("CheckRateLimit", self._check),
                        "Report": self._handler("Report", self._report),
                    },
                ),
                grpc.method_handlers_generic_handler(
                    ENVOY_SERVICE, {"ShouldRateLimit": self._handler("ShouldRateLimit", self._check_and_report)}
                ),
            )
        )

    def _check(self, namespace: str, descriptors: Descriptors, hits: int) -> RateLimitResponse:
        return _response(self._limiter.check(namespace, descriptors).limited)

    def _report(self, namespace: str, descriptors: Descriptors, hits: int) -> RateLimitResponse:
        self._limiter.report(namespace, descriptors, hits)
        return _response(False)

    def _check_and_report(self, namespace: str, descriptors: Descriptors, hits: int) -> RateLimitResponse:
        decision = self._limiter.check_and_report(namespace, descriptors, hits)
        response = _response(decision.limited)
        if self._headers is RateLimitHeaders.DRAFT_VERSION_03:
            response.response_headers_to_add.extend(
                HeaderValue(key=name, value=value) for name, value in draft_version_03(decision).items()
            )
        return response

    def _handler(self, method: str, answer: _Answer) -> grpc.RpcMethodHandler:
        async def handle(message: bytes, context: grpc.aio.ServicerContext) -> RateLimitResponse:
            return await self._call(method, answer, message, context)

        # Messages are parsed by hand, for bytes that are no message must be answered with INTERNAL.
        return grpc.unary_unary_rpc_method_handler(handle, None, RateLimitResponse.SerializeToString)

    async def _call(
        self, method: str, answer: _Answer, message: bytes, context: grpc.aio.ServicerContext
    ) -> RateLimitResponse:
        failure = await self._faults.strike(method)
        if failure is not None:
            await _abort(context, failure, _UNAVAILABLE if failure is grpc.StatusCode.UNAVAILABLE else "")
        try:
            request = RateLimitRequest.FromString(message)
        except DecodeError:
            await _abort(context, grpc.StatusCode.INTERNAL, "the message is no RateLimitRequest")
        if not request.domain:
            return RateLimitResponse(overall_code=RateLimitResponse.UNKNOWN)
        descriptors = [{entry.key: entry.value for entry in descriptor.entries} for descriptor in request.descriptors]
        try:
            # An addend of 0 is one that was left out (rls.proto: default 1).
            return answer(request.domain, descriptors, request.hits_addend or 1)
        except ConditionError as error:
            _LOG.error("%s: condition %s", method, error)
            # Limitador resets the stream, which a client sees as CANCELLED.
            await _abort(context, grpc.StatusCode.CANCELLED, "")
        except (EvaluationError, StorageError) as error:
            _LOG.error("%s: %s", method, error)
            await _abort(context, grpc.StatusCode.UNAVAILABLE, _UNAVAILABLE)


async def _abort(context: grpc.aio.ServicerContext, status: grpc.StatusCode, details: str) -> NoReturn:
    await context.abort(status, details)
    raise AssertionError("ServicerContext.abort came back")


def _response(limited: bool) -> RateLimitResponse:
    return RateLimitResponse(overall_code=RateLimitResponse.OVER_LIMIT if limited else RateLimitResponse.OK)
