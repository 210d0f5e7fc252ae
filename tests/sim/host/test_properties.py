"""Attributes and their bytes. What is where, and when, was compared with Envoy 1.40."""

import struct

import pytest
from envoy.config.core.v3.base_pb2 import Metadata

from host_sim.host.attributes import serialize, tree_of
from host_sim.host.pairs import deserialize

POST = [
    (":authority", "example.com"), (":path", "/v1/chat?x=1"), (":method", "POST"), (":scheme", "http"), ("x-a", "1"),
    ("x-a", "2"), ("user-agent", "curl"), ("x-request-id", "id-1"), ("referer", "r"),
]  # fmt: skip
GIVEN = {
    "source.address": "10.0.0.1:4711",
    "source.port": 4711,
    "request.time": 12345,
    "metadata.filter_metadata": {
        "envoy.filters.http.ext_authz": {
            "identity": {"userid": "u", "level": 3, "admin": True, "none": None},
            "l": ["a"],
        }
    },
    "xds.route_name": "rt",
    "route_name": "old",
    "upstream.address": "10.0.0.2:80",
}
AUTHZ = ("metadata", "filter_metadata", "envoy.filters.http.ext_authz")


def i64(value):
    return value.to_bytes(8, "little", signed=True)


def asking(into, *paths):
    def script(guest, *_):
        for path in paths:
            status = yield "proxy_get_property", guest.put("\0".join(path)), guest.at(0), guest.at(1)
            into[path] = guest.returned() if status == 0 else status

    return script


def play(load, given=None, **scripts):
    _, plugin = load(name="nm", root_id="rid", vm_id="vid", **scripts)
    with plugin.stream(given) as stream:
        stream.request_headers(POST)
        stream.request_body("12345", end_of_stream=True)
        stream.response_headers([(":status", "201"), ("content-type", "text/plain")])
        stream.response_body("hello!", end_of_stream=True)
        stream.vm.surroundings.clock.advance(2)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("request", "path"), b"/v1/chat?x=1"),
        (("request", "url_path"), b"/v1/chat"),
        (("request", "query"), b"x=1"),
        (("request", "host"), b"example.com"),
        (("request", "scheme"), b"http"),
        (("request", "method"), b"POST"),
        (("request", "useragent"), b"curl"),
        (("request", "referer"), b"r"),
        (("request", "id"), b"id-1"),
        (("request", "protocol"), b"HTTP/1.1"),
        (("request", "size"), i64(0)),
        (("request", "time"), i64(12345)),
        (("request", "duration"), 1),
        (("request", "headers", "x-a"), b"1,2"),
        (("request", "headers", "X-A"), b"1,2"),
        (("request", "headers", "none"), 1),
        (("request", "headers", "host"), b"example.com"),
        (("request",), 3),
        (("connection",), 3),
        (("source", "address"), b"10.0.0.1:4711"),
        (("source", "port"), i64(4711)),
        (("connection", "id"), i64(1)),
        (("connection_id",), i64(1)),
        (("connection", "mtls"), b"\0"),
        (("connection", "requested_server_name"), b""),
        (("upstream", "address"), b"10.0.0.2:80"),
        (("plugin_name",), b"nm"),
        (("plugin_root_id",), b"rid"),
        (("plugin_vm_id",), b"vid"),
        (("route_name",), b"old"),
        (("xds", "route_name"), b"rt"),
        (("xds", "listener_direction"), i64(0)),
        (("cluster_name",), 1),
        (("node", "id"), 1),
        ((*AUTHZ, "identity", "userid"), b"u"),
        ((*AUTHZ, "identity", "level"), struct.pack("<d", 3)),
        ((*AUTHZ, "identity", "admin"), b"\1"),
        ((*AUTHZ, "identity", "none"), 3),
        ((*AUTHZ, "identity", "missing"), 1),
        ((*AUTHZ, "identity", "userid", "deeper"), 1),
        ((*AUTHZ, "l", "0"), b"a"),
        ((*AUTHZ, "l", "1"), 1),
        ((*AUTHZ, "l", "x"), 1),
        (("response", "code"), 1),
        (("response", "flags"), i64(0)),
        (("nope",), 1),
        (("",), 3),
    ],
)
def test_attributes_at_request_headers(load, path, value):
    found = {}
    play(load, GIVEN, proxy_on_request_headers=asking(found, path))
    assert found[path] == value


