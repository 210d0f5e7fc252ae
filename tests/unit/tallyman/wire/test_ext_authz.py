from typing import Any

import pytest
from envoy.config.core.v3.base_pb2 import HeaderValueOption, QueryParameter
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from envoy.service.auth.v3.external_auth_pb2 import CheckResponse as LibraryResponse
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from google.protobuf.struct_pb2 import Struct
from hypothesis import given
from hypothesis import strategies as st
from proxywasm.pairs import encode_pairs
from tallyman.wire import ext_authz
from tallyman.wire.headers import HeaderOption
from tallyman.wire.protobuf import WireError

TEXT = st.text(max_size=20)
NAMES = st.sampled_from(["cookie", "x-a", "x-b", ":path", "authorization"])
METADATA = st.dictionaries(TEXT, st.dictionaries(TEXT, TEXT | st.dictionaries(TEXT, TEXT, max_size=2), max_size=3))


@given(
    scope=TEXT,
    time=st.integers(0, 2**62),
    source=st.tuples(TEXT, st.integers(0, 65535)),
    destination=st.tuples(TEXT, st.integers(0, 65535)),
    texts=st.tuples(TEXT, TEXT, TEXT, TEXT, TEXT),
    headers=st.lists(st.tuples(NAMES, TEXT), max_size=6),
    metadata=METADATA,
)
def test_requests_are_read_by_the_library(
    scope: str,
    time: int,
    source: tuple[str, int],
    destination: tuple[str, int],
    texts: tuple[str, str, str, str, str],
    headers: list[tuple[str, str]],
    metadata: dict[str, Any],
) -> None:
    method, scheme, host, path, protocol = texts
    message = ext_authz.CheckRequestBuilder(scope).build(
        time,
        ext_authz.peer(*source),
        ext_authz.peer(*destination),
        ext_authz.http_request(method, scheme, host, path, protocol, encode_pairs(headers)),
        ext_authz.metadata_context(metadata),
    )
    found = CheckRequest.FromString(message)
    expected = CheckRequest()
    attributes = expected.attributes
    attributes.request.time.FromNanoseconds(time)
    http = attributes.request.http
    http.method, http.scheme, http.host, http.path, http.protocol = texts
    for name in {name for name, _ in headers}:
        http.headers[name] = ("; " if name == "cookie" else ",").join(v for n, v in headers if n == name)
    for peer, (address, port) in ((attributes.source, source), (attributes.destination, destination)):
        peer.address.socket_address.address = address
        peer.address.socket_address.port_value = port
        found_peer = found.attributes.source if peer is attributes.source else found.attributes.destination
        if port == 0:  # the port is one of a oneof; 0 is not sent
            found_peer.address.socket_address.port_value = 0
    attributes.context_extensions["host"] = scope
    attributes.metadata_context.SetInParent()
    for name, fields in metadata.items():
        attributes.metadata_context.filter_metadata[name].CopyFrom(ParseDict(fields, Struct()))
    assert found == expected


def test_the_request_for_the_tutorial() -> None:
    message = ext_authz.CheckRequestBuilder("scope").build(
        1_700_000_000_123_456_789,
        ext_authz.peer("10.0.0.1", 4321),
        ext_authz.peer("10.0.0.2", 80),
        ext_authz.http_request(
            "POST", "http", "llm.example", "/v1?a=b", "HTTP/1.1", encode_pairs([("authorization", "APIKEY k")])
        ),
        ext_authz.metadata_context({"io.kuadrant": {"user": {"cel_expr": "auth.identity.userid"}}}),
    )
    assert MessageToDict(CheckRequest.FromString(message)) == {
        "attributes": {
            "source": {"address": {"socketAddress": {"address": "10.0.0.1", "portValue": 4321}}},
            "destination": {"address": {"socketAddress": {"address": "10.0.0.2", "portValue": 80}}},
            "request": {
                "time": "2023-11-14T22:13:20.123456789Z",
                "http": {
                    "method": "POST",
                    "headers": {"authorization": "APIKEY k"},
                    "path": "/v1?a=b",
                    "host": "llm.example",
                    "scheme": "http",
                    "protocol": "HTTP/1.1",
                },
            },
            "contextExtensions": {"host": "scope"},
            "metadataContext": {"filterMetadata": {"io.kuadrant": {"user": {"cel_expr": "auth.identity.userid"}}}},
        }
    }


