"""Asks a service about each request: what it answers with 200 goes on, all else is refused.

The plugin's configuration decides what happens when there is no verdict, because the service is down or slow or
because this filter has a bug: `open` lets the request pass, anything else refuses it.
"""

from proxywasm import Action, HttpContext, HttpReply, LogLevel, RootContext, StreamContext, StreamType, register

CLUSTER = "gatekeeper"
TIMEOUT = 250
"""Milliseconds."""


class Guarded(HttpContext):
    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        path = self.request_headers[":path"]
        question = [(":method", "GET"), (":path", path), (":authority", CLUSTER)]
        self.http_call(CLUSTER, question, self.on_verdict, timeout=TIMEOUT)
        return Action.PAUSE

    def on_verdict(self, reply: HttpReply) -> None:
        # Envoy answers in place of a service that it cannot reach (503) or that is late (504)
        silent = reply.failed or reply.status >= 500
        if silent:
            self.log(LogLevel.WARN, f"no verdict from {CLUSTER}")
        if reply.status == 200 or (silent and self.root.fail_open):
            self.continue_stream(StreamType.HTTP_REQUEST)
        elif silent:
            self.send_local_response(503, b"no verdict\n", details="gatekeeper_silent")
        else:
            self.send_local_response(403, reply.body(), details="gatekeeper_refused")


class Root(RootContext):
    def on_configure(self, configuration: bytes) -> bool:
        self.fail_open = configuration == b"open"
        return True

    def create_stream(self, context_id: int) -> StreamContext:
        return Guarded(context_id, self)


register(Root)
