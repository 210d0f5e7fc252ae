from collections.abc import Callable

import pytest

from host_sim.kuadrant import Resources, translate

Load = Callable[..., Resources]

SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: llm-sim, namespace: llm}
spec: {selector: {app: llm-sim}, ports: [{port: 80, targetPort: TARGET}]}
"""

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: server, namespace: llm}
spec:
  template:
    metadata: {labels: {app: llm-sim, tier: back}}
    spec:
      containers:
        - {name: side, image: sidecar, ports: [{name: metrics, containerPort: 9}]}
        - name: main
          image: simulator
          command: [/app/simulator, --mode=echo]
          args: [--model, M, --port, "8000", --model=N]
          ports: [{name: api, containerPort: 8000}]
"""


@pytest.mark.parametrize(("target", "image", "port"), [("api", "simulator", 8000), ("metrics", "sidecar", 9)])
def test_a_named_port_finds_its_container(load_routed: Load, target: str, image: str, port: int) -> None:
    translation = translate(load_routed(SERVICE.replace("TARGET", target), DEPLOYMENT))
    workload = translation.backends["llm/llm-sim:80"].workload
    assert workload is not None
    assert (workload.deployment, workload.image, workload.port) == ("llm/server", image, port)


def test_arguments_are_commands_and_args(load_routed: Load) -> None:
    workload = translate(load_routed(SERVICE.replace("TARGET", "api"), DEPLOYMENT)).backends["llm/llm-sim:80"].workload
    assert workload is not None
    assert workload.arguments == ("--mode=echo", "--model", "M", "--port", "8000", "--model=N")
    assert [workload.argument(flag) for flag in ("--mode", "--model", "--port", "--seed")] == [
        "echo",
        "N",
        "8000",
        None,
    ]


@pytest.mark.parametrize(
    ("old", "new"), [("app: llm-sim, tier", "app: other, tier"), ("namespace: llm}", "namespace: x}")]
)
def test_a_deployment_must_fit_the_services_selector(load_routed: Load, old: str, new: str) -> None:
    translation = translate(load_routed(SERVICE.replace("TARGET", "8000"), DEPLOYMENT.replace(old, new)))
    assert translation.backends["llm/llm-sim:80"].workload is None


@pytest.mark.parametrize(
    ("old", "new", "notice"),
    [
        ("port: 80}]", "port: 81}]", "Service llm/llm-sim has no port 81 (it has: 80); requests that go there"),
        ("name: llm-sim, port", "name: gone, port", "there is no Service llm/gone in the manifests; requests"),
        ("{name: llm-sim, port", "{kind: Bucket, name: llm-sim, port", "backend kind Bucket is not translated"),
    ],
)
def test_references_that_lead_nowhere_are_reported(
    load: Load, gateway_text: str, route_text: str, old: str, new: str, notice: str
) -> None:
    assert old in route_text
    translation = translate(load(gateway_text, route_text.replace(old, new), SERVICE.replace("TARGET", "8000")))
    assert translation.backends == {}
    assert notice in str(translation.notices[0])
    assert ": spec.rules[0].backendRefs[0]: " in str(translation.notices[0])
