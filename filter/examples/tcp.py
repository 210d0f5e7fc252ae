"""Lets only TLS through: closes a connection whose first byte does not begin a handshake (RFC 8446, section 5.1)."""

from proxywasm import Action, RootContext, StreamContext, StreamType, TcpContext, register

HANDSHAKE = b"\x16"


class TlsOnly(TcpContext):
    def __init__(self, context_id: int, root: RootContext) -> None:
        super().__init__(context_id, root)
        self.accepted = False

    def on_downstream_data(self, size: int, end_of_stream: bool) -> Action:
        if self.accepted or size == 0:
            return Action.CONTINUE
        if self.downstream_data.read(0, 1) != HANDSHAKE:
            self.close_stream(StreamType.DOWNSTREAM)
            return Action.PAUSE
        self.accepted = True
        return Action.CONTINUE


class Root(RootContext):
    def create_stream(self, context_id: int) -> StreamContext:
        return TlsOnly(context_id, self)


register(Root)
