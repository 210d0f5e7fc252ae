"""A filter that reads and writes what the host hands over as often as the header `x-times` says."""

from proxywasm import Action, HttpContext, RootContext, StreamContext, get_shared, register, set_shared


class Reading(HttpContext):
    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        for number in range(int(self.request_headers["x-times"])):
            self.request_headers.get("x-long")
            self.request_headers.get("x-raw")
            self.request_headers.get("x-none")
            self.get_property(b"request\0path")
            self.get_property(b"no\0such")
            self.request_headers["x-number"] = str(number)
            if number % 10 == 0:
                self.request_headers.pairs()
                set_shared("reading", b"x" * 500)
                get_shared("reading")
        return Action.CONTINUE

    def on_request_body(self, size: int, end_of_stream: bool) -> Action:
        for _ in range(1000):
            self.request_body.read()
            self.request_body.read(0, 10)
            self.request_body.read(size)
        return Action.CONTINUE


class Root(RootContext):
    def create_stream(self, context_id: int) -> StreamContext:
        return Reading(context_id, self)


register(Root)
