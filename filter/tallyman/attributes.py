"""Attributes of a stream for expressions: Envoy's, Kuadrant's `auth.*` and `source.remote_address`, and JSON bodies.

Each is read from the host when an expression first needs it, and once. Names and types are Envoy's ("Attributes" in its
documentation); what a header tells is taken from the header, which costs less than the property.
"""

from typing import Final, final

from proxywasm import HeaderMap, HostError, HttpContext, property_path
from proxywasm.pairs import decode_pairs

from tallyman.cel.activation import Activation, Path
from tallyman.cel.environment import Environment
from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, NO_SUCH_KEY, CelError
from tallyman.cel.values import Duration, Timestamp, UInt, Value
from tallyman.policy.hosts import without_port
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


# where an attribute is found
_PROPERTY: Final = 0
_REQUEST_HEADER: Final = 1
_RESPONSE_HEADER: Final = 2
_REQUEST_HEADERS_MAP: Final = 3
_RESPONSE_HEADERS_MAP: Final = 4
_URL_PATH: Final = 5
_QUERY: Final = 6
_AUTH: Final = 7
_BODY: Final = 8
_REMOTE_ADDRESS: Final = 9


@final
class Source:
    """Where the attribute at a path is found and what type it has: worked out once, read for each stream."""

    def __init__(self, path: Path, identity_namespace: str) -> None:
        self.path = path
        self.place = _place(path)
        self.name = path[-1]
        """The header, or the JSON pointer."""
        if self.place == _REQUEST_HEADER and path[1] != "headers":
            self.name = _REQUEST_HEADERS[path[1]]
        where = path
        if self.place == _AUTH:
            where = ("metadata", "filter_metadata", identity_namespace, *path[1:])
        elif self.place == _REMOTE_ADDRESS:
            where = ("source", "address")
        self.property = property_path(*where)
        self.kind: int = _KINDS.get(path[:2] if len(path) > 1 else path, _TEXT)
        self.unsigned = path == ("connection", "id")

    def absent(self) -> CelError:
        reason = NO_SUCH_KEY if len(self.path) > 2 or self.place == _AUTH else NO_SUCH_ATTRIBUTE
        return CelError(reason, ".".join(self.path))


def _place(path: Path) -> int:
    root = path[0]
    name = path[1] if len(path) > 1 else ""
    if root == "auth":
        return _AUTH
    if root == "responseBodyJSON":
        return _BODY
    if path == ("source", "remote_address"):
        return _REMOTE_ADDRESS
    if name == "headers" and root in ("request", "response"):
        if len(path) == 3:
            return _REQUEST_HEADER if root == "request" else _RESPONSE_HEADER
        if len(path) == 2:
            return _REQUEST_HEADERS_MAP if root == "request" else _RESPONSE_HEADERS_MAP
    if root == "request" and len(path) == 2:
        if name in _REQUEST_HEADERS:
            return _REQUEST_HEADER
        if name == "url_path":
            return _URL_PATH
        if name == "query":
            return _QUERY
    return _PROPERTY


@final
class Sources:
    """The sources of an environment's attributes, by slot."""

    def __init__(self, environment: Environment, identity_namespace: str) -> None:
        self.environment = environment
        self.path_slot = environment.slot(("request", "path"))
        self._namespace = identity_namespace
        self._by_slot: list[Source] = []

    def at(self, slot: int) -> Source:
        sources = self._by_slot
        while slot >= len(sources):
            sources.append(Source(self.environment.paths[len(sources)], self._namespace))
        return sources[slot]

    def under(self, root: str) -> list[int]:
        """The slots of all attributes below `root` known by now."""
        return [slot for slot, path in enumerate(self.environment.paths) if path[0] == root]


@final
class StreamAttributes(Activation):
    """The attributes of one HTTP stream. `auth` is what the auth service said, or None to ask dynamic metadata."""

    def __init__(self, sources: Sources, stream: HttpContext) -> None:
        super().__init__(sources.environment)
        self._sources = sources
        self._stream = stream
        self.auth: dict[str, Value] | None = None
        self.body: ResponseBody | None = None
        """The response's body, once it has been read to its end."""

    def fetch_slot(self, slot: int) -> Value:
        source = self._sources.at(slot)
        place = source.place
        if place == _REQUEST_HEADER:
            return self._header(source, self._stream.request_headers)
        if place == _AUTH and self.auth is not None:
            return _member(self.auth, source)
        if place in (_PROPERTY, _AUTH):
            return self._property(source)
        if place == _URL_PATH:
            return self._path().partition("?")[0]
        if place == _QUERY:
            return self._path().partition("?")[2]
        if place == _BODY:
            return self._response_body(source)
        if place == _RESPONSE_HEADER:
            return self._header(source, self._stream.response_headers)
        if place == _REMOTE_ADDRESS:
            address = self._property(source)
            return without_port(address) if isinstance(address, str) else ""
        headers = self._stream.request_headers if place == _REQUEST_HEADERS_MAP else self._stream.response_headers
        return self._header_map(source, headers)

    def _path(self) -> str:
        value = self.get(self._sources.path_slot)
        assert isinstance(value, str)
        return value

    def _header(self, source: Source, headers: HeaderMap) -> Value:
        """A header; from a property once the filter has let the map pass, when the host hides it."""
        try:
            value = headers.get(source.name)
        except HostError:
            return self._property(source)
        if value is None:
            raise source.absent()
        return value

    def _header_map(self, source: Source, headers: HeaderMap) -> Value:
        pairs = headers.pairs() or decode_pairs(self._bytes(source) or b"")
        result: dict[Value, Value] = {}
        for name, text in pairs:
            before = result.get(name)
            result[name] = text if before is None else f"{before},{text}"
        return result

    def _response_body(self, source: Source) -> Value:
        if self.body is None:
            raise CelError(NO_SUCH_ATTRIBUTE, "responseBodyJSON before the end of the response")
        try:
            return self.body.pointer(source.name)
        except KeyError:
            raise CelError(NO_SUCH_KEY, f'responseBodyJSON("{source.name}")') from None

    def _bytes(self, source: Source) -> bytes | None:
        """A property as the host has it; None if there is none, or none that can be told, such as null."""
        try:
            return self._stream.get_property(source.property)
        except HostError:
            return None

    def _property(self, source: Source) -> Value:
        value = self._bytes(source)
        if value is None:
            raise source.absent()
        kind = source.kind
        if kind == _TEXT:
            return _guess(value)
        if kind == _BOOL:
            return value != b"\0"
        if len(value) != 8:
            raise source.absent()
        number = int.from_bytes(value, "little", signed=True)
        if kind == _TIMESTAMP:
            return Timestamp(number)
        if kind == _DURATION:
            return Duration(number)
        return UInt(number) if source.unsigned and number >= 0 else number


def _member(auth: dict[str, Value], source: Source) -> Value:
    value: Value = auth
    for name in source.path[1:]:
        if not isinstance(value, dict) or name not in value:
            raise source.absent()
        value = value[name]
    return value


def _guess(value: bytes) -> Value:
    """A value whose type the host does not tell, as in dynamic metadata: text, unless it cannot be text."""
    if len(value) == 1 and value in b"\0\1":
        return value == b"\1"
    return value.decode("utf-8", "surrogateescape")
