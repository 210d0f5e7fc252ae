"""The smallest useful filter: tells the client which path its request had."""

from proxywasm import Action, HttpContext, RootContext, StreamContext, register


class EchoPath(HttpContext):
    def __init__(self, context_id: int, root: RootContext) -> None:
        super().__init__(context_id, root)
        self.path = ""

    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        self.path = self.request_headers[":path"]
        return Action.CONTINUE

    def on_response_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        self.response_headers["x-request-path"] = self.path
        return Action.CONTINUE


class Root(RootContext):
    def create_stream(self, context_id: int) -> StreamContext:
        return EchoPath(context_id, self)


register(Root)
