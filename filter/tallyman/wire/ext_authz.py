"""envoy.service.auth.v3.CheckRequest and CheckResponse (envoy/service/auth/v3: external_auth, attribute_context)."""

from struct import error, unpack_from
from typing import Final, final

from tallyman.wire.headers import HeaderOption, decode_header_option
from tallyman.wire.protobuf import (
    LEN,
    VARINT,
    Reader,
    WireError,
    as_int32,
    bytes_field,
    integer_field,
    message_field,
    text,
    text_field,
    varint,
)
from tallyman.wire.struct_pb import decode_struct, encode_struct
from tallyman.wire.time_pb import encode_timestamp

_STATUS: Final = 1 << 3 | LEN  # CheckResponse
_DENIED: Final = 2 << 3 | LEN
_OK: Final = 3 << 3 | LEN
_DYNAMIC_METADATA: Final = 4 << 3 | LEN
_ERROR: Final = 5 << 3 | LEN
_STATUS_CODE: Final = 1 << 3 | VARINT  # google.rpc.Status, envoy.type.v3.HttpStatus
_STATUS_MESSAGE: Final = 2 << 3 | LEN
_HTTP_STATUS: Final = 1 << 3 | LEN  # DeniedHttpResponse
_HEADERS: Final = 2 << 3 | LEN  # also OkHttpResponse
_BODY: Final = 3 << 3 | LEN
_HEADERS_TO_REMOVE: Final = 5 << 3 | LEN  # OkHttpResponse
_RESPONSE_HEADERS: Final = 6 << 3 | LEN
_QUERY_TO_SET: Final = 7 << 3 | LEN
_QUERY_TO_REMOVE: Final = 8 << 3 | LEN
_KEY: Final = 1 << 3 | LEN  # QueryParameter
_VALUE: Final = 2 << 3 | LEN


def http_request(method: str, scheme: str, host: str, path: str, protocol: str, headers: bytes) -> bytes:
    """An AttributeContext.HttpRequest. `path` includes the query, `headers` are as Proxy-Wasm serializes them.

    Headers go out as a map, so values of a repeated name are joined as RFC 9110, section 5.3 has it, and cookies as
    RFC 9113, section 8.2.3. Raises `WireError` if `headers` are cut short.
    """
    joined: dict[bytes, bytes] = {}
    for name, value in _serialized_pairs(headers):
        if name in joined:
            value = joined[name] + (b"; " if name == b"cookie" else b",") + value
        joined[name] = value
    out = [text_field(2, method)]
    for name, value in joined.items():
        entry = bytes_field(1, _utf8(name)) + bytes_field(2, _utf8(value))
        out.append(b"\x1a" + varint(len(entry)) + entry)
    out += [text_field(4, path), text_field(5, host), text_field(6, scheme), text_field(10, protocol)]
    return b"".join(out)


def _serialized_pairs(data: bytes) -> list[tuple[bytes, bytes]]:
    """Pairs of a serialized header map: a count, all lengths, then names and values, each with a NUL behind it."""
    try:
        count: int = unpack_from("<I", data, 0)[0] if data else 0
        if 10 * count > len(data):
            raise WireError(f"a header map of {len(data)} bytes cannot hold {count} pairs")
        lengths: tuple[int, ...] = unpack_from(f"<{2 * count}I", data, 4) if count else ()
    except error as reason:
        raise WireError(f"a header map of {len(data)} bytes is cut short: {reason}") from None
    pairs: list[tuple[bytes, bytes]] = []
    position = 4 + 8 * count
    for index in range(count):
        middle = position + lengths[2 * index]
        end = middle + 1 + lengths[2 * index + 1]
        pairs.append((data[position:middle], data[middle + 1 : end]))
        position = end + 1
    if count and position > len(data):
        raise WireError(f"a header map of {len(data)} bytes ends inside a pair")
    return pairs


def _utf8(value: bytes) -> bytes:
    """What a `string` may hold: bytes that are not UTF-8 become `?`, one each."""
    return value if value.isascii() else value.decode("utf-8", "surrogateescape").encode("utf-8", "replace")


def peer(address: str, port: int) -> bytes:
    """An AttributeContext.Peer: an IP address without its port, and the port."""
    socket_address = text_field(2, address) + integer_field(3, port)
    return message_field(1, message_field(1, socket_address))


def metadata_context(filter_metadata: dict[str, dict[str, object]]) -> bytes:
    """An envoy.config.core.v3.Metadata: for each name (such as `io.kuadrant`) a Struct. Raises `WireError`."""
    out: list[bytes] = []
    for name, fields in filter_metadata.items():
        out.append(message_field(1, text_field(1, name) + message_field(2, encode_struct(fields))))
    return b"".join(out)


