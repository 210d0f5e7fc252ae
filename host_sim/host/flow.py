"""One direction of an HTTP exchange through a filter: what reaches the filter, what it holds, and what goes on.

The rules are those of Envoy's filter manager (`source/common/http/filter_manager.cc`) for a single filter, with the
mapping that proxy-wasm-cpp-host puts in front of it: a module that pauses at the headers stops everything, so that
body and trailers wait outside until it continues; one that pauses at the body gets the whole body so far with each
further chunk.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from host_sim.host.abi import Action
from host_sim.host.buffers import Buffer
from host_sim.host.headers import HeaderMap

_CONTINUE: Final = (0, 2)
"""Results of a headers callback that let them pass: Continue and, which Envoy takes for it, ContinueAndEndStream."""

_BUFFER, _WATERMARK = 1, 2
"""Results of a body callback that hold the body; any other except 0 drops what the filter was given."""


class _State(Enum):
    PASSING = auto()
    HOLDING = auto()
    STOPPED = auto()


@dataclass(frozen=True)
class Callbacks:
    """How a flow asks the filter: each gets a size and end-of-stream where there is one, and returns the module's
    answer."""

    headers: Callable[[int, bool], int]
    body: Callable[[int, bool], int]
    trailers: Callable[[int], int]
    too_large: Callable[[], None]


@dataclass
class Passed:
    """What has gone on to the next hop."""

    headers: HeaderMap | None = None
    body: bytes = b""
    trailers: HeaderMap | None = None
    end_of_stream: bool = False


class Flow:
    """Feed it with `accept_*`; look at `passed` for what came out and at `take` for what is new since the last time."""

    def __init__(self, callbacks: Callbacks, buffer_limit: int) -> None:
        self.headers: HeaderMap | None = None
        self.trailers: HeaderMap | None = None
        self.received_bytes = 0
        self.received_end = False
        self.passed_bytes = 0
        self.passed_headers = False
        self.passed_trailers = False
        self.passed_end = False
        self.aborted = False
        """Nothing more reaches the filter or the next hop: a local reply took over or the stream was reset."""
        self.visible_headers: HeaderMap | None = None
        self.visible_trailers: HeaderMap | None = None
        self.visible_body = Buffer()
        """What host functions see at this moment; a map is hidden from them once the filter has let it pass."""
        self._callbacks = callbacks
        self._buffer_limit = buffer_limit
        self._state = _State.PASSING
        self._held: Buffer | None = None
        self._buffering = False
        self._body: list[bytes] = []
        self._taken_headers = False
        self._taken_trailers = False
        self._taken_chunks = 0

    @property
    def body(self) -> bytes:
        """All of the body that has gone on."""
        return b"".join(self._body)

    @property
    def paused(self) -> bool:
        return self._state is not _State.PASSING

    def take(self) -> Passed:
        """What has gone on since `take` was called last."""
        passed = Passed(body=b"".join(self._body[self._taken_chunks :]), end_of_stream=self.passed_end)
        self._taken_chunks = len(self._body)
        if self.passed_headers and not self._taken_headers:
            passed.headers, self._taken_headers = self.headers, True
        if self.passed_trailers and not self._taken_trailers:
            passed.trailers, self._taken_trailers = self.trailers, True
        return passed

    def accept_headers(self, headers: HeaderMap, end_of_stream: bool) -> Action:
        self.headers = self.visible_headers = headers
        self.received_end = end_of_stream
        result = self._callbacks.headers(len(headers), end_of_stream)
        if self.aborted:
            return Action.PAUSE
        if result not in _CONTINUE:
            self._state = _State.STOPPED
            return Action.PAUSE
        self.visible_headers = None
        self._pass_headers()
        return Action.CONTINUE

    def accept_body(self, data: bytes, end_of_stream: bool) -> Action:
        self.received_bytes += len(data)
        self.received_end = end_of_stream
        if self._state is _State.STOPPED:
            self._hold(data)
            return Action.PAUSE
        if self._buffering:
            self._hold(data)
            if self._too_large():
                return Action.PAUSE
            return self._offer_body(self._held or Buffer(writable=True), end_of_stream)
        return self._offer_body(Buffer(data, writable=True), end_of_stream)

    def accept_trailers(self, trailers: HeaderMap) -> Action:
        self.trailers = trailers
        self.received_end = True
        return Action.PAUSE if self._state is _State.STOPPED else self._offer_trailers()

    def resume(self) -> None:
        """The filter continues what it had stopped; nothing happens if it had not."""
        self.visible_headers = self.visible_trailers = None
        self.visible_body = Buffer()
        if self.aborted or self.headers is None:
            return
        stopped, self._state = self._state is _State.STOPPED, _State.PASSING
        self._pass_headers()
        held, self._held, self._buffering = self._held, None, False
        end = self.received_end and self.trailers is None
        if held is not None:
            if stopped:
                self._offer_body(held, end)
            else:
                self._pass_body(held, end)
        if self.trailers is not None and not self.passed_trailers and not self.aborted:
            if stopped:
                if self._state is _State.PASSING:
                    self._offer_trailers()
            else:
                self._pass_trailers()

    def replace(self, headers: HeaderMap, body: bytes) -> None:
        """Puts a local reply in place of a message whose headers have not gone on yet; the filter does not see it."""
        self.headers, self.trailers, self._held = headers, None, None
        self._state = _State.PASSING
        self._pass_headers()
        self._pass_body(Buffer(body), end=True)

    def abort(self) -> None:
        self.aborted = True
        self._held = None

    def _hold(self, data: bytes) -> None:
        if self._held is None:
            self._held = Buffer(b"", writable=True)
        self._held.data += data

    def _too_large(self) -> bool:
        if self._held is None or len(self._held) <= self._buffer_limit:
            return False
        self._callbacks.too_large()
        return True

    def _offer_body(self, buffer: Buffer, end: bool) -> Action:
        self.visible_body = buffer
        result = self._callbacks.body(len(buffer), end)
        if self.aborted:
            return Action.PAUSE
        if result == 0:
            self.visible_body = Buffer()
            if buffer is not self._held and self._held is not None:
                self._held.data += buffer.data
                buffer = self._held
            self._held, self._buffering, self._state = None, False, _State.PASSING
            self._pass_body(buffer, end)
            return Action.CONTINUE
        self._state = _State.HOLDING
        self._buffering = result == _BUFFER
        if result in (_BUFFER, _WATERMARK):
            if self._held is None:
                self._held = buffer
            elif buffer is not self._held:
                self._held.data += buffer.data
            if self._buffering:
                self._too_large()
        return Action.PAUSE

    def _offer_trailers(self) -> Action:
        assert self.trailers is not None
        self.visible_trailers = self.trailers
        result = self._callbacks.trailers(len(self.trailers))
        if self.aborted:
            return Action.PAUSE
        if result != 0:
            self._state = _State.HOLDING
            return Action.PAUSE
        self.visible_trailers = None
        held, self._held, self._buffering, self._state = self._held, None, False, _State.PASSING
        if held is not None:
            self._pass_body(held, end=False)
        self._pass_trailers()
        return Action.CONTINUE

    def _pass_headers(self) -> None:
        if not self.passed_headers:
            self.passed_headers = True
            self.passed_end = (
                self.received_end and self._held is None and self.trailers is None and not self.received_bytes
            )

    def _pass_body(self, buffer: Buffer, end: bool) -> None:
        # Moved, not copied: the filter may still hold on to the buffer that it let pass.
        data, buffer.data = buffer.data, b""
        if data:
            self._body.append(data)
            self.passed_bytes += len(data)
        self.passed_end = self.passed_end or end

    def _pass_trailers(self) -> None:
        self.passed_trailers = self.passed_end = True
