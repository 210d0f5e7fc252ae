"""Envoy's bootstrap for the local gateway, rendered from a translation and the addresses of its services.

`render_bootstrap` builds the message through Envoy's own protobuf definitions, so that a misspelt field fails here and
not in Envoy. Source: `envoy/config/bootstrap/v3/bootstrap.proto` and the extensions named in `http_filters`.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

# The imports whose names are not used register the messages that `Any` fields hold.
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from envoy.extensions.access_loggers.file.v3 import file_pb2 as _file_access_log  # noqa: F401
from envoy.extensions.filters.network.http_connection_manager.v3 import (
    http_connection_manager_pb2 as _http_connection_manager,  # noqa: F401
)
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2 as _http_protocol_options  # noqa: F401
from google.protobuf.json_format import MessageToJson, ParseDict

from host_sim.gateway.http_filters import Pipeline, http_filters, native_rate_limits, route_filter_configs
from host_sim.gateway.metric_labels import stats_tags
from host_sim.gateway.routes import Json, virtual_hosts
from host_sim.kuadrant import Translation
from host_sim.kuadrant.plugin_configuration import AUTH_CLUSTER, RATELIMIT_CLUSTER

LOOPBACK: Final = "127.0.0.1"

_TYPE: Final = "type.googleapis.com/envoy.extensions"


@dataclass(frozen=True)
class Address:
    """Where something listens; port 0 lets the system choose."""

    port: int
    host: str = LOOPBACK

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @classmethod
    def parse(cls, text: str) -> Address:
        """`HOST:PORT` or `[IPV6]:PORT`. Raises `ValueError`."""
        host, _, port = text.rpartition(":")
        if not host or not (port.isascii() and port.isdigit()) or not 0 < int(port) < 65536:
            raise ValueError(f"found {text!r}, expected HOST:PORT such as 127.0.0.1:8000")
        return cls(int(port), host.removeprefix("[").removesuffix("]"))


@dataclass(frozen=True)
class BootstrapOptions:
    """What the bootstrap needs to know beside the translation."""

    auth_service: Address
    rate_limit_service: Address
    backends: Mapping[str, Address]
    """Addresses by backend name (`namespace/name:port`)."""
    wasm: Path | None = None
    """The plugin's module; only pipelines with the plugin need it."""
    pipeline: Pipeline = Pipeline.PLUGIN
    admin: Address = field(default_factory=lambda: Address(0))
    listen: Mapping[int, Address] = field(default_factory=dict)
    """Local address for each port of the Gateway; a port that is not named here gets a free one on loopback."""
    access_log: Path | None = None


def render_bootstrap(translation: Translation, options: BootstrapOptions) -> Bootstrap:
    """The whole bootstrap as a checked message.

    Raises:
        ValueError: the pipeline needs a module and none was given, or the Gateway has no HTTP listener.
    """
    document: Json = {
        "node": {"id": translation.gateway.key, "cluster": translation.gateway.key},
        "admin": {"address": _socket_address(options.admin)},
        "static_resources": {
            "listeners": _listeners(translation, options),
            "clusters": _clusters(translation, options),
        },
    }
    if options.pipeline.needs_plugin:
        document["stats_config"] = {"stats_tags": stats_tags(translation.plugin_configuration)}
    return ParseDict(document, Bootstrap())


def bootstrap_json(bootstrap: Bootstrap) -> str:
    """The bootstrap as Envoy reads it from a `.json` file."""
    return str(MessageToJson(bootstrap, preserving_proto_field_name=True, indent=2))


def _listeners(translation: Translation, options: BootstrapOptions) -> list[Json]:
    """One Envoy listener for each port with HTTP listeners; host names tell those that share it apart."""
    ports = sorted({item.port for item in translation.gateway.spec.listeners if item.protocol == "HTTP"})
    if not ports:
        found = ", ".join(item.protocol for item in translation.gateway.spec.listeners)
        raise ValueError(f"Gateway {translation.gateway.key}: found listeners for {found}, expected one for HTTP")
    return [
        {
            "name": f"http-{port}",
            "address": _socket_address(options.listen.get(port, Address(0))),
            "filter_chains": [{"filters": [_connection_manager(translation, options, port)]}],
        }
        for port in ports
    ]


def _connection_manager(translation: Translation, options: BootstrapOptions, port: int) -> Json:
    paths = [path for path in translation.paths if path.listener.protocol == "HTTP" and path.listener.port == port]
    filter_configs = route_filter_configs(translation, options.pipeline)
    rate_limits = native_rate_limits(translation) if options.pipeline is Pipeline.NATIVE else None
    manager: Json = {
        "@type": f"{_TYPE}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": f"gateway_{port}",
        # The local port is not the Gateway's, so a client's Host header has a port that no policy expects.
        "strip_any_host_port": True,
        "use_remote_address": True,
        "route_config": {
            "name": f"http-{port}",
            "virtual_hosts": virtual_hosts(paths, translation.backends, filter_configs, rate_limits),
        },
        "http_filters": http_filters(translation.plugin_configuration, options.pipeline, options.wasm),
    }
    if options.access_log is not None:
        manager["access_log"] = [
            {
                "name": "envoy.access_loggers.file",
                "typed_config": {
                    "@type": f"{_TYPE}.access_loggers.file.v3.FileAccessLog",
                    "path": str(options.access_log),
                },
            }
        ]
    return {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}


def _clusters(translation: Translation, options: BootstrapOptions) -> list[Json]:
    clusters = [
        _cluster(AUTH_CLUSTER, options.auth_service, http2=True),
        _cluster(RATELIMIT_CLUSTER, options.rate_limit_service, http2=True),
    ]
    for name in translation.backends:
        address = options.backends.get(name)
        if address is None:
            raise ValueError(f"found no address for the backend {name}, expected HOST:PORT of what serves it")
        clusters.append(_cluster(name, address))
    return clusters


def _cluster(name: str, address: Address, *, http2: bool = False) -> Json:
    cluster: Json = {
        "name": name,
        "type": "STATIC" if _is_ip(address.host) else "STRICT_DNS",
        "connect_timeout": "1s",
        "load_assignment": {
            "cluster_name": name,
            "endpoints": [{"lb_endpoints": [{"endpoint": {"address": _socket_address(address)}}]}],
        },
    }
    if http2:
        cluster["typed_extension_protocol_options"] = {
            "envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
                "@type": f"{_TYPE}.upstreams.http.v3.HttpProtocolOptions",
                "explicit_http_config": {"http2_protocol_options": {}},
            }
        }
    return cluster


def _socket_address(address: Address) -> Json:
    return {"socket_address": {"address": address.host, "port_value": address.port}}


def _is_ip(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
