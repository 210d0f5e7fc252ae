from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValue
from envoy.extensions.common.ratelimit.v3.ratelimit_pb2 import RateLimitDescriptor
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitResponse as LibraryResponse
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from tallyman.wire import ratelimit
from tallyman.wire.protobuf import WireError

TEXT = st.text(max_size=200)
ENTRIES = st.lists(st.tuples(TEXT, TEXT), max_size=4)


@given(TEXT, st.lists(ENTRIES, max_size=3), st.integers(0, ratelimit.MOST_HITS))
def test_requests_are_those_of_the_library(domain: str, descriptors: list[list[tuple[str, str]]], hits: int) -> None:
    expected = RateLimitRequest(domain=domain, hits_addend=hits)
    for entries in descriptors:
        expected.descriptors.append(
            RateLimitDescriptor(entries=[RateLimitDescriptor.Entry(key=key, value=value) for key, value in entries])
        )
    joined = [b"".join(ratelimit.entry(key, value) for key, value in entries) for entries in descriptors]
    request = ratelimit.request(domain, b"".join(map(ratelimit.descriptor, joined)), hits)
    assert request == expected.SerializeToString()


def test_an_entry_can_be_completed_later() -> None:
    assert ratelimit.complete_entry(ratelimit.entry_prefix("user"), "u1") == ratelimit.entry("user", "u1")


@pytest.mark.parametrize("hits", [-1, ratelimit.MOST_HITS + 1])
def test_hits_are_a_uint32(hits: int) -> None:
    with pytest.raises(WireError, match=f"hits_addend is {hits}, expected 0 to 4294967295"):
        ratelimit.request("d", b"", hits)


HEADERS = st.lists(st.builds(HeaderValue, key=TEXT, value=TEXT, raw_value=st.binary(max_size=8)), max_size=3)
METADATA = st.none() | st.dictionaries(st.text(max_size=4), st.text(max_size=4) | st.booleans() | st.none(), max_size=3)


@st.composite
def responses(draw: st.DrawFn) -> LibraryResponse:
    response = LibraryResponse(
        overall_code=draw(st.integers(-3, 5)),
        response_headers_to_add=draw(HEADERS),
        request_headers_to_add=draw(HEADERS),
        raw_body=draw(st.binary(max_size=8)),
        statuses=[LibraryResponse.DescriptorStatus(code=1, limit_remaining=7)] * draw(st.integers(0, 2)),
    )
    metadata = draw(METADATA)
    if metadata is not None:
        response.dynamic_metadata.CopyFrom(ParseDict(metadata, Struct()))
    return response


def check(found: ratelimit.RateLimitResponse, expected: LibraryResponse) -> None:
    def pairs(headers: Any) -> list[tuple[str, bytes]]:
        return [(header.key, header.raw_value or header.value.encode()) for header in headers]

    assert found.overall_code == expected.overall_code
    assert found.response_headers_to_add == pairs(expected.response_headers_to_add)
    assert found.request_headers_to_add == pairs(expected.request_headers_to_add)
    assert found.raw_body == expected.raw_body
    if expected.HasField("dynamic_metadata"):
        assert found.dynamic_metadata == MessageToDict(expected.dynamic_metadata)
    else:
        assert found.dynamic_metadata is None


@given(responses())
def test_responses_of_the_library_are_read(expected: LibraryResponse) -> None:
    check(ratelimit.decode_response(expected.SerializeToString()), expected)


@given(responses(), responses())
def test_joined_messages_merge(one: LibraryResponse, other: LibraryResponse) -> None:
    joined = one.SerializeToString() + other.SerializeToString()
    check(ratelimit.decode_response(joined), LibraryResponse.FromString(joined))


@given(st.binary(max_size=80))
def test_any_bytes_are_read_as_the_library_reads_them_or_refused(message: bytes) -> None:
    try:
        found = ratelimit.decode_response(message)
    except WireError:
        with pytest.raises(DecodeError):
            LibraryResponse.FromString(message)
        return
    try:
        expected = LibraryResponse.FromString(message)
    except DecodeError:
        return  # a field that is passed over here
    assert found.overall_code == expected.overall_code
