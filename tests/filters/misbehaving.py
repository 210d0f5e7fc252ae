"""A filter that goes wrong where and how it is told to.

A stream goes wrong in the callback that the request header `x-in` names; with `echo` it repeats headers `x-raw...`. Its
plugin goes wrong in the callbacks that its configuration names: `{"fail_open": false, "in": {"on_tick": "exception"}}`.
How: a name of `trouble.TROUBLES`.
"""

import json

from proxywasm import Action, GrpcReply, HttpContext, HttpReply, LogLevel, RootContext, StreamContext, register
from trouble import TROUBLES


class Misbehaving(HttpContext):
    def __init__(self, context_id: int, root: RootContext) -> None:
        super().__init__(context_id, root)
        self.place = ""
        self.how = ""
        self.raw: list[tuple[str, str]] = []

    def reach(self, place: str) -> Action:
        """Go wrong if this is the place."""
        if place == self.place:
            self.log(LogLevel.INFO, f"came back with {TROUBLES[self.how]()!r}")
        return Action.CONTINUE

    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        self.place = self.request_headers.get("x-in") or ""
        self.how = self.request_headers.get("x-how") or "exception"
        if self.place == "echo":
            # the host forgets a request's headers when it has ended
            self.raw = [(name, value) for name, value in self.request_headers.pairs() if name.startswith("x-raw")]
        if self.place == "http_call":
            question = [(":method", "GET"), (":path", "/"), (":authority", "echo")]
            self.http_call("echo", question, self.on_http_reply, timeout=500)
            return Action.PAUSE
        if self.place == "grpc_call":
            self.grpc_call("echo", "a.Service", "Method", b"", self.on_grpc_reply, timeout=500)
            return Action.PAUSE
        return self.reach("on_request_headers")

    def on_http_reply(self, reply: HttpReply) -> None:
        self.reach("http_call")

    def on_grpc_reply(self, reply: GrpcReply) -> None:
        self.reach("grpc_call")

    def on_request_body(self, size: int, end_of_stream: bool) -> Action:
        return self.reach("on_request_body")

    def on_request_trailers(self, num_trailers: int) -> Action:
        return self.reach("on_request_trailers")

    def on_response_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        for name, value in self.raw:
            self.response_headers.add(name, value)
        return self.reach("on_response_headers")

    def on_response_body(self, size: int, end_of_stream: bool) -> Action:
        return self.reach("on_response_body")

    def on_response_trailers(self, num_trailers: int) -> Action:
        return self.reach("on_response_trailers")

    def on_log(self) -> None:
        self.reach("on_log")

    def on_done(self) -> bool:
        self.reach("on_done")
        return True

    def on_delete(self) -> None:
        self.reach("on_delete")


class Root(RootContext):
    def __init__(self, context_id: int) -> None:
        super().__init__(context_id)
        self.places: dict[str, str] = {}

    def reach(self, place: str) -> None:
        how = self.places.get(place)
        if how is not None:
            self.log(LogLevel.INFO, f"came back with {TROUBLES[how]()!r}")

    def on_configure(self, configuration: bytes) -> bool:
        settings = json.loads(configuration or b"{}")
        self.fail_open = settings.get("fail_open", False)
        self.places = settings.get("in", {})
        self.reach("on_configure")
        self.set_tick_period(settings.get("tick", 0))
        return True

    def create_stream(self, context_id: int) -> StreamContext:
        self.reach("create_stream")
        return Misbehaving(context_id, self)

    def on_tick(self) -> None:
        self.reach("on_tick")

    def on_queue_ready(self, queue_id: int) -> None:
        self.reach("on_queue_ready")

    def on_done(self) -> bool:
        self.reach("on_done")
        return True

    def on_delete(self) -> None:
        self.reach("on_delete")


register(Root)
