"""The HTTP server: endpoints, errors, and a life cycle that lets it run inside another program."""

import asyncio
import contextlib
import logging
import random
import socket
import time
from collections.abc import AsyncIterator, Iterator
from http import HTTPStatus
from typing import Final

import uvicorn
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Receive, Scope, Send

from host_sim.world.llm.answer import Answer, Client, ClientLeft, Part
from host_sim.world.llm.completion import Completion, injected_failure
from host_sim.world.llm.config import SimulatorConfig
from host_sim.world.llm.ledger import Ledger, credential
from host_sim.world.llm.metrics import CONTENT_TYPE, Metrics
from host_sim.world.llm.override import HEADER, NOTHING, ResponseOverride, parse_override
from host_sim.world.llm.protocol import (
    EVENT_STREAM,
    JSON_TYPE,
    ApiError,
    ChatRequest,
    CompletionRequest,
    TextRequest,
    encode,
    models_document,
    parse_request,
)

_log: Final = logging.getLogger(__name__)
_STOP_GRACE: Final = 1
"""Seconds open answers get to end when the simulator stops."""


class Simulator:
    """The simulator as an ASGI application, with its ledger and metrics."""

    def __init__(self, config: SimulatorConfig) -> None:
        self.config: Final = config
        self.ledger: Final = Ledger()
        self.metrics: Final = Metrics(config.names[0], config.max_model_len, config.lora, config.max_loras)
        self._rng = random.Random(config.seed)
        self._slots = asyncio.Semaphore(config.max_num_seqs)
        self._open: set[Client] = set()
        self._idle = asyncio.Event()
        self._idle.set()
        self._started = int(time.time())
        self._app = Starlette(
            routes=[
                Route("/v1/models", self._models, methods=["GET"]),
                Route("/v1/chat/completions", _CompletionEndpoint(self, ChatRequest), methods=["POST"]),
                Route("/v1/completions", _CompletionEndpoint(self, TextRequest), methods=["POST"]),
                Route("/health", self._healthy, methods=["GET"]),
                Route("/ready", self._healthy, methods=["GET"]),
                Route("/health/ready", self._healthy, methods=["GET"]),
                Route("/metrics", self._metrics, methods=["GET"]),
                Route("/ledger", self._ledger, methods=["GET"]),
            ],
            exception_handlers={HTTPException: _plain_error},
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)

    async def _models(self, _request: Request) -> Response:
        return Response(encode(models_document(self.config, self._started)), media_type=JSON_TYPE)

    async def _healthy(self, _request: Request) -> Response:
        return Response(media_type=JSON_TYPE)

    async def _metrics(self, _request: Request) -> Response:
        return Response(self.metrics.exposition(), headers={"content-type": CONTENT_TYPE})

    async def _ledger(self, _request: Request) -> Response:
        """Our own endpoint: the ledger (see :class:`~host_sim.world.llm.ledger.LedgerView`), keys masked."""
        return JSONResponse(self.ledger.view())

    async def drain(self, grace: float) -> None:
        """Wait until all answers are out; after *grace* seconds, cut those that are not. The ledger is then final."""
        try:
            await asyncio.wait_for(self._idle.wait(), grace)
        except TimeoutError:
            for client in self._open:
                client.leave()
            await self._idle.wait()

    @contextlib.asynccontextmanager
    async def _connected(self, receive: Receive, send: Send) -> AsyncIterator[Client]:
        async with Client(receive, send) as client:
            self._open.add(client)
            self._idle.clear()
            try:
                yield client
            finally:
                self._open.discard(client)
                if not self._open:
                    self._idle.set()

    async def complete(self, kind: type[CompletionRequest], request: Request, send: Send) -> None:
        """Answer one completion and enter it in the ledger."""
        key = credential(request.headers.get("authorization", ""))
        began = time.monotonic()
        try:
            override = self._override(request)
            body = await self._body(request)
            async with self._connected(request.receive, send) as client:
                if override.dictated_body is not None:
                    await self._answer_dictated(client, key, override, override.dictated_body)
                    return
                completion = self._accept(kind, body)
                with self.metrics.waiting.track_inprogress():
                    await self._slots.acquire()
                try:
                    with self.metrics.running.track_inprogress():
                        await self._answer(client, key, completion, override, began)
                finally:
                    self._slots.release()
        except ApiError as error:
            self.ledger.enter_error(key)
            response = Response(encode(error.document()), error.status, media_type=JSON_TYPE)
            await response(request.scope, request.receive, send)
        except ClientLeft:
            _log.info("a client left before its answer")

    def _override(self, request: Request) -> ResponseOverride:
        header = request.headers.get(HEADER) if self.config.allow_response_override else None
        return NOTHING if header is None else parse_override(header)

    async def _body(self, request: Request) -> bytes:
        """The request body. Raises ApiError 413 if it is larger than the configuration allows."""
        body = bytearray()
        async for chunk in request.stream():
            body += chunk
            if len(body) > self.config.max_request_body_size:
                raise ApiError(413, f"The request body is larger than {self.config.max_request_body_size} bytes")
        return bytes(body)

    def _accept(self, kind: type[CompletionRequest], body: bytes) -> Completion:
        request = parse_request(kind, body)
        failure = injected_failure(self.config, self._rng)
        if failure is not None:
            raise failure
        return Completion(self.config, self._rng, request)

    async def _answer(
        self, client: Client, key: str, completion: Completion, override: ResponseOverride, began: float
    ) -> None:
        streamed = completion.request.stream
        answer = Answer(client, EVENT_STREAM if streamed else JSON_TYPE, override)
        whole = False
        try:
            await client.sleep(override.delay)
            if streamed:
                whole = await answer.send(completion.stream_parts(client, override), length=None)
            else:
                body = completion.plain(override)
                await completion.wait(client)
                whole = await answer.send(completion.plain_parts(body, override), length=len(body))
        finally:
            self.ledger.enter(key, answer.answered, streamed=streamed, cut=not whole)
            self._measure(completion, answer, began, whole=whole)

    async def _answer_dictated(self, client: Client, key: str, override: ResponseOverride, body: bytes) -> None:
        async def parts() -> AsyncIterator[Part]:
            yield Part(body)

        self.ledger.enter_overridden(key)
        await client.sleep(override.delay)
        await Answer(client, JSON_TYPE, override).send(parts(), length=len(body))

    def _measure(self, completion: Completion, answer: Answer, began: float, *, whole: bool) -> None:
        metrics = self.metrics
        if answer.began_at is not None:
            metrics.first_token_seconds.observe(answer.began_at - began)
        metrics.prompt_tokens.inc(answer.answered.prompt_tokens)
        metrics.generation_tokens.inc(answer.answered.completion_tokens)
        metrics.request_prompt_tokens.observe(answer.answered.prompt_tokens)
        metrics.request_generation_tokens.observe(answer.answered.completion_tokens)
        metrics.latency_seconds.observe(time.monotonic() - began)
        if completion.request.limit is not None:
            metrics.request_max_tokens.observe(completion.request.limit)
        if whole:
            for choice in completion.choices:
                metrics.succeeded(choice.finish_reason)


