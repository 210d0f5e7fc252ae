"""The smallest useful filter: marks each response with the request's path."""

from proxywasm import Action, HttpContext, RootContext, StreamContext, register


class Header(HttpContext):
    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        self.request_headers["x-python"] = "hello"
        return Action.CONTINUE

    def on_response_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        self.response_headers.add("x-python", "goodbye")
        return Action.CONTINUE


class Root(RootContext):
    def create_stream(self, context_id: int) -> StreamContext:
        return Header(context_id, self)


register(Root)
