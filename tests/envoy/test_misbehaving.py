"""A filter that goes wrong in a real Envoy: V8 never traps, the stream is answered, and later streams work."""

import json

import httpx
import pytest

from tests.building import FILTERS
from tests.filters.trouble import TROUBLES, expected

PLACES = [
    "on_request_headers", "on_request_body", "on_response_headers", "on_response_body", "on_log", "on_done",
    "on_delete", "http_call", "grpc_call",
]  # fmt: skip


@pytest.fixture(scope="module", params=["compiled", "bytecode"])
def misbehaving(request, build_filter, gateways):
    echo = gateways.upstream("echo")
    return gateways(build_filter(FILTERS / "misbehaving.py", request.param), "{}", {"echo": echo.port})


def new_lines(gateway, before):
    return gateway.log()[len(before) :]


@pytest.mark.parametrize("how", TROUBLES)
def test_every_trouble(misbehaving, how):
    before = misbehaving.log()
    assert misbehaving.get("/", x_in="on_request_headers", x_how=how).status_code == 500
    lines = new_lines(misbehaving, before)
    assert "uncaught exception in on_request_headers" in lines
    assert f"\n{expected(how)}" in lines
    assert misbehaving.get("/fine").text == "upstream has /fine\n"
    assert misbehaving.alive


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("how", ["exception", "plain", "huge bytes"])
def test_every_place(misbehaving, place, how):
    before = misbehaving.log()
    try:
        status = misbehaving.client.post("/", content=b"x" * 100, headers={"x-in": place, "x-how": how}).status_code
    except httpx.RemoteProtocolError:
        status = 0
    # once the client has its headers all that is left is to break off; once it has everything, nothing is
    assert status == {"on_response_body": 0, "on_log": 200, "on_done": 200, "on_delete": 200}.get(place, 500)
    assert misbehaving.get("/fine").status_code == 200
    lines = new_lines(misbehaving, before)
    assert f"\n{expected(how)}" in lines
    assert "Function: " not in lines
    assert misbehaving.alive


def test_failing_open(build_filter, gateways):
    gateway = gateways(build_filter(FILTERS / "misbehaving.py"), json.dumps({"fail_open": True}))
    for place in PLACES[:4]:
        response = gateway.client.post("/", content=b"x", headers={"x-in": place})
        assert (response.status_code, response.text) == (200, "upstream has /\n")
        assert f"uncaught exception in {place}" in gateway.log()


def test_ticks_that_fail(build_filter, gateways):
    gateway = gateways(build_filter(FILTERS / "misbehaving.py"), json.dumps({"tick": 50, "in": {"on_tick": "plain"}}))
    while gateway.log().count("uncaught exception in on_tick") < 3:
        assert gateway.get("/").status_code == 200


def test_headers_that_are_not_utf8_survive(misbehaving):
    raw = b"\xff\xfe caf\xe9 \xe2\x82\xac"
    response = misbehaving.client.get("/", headers=[(b"x-in", b"echo"), (b"x-raw", raw)])
    assert [value for name, value in response.headers.raw if name == b"x-raw"] == [raw]
