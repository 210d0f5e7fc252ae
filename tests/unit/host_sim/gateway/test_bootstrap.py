"""The rendered bootstrap; Envoy itself is the judge of whether it is one."""

import asyncio
import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest
from envoy.config.bootstrap.v3.bootstrap_pb2 import Bootstrap
from google.protobuf.json_format import Parse

from host_sim.gateway.bootstrap import Address, BootstrapOptions, bootstrap_json, render_bootstrap
from host_sim.gateway.envoy_process import validate_bootstrap
from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.processes import ProcessError
from host_sim.kuadrant import Translation, load_resources, translate

GATEWAY = """\
apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: external, namespace: llm}
spec:
  gatewayClassName: istio
  listeners:
    - {name: one, protocol: HTTP, port: 80, hostname: a.example.com}
    - {name: two, protocol: HTTP, port: 80, hostname: "*.example.com"}
    - {name: three, protocol: HTTP, port: 8080}
    - {name: four, protocol: HTTPS, port: 443}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: any, namespace: llm}
spec: {parentRefs: [{name: external}]}
"""


def render(translation: Translation, options: BootstrapOptions) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(bootstrap_json(render_bootstrap(translation, options)))
    return document


def connection_manager(document: dict[str, Any], listener: int = 0) -> dict[str, Any]:
    found: dict[str, Any] = document["static_resources"]["listeners"][listener]["filter_chains"][0]["filters"][0]
    return dict(found["typed_config"])


def http_filters(document: dict[str, Any]) -> dict[str, dict[str, Any]]:
    filters = connection_manager(document)["http_filters"]
    return {item["name"].removeprefix("envoy.filters.http."): item["typed_config"] for item in filters}


@pytest.mark.parametrize("pipeline", list(Pipeline))
def test_envoy_accepts_it(
    translation: Translation, options: BootstrapOptions, tmp_path: Path, pipeline: Pipeline
) -> None:
    file = tmp_path / "envoy.json"
    varied = dataclasses.replace(options, pipeline=pipeline, access_log=tmp_path / "access.log")
    file.write_text(bootstrap_json(render_bootstrap(translation, varied)))
    asyncio.run(validate_bootstrap(file, tmp_path))


def test_envoys_refusal_is_told_in_its_words(
    translation: Translation, options: BootstrapOptions, tmp_path: Path, refusing_plugin: Path
) -> None:
    file = tmp_path / "envoy.json"
    file.write_text(bootstrap_json(render_bootstrap(translation, dataclasses.replace(options, wasm=refusing_plugin))))
    with pytest.raises(ProcessError, match=r"(?s)Envoy refuses .*envoy\.json; .*Plugin tallyman failed"):
        asyncio.run(validate_bootstrap(file, tmp_path))


def test_the_json_is_the_message(translation: Translation, options: BootstrapOptions) -> None:
    bootstrap = render_bootstrap(translation, options)
    assert Parse(bootstrap_json(bootstrap), Bootstrap()) == bootstrap


def test_the_plugin_has_the_whole_configuration(translation: Translation, options: BootstrapOptions) -> None:
    filters = http_filters(render(translation, options))
    assert list(filters) == ["wasm", "router"]
    config = filters["wasm"]["config"]
    assert config["failure_policy"] == "FAIL_CLOSED"
    assert config["vm_config"]["runtime"] == "envoy.wasm.runtime.v8"
    assert config["vm_config"]["code"]["local"]["filename"] == str(options.wasm)
    assert config["configuration"]["@type"] == "type.googleapis.com/google.protobuf.StringValue"
    assert json.loads(config["configuration"]["value"]) == translation.plugin_configuration


def test_clusters_are_where_the_services_listen(translation: Translation, options: BootstrapOptions) -> None:
    varied = dataclasses.replace(options, backends={"llm/llm-sim:80": Address(1234, "llm.internal")})
    clusters = {item["name"]: item for item in render(translation, varied)["static_resources"]["clusters"]}
    endpoints = {
        name: item["load_assignment"]["endpoints"][0]["lb_endpoints"][0]["endpoint"]["address"]["socket_address"]
        for name, item in clusters.items()
    }
    assert endpoints == {
        "kuadrant-auth-service": {"address": "127.0.0.1", "port_value": 50051},
        "kuadrant-ratelimit-service": {"address": "127.0.0.1", "port_value": 8081},
        "llm/llm-sim:80": {"address": "llm.internal", "port_value": 1234},
    }
    assert [name for name, item in clusters.items() if "typed_extension_protocol_options" in item] == [
        "kuadrant-auth-service",
        "kuadrant-ratelimit-service",
    ]
    assert clusters["llm/llm-sim:80"]["type"] == "STRICT_DNS"


