"""The whole world, with a real Envoy. The plugin here lets everything pass: what it does is tested elsewhere."""

import asyncio
import json
import socket
from collections.abc import Awaitable, Callable
from dataclasses import replace
from pathlib import Path

import httpx
import pytest
import yaml

from host_sim.gateway.bootstrap import Address
from host_sim.gateway.http_filters import Pipeline
from host_sim.gateway.processes import ProcessError
from host_sim.gateway.world import LocalGateway, Options, Ports
from host_sim.kuadrant import Resources, load_resources

HOST = {"Host": "llm.example.com"}
CHAT = {
    "model": "meta-llama/Llama-3.1-8B-Instruct",
    "messages": [{"role": "user", "content": "What is Kubernetes?"}],
    "max_tokens": 100,
}


def in_world(
    resources: Resources, options: Options, scenario: Callable[[LocalGateway, httpx.AsyncClient], Awaitable[None]]
) -> LocalGateway:
    async def run() -> LocalGateway:
        world = LocalGateway(resources, options)
        async with world, httpx.AsyncClient() as client:
            await scenario(world, client)
        return world

    return asyncio.run(run())


@pytest.fixture
def options(plugin: Path) -> Options:
    return Options(wasm=plugin, prometheus=False)


def changed(tutorial: Path, folder: Path, old: str, new: str) -> Resources:
    """The tutorial with `old` replaced."""
    target = folder / "changed"
    target.mkdir()
    found = False
    for file in tutorial.iterdir():
        text = file.read_text()
        found = found or old in text
        (target / file.name).write_text(text.replace(old, new))
    assert found
    return load_resources([target])


TUTORIAL = Path(__file__).parents[4] / "envoy" / "tutorial"


def test_requests_reach_the_simulator(resources: Resources, options: Options) -> None:
    async def scenario(world: LocalGateway, client: httpx.AsyncClient) -> None:
        assert world.hostnames == ["llm.example.com"]
        assert world.notices == []
        host = f"llm.example.com:{world.ports[80]}"
        response = await client.post(f"{world.url}/v1/chat/completions", headers={"Host": host}, json=CHAT)
        assert response.status_code == 200
        total = world.simulators["llm/llm-sim:80"].ledger.total()
        assert response.json()["usage"]["total_tokens"] == total.total_tokens
        assert (await client.get(f"{world.url}/v1/models", headers={"Host": "other.example.com"})).status_code == 404
        assert (await client.get(f"{world.admin_url}/ready")).text.strip() == "LIVE"
        limits = (await client.get(f"{world.limiter_url}/limits/llm%2Fllm-sim")).json()
        assert {limit["name"]: (limit["max_value"], limit["seconds"]) for limit in limits} == {
            "free": (100, 60),
            "gold": (500, 60),
        }
        targets = yaml.safe_load(world.scrape_configuration())["scrape_configs"]
        assert [target["job_name"] for target in targets] == ["limitador", "envoy", "simulator llm/llm-sim:80"]
        assert (await client.get(f"{world.admin_url}/stats/prometheus")).status_code == 200

    world = in_world(resources, options, scenario)
    assert not world.folder.exists()
    assert world.envoy.child.exit_code == 0


def test_the_auth_service_knows_the_policy(resources: Resources, options: Options) -> None:
    async def scenario(world: LocalGateway, client: httpx.AsyncClient) -> None:
        statuses = []
        for key in ("iamafreeuser", "iamagolduser", "iamnobody"):
            headers = {**HOST, "Authorization": f"APIKEY {key}"}
            statuses.append((await client.get(f"{world.url}/v1/models", headers=headers)).status_code)
        assert statuses == [200, 200, 401]

    in_world(resources, replace(options, pipeline=Pipeline.EXT_AUTHZ), scenario)


def test_a_window_replaces_the_windows_and_nothing_else(resources: Resources, options: Options) -> None:
    usual = LocalGateway(resources, options).translation
    quick = LocalGateway(resources, replace(options, window_seconds=5)).translation
    assert quick.limits == [{**limit, "seconds": 5} for limit in usual.limits]
    assert replace(quick, limits=usual.limits) == usual


def test_a_call_timeout_replaces_the_timeouts_and_nothing_else(resources: Resources, options: Options) -> None:
    usual = LocalGateway(resources, options).translation.plugin_configuration
    slow = LocalGateway(resources, replace(options, call_timeout="2s")).translation.plugin_configuration
    assert {service.pop("timeout") for service in slow["services"].values()} == {"2s"}
    assert {service.pop("timeout") for service in usual["services"].values()} == {"100ms", "200ms"}
    assert slow == usual


