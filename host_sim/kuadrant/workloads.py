"""Where a route's traffic goes: from backendRefs over Services to the Deployments behind them."""

from __future__ import annotations

from dataclasses import dataclass

from host_sim.kuadrant.diagnostics import Notice
from host_sim.kuadrant.gateway_api import BackendReference
from host_sim.kuadrant.objects import Container, Deployment, Service, ServicePort
from host_sim.kuadrant.resources import Resources
from host_sim.kuadrant.topology import RequestPath


@dataclass(frozen=True)
class Workload:
    """The container that answers behind a Service port."""

    deployment: str
    """`namespace/name`"""
    image: str
    arguments: tuple[str, ...]
    port: int

    def argument(self, flag: str) -> str | None:
        """The value of `--flag VALUE` or `--flag=VALUE`; of several the last, None if it is not there."""
        value: str | None = None
        for index, argument in enumerate(self.arguments):
            if argument == flag and index + 1 < len(self.arguments):
                value = self.arguments[index + 1]
            elif argument.startswith(f"{flag}="):
                value = argument.removeprefix(f"{flag}=")
        return value


@dataclass(frozen=True)
class Backend:
    """One port of one Service that routes refer to."""

    service: str
    """`namespace/name`"""
    port: int
    workload: Workload | None
    """None if no Deployment in the manifests runs behind it."""

    @property
    def name(self) -> str:
        """`namespace/name:port`; also the name of the Envoy cluster."""
        return f"{self.service}:{self.port}"


def backends(resources: Resources, paths: list[RequestPath]) -> dict[str, Backend]:
    """All backends that `paths` lead to, by name. A reference that leads nowhere is reported and left out."""
    found: dict[str, Backend] = {}
    reported: set[str] = set()
    for path in paths:
        for number, reference in enumerate(path.rule.backend_refs):
            name = backend_name(path, reference)
            if name in found or name in reported:
                continue
            problem, backend = _resolve(resources, path, reference)
            if backend is not None:
                found[name] = backend
            else:
                reported.add(name)
                place = path.route.place("spec", "rules", path.rule_number - 1, "backendRefs", number)
                resources.notices.append(Notice(place, f"{problem}; requests that go there are answered with 500"))
    return found


def backend_name(path: RequestPath, reference: BackendReference) -> str:
    return f"{reference.namespace or path.route.namespace}/{reference.name}:{reference.port or 80}"


def _resolve(resources: Resources, path: RequestPath, reference: BackendReference) -> tuple[str, Backend | None]:
    namespace = reference.namespace or path.route.namespace
    if (reference.group, reference.kind) != ("", "Service"):
        return f"backend kind {reference.kind} is not translated, only Service is", None
    service = resources.get(Service, namespace, reference.name)
    if service is None:
        return f"there is no Service {namespace}/{reference.name} in the manifests", None
    wanted = reference.port or 80
    port = next((item for item in service.spec.ports if item.port == wanted), None)
    if port is None:
        known = ", ".join(str(item.port) for item in service.spec.ports) or "none"
        return f"Service {service.key} has no port {wanted} (it has: {known})", None
    return "", Backend(service.key, wanted, _workload(resources, service, port))


def _workload(resources: Resources, service: Service, port: ServicePort) -> Workload | None:
    selector = service.spec.selector
    for deployment in resources.all(Deployment):
        labels = deployment.spec.template.metadata.labels
        if deployment.namespace != service.namespace or not selector or not selector.items() <= labels.items():
            continue
        for container in deployment.spec.template.spec.containers:
            number = _container_port(container, port)
            if number is not None:
                arguments = (*container.command[1:], *container.args)
                return Workload(deployment.key, container.image, arguments, number)
    return None


def _container_port(container: Container, port: ServicePort) -> int | None:
    """The number `targetPort` means in this container. Ports need not be declared, so a number always fits."""
    target = port.target_port if port.target_port is not None else port.port
    if isinstance(target, int):
        return target
    return next((item.container_port for item in container.ports if item.name == target), None)
