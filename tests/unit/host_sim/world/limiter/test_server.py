"""A limiter as it runs: ports, reload, and its end."""

import asyncio
import os
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import httpx
import pytest
from tallyman.cel.errors import CelSyntaxError

from host_sim.world.limiter import LimiterConfig, LimitsFileError, ListenError, RunningLimiter, serve
from tests.unit.host_sim.world.limiter.tutorial import FREE, NAMESPACE, TUTORIAL, descriptors

pytestmark = pytest.mark.anyio


@pytest.fixture
def limits_file(tmp_path: Path) -> Path:
    path = tmp_path / "limits.yaml"
    path.write_text(TUTORIAL)
    return path


@pytest.fixture
async def running(limits_file: Path, tmp_path: Path) -> AsyncIterator[RunningLimiter]:
    labels_file = tmp_path / "labels.yaml"
    labels_file.write_text("")
    config = LimiterConfig(
        limits_file=limits_file,
        metric_labels_file=labels_file,
        rls_port=0,
        http_port=0,
        reload_interval_seconds=0.01,
    )
    async with await serve(config) as running:
        yield running


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.01)


async def test_both_ports_are_on_loopback_and_closed_at_the_end(running: RunningLimiter) -> None:
    for port in (running.rls_port, running.http_port):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
    await running.stop()
    for port in (running.rls_port, running.http_port):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1)


async def test_http_on_its_port(running: RunningLimiter) -> None:
    async with httpx.AsyncClient(base_url=running.http_url, trust_env=False) as client:
        limits = (await client.get("/limits/llm%2Fllm-sim")).json()
        assert [limit["name"] for limit in limits] == ["free", "gold"]
        assert (await client.get("/limits/llm/llm-sim")).status_code == 404
        assert (await client.get("/metrics")).headers["content-type"] == "text/plain; charset=utf-8"
        response = await client.post("/check_and_report", json={"namespace": NAMESPACE, "values": {}, "delta": 1})
        assert (response.status_code, response.text) == (200, "null")


@pytest.mark.parametrize("which", ["rls_port", "http_port"])
async def test_a_taken_port_is_one_clear_sentence(which: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ports = {"rls_port": 0, "http_port": 0, which: port}
        with pytest.raises(ListenError) as caught:
            await serve(LimiterConfig(**ports))
    assert f"127.0.0.1:{port}: Address already in use; stop what listens there" in str(caught.value)


async def test_two_limiters_cannot_share_a_port() -> None:
    async with await serve(LimiterConfig(rls_port=0, http_port=0)) as first:
        with pytest.raises(ListenError):
            await serve(LimiterConfig(rls_port=first.rls_port, http_port=0))


async def test_bad_configuration_is_refused(limits_file: Path) -> None:
    limits_file.write_text("a: b")
    with pytest.raises(LimitsFileError):
        await serve(LimiterConfig(limits_file=limits_file, rls_port=0, http_port=0))
    with pytest.raises(CelSyntaxError):
        await serve(LimiterConfig(metric_labels_default="a ==", rls_port=0, http_port=0))


async def test_a_changed_file_is_reloaded_and_counters_go_on(running: RunningLimiter, limits_file: Path) -> None:
    running.limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 60)
    applied_at = running.status.config_applied_at
    limits_file.write_text(TUTORIAL.replace("max_value: 100", "max_value: 61"))
    await until(lambda: running.status.config_version == 1)
    assert [state.remaining for state in running.limiter.counters(NAMESPACE)] == [1]
    assert running.status.config_applied_at > applied_at


async def test_a_broken_file_changes_nothing_and_is_told(
    running: RunningLimiter, limits_file: Path, caplog: pytest.LogCaptureFixture
) -> None:
    running.limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 60)
    for errors, text in ((1, "a: b"), (2, "- nonsense")):
        limits_file.write_text(text)
        await until(lambda errors=errors: running.status.config_err_since == errors)  # type: ignore[misc]
    assert running.status.config_version == 0
    assert "Invalid limit file: Couldn't parse: invalid type: map" in caplog.text
    assert [state.remaining for state in running.limiter.counters(NAMESPACE)] == [40]
    limits_file.write_text(TUTORIAL)
    await until(lambda: running.status.config_version == 1)
    assert running.status.config_err_since == 0


async def test_a_replaced_symbolic_link_is_reloaded_once(tmp_path: Path) -> None:
    """A mounted ConfigMap: limits.yaml -> ..data/limits.yaml, and ..data -> a folder for each version."""
    for version, text in (("v1", TUTORIAL), ("v2", "[]")):
        (tmp_path / version).mkdir()
        (tmp_path / version / "limits.yaml").write_text(text)
    (tmp_path / "..data").symlink_to("v1")
    (tmp_path / "limits.yaml").symlink_to("..data/limits.yaml")
    config = LimiterConfig(limits_file=tmp_path / "limits.yaml", rls_port=0, http_port=0, reload_interval_seconds=0.01)
    async with await serve(config) as running:
        (tmp_path / "..data_tmp").symlink_to("v2")
        os.replace(tmp_path / "..data_tmp", tmp_path / "..data")
        await until(lambda: running.status.config_version == 1)
        await asyncio.sleep(0.05)
        assert running.status.config_version == 1
        assert running.limiter.limits(NAMESPACE) == []


async def test_a_deleted_file_changes_nothing(running: RunningLimiter, limits_file: Path) -> None:
    limits_file.unlink()
    await asyncio.sleep(0.05)
    assert running.status.to_dict()["config_err_since"] == 0
    assert len(running.limiter.limits(NAMESPACE)) == 2


async def test_the_labels_file_is_reloaded(running: RunningLimiter, tmp_path: Path) -> None:
    (tmp_path / "labels.yaml").write_text("user: descriptors[1].user")

    def labelled() -> bool:
        running.metrics.authorized(NAMESPACE, descriptors(FREE, "user-1"), calls=1)
        return 'user="user-1"' in running.metrics.exposition()

    await until(labelled)