@final
class CheckRequestBuilder:
    """Builds CheckRequests that differ only in what the request brings; made once for each `scope`.

    `scope` goes out as the context extension `host`: there Authorino looks for the name of the AuthConfig.
    """

    def __init__(self, scope: str) -> None:
        self._extensions: bytes = _map_field(10, {"host": scope})

    def build(self, time: int, source: bytes, destination: bytes, http: bytes, metadata: bytes) -> bytes:
        """`time` is nanoseconds since 1970; the others are made by `peer`, `http_request` and `metadata_context`."""
        request = message_field(1, encode_timestamp(time)) + message_field(2, http)
        attributes = message_field(1, source) + message_field(2, destination) + message_field(4, request)
        return message_field(1, attributes + self._extensions + message_field(11, metadata))


def _map_field(number: int, entries: dict[str, str]) -> bytes:
    """A `map<string, string>`."""
    return b"".join([message_field(number, text_field(1, key) + text_field(2, entries[key])) for key in entries])


@final
class DeniedResponse:
    """The answer to give the client. `status` is an HTTP status, 0 where none is set."""

    def __init__(self) -> None:
        self.status: int = 0
        self.headers: list[HeaderOption] = []
        self.body: str = ""


@final
class OkResponse:
    """What to do with the request that is let through: `headers` are for the upstream."""

    def __init__(self) -> None:
        self.headers: list[HeaderOption] = []
        self.headers_to_remove: list[str] = []
        self.response_headers_to_add: list[HeaderOption] = []
        self.query_parameters_to_set: list[tuple[str, str]] = []
        self.query_parameters_to_remove: list[str] = []


@final
class CheckResponse:
    """At most one of `denied` and `ok` is set. `status_code` is a gRPC status (0 = OK)."""

    def __init__(self) -> None:
        self.status_code: int = 0
        self.status_message: str = ""
        self.denied: DeniedResponse | None = None
        self.ok: OkResponse | None = None
        self.dynamic_metadata: dict[str, object] | None = None


def decode_response(message: bytes) -> CheckResponse:
    """Raises `WireError`."""
    response = CheckResponse()
    kind = 0
    http_response = status = b""
    metadata: bytes | None = None
    reader = Reader(message)
    while reader.next():
        key = reader.key
        if key == _STATUS:
            status += reader.payload
        elif key in (_DENIED, _OK, _ERROR):  # a oneof: the last one counts, and merges with its like before it
            http_response = http_response + reader.payload if kind == key else reader.payload
            kind = key
        elif key == _DYNAMIC_METADATA:
            metadata = (metadata or b"") + reader.payload
    _decode_status(status, response)
    if kind == _DENIED:
        response.denied = _decode_denied(http_response)
    elif kind == _OK:
        response.ok = _decode_ok(http_response)
    if metadata is not None:
        response.dynamic_metadata = decode_struct(metadata)
    return response


def _decode_status(message: bytes, response: CheckResponse) -> None:
    reader = Reader(message)
    while reader.next():
        if reader.key == _STATUS_CODE:
            response.status_code = as_int32(reader.integer)
        elif reader.key == _STATUS_MESSAGE:
            response.status_message = text(reader.payload)


def _decode_denied(message: bytes) -> DeniedResponse:
    denied = DeniedResponse()
    reader = Reader(message)
    while reader.next():
        if reader.key == _HTTP_STATUS:
            status = Reader(reader.payload)
            while status.next():
                if status.key == _STATUS_CODE:
                    denied.status = as_int32(status.integer)
        elif reader.key == _HEADERS:
            denied.headers.append(decode_header_option(reader.payload))
        elif reader.key == _BODY:
            denied.body = text(reader.payload)
    return denied


def _decode_ok(message: bytes) -> OkResponse:
    ok = OkResponse()
    reader = Reader(message)
    while reader.next():
        key = reader.key
        if key == _HEADERS:
            ok.headers.append(decode_header_option(reader.payload))
        elif key == _HEADERS_TO_REMOVE:
            ok.headers_to_remove.append(text(reader.payload))
        elif key == _RESPONSE_HEADERS:
            ok.response_headers_to_add.append(decode_header_option(reader.payload))
        elif key == _QUERY_TO_SET:
            ok.query_parameters_to_set.append(_decode_query_parameter(reader.payload))
        elif key == _QUERY_TO_REMOVE:
            ok.query_parameters_to_remove.append(text(reader.payload))
    return ok


def _decode_query_parameter(message: bytes) -> tuple[str, str]:
    name = value = ""
    reader = Reader(message)
    while reader.next():
        if reader.key == _KEY:
            name = text(reader.payload)
        elif reader.key == _VALUE:
            value = text(reader.payload)
    return name, value
