"""``envoy.service.auth.v3.Authorization`` over gRPC."""

import asyncio
from dataclasses import dataclass
from typing import Final

import grpc
import grpc.aio
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from host_sim.world.auth.service import AuthService

SERVICE: Final = "envoy.service.auth.v3.Authorization"

_STOP_GRACE: Final = 0.5
"""Seconds calls get to end when the server stops."""


@dataclass(frozen=True)
class Faults:
    """Misbehaviour on demand, for tests of what stands before the service. The default is none."""

    delay: float = 0.0
    """Seconds before each answer."""
    unavailable: bool = False
    """Answer each call with gRPC status UNAVAILABLE."""


class RunningAuth:
    """A service that listens; made by :func:`serve`."""

    def __init__(self, service: AuthService, server: grpc.aio.Server, host: str, faults: Faults) -> None:
        self.service: Final = service
        self.host: Final = host
        self.port = 0
        """The real port, also if 0 was asked for."""
        self.faults = faults
        """May be set at any time; calls that arrive later follow it."""
        self._server = server

    async def stop(self) -> None:
        """Stop listening; open calls get half a second to end."""
        await self._server.stop(_STOP_GRACE)

    async def check(self, request: CheckRequest, context: grpc.aio.ServicerContext) -> CheckResponse:
        """The method handler of ``Check``."""
        faults = self.faults
        if faults.delay > 0:
            await asyncio.sleep(faults.delay)
        if faults.unavailable:
            await context.abort(grpc.StatusCode.UNAVAILABLE, "unavailable on demand")
        return self.service.check(request)


async def serve(
    service: AuthService, host: str = "127.0.0.1", port: int = 0, faults: Faults | None = None
) -> RunningAuth:
    """Serve *service* on *host* and *port* (0: a free one) in the running event loop.

    Raises OSError if the address cannot be bound.
    """
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    running = RunningAuth(service, server, host, faults or Faults())
    check = grpc.unary_unary_rpc_method_handler(running.check, CheckRequest.FromString, CheckResponse.SerializeToString)
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(SERVICE, {"Check": check})])
    address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    try:
        running.port = server.add_insecure_port(address)
    except RuntimeError as error:
        raise OSError(f"cannot listen on {address}: {error}") from None
    await server.start()
    return running
