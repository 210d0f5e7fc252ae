"""A filter that writes down each callback it gets, and raises in those it is told to."""

from typing import ClassVar

from proxywasm import Action, GrpcStream, HttpContext, RootContext, StreamContext, TcpContext


class Record:
    """What has been called, and where to raise; emptied by the `recorded` fixture."""

    calls: ClassVar[list[tuple[object, ...]]] = []
    raising: ClassVar[dict[str, BaseException]] = {}
    pausing: ClassVar[set[str]] = set()
    fail_open: ClassVar[bool] = False

    @classmethod
    def note(cls, callback: str, *arguments: object) -> None:
        cls.calls.append((callback, *arguments))
        if callback in cls.raising:
            raise cls.raising[callback]

    @classmethod
    def action(cls, callback: str, *arguments: object) -> Action:
        cls.note(callback, *arguments)
        return Action.PAUSE if callback in cls.pausing else Action.CONTINUE


class Common(StreamContext):
    def on_done(self):
        Record.note("on_done")
        return True

    def on_log(self):
        Record.note("on_log")

    def on_delete(self):
        Record.note("on_delete")

    def on_foreign_function(self, function_id, arguments):
        Record.note("on_foreign_function", function_id, arguments)


class Http(Common, HttpContext):
    def on_request_headers(self, num_headers, end_of_stream):
        return Record.action("on_request_headers", num_headers, end_of_stream)

    def on_request_body(self, size, end_of_stream):
        return Record.action("on_request_body", size, end_of_stream)

    def on_request_trailers(self, num_trailers):
        return Record.action("on_request_trailers", num_trailers)

    def on_response_headers(self, num_headers, end_of_stream):
        return Record.action("on_response_headers", num_headers, end_of_stream)

    def on_response_body(self, size, end_of_stream):
        return Record.action("on_response_body", size, end_of_stream)

    def on_response_trailers(self, num_trailers):
        return Record.action("on_response_trailers", num_trailers)


class Tcp(Common, TcpContext):
    def on_new_connection(self):
        return Record.action("on_new_connection")

    def on_downstream_data(self, size, end_of_stream):
        return Record.action("on_downstream_data", size, end_of_stream)

    def on_upstream_data(self, size, end_of_stream):
        return Record.action("on_upstream_data", size, end_of_stream)

    def on_downstream_close(self, peer):
        Record.note("on_downstream_close", peer)

    def on_upstream_close(self, peer):
        Record.note("on_upstream_close", peer)


class Root(RootContext):
    kind: ClassVar[type[Common]] = Http

    def __init__(self, context_id):
        super().__init__(context_id)
        self.fail_open = Record.fail_open
        Record.note("root")

    def create_stream(self, context_id):
        Record.note("create_stream")
        return self.kind(context_id, self)

    def on_vm_start(self, configuration):
        Record.note("on_vm_start", configuration)
        return True

    def on_configure(self, configuration):
        Record.note("on_configure", configuration)
        return configuration != b"refuse"

    def on_tick(self):
        Record.note("on_tick")

    def on_queue_ready(self, queue_id):
        Record.note("on_queue_ready", queue_id)

    def on_done(self):
        Record.note("on_done")
        return False

    def on_delete(self):
        Record.note("on_delete")

    def on_foreign_function(self, function_id, arguments):
        Record.note("on_foreign_function", function_id, arguments)


class TcpRoot(Root):
    kind = Tcp


class Listener(GrpcStream):
    def on_initial_metadata(self, metadata, count):
        Record.note("on_initial_metadata", metadata.pairs(), count)

    def on_message(self, message):
        Record.note("on_message", message)

    def on_trailing_metadata(self, metadata, count):
        Record.note("on_trailing_metadata", metadata.pairs(), count)

    def on_close(self, status, detail):
        Record.note("on_close", status, detail)
