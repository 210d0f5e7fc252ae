"""A real Envoy around one filter."""

import asyncio
import json
import re
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import httpx
import pytest

from host_sim.gateway.envoy_process import EnvoyProcess

_ANY = "type.googleapis.com/envoy.extensions.filters"
_HOSTS = {"address": {"socket_address": {"address": "127.0.0.1", "port_value": 0}}}


class Echo(BaseHTTPRequestHandler):
    """Answers with status 200, or with the one that the path ends in."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers.get("content-length", 0)))
        self._answer()

    def _answer(self) -> None:
        last = self.path.rsplit("/", 1)[-1]
        body = f"{self.server.server_name_for_tests} has {self.path}\n".encode()  # type: ignore[attr-defined]
        self.send_response(int(last) if last.isdecimal() else 200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the tests look at Envoy's log."""


class Upstream:
    """A small HTTP server on loopback."""

    def __init__(self, name: str) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Echo)
        self._server.server_name_for_tests = name  # type: ignore[attr-defined]
        self.port: int = self._server.server_address[1]
        self._thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


class Gateway:
    """Envoy with one listener, one plugin and an upstream."""

    def __init__(self, runner: asyncio.Runner, envoy: EnvoyProcess) -> None:
        self._runner = runner
        self._envoy = envoy
        self.port = runner.run(envoy.listener_ports())["main"]
        self.client = httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=30)

    def get(self, path: str = "/", **headers: str) -> httpx.Response:
        """GET; underscores in names of headers stand for dashes."""
        return self.client.get(path, headers={name.replace("_", "-"): value for name, value in headers.items()})

    def stats(self) -> dict[str, float]:
        """The exposition without labels."""
        text = httpx.get(f"{self._envoy.admin_url}/stats/prometheus").text
        return {name: float(value) for name, value in re.findall(r"^(\w+)\{[^}]*\} (\S+)$", text, re.MULTILINE)}

    def log(self) -> str:
        return self._envoy.child.log.read_text(errors="replace")

    @property
    def alive(self) -> bool:
        return self._envoy.child.exit_code is None

    def stop(self) -> None:
        self.client.close()
        self._runner.run(self._envoy.stop())


def bootstrap(module: Path, configuration: str, clusters: dict[str, int], tcp: bool = False) -> dict[str, Any]:
    """Envoy's configuration: the plugin in front of the cluster `upstream`."""
    kind = "network" if tcp else "http"
    plugin = {
        "name": "wasm",
        "typed_config": {
            "@type": f"{_ANY}.{kind}.wasm.v3.Wasm",
            "config": {
                "name": "plugin",
                "configuration": {"@type": "type.googleapis.com/google.protobuf.StringValue", "value": configuration},
                "vm_config": {"runtime": "envoy.wasm.runtime.v8", "code": {"local": {"filename": str(module)}}},
            },
        },
    }
    route = {"match": {"prefix": "/"}, "route": {"cluster": "upstream"}}
    manager = {
        "@type": f"{_ANY}.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "main",
        "route_config": {"virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [route]}]},
        "http_filters": [plugin, {"name": "router", "typed_config": {"@type": f"{_ANY}.http.router.v3.Router"}}],
    }
    proxy = {"@type": f"{_ANY}.network.tcp_proxy.v3.TcpProxy", "stat_prefix": "main", "cluster": "upstream"}
    filters = [plugin, {"name": "tcp", "typed_config": proxy}] if tcp else [{"name": "http", "typed_config": manager}]
    return {
        "admin": _HOSTS,
        "static_resources": {
            "listeners": [{"name": "main", **_HOSTS, "filter_chains": [{"filters": filters}]}],
            "clusters": [_cluster(name, port) for name, port in clusters.items()],
        },
    }


def _cluster(name: str, port: int) -> dict[str, Any]:
    address = {"socket_address": {"address": "127.0.0.1", "port_value": port}}
    endpoint = {"endpoint": {"address": address}}
    return {
        "name": name,
        "connect_timeout": "1s",
        "load_assignment": {"cluster_name": name, "endpoints": [{"lb_endpoints": [endpoint]}]},
    }


class Gateways:
    """Starts gateways, and stops them all at the end."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runner = asyncio.Runner()
        self._started: list[Gateway] = []
        self._upstreams: list[Upstream] = []

    def __call__(
        self, module: Path, configuration: str = "", clusters: dict[str, int] | None = None, tcp: bool = False
    ) -> Gateway:
        """`clusters`: ports by name, beside `upstream`. Raises `ProcessError` if Envoy does not start."""
        number = len(self._upstreams)
        upstream = self.upstream("upstream")
        folder = self._folder / str(number)
        folder.mkdir()
        path = folder / "bootstrap.json"
        path.write_text(
            json.dumps(bootstrap(module, configuration, {"upstream": upstream.port, **(clusters or {})}, tcp))
        )
        gateway = Gateway(self._runner, self._runner.run(EnvoyProcess.start(path, folder)))
        self._started.append(gateway)
        return gateway

    def upstream(self, name: str) -> Upstream:
        """One more small server."""
        self._upstreams.append(Upstream(name))
        return self._upstreams[-1]

    def stop(self) -> None:
        for gateway in self._started:
            gateway.stop()
        for upstream in self._upstreams:
            upstream.stop()
        self._runner.close()


@pytest.fixture(scope="module")
def gateways(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateways]:
    made = Gateways(tmp_path_factory.mktemp("envoy"))
    yield made
    made.stop()
