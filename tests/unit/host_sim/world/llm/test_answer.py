"""Which tokens count as answered, for any cutting of a body into chunks and any end of the connection."""

import asyncio
from collections.abc import AsyncIterator, MutableMapping
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.llm.answer import Answer, Client, Part
from host_sim.world.llm.ledger import Answered
from host_sim.world.llm.override import ResponseOverride


class Wire:
    """An ASGI connection whose client leaves once it has received *patience* bytes."""

    def __init__(self, patience: int | None) -> None:
        self.body = b""
        self.chunks: list[int] = []
        self.ended = False
        self._patience = patience
        self._left = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        await self._left.wait()
        return {"type": "http.disconnect"}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        if message["type"] != "http.response.body":
            return
        self.body += message["body"]
        self.chunks.append(len(message["body"]))
        self.ended = not message["more_body"]
        if self._patience is not None and len(self.body) >= self._patience:
            self._left.set()
            await asyncio.sleep(0)
            await asyncio.sleep(0)


@given(
    st.lists(st.integers(0, 12), max_size=12),
    st.one_of(st.none(), st.integers(1, 30)),
    st.one_of(st.none(), st.integers(0, 60)),
    st.one_of(st.none(), st.integers(1, 60)),
)
def test_tokens_are_answered_when_the_last_byte_of_their_part_is_out(
    sizes: list[int], chunk_size: int | None, truncate_after: int | None, patience: int | None
) -> None:
    parts = [Part(bytes([index]) * size, Answered(completion_tokens=1)) for index, size in enumerate(sizes)]
    body = b"".join(part.data for part in parts)

    async def produce() -> AsyncIterator[Part]:
        for part in parts:
            yield part

    async def scenario() -> tuple[Wire, Answer, bool]:
        wire = Wire(patience)
        async with Client(wire.receive, wire.send) as client:
            override = ResponseOverride(chunk_size=chunk_size, truncate_after=truncate_after)
            answer = Answer(client, "text/plain", override)
            whole = await answer.send(produce(), length=None)
        return wire, answer, whole

    wire, answer, whole = asyncio.run(scenario())
    assert body.startswith(wire.body)
    assert whole == (
        wire.ended and wire.body == body and not (truncate_after is not None and truncate_after < len(body))
    )
    sent = len(wire.body)
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    least = sum(1 for end, size in zip(ends, sizes, strict=True) if end <= sent and size)
    most = sum(1 for end in ends if end <= sent)
    assert least <= answer.answered.completion_tokens <= most
    if chunk_size is not None:
        assert all(size <= chunk_size for size in wire.chunks)
    if truncate_after is not None:
        assert sent <= truncate_after
