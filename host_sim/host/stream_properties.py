"""The properties of a stream: what the exchange itself tells, overlaid with what its maker gave."""

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Final

from host_sim.host.attributes import merge, request_attributes
from host_sim.host.headers import HeaderMap, RequestHeaderMap

if TYPE_CHECKING:
    from host_sim.host.stream import HttpStream

_XDS: Final = (
    "cluster_name", "cluster_metadata", "route_name", "route_metadata", "upstream_host_metadata", "listener_metadata",
    "listener_direction", "node",
)  # fmt: skip
_DEFAULTS: Final[dict[str, Any]] = {
    "source": {"address": "127.0.0.1:50000", "port": 50000},
    "destination": {"address": "127.0.0.1:8080", "port": 8080},
    "connection": {"id": 1, "mtls": False, "requested_server_name": ""},
    "connection_id": 1,
    "metadata": {"filter_metadata": {}},
}
_COMPUTED: Final = ("request", "response", "filter_state", "xds")


class StreamProperties(Mapping[str, Any]):
    """Looked up by the first part of a path. `state` is what the plugin has set itself (`proxy_set_property`)."""

    def __init__(self, stream: "HttpStream", given: dict[str, Any]) -> None:
        self.state: dict[str, bytes] = {}
        self._stream = stream
        self._given = given

    def __getitem__(self, name: str) -> Any:
        given = self._given.get(name)
        if name in _COMPUTED:
            computed: dict[str, Any] = getattr(self, f"_{name}")()
            if isinstance(given, Mapping):
                merge(computed, given)
            return computed
        if given is not None:
            default = _DEFAULTS.get(name)
            if isinstance(default, dict) and isinstance(given, Mapping):
                return {**default, **given}
            return given
        root = self._stream.root.properties()
        if name in root:
            return root[name]
        if name in _DEFAULTS:
            return _DEFAULTS[name]
        return self.state[name]

    def __iter__(self) -> Iterator[str]:
        return iter({*self._given, *self._stream.root.properties(), *_DEFAULTS, *_COMPUTED, *self.state})

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def _request(self) -> dict[str, Any]:
        stream = self._stream
        flow = stream.request
        headers = flow.headers if stream.logging else flow.visible_headers
        attributes = request_attributes(headers if headers is not None else RequestHeaderMap())
        attributes.update(time=stream.started, protocol="HTTP/1.1", size=flow.received_bytes)
        attributes["total_size"] = flow.received_bytes + (headers.byte_size() if headers is not None else 0)
        if stream.logging:
            attributes["duration"] = stream.vm.surroundings.clock.now() - stream.started
        return attributes

    def _response(self) -> dict[str, Any]:
        stream = self._stream
        flow = stream.response
        attributes: dict[str, Any] = {"flags": 0, "size": flow.passed_bytes}
        code = flow.headers.get(b":status") if flow.headers is not None else None
        if code is not None and code.isdigit():
            attributes["code"] = int(code)
        if stream.details is not None or code is not None:
            attributes["code_details"] = "via_upstream" if stream.details is None else stream.details
        headers = flow.headers if stream.logging else flow.visible_headers
        trailers = flow.trailers if stream.logging else flow.visible_trailers
        attributes["headers"] = headers if headers is not None else HeaderMap()
        attributes["trailers"] = trailers if trailers is not None else HeaderMap()
        grpc_status = (trailers.get(b"grpc-status") if trailers else None) or (
            headers.get(b"grpc-status") if headers else None
        )
        if grpc_status is not None and grpc_status.isdigit():
            attributes["grpc_status"] = int(grpc_status)
        sizes = (part.byte_size() for part in (headers, trailers) if part is not None)
        attributes["total_size"] = flow.passed_bytes + sum(sizes)
        return attributes

    def _filter_state(self) -> dict[str, Any]:
        return {f"wasm.{name}": value for name, value in self.state.items()}

    def _xds(self) -> dict[str, Any]:
        return {"listener_direction": 0, **{name: self[name] for name in _XDS if name in self}}

    def __contains__(self, name: object) -> bool:
        return any(name == known for known in self)