@st.composite
def header_options(draw: st.DrawFn) -> HeaderValueOption:
    option = HeaderValueOption(append_action=draw(st.sampled_from([0, 1, 2, 3, 9])))
    option.header.key = draw(TEXT)
    option.header.value = draw(TEXT)
    option.header.raw_value = draw(st.binary(max_size=4))
    append = draw(st.sampled_from([None, True, False]))
    if append is not None:
        option.append.value = append
        option.append.SetInParent()
    return option


@st.composite
def responses(draw: st.DrawFn) -> LibraryResponse:
    response = LibraryResponse()
    headers = st.lists(header_options(), max_size=3)
    if draw(st.booleans()):
        response.status.code = draw(st.integers(-2, 16))
        response.status.message = draw(TEXT)
    kind = draw(st.sampled_from(["", "denied_response", "ok_response", "error_response"]))
    if kind == "ok_response":
        ok = response.ok_response
        ok.SetInParent()
        ok.headers.extend(draw(headers))
        ok.headers_to_remove.extend(draw(st.lists(TEXT, max_size=2)))
        ok.response_headers_to_add.extend(draw(headers))
        parameters = st.lists(st.builds(QueryParameter, key=TEXT, value=TEXT), max_size=2)
        ok.query_parameters_to_set.extend(draw(parameters))
        ok.query_parameters_to_remove.extend(draw(st.lists(TEXT, max_size=2)))
    elif kind:
        denied = getattr(response, kind)
        denied.SetInParent()
        denied.status.code = draw(st.sampled_from([0, 401, 403, 599]))
        denied.headers.extend(draw(headers))
        denied.body = draw(TEXT)
    metadata = draw(st.none() | st.dictionaries(TEXT, TEXT | st.booleans() | st.lists(TEXT, max_size=2), max_size=3))
    if metadata is not None:
        response.dynamic_metadata.CopyFrom(ParseDict(metadata, Struct()))
    return response


def options(headers: Any) -> list[tuple[str, bytes, int, bool | None]]:
    return [
        (
            option.header.key,
            option.header.raw_value or option.header.value.encode(),
            option.append_action,
            option.append.value if option.HasField("append") else None,
        )
        for option in headers
    ]


def found_options(headers: list[HeaderOption]) -> list[tuple[str, bytes, int, bool | None]]:
    return [(option.name, option.value, option.append_action, option.append) for option in headers]


def check(message: bytes) -> None:
    found, expected = ext_authz.decode_response(message), LibraryResponse.FromString(message)
    kind = expected.WhichOneof("http_response")
    assert (found.status_code, found.status_message) == (expected.status.code, expected.status.message)
    assert (found.denied is not None, found.ok is not None) == (kind == "denied_response", kind == "ok_response")
    if found.denied is not None:
        denied = expected.denied_response
        assert (found.denied.status, found.denied.body) == (denied.status.code, denied.body)
        assert found_options(found.denied.headers) == options(denied.headers)
    if found.ok is not None:
        ok = expected.ok_response
        assert found_options(found.ok.headers) == options(ok.headers)
        assert found_options(found.ok.response_headers_to_add) == options(ok.response_headers_to_add)
        assert found.ok.headers_to_remove == list(ok.headers_to_remove)
        assert found.ok.query_parameters_to_set == [(item.key, item.value) for item in ok.query_parameters_to_set]
        assert found.ok.query_parameters_to_remove == list(ok.query_parameters_to_remove)
    if expected.HasField("dynamic_metadata"):
        assert found.dynamic_metadata == MessageToDict(expected.dynamic_metadata)
    else:
        assert found.dynamic_metadata is None


@st.composite
def damaged_responses(draw: st.DrawFn) -> bytes:
    message = draw(responses()).SerializeToString()
    return message[: draw(st.integers(0, 80))] + draw(st.binary(max_size=4))


@given(responses())
def test_responses_of_the_library_are_read(response: LibraryResponse) -> None:
    check(response.SerializeToString())


@given(responses(), responses())
def test_joined_messages_merge(one: LibraryResponse, other: LibraryResponse) -> None:
    check(one.SerializeToString() + other.SerializeToString())


@given(st.binary(max_size=60) | damaged_responses())
def test_any_bytes_are_read_or_refused(message: bytes) -> None:
    try:
        ext_authz.decode_response(message)
    except WireError:
        with pytest.raises(DecodeError):
            LibraryResponse.FromString(message)


@given(st.lists(st.tuples(NAMES, TEXT), max_size=4), st.integers(0, 200))
def test_header_maps_cut_short_are_refused(headers: list[tuple[str, str]], kept: int) -> None:
    serialized = encode_pairs(headers)[:kept]
    try:
        ext_authz.http_request("", "", "", "", "", serialized)
    except WireError:
        assert serialized != encode_pairs(headers)
