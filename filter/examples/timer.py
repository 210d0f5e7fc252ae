"""Counts the requests of all workers in shared data and shows them as a gauge, once a second."""

from proxywasm import Gauge, HttpContext, RootContext, StreamContext, get_shared, register, update_shared

KEY = "timer.requests"
PERIOD = 1000
"""Milliseconds."""


def one_more(count: bytes | None) -> bytes:
    return str(int(count or b"0") + 1).encode()


class Counted(HttpContext):
    def on_log(self) -> None:
        # compares and swaps: another worker may count at the same time
        update_shared(KEY, one_more)


class Root(RootContext):
    requests: Gauge

    def on_configure(self, configuration: bytes) -> bool:
        self.requests = Gauge("timer_requests")
        self.set_tick_period(PERIOD)
        return True

    def on_tick(self) -> None:
        found = get_shared(KEY)
        if found is not None:
            self.requests.set(int(found[0]))

    def create_stream(self, context_id: int) -> StreamContext:
        return Counted(context_id, self)


register(Root)
