"""The limiter over HTTP: state to look at (`/status`, `/metrics`, `/limits`, `/counters`) and Limitador's JSON API."""

import json
import logging
from collections.abc import Awaitable, Callable
from typing import Final
from urllib.parse import unquote

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from .check_request import CheckRequest, CheckRequestError, parse_check_request
from .counters import StorageError
from .expressions import EvaluationError
from .limiter import Decision, Limiter
from .metered_limiter import MeteredLimiter
from .metrics import CONTENT_TYPE, CallMetrics
from .rate_limit_headers import draft_version_03
from .status import Status

_LOG = logging.getLogger(__name__)

MAX_BODY_BYTES: Final = 256 * 1024

_Handler = Callable[[Request], Awaitable[Response]]


def http_api(limiter: Limiter, metrics: CallMetrics, status: Status) -> Starlette:
    """The ASGI application. Every 404 and 405 has an empty body; JSON is compact."""
    api = _HttpApi(limiter, metrics, status)
    app = Starlette(
        routes=[
            Route("/status", api.status),
            Route("/metrics", api.metrics),
            Route("/limits/{namespace:path}", api.limits),
            Route("/counters/{namespace:path}", api.counters),
            Route("/check", api.check, methods=["POST"]),
            Route("/report", api.report, methods=["POST"]),
            Route("/check_and_report", api.check_and_report, methods=["POST"]),
        ],
        exception_handlers={
            HTTPException: _empty,
            EvaluationError: _internal_error,
            StorageError: _internal_error,
        },
    )
    app.router.redirect_slashes = False
    return app


class _HttpApi:
    def __init__(self, limiter: Limiter, metrics: CallMetrics, status: Status) -> None:
        self._limiter = limiter
        self._metered = MeteredLimiter(limiter, metrics)
        self._metrics = metrics
        self._status = status

    async def status(self, request: Request) -> Response:
        return _json(self._status.to_dict())

    async def metrics(self, request: Request) -> Response:
        return Response(self._metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    async def limits(self, request: Request) -> Response:
        return _json([limit.to_dict() for limit in self._limiter.limits(_namespace(request))])

    async def counters(self, request: Request) -> Response:
        return _json([counter.to_dict() for counter in self._limiter.counters(_namespace(request))])

    async def check(self, request: Request) -> Response:
        asked = await _check_request(request)
        if isinstance(asked, Response):
            return asked
        if self._limiter.check(asked.namespace, [asked.values], asked.delta).limited:
            return PlainTextResponse("Too many requests", 429)
        return _json(None)

    async def report(self, request: Request) -> Response:
        asked = await _check_request(request)
        if isinstance(asked, Response):
            return asked
        self._limiter.report(asked.namespace, [asked.values], asked.delta)
        return _json(None)

    async def check_and_report(self, request: Request) -> Response:
        asked = await _check_request(request)
        if isinstance(asked, Response):
            return asked
        decision = self._metered.check_and_report(asked.namespace, [asked.values], asked.delta)
        return _json(None, 429 if decision.limited else 200, _quota_headers(asked, decision))


def _quota_headers(asked: CheckRequest, decision: Decision) -> dict[str, str]:
    return draft_version_03(decision) if asked.response_headers == "DraftVersion03" else {}


def _namespace(request: Request) -> str:
    """The last path segment. A slash of the namespace must come escaped: the routes match the decoded path, so that is
    looked up in the raw one."""
    raw: bytes = request.scope["raw_path"]
    segment = raw.decode("latin-1").split("?", 1)[0].split("/", 2)[2]
    if "/" in segment or not segment:
        raise HTTPException(404)
    return unquote(segment)


async def _check_request(request: Request) -> CheckRequest | Response:
    """The body, or the answer to a bad one."""
    if not _is_json(request.headers.get("content-type", "")):
        return PlainTextResponse("Content type error", 400)
    body = bytearray()
    async for chunk in request.stream():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            return PlainTextResponse(f"Json payload is larger than allowed (limit: {MAX_BODY_BYTES} bytes).", 413)
    try:
        return parse_check_request(bytes(body))
    except CheckRequestError as error:
        return PlainTextResponse(f"Json deserialize error: {error}", 400)


def _is_json(content_type: str) -> bool:
    media_type = content_type.split(";", 1)[0].strip().lower()
    return media_type == "application/json" or media_type.endswith("+json")


def _json(value: object, status_code: int = 200, headers: dict[str, str] | None = None) -> Response:
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"))
    return Response(text.encode("utf-8", "replace"), status_code, headers, media_type="application/json")


async def _empty(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return Response(status_code=error.status_code, headers=error.headers)


async def _internal_error(request: Request, error: Exception) -> Response:
    _LOG.error("%s: %s", request.url.path, error)
    return PlainTextResponse("Internal server error", 500)
