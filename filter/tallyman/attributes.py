"""Attributes of a stream for expressions: Envoy's, Kuadrant's `auth.*` and `source.remote_address`, and JSON bodies.

Each is read from the host when an expression first needs it, and once. Names and types are Envoy's ("Attributes" in its
documentation); what a header tells is taken from the header, which costs less than the property.
"""

from typing import Final, final

from proxywasm import HostError, HttpContext, property_path
from proxywasm.pairs import decode_pairs

from tallyman.cel.activation import Activation, Path
from tallyman.cel.environment import Environment
from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, NO_SUCH_KEY, CelError
from tallyman.cel.values import Duration, Timestamp, UInt, Value
from tallyman.policy.hosts import normalize_host, without_port
from tallyman.usage.body import ResponseBody

_REQUEST_HEADERS: Final = {
    "method": ":method",
    "scheme": ":scheme",
    "host": ":authority",
    "path": ":path",
    "referer": "referer",
    "useragent": "user-agent",
    "id": "x-request-id",
}

_TEXT: Final = 0
_INT: Final = 1
_BOOL: Final = 2
_TIMESTAMP: Final = 3
_DURATION: Final = 4

_KINDS: Final = {
    ("request", "time"): _TIMESTAMP,
    ("request", "duration"): _DURATION,
    ("request", "size"): _INT,
    ("request", "total_size"): _INT,
    ("response", "code"): _INT,
    ("response", "flags"): _INT,
    ("response", "grpc_status"): _INT,
    ("response", "size"): _INT,
    ("response", "total_size"): _INT,
    ("response", "backend_latency"): _DURATION,
    ("source", "port"): _INT,
    ("destination", "port"): _INT,
    ("upstream", "port"): _INT,
    ("connection", "id"): _INT,
    ("connection", "mtls"): _BOOL,
    ("listener_direction",): _INT,
}


def _absent(path: Path) -> CelError:
    return CelError(NO_SUCH_ATTRIBUTE, ".".join(path))


@final
class StreamAttributes(Activation):
    """The attributes of one HTTP stream. `auth` is what the auth service said, or None to ask dynamic metadata."""

    def __init__(self, environment: Environment, stream: HttpContext, identity_namespace: str) -> None:
        super().__init__(environment)
        self._stream = stream
        self._namespace = identity_namespace
        self.auth: dict[str, Value] | None = None
        self.body: ResponseBody | None = None
        """The response's body, once it has been read to its end."""

    def fetch(self, path: Path) -> Value:
        root = path[0]
        if root == "request" and len(path) > 1:
            return self._request(path)
        if root == "auth":
            return self._auth(path)
        if root == "responseBodyJSON":
            return self._response_body(path[1])
        if root == "response" and len(path) > 1 and path[1] == "headers":
            return self._headers(path, False)
        if path == ("source", "remote_address"):
            return without_port(self._text(("source", "address")))
        return self._property(path)

    def _request(self, path: Path) -> Value:
        name = path[1]
        header = _REQUEST_HEADERS.get(name)
        if header is not None and len(path) == 2:
            try:
                value = self._stream.request_headers.get(header)
            except HostError:
                return self._property(path)
            if value is None:
                raise _absent(path)
            return value
        if name == "headers":
            return self._headers(path, True)
        if name == "url_path" and len(path) == 2:
            return self._path().partition("?")[0]
        if name == "query" and len(path) == 2:
            return self._path().partition("?")[2]
        return self._property(path)

    def _path(self) -> str:
        value = self.get(self.table.slot(("request", "path")))
        assert isinstance(value, str)
        return value

    def _headers(self, path: Path, of_request: bool) -> Value:
        """A header or all of them; from a property once the filter has let the map pass, when the host hides it."""
        headers = self._stream.request_headers if of_request else self._stream.response_headers
        if len(path) == 3:
            try:
                value = headers.get(path[2])
            except HostError:
                raw = self._bytes(path)
                value = None if raw is None else raw.decode("utf-8", "surrogateescape")
            if value is None:
                raise CelError(NO_SUCH_KEY, ".".join(path))
            return value
        if len(path) > 3:
            raise _absent(path)
        pairs = headers.pairs() or decode_pairs(self._bytes(path) or b"")
        result: dict[Value, Value] = {}
        for name, text in pairs:
            before = result.get(name)
            result[name] = text if before is None else f"{before},{text}"
        return result

    def _auth(self, path: Path) -> Value:
        if self.auth is None:
            return self._property(("metadata", "filter_metadata", self._namespace, *path[1:]))
        value: Value = self.auth
        for name in path[1:]:
            if not isinstance(value, dict) or name not in value:
                raise CelError(NO_SUCH_KEY, ".".join(path))
            value = value[name]
        return value

    def _response_body(self, pointer: str) -> Value:
        if self.body is None:
            raise CelError(NO_SUCH_ATTRIBUTE, "responseBodyJSON before the end of the response")
        try:
            return self.body.pointer(pointer)
        except KeyError:
            raise CelError(NO_SUCH_KEY, f'responseBodyJSON("{pointer}")') from None

    def _text(self, path: Path) -> str:
        value = self._property(path)
        return value if isinstance(value, str) else ""

    def _bytes(self, path: Path) -> bytes | None:
        """A property as the host has it; None if there is none, or none that can be told, such as null."""
        try:
            return self._stream.get_property(property_path(*path))
        except HostError:
            return None

    def _property(self, path: Path) -> Value:
        value = self._bytes(path)
        if value is None:
            raise _absent(path)
        kind = _KINDS.get(path[:2] if len(path) > 1 else path, _TEXT)
        if kind == _TEXT:
            return _guess(value)
        if kind == _BOOL:
            return value != b"\0"
        if len(value) != 8:
            raise _absent(path)
        number = int.from_bytes(value, "little", signed=True)
        if kind == _TIMESTAMP:
            return Timestamp(number)
        if kind == _DURATION:
            return Duration(number)
        return UInt(number) if path == ("connection", "id") and number >= 0 else number


def _guess(value: bytes) -> Value:
    """A value whose type the host does not tell, as in dynamic metadata: text, unless it cannot be text."""
    if len(value) == 1 and value in b"\0\1":
        return value == b"\1"
    return value.decode("utf-8", "surrogateescape")


def request_host(stream: HttpContext) -> str:
    """The request's host, normalized for `HostIndex`; empty if it has none."""
    return normalize_host(stream.request_headers.get(":authority") or "")
