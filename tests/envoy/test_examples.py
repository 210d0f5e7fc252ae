"""Each example in a real Envoy."""

import socket
import time

import pytest

from host_sim.gateway.processes import ProcessError, free_port
from tests.building import EXAMPLES, FILTERS


def eventually(condition, seconds=10.0):
    """Waits until it holds; answers what it answered last."""
    deadline = time.monotonic() + seconds
    while not (answer := condition()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return answer


def test_header(build_filter, gateways):
    gateway = gateways(build_filter(EXAMPLES / "header.py"))
    for path in ("/", "/a/b?c=d", "/404"):
        response = gateway.get(path)
        assert response.headers["x-request-path"] == path
        assert response.status_code == (404 if path == "/404" else 200)


def test_callout(build_filter, gateways):
    gate = gateways.upstream("gatekeeper")
    gateway = gateways(build_filter(EXAMPLES / "callout.py"), "", {"gatekeeper": gate.port})
    assert gateway.get("/fine").text == "upstream has /fine\n"
    refused = gateway.get("/401")
    assert (refused.status_code, refused.text) == (403, "gatekeeper has /401\n")
    assert gateway.get("/fine").status_code == 200


@pytest.mark.parametrize(("policy", "status"), [("open", 200), ("closed", 503)])
def test_callout_without_a_verdict(build_filter, gateways, policy, status):
    gateway = gateways(build_filter(EXAMPLES / "callout.py"), policy, {"gatekeeper": free_port()})
    assert gateway.get("/").status_code == status
    silent = socket.create_server(("127.0.0.1", 0))
    gateway = gateways(build_filter(EXAMPLES / "callout.py"), policy, {"gatekeeper": silent.getsockname()[1]})
    begun = time.monotonic()
    assert gateway.get("/").status_code == status
    assert 0.2 < time.monotonic() - begun < 5
    silent.close()
    assert "no verdict from gatekeeper" in gateway.log()


@pytest.mark.parametrize(("policy", "status"), [("open", 200), ("closed", 500)])
def test_callout_that_cannot_be_made(build_filter, gateways, policy, status):
    gateway = gateways(build_filter(EXAMPLES / "callout.py"), policy)
    assert gateway.get("/").status_code == status
    assert "proxy_http_call answered BAD_ARGUMENT" in gateway.log()


def test_timer(build_filter, gateways):
    gateway = gateways(build_filter(EXAMPLES / "timer.py"))
    for _ in range(5):
        gateway.get("/")
    assert eventually(
        lambda: gateway.stats().get("envoy_wasmcustom_timer_requests", gateway.stats().get("timer_requests")) == 5
    )


def test_tcp(build_filter, gateways):
    gateway = gateways(build_filter(EXAMPLES / "tcp.py"), tcp=True)
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nhost: x\r\n\r\n")
        assert plain.recv(100) == b""
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=10) as tls:
        tls.sendall(b"\x16\x03\x01 is what a handshake begins with\r\n\r\n")
        # it has reached the upstream, which speaks HTTP
        assert b"400" in tls.recv(1000)


def test_a_plugin_that_fails_to_configure_is_refused(build_filter, gateways):
    with pytest.raises(ProcessError, match="uncaught exception in on_configure"):
        gateways(build_filter(FILTERS / "misbehaving.py"), "no json")
