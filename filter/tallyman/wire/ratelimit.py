"""envoy.service.ratelimit.v3.RateLimitRequest and RateLimitResponse (envoy/service/ratelimit/v3/rls.proto).

Requests are joined from parts, each of which may be made once, when the plugin is configured, if it does not change:
`request(domain, descriptor(entry("a", "1") + complete_entry(prefix, value)), 1)`.
"""

from typing import Final, final

from tallyman.wire.headers import decode_header
from tallyman.wire.protobuf import (
    LEN,
    VARINT,
    Reader,
    WireError,
    as_int32,
    integer_field,
    text_field,
    varint,
)
from tallyman.wire.struct_pb import decode_struct

UNKNOWN: Final = 0
OK: Final = 1
OVER_LIMIT: Final = 2

MOST_HITS: Final = (1 << 32) - 1
"""`hits_addend` is a uint32."""

_OVERALL_CODE: Final = 1 << 3 | VARINT
_RESPONSE_HEADERS: Final = 3 << 3 | LEN
_REQUEST_HEADERS: Final = 4 << 3 | LEN
_RAW_BODY: Final = 5 << 3 | LEN
_DYNAMIC_METADATA: Final = 6 << 3 | LEN


def entry(key: str, value: str) -> bytes:
    """An entry of a descriptor."""
    return complete_entry(entry_prefix(key), value)


def entry_prefix(key: str) -> bytes:
    """The part of an entry that is known before its value."""
    return text_field(1, key)


def complete_entry(prefix: bytes, value: str) -> bytes:
    """The entry that `entry_prefix` began."""
    encoded = value.encode("utf-8", "replace")
    if not encoded:
        return b"\x0a" + varint(len(prefix)) + prefix
    content = b"%b\x12%b%b" % (prefix, varint(len(encoded)), encoded)
    return b"\x0a" + varint(len(content)) + content


def descriptor(entries: bytes) -> bytes:
    """A descriptor of joined entries."""
    return b"\x12" + varint(len(entries)) + entries


def domain_field(domain: str) -> bytes:
    """The part of a request that names its domain."""
    return text_field(1, domain)


def hits_field(hits_addend: int) -> bytes:
    """The part of a request that tells its hits, 0 to `MOST_HITS`. Raises `WireError` for more or less."""
    if not 0 <= hits_addend <= MOST_HITS:
        raise WireError(f"hits_addend is {hits_addend}, expected 0 to {MOST_HITS}")
    return integer_field(3, hits_addend)


def request(domain: str, descriptors: bytes, hits_addend: int) -> bytes:
    """A RateLimitRequest of joined descriptors; the same bytes as `domain_field + descriptors + hits_field`."""
    return domain_field(domain) + descriptors + hits_field(hits_addend)


@final
class RateLimitResponse:
    """`overall_code` is `UNKNOWN`, `OK`, `OVER_LIMIT` or a number that has no name yet. Header names are as written."""

    def __init__(self) -> None:
        self.overall_code: int = UNKNOWN
        self.response_headers_to_add: list[tuple[str, bytes]] = []
        self.request_headers_to_add: list[tuple[str, bytes]] = []
        self.raw_body: bytes = b""
        self.dynamic_metadata: dict[str, object] | None = None


def decode_response(message: bytes) -> RateLimitResponse:
    """Raises `WireError`."""
    response = RateLimitResponse()
    metadata: bytes | None = None
    reader = Reader(message)
    while reader.next():
        key = reader.key
        if key == _OVERALL_CODE:
            response.overall_code = as_int32(reader.integer)
        elif key == _RESPONSE_HEADERS:
            response.response_headers_to_add.append(decode_header(reader.payload))
        elif key == _REQUEST_HEADERS:
            response.request_headers_to_add.append(decode_header(reader.payload))
        elif key == _RAW_BODY:
            response.raw_body = reader.payload
        elif key == _DYNAMIC_METADATA:
            metadata = (metadata or b"") + reader.payload
    if metadata is not None:
        response.dynamic_metadata = decode_struct(metadata)
    return response
