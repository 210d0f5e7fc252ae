"""The state of one VM: its host, the contexts alive in it and the call-outs under way.

Several plugins may share a VM, so nothing that one plugin's configuration decides lives here.
"""

from typing import Final

from proxywasm.host import Host


class ContextSlot:
    """What the VM keeps of a context: base of `context.Context`."""

    def __init__(self, context_id: int) -> None:
        self.id: int = context_id
        self.call_ids: list[int] = []


class CallSlot:
    """What the VM keeps of a call-out under way: base of the kinds in `callouts`."""

    def __init__(self, context: ContextSlot) -> None:
        self.context = context


class Vm:
    """Tables by id. `current` is the context that host functions act upon right now."""

    def __init__(self) -> None:
        self._host: Host | None = None
        self.current: int = 0
        self.contexts: dict[int, ContextSlot] = {}
        self.http_calls: dict[int, CallSlot] = {}
        self.grpc_calls: dict[int, CallSlot] = {}

    @property
    def host(self) -> Host:
        """The installed host. Raises `RuntimeError` on plain CPython when no host has been installed."""
        host = self._host
        if host is None:
            raise RuntimeError("no Proxy-Wasm host: on plain CPython install one with proxywasm.vm.VM.reset(host)")
        return host

    def reset(self, host: Host | None) -> None:
        """Install `host` and forget every context and call-out: a fresh VM."""
        self._host = host
        self.current = 0
        self.contexts.clear()
        self.http_calls.clear()
        self.grpc_calls.clear()

    def enter(self, context_id: int) -> None:
        """Make the context the one that host functions act upon (`proxy_set_effective_context`)."""
        if self.current != context_id:
            self.host.set_effective_context(context_id)
            self.current = context_id

    def forget(self, context: ContextSlot) -> None:
        """Drop a deleted context with its call-outs; their answers, should they still come, are for nobody."""
        for call_id in context.call_ids:
            # ids of HTTP and gRPC call-outs are counted apart: take only what belongs to this context
            for table in (self.http_calls, self.grpc_calls):
                call = table.get(call_id)
                if call is not None and call.context is context:
                    del table[call_id]
        self.contexts.pop(context.id, None)


VM: Final = Vm()
