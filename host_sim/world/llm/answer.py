"""Sending an answer while keeping account of which of its tokens really went out."""

import asyncio
import contextlib
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from starlette.types import Receive, Send

from host_sim.world.llm.ledger import Answered
from host_sim.world.llm.override import NOTHING, ResponseOverride


@dataclass(frozen=True, slots=True)
class Part:
    """A piece of a body, and the tokens that are answered once its last byte is out."""

    data: bytes
    tokens: Answered = field(default_factory=Answered)


class ClientLeft(Exception):
    """The client closed its connection before the answer's end."""


class Client:
    """The other end of one request (ASGI ``receive`` and ``send``); knows when the client has left.

    A context manager: within it, the connection is watched.
    """

    def __init__(self, receive: Receive, send: Send) -> None:
        self._receive = receive
        self._send = send
        self._left = asyncio.Event()
        self._watch: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        self._watch = asyncio.create_task(self._await_disconnect())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._watch is not None:
            self._watch.cancel()

    async def _await_disconnect(self) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._left.set()

    def leave(self) -> None:
        """Treat the client as gone, as when the server stops."""
        self._left.set()

    async def sleep(self, seconds: float) -> None:
        """Wait *seconds*, or with 0 let other tasks run. Raises ClientLeft as soon as the client leaves."""
        if seconds > 0:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._left.wait(), seconds)
        else:
            await asyncio.sleep(0)
        if self._left.is_set():
            raise ClientLeft

    async def start(self, status: int, headers: list[tuple[bytes, bytes]]) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": headers})

    async def write(self, data: bytes, *, more: bool) -> None:
        """Hand *data* to the connection. Raises ClientLeft, handing over nothing, if it is known to be closed."""
        if self._left.is_set():
            raise ClientLeft
        await self._send({"type": "http.response.body", "body": data, "more_body": more})


@dataclass(slots=True)
class Answer:
    """The response to one completion; :meth:`send` fills :attr:`answered`, whatever becomes of the connection."""

    client: Client
    content_type: str
    override: ResponseOverride = NOTHING
    answered: Answered = field(default_factory=Answered)
    began_at: float | None = None
    """When the first piece of the body went out (``time.monotonic``)."""
    _sent: int = 0
    _owed: deque[tuple[int, Answered]] = field(default_factory=deque)

    async def send(self, parts: AsyncIterator[Part], *, length: int | None) -> bool:
        """Send *parts*, whose sum is *length* bytes if that is known; else, and if chunks are dictated, chunked.

        Returns whether the whole answer went out. Cancelling it leaves the account right.
        """
        limit = self.override.truncate_after
        if self.override.chunk_size is not None:
            length = None
        elif length is not None and limit is not None and self.override.end == "clean":
            length = min(length, limit)
        await self.client.start(self.override.status or 200, self._headers(length))
        whole = True
        try:
            async for chunk in self._chunks(parts):
                if limit is not None and self._sent + len(chunk) > limit:
                    whole = False
                    chunk = chunk[: limit - self._sent]
                if chunk:
                    await self._write(chunk)
                if not whole:
                    break
            if whole or self.override.end == "clean":
                await self.client.write(b"", more=False)
        except ClientLeft:
            return False
        return whole

    async def _write(self, chunk: bytes) -> None:
        await self.client.write(chunk, more=True)
        if self.began_at is None:
            self.began_at = time.monotonic()
        self._sent += len(chunk)
        while self._owed and self._owed[0][0] <= self._sent:
            tokens = self._owed.popleft()[1]
            self.answered.prompt_tokens += tokens.prompt_tokens
            self.answered.completion_tokens += tokens.completion_tokens
            self.answered.reported_tokens += tokens.reported_tokens

    async def _chunks(self, parts: AsyncIterator[Part]) -> AsyncIterator[bytes]:
        """The bytes of *parts*, as they come or in chunks of the dictated size."""
        size = self.override.chunk_size
        made = 0
        pending = bytearray()
        async for part in parts:
            made += len(part.data)
            self._owed.append((made, part.tokens))
            if size is None:
                yield part.data
                await self._pause()
                continue
            pending += part.data
            while len(pending) >= size:
                yield bytes(pending[:size])
                del pending[:size]
                await self._pause()
        if pending:
            yield bytes(pending)

    async def _pause(self) -> None:
        if self.override.chunk_delay:
            await self.client.sleep(self.override.chunk_delay)

    def _headers(self, length: int | None) -> list[tuple[bytes, bytes]]:
        headers = {"content-type": self.override.content_type or self.content_type}
        headers |= {name.lower(): value for name, value in self.override.headers.items()}
        if length is not None:
            headers.setdefault("content-length", str(length))
        return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in headers.items()]