class _CompletionEndpoint:
    """An ASGI endpoint, because the answer needs ``send`` itself: it must know what went out."""

    def __init__(self, simulator: Simulator, kind: type[CompletionRequest]) -> None:
        self._simulator = simulator
        self._kind = kind

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._simulator.complete(self._kind, Request(scope, receive), send)


async def _plain_error(_request: Request, error: Exception) -> Response:
    """404 and 405 as the router of the real simulator gives them: plain text."""
    if not isinstance(error, HTTPException):
        raise error
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] += ", OPTIONS"
    return PlainTextResponse(HTTPStatus(error.status_code).phrase, error.status_code, headers)


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: they belong to the program around it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


class RunningSimulator:
    """A simulator that listens; made by :func:`serve`."""

    def __init__(self, simulator: Simulator, server: uvicorn.Server, task: "asyncio.Task[None]", port: int) -> None:
        self.simulator: Final = simulator
        self.host: Final = simulator.config.host
        self.port: Final = port
        """The real port, also if 0 was asked for."""
        self._server = server
        self._task = task

    @property
    def ledger(self) -> Ledger:
        return self.simulator.ledger

    async def stop(self) -> None:
        """Stop listening; open answers get a second to end. Calling it again does nothing."""
        self._server.should_exit = True
        await self.simulator.drain(_STOP_GRACE)
        await self._task


async def serve(config: SimulatorConfig) -> RunningSimulator:
    """Start a simulator in the running event loop and return once it listens.

    Raises OSError if the address cannot be bound.
    """
    simulator = Simulator(config)
    family = socket.AF_INET6 if ":" in config.host else socket.AF_INET
    listener = socket.create_server((config.host, config.port), family=family, backlog=512)
    # Accepted sockets inherit it; without it Nagle's algorithm holds back what follows the head for 40 ms.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    server = _Server(
        uvicorn.Config(
            simulator,
            http="h11",
            lifespan="off",
            access_log=False,
            log_config=None,
            server_header=False,
            timeout_graceful_shutdown=2 * _STOP_GRACE,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]))
    while not server.started:
        if task.done():
            listener.close()
            await task
            raise OSError(f"the simulator's server ended before it listened on {config.host}:{config.port}")
        await asyncio.sleep(0.001)
    return RunningSimulator(simulator, server, task, listener.getsockname()[1])