def test_everything_listens_on_loopback(translation: Translation, options: BootstrapOptions) -> None:
    document = render(translation, dataclasses.replace(options, listen={80: Address(8080)}, admin=Address(9901)))
    assert document["admin"]["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 9901}
    (listener,) = document["static_resources"]["listeners"]
    assert listener["address"]["socket_address"] == {"address": "127.0.0.1", "port_value": 8080}


def test_listeners_that_share_a_port_are_one(options: BootstrapOptions, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GATEWAY)
    document = render(translate(load_resources([tmp_path / "gateway.yaml"])), options)
    assert [item["name"] for item in document["static_resources"]["listeners"]] == ["http-80", "http-8080"]
    hosts = [
        [host["name"] for host in connection_manager(document, number)["route_config"]["virtual_hosts"]]
        for number in (0, 1)
    ]
    assert hosts == [["a.example.com", "*.example.com"], ["*"]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"backends": {}}, "found no address for the backend llm/llm-sim:80"),
        ({"wasm": None}, "found no Wasm module, expected one for the pipeline plugin"),
    ],
)
def test_what_is_missing_is_named(
    translation: Translation, options: BootstrapOptions, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        render_bootstrap(translation, dataclasses.replace(options, **change))


def test_a_gateway_without_http_is_refused(options: BootstrapOptions, tmp_path: Path) -> None:
    (tmp_path / "gateway.yaml").write_text(GATEWAY.replace("protocol: HTTP,", "protocol: TLS,"))
    translation = translate(load_resources([tmp_path / "gateway.yaml"]))
    with pytest.raises(ValueError, match="found listeners for TLS, TLS, TLS, HTTPS, expected one for HTTP"):
        render_bootstrap(translation, options)


@pytest.mark.parametrize("text", ["127.0.0.1:80", "[::1]:8000", "llm.example.com:65535"])
def test_addresses_are_read_and_written(text: str) -> None:
    assert str(Address.parse(text)) == text


@pytest.mark.parametrize("text", ["", "80", ":80", "host:", "host:0", "host:65536", "host:\uff18", "host:-1"])
def test_bad_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="expected HOST:PORT"):
        Address.parse(text)


class TestOwnFilters:
    """The pipelines in which Envoy's own filters do the plugin's work."""

    def test_ext_authz_takes_over_from_the_auth_action(
        self, translation: Translation, options: BootstrapOptions
    ) -> None:
        document = render(translation, dataclasses.replace(options, pipeline=Pipeline.EXT_AUTHZ))
        filters = http_filters(document)
        assert list(filters) == ["ext_authz", "wasm", "router"]
        configuration = json.loads(filters["wasm"]["config"]["configuration"]["value"])
        services = [action["service"] for item in configuration["actionSets"] for action in item["actions"]]
        assert services == ["ratelimit-check-service", "ratelimit-report-service"] * 2
        (host,) = connection_manager(document)["route_config"]["virtual_hosts"]
        per_route = host["routes"][0]["typed_per_filter_config"]["envoy.filters.http.ext_authz"]
        assert per_route["check_settings"]["context_extensions"] == {"host": translation.paths[0].auth_scope}

    def test_ext_authz_leaves_unprotected_routes_alone(self, options: BootstrapOptions, tmp_path: Path) -> None:
        (tmp_path / "gateway.yaml").write_text(GATEWAY)
        translation = translate(load_resources([tmp_path / "gateway.yaml"]))
        document = render(translation, dataclasses.replace(options, pipeline=Pipeline.EXT_AUTHZ))
        (host,) = connection_manager(document, 1)["route_config"]["virtual_hosts"]
        assert host["routes"][0]["typed_per_filter_config"]["envoy.filters.http.ext_authz"]["disabled"] is True

    def test_native_sends_the_plugins_descriptors(self, translation: Translation, options: BootstrapOptions) -> None:
        document = render(translation, dataclasses.replace(options, pipeline=Pipeline.NATIVE))
        assert list(http_filters(document)) == ["ext_authz", "ratelimit", "json_to_metadata", "router"]
        (host,) = connection_manager(document)["route_config"]["virtual_hosts"]
        route = host["routes"][0]
        assert route["typed_per_filter_config"]["envoy.filters.http.ratelimit"]["domain"] == "llm/llm-sim"
        keys = [
            [next(iter(action.values()))["descriptor_key"] for action in limit["actions"]]
            for limit in route["route"]["rate_limits"]
        ]
        limits = ["tokenlimit.free__cca14490", "tokenlimit.gold__8a3ba14b", "auth.identity.userid"]
        assert keys == [limits, ["group", "user"]] * 2
        assert [limit.get("apply_on_stream_done", False) for limit in route["route"]["rate_limits"]] == [
            False,
            False,
            True,
            True,
        ]

    def test_none_is_the_router(self, translation: Translation, options: BootstrapOptions) -> None:
        document = render(translation, dataclasses.replace(options, pipeline=Pipeline.NONE, wasm=None))
        assert list(http_filters(document)) == ["router"]