def test_attributes_of_request_headers_are_gone_in_the_response(load):
    found = {}
    paths = [("request", "path"), ("request", "headers"), ("request", "size"), ("response", "code")]
    play(load, proxy_on_response_headers=asking(found, *paths))
    assert list(found.values()) == [1, bytes(4), i64(5), i64(201)]


def test_everything_is_there_in_the_access_log(load):
    found = {}
    paths = [
        ("request", "path"), ("request", "size"), ("response", "code"), ("response", "size"), ("response",
        "code_details"), ("response", "headers", "content-type"), ("request", "duration"),
    ]  # fmt: skip
    play(load, proxy_on_log=asking(found, *paths))
    assert list(found.values()) == [
        b"/v1/chat?x=1", i64(5), i64(201), i64(6), b"via_upstream", b"text/plain", i64(2_000_000_000),
    ]  # fmt: skip


def test_metadata_as_a_whole_is_a_message_and_its_map_is_pairs(load):
    found = {}
    play(load, GIVEN, proxy_on_request_headers=asking(found, ("metadata",), ("metadata", "filter_metadata")))
    fields = Metadata.FromString(found["metadata",]).filter_metadata["envoy.filters.http.ext_authz"].fields
    assert fields["identity"].struct_value.fields["userid"].string_value == "u"
    assert found["metadata", "filter_metadata"] == 3 or deserialize(found["metadata", "filter_metadata"])


def test_properties_set_by_the_plugin_belong_to_the_stream(load):
    found = {}

    def on_headers(guest, *_):
        assert (yield "proxy_set_property", guest.put("mine"), guest.put("v")) == 0
        assert (yield "proxy_set_property", guest.put("route_name"), guest.put("shadowed")) == 0
        yield from asking(found, ("mine",), ("mine", "x"), ("filter_state", "wasm.mine"), ("route_name",))(guest)

    play(load, GIVEN, proxy_on_request_headers=on_headers)
    assert list(found.values()) == [b"v", 1, b"v", b"old"]
    play(load, proxy_on_request_headers=asking(found, ("mine",)))
    assert found["mine",] == 1


def test_root_context_knows_the_plugin_and_nothing_of_requests(load):
    found = {}

    def on_tick(guest, *_):
        assert (yield "proxy_set_property", guest.put("mine"), guest.put("v")) == 1
        yield from asking(found, ("plugin_name",), ("request", "path"), ("source", "address"), ("node", "id"))(guest)

    _, plugin = load(name="nm", properties={"node": {"id": "n-1"}}, proxy_on_tick=on_tick)
    plugin.tick()
    assert list(found.values()) == [b"nm", 1, 1, b"n-1"]


def test_paths_with_dots_in_a_part_are_given_as_tuples():
    tree = tree_of({("metadata", "filter_metadata", "a.b"): {"c": 1}, "metadata.filter_metadata": {"d": {"e": [2]}}})
    assert tree == {"metadata": {"filter_metadata": {"a.b": {"c": 1.0}, "d": {"e": [2.0]}}}}
    with pytest.raises(ValueError, match="already has a value"):
        tree_of({"source": "x", "source.port": 1})


@pytest.mark.parametrize(
    ("value", "expected"),
    [("é", "é".encode()), (b"\xff", b"\xff"), (True, b"\1"), (-1, b"\xff" * 8), (1.5, struct.pack("<d", 1.5))],
)
def test_bytes_of_values(value, expected):
    assert serialize(value) == expected


def test_bytes_of_maps_and_lists():
    assert deserialize(serialize({"a": 1, "b": {"c": "d"}})) == [
        (b"a", i64(1)),
        (b"b", serialize({"c": "d"})),
    ]
    assert deserialize(serialize(["x", True])) == [(b"x", b""), (b"\1", b"")]
