"""The limiter as a server: gRPC and HTTP on the running event loop, its files watched."""

import asyncio
import contextlib
import logging
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import grpc
import uvicorn
from starlette.types import ASGIApp

from .counters import MAX_QUALIFIED_COUNTERS, Clock, CounterStorage, MemoryStorage
from .expressions import Expression
from .faults import FaultInjection
from .file_watch import FileWatch
from .http_api import http_api
from .limiter import Limiter
from .limits import Limit, LimitsFileError, load_limits
from .metered_limiter import MeteredLimiter
from .metrics import CallMetrics, LabelsFileError, load_custom_labels
from .rate_limit_headers import RateLimitHeaders
from .rls import MAX_MESSAGE_BYTES, RateLimitServices
from .status import Status

_LOG = logging.getLogger(__name__)

LOOPBACK: Final = "127.0.0.1"
"""Where both servers bind unless told otherwise. Limitador binds to 0.0.0.0, for it runs in a pod; nothing here asks
who is calling, so on a laptop nobody else should be able to call."""


@dataclass(frozen=True)
class LimiterConfig:
    """What `serve` needs to know.

    `limits_file` is read and watched; `limits` are used if there is none. Ports: 0 lets the system choose.
    `metric_labels_default` is CEL whose value is a map; `metric_labels_file` a YAML map of label to CEL, watched too.
    `storage` replaces the memory storage that `clock` and `max_counters` describe.
    """

    limits_file: Path | None = None
    limits: Sequence[Limit] = ()
    rls_host: str = LOOPBACK
    rls_port: int = 8081
    http_host: str = LOOPBACK
    http_port: int = 8080
    limit_name_in_labels: bool = False
    metric_labels_default: str | None = None
    metric_labels_file: Path | None = None
    rate_limit_headers: RateLimitHeaders = RateLimitHeaders.NONE
    max_counters: int = MAX_QUALIFIED_COUNTERS
    clock: Clock = time.monotonic
    storage: CounterStorage | None = None
    reload_interval_seconds: float = 0.5
    faults: FaultInjection = field(default_factory=FaultInjection)


class ListenError(OSError):
    """An address that cannot be bound, mostly a port that is taken; the text is one sentence that names it."""


async def serve(config: LimiterConfig) -> "RunningLimiter":
    """Start a limiter on the running event loop; back when both ports answer.

    Raises LimitsFileError or LabelsFileError for a bad file, tallyman.cel.errors.CelSyntaxError for bad CEL in
    `metric_labels_default`, ListenError for a port that is taken. Then nothing is left running.
    """
    limits_watch = FileWatch(config.limits_file) if config.limits_file is not None else None
    labels_watch = FileWatch(config.metric_labels_file) if config.metric_labels_file is not None else None
    limits = load_limits(config.limits_file) if config.limits_file is not None else config.limits
    default_labels = Expression(config.metric_labels_default) if config.metric_labels_default is not None else None
    metrics = CallMetrics(default_labels, config.limit_name_in_labels)
    if config.metric_labels_file is not None:
        metrics.set_custom_labels(load_custom_labels(config.metric_labels_file))
    storage = config.storage if config.storage is not None else MemoryStorage(config.clock, config.max_counters)
    running = RunningLimiter(config, Limiter(limits, storage), metrics)
    try:
        await running._start()
    except BaseException:
        await running.stop()
        raise
    if limits_watch is not None:
        running._watch(limits_watch, running.reload_limits)
    if labels_watch is not None:
        running._watch(labels_watch, running.reload_labels)
    return running