def test_files_stay_in_a_folder_that_was_asked_for(resources: Resources, options: Options, tmp_path: Path) -> None:
    async def scenario(world: LocalGateway, client: httpx.AsyncClient) -> None:
        await client.get(f"{world.url}/v1/models", headers=HOST)

    folder = tmp_path / "run"
    in_world(resources, replace(options, folder=folder, access_log=True), scenario)
    assert {"envoy.json", "envoy.log", "limits.yaml", "access.log"} <= {file.name for file in folder.iterdir()}
    assert "static_resources" in json.loads((folder / "envoy.json").read_text())
    assert "GET /v1/models" in (folder / "access.log").read_text()


def test_another_server_takes_the_simulators_place(resources: Resources, options: Options) -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\nconnection: close\r\n\r\nreal")
        await writer.drain()
        writer.close()

    async def run() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            address = Address(server.sockets[0].getsockname()[1])
            world = LocalGateway(resources, replace(options, backends={"llm/llm-sim": address}))
            async with world, httpx.AsyncClient() as client:
                assert world.simulators == {}
                assert (await client.get(f"{world.url}/", headers=HOST)).text == "real"

    asyncio.run(run())


async def _nothing(world: LocalGateway, client: httpx.AsyncClient) -> None:
    pass


def test_fixed_ports_are_used(resources: Resources, options: Options) -> None:
    with socket.socket() as one, socket.socket() as two:
        one.bind(("127.0.0.1", 0))
        two.bind(("127.0.0.1", 0))
        gateway, admin = one.getsockname()[1], two.getsockname()[1]
    ports = Ports(gateway=gateway, envoy_admin=admin)

    async def scenario(world: LocalGateway, client: httpx.AsyncClient) -> None:
        assert world.url == f"http://127.0.0.1:{gateway}"
        assert world.admin_url == f"http://127.0.0.1:{admin}"

    in_world(resources, replace(options, ports=ports), scenario)


def test_a_taken_port_is_named_before_anything_starts(resources: Resources, options: Options, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        varied = replace(options, ports=Ports(envoy_admin=port), folder=tmp_path)
        with pytest.raises(
            ProcessError, match=f"envoy admin: cannot listen on 127.0.0.1:{port}: Address already in use"
        ):
            in_world(resources, varied, _nothing)
    assert not (tmp_path / "limits.yaml").exists()


def test_a_plugin_that_refuses_its_configuration_stops_the_start(
    resources: Resources, options: Options, refusing_plugin: Path, tmp_path: Path
) -> None:
    with pytest.raises(ProcessError, match=r"(?s)Envoy ended with exit code 1 .*Plugin tallyman failed to load"):
        in_world(resources, replace(options, wasm=refusing_plugin, folder=tmp_path), _nothing)


def test_a_missing_module_is_named(resources: Resources, options: Options, tmp_path: Path) -> None:
    varied = replace(options, wasm=tmp_path / "none.wasm", folder=tmp_path)
    with pytest.raises(ProcessError, match=r"found no Wasm module at .*none\.wasm, expected the plugin; `make wasm`"):
        in_world(resources, varied, _nothing)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("llm-d-inference-sim:v0.1.1", "vllm:v1", "runs ghcr.io/llm-d/vllm:v1, which is no llm-d-inference-sim; mend"),
        (
            "app: llm-sim\n    spec",
            "app: other\n    spec",
            "no Deployment in the manifests runs behind Service llm/llm-sim",
        ),
        ("- --port", "- --prot", "the simulator refuses the arguments of Deployment llm/llm-sim: .*--prot"),
        ('"8000"', '"80000"', "the simulator refuses the arguments of Deployment llm/llm-sim: "),
    ],
)
def test_a_backend_that_cannot_run_here_is_named(
    options: Options, tmp_path: Path, old: str, new: str, message: str
) -> None:
    resources = changed(TUTORIAL, tmp_path, old, new)
    with pytest.raises(ProcessError, match=rf"backend llm/llm-sim:80: .*{message}"):
        in_world(resources, replace(options, folder=tmp_path), _nothing)


@pytest.mark.parametrize(
    ("old", "new"),
    [('allow { groups[_] == "free" }', "allow {"), ("apiKey:", "kubernetesTokenReview:")],
)
def test_an_auth_policy_that_cannot_be_served_denies(options: Options, tmp_path: Path, old: str, new: str) -> None:
    async def scenario(world: LocalGateway, client: httpx.AsyncClient) -> None:
        assert "the AuthPolicy on HTTPRoute llm/llm-sim cannot be served" in str(world.notices[0])
        headers = {**HOST, "Authorization": "APIKEY iamafreeuser"}
        assert (await client.get(f"{world.url}/v1/models", headers=headers)).status_code == 404

    in_world(changed(TUTORIAL, tmp_path, old, new), replace(options, pipeline=Pipeline.EXT_AUTHZ), scenario)
