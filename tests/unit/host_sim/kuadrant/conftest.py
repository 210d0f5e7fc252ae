"""Fixtures: manifests as text, and the pieces most of them need."""

from collections.abc import Callable
from pathlib import Path

import pytest

from host_sim.kuadrant import Resources, load_resources

TUTORIAL = Path(__file__).parents[4] / "envoy" / "tutorial"

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: external, namespace: api-gateway}
spec:
  gatewayClassName: istio
  listeners:
    - name: http
      protocol: HTTP
      port: 80
      hostname: "*.example.com"
      allowedRoutes: {namespaces: {from: All}}
"""

ROUTE = """\
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: llm-sim, namespace: llm}
spec:
  hostnames: [llm.example.com]
  parentRefs: [{name: external, namespace: api-gateway}]
  rules:
    - backendRefs: [{name: llm-sim, port: 80}]
"""


@pytest.fixture
def tutorial() -> Path:
    return TUTORIAL


@pytest.fixture
def gateway_text() -> str:
    return GATEWAY


@pytest.fixture
def route_text() -> str:
    return ROUTE


@pytest.fixture
def load(tmp_path: Path) -> Callable[..., Resources]:
    """`load(text, ...)`: one file, `manifests.yaml`, with the given documents."""

    def read(*documents: str, namespace: str | None = None) -> Resources:
        file = tmp_path / "manifests.yaml"
        file.write_text("---\n".join(documents))
        return load_resources([file], namespace)

    return read


@pytest.fixture
def load_routed(load: Callable[..., Resources]) -> Callable[..., Resources]:
    """As `load`, with a gateway and a route already there."""

    def read(*documents: str) -> Resources:
        return load(GATEWAY, ROUTE, *documents)

    return read