class RunningLimiter:
    """A limiter that answers; an async context manager that stops it.

    `rls_port` and `http_port` are the real ports; `limiter`, `metrics`, `status` and `faults` may be read and used from
    the event loop.
    """

    def __init__(self, config: LimiterConfig, limiter: Limiter, metrics: CallMetrics) -> None:
        self._config = config
        self.limiter = limiter
        self.metrics = metrics
        self.status = Status()
        self.faults = config.faults
        self.rls_port = 0
        self.http_port = 0
        self._grpc_server: grpc.aio.Server | None = None
        self._http_server: _HttpServer | None = None
        self._http_socket: socket.socket | None = None
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def rls_address(self) -> str:
        return _address(self._config.rls_host, self.rls_port)

    @property
    def http_url(self) -> str:
        return f"http://{_address(self._config.http_host, self.http_port)}"

    async def __aenter__(self) -> "RunningLimiter":
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self.stop()

    async def stop(self, grace_seconds: float = 1.0) -> None:
        """Stop both servers; calls under way have `grace_seconds` to end. May be called twice."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        if self._grpc_server is not None:
            await self._grpc_server.stop(grace_seconds)
            self._grpc_server = None
        if self._http_server is not None:
            await self._http_server.stop()
            self._http_server = None
        if self._http_socket is not None:
            self._http_socket.close()
            self._http_socket = None

    def reload_limits(self) -> None:
        """Read the limits file again; a bad one is logged and leaves limits and counters as they are."""
        if self._config.limits_file is None:
            return
        try:
            limits = load_limits(self._config.limits_file)
        except LimitsFileError as error:
            _LOG.error("Failed to reload limit file: Invalid limit file: %s", error)
            self.status.reload_failed()
            return
        self.limiter.configure(limits)
        self.status.reloaded()

    def reload_labels(self) -> None:
        """Read the labels file again; a bad one is logged and leaves the labels as they are."""
        if self._config.metric_labels_file is None:
            return
        try:
            self.metrics.set_custom_labels(load_custom_labels(self._config.metric_labels_file))
        except LabelsFileError as error:
            _LOG.error("Failed to reload custom labels: %s", error)

    async def _start(self) -> None:
        config = self._config
        self._http_socket = _listen("HTTP", config.http_host, config.http_port)
        self.http_port = self._http_socket.getsockname()[1]
        self._grpc_server, self.rls_port = _bind_grpc(config.rls_host, config.rls_port)
        services = RateLimitServices(MeteredLimiter(self.limiter, self.metrics), config.rate_limit_headers, self.faults)
        services.register(self._grpc_server)
        await self._grpc_server.start()
        self._http_server = _HttpServer(http_api(self.limiter, self.metrics, self.status), self._http_socket)
        await self._http_server.start()
        _LOG.info("rate limit service on %s, HTTP on %s", self.rls_address, self.http_url)

    def _watch(self, file: FileWatch, on_change: Callable[[], None]) -> None:
        self._tasks.append(asyncio.create_task(file.run(on_change, self._config.reload_interval_seconds)))


class _HttpServer(uvicorn.Server):
    """uvicorn within a loop that is not its own: signals are the business of whoever runs the loop."""

    def __init__(self, app: ASGIApp, listener: socket.socket) -> None:
        super().__init__(
            uvicorn.Config(
                app, lifespan="off", access_log=False, log_config=None, ws="none", timeout_graceful_shutdown=1
            )
        )
        self._listener = listener
        self._serving: asyncio.Task[None] | None = None
        self._stopping = asyncio.Event()

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield

    async def main_loop(self) -> None:
        # uvicorn's own looks every 0.1 s whether it should stop; this one is told. A tick sets the Date header.
        while not await self.on_tick(0):
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stopping.wait(), 1.0)

    async def start(self) -> None:
        self._serving = asyncio.create_task(self.serve(sockets=[self._listener]))
        while not self.started and not self._serving.done():
            await asyncio.sleep(0)
        if self._serving.done():
            await self._serving

    async def stop(self) -> None:
        self.should_exit = True
        self._stopping.set()
        if self._serving is not None:
            await self._serving


def _listen(what: str, host: str, port: int) -> socket.socket:
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=1024)
    except OSError as error:
        # create_server's own text repeats the address; name resolution has no errno of the system.
        why = str(error.strerror) if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
        raise _cannot_listen(what, host, port, why) from error


def _bind_grpc(host: str, port: int) -> tuple[grpc.aio.Server, int]:
    server = grpc.aio.server(
        options=[
            # Without this a second server could bind the same port, and would get some of the calls.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
        ]
    )
    # gRPC does not say why a port is not to be had; a plain socket does.
    _listen("rate limit service", host, port).close()
    try:
        bound = server.add_insecure_port(_address(host, port))
    except RuntimeError as error:
        raise _cannot_listen("rate limit service", host, port, "cannot be bound") from error
    return server, bound


def _cannot_listen(what: str, host: str, port: int, why: str) -> ListenError:
    return ListenError(
        f"{what} cannot listen on {_address(host, port)}: {why}; stop what listens there or choose another address"
    )


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
