"""The command line, as a process where that matters."""

import os
import re
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
import yaml

from host_sim.world.limiter.cli import main
from tests.unit.host_sim.world.limiter.tutorial import TUTORIAL

ROOT = Path(__file__).parents[5]


@pytest.fixture
def limits_file(tmp_path: Path) -> str:
    path = tmp_path / "limits.yaml"
    path.write_text(TUTORIAL)
    return str(path)


def test_validate_prints_the_limits(limits_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--validate", limits_file], {}) == 0
    out = capsys.readouterr().out
    assert out.startswith("- id: null\n  namespace: llm/llm-sim\n  max_value: 100\n  seconds: 60\n  name: free\n")
    assert out.endswith("\n\n")
    keys = ["id", "namespace", "max_value", "seconds", "name", "conditions", "variables"]
    assert [list(limit) for limit in yaml.safe_load(out)] == [keys, keys]


def test_validate_a_bad_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "limits.yaml"
    path.write_text("- {}")
    assert main(["--validate", str(path)], {}) == 1
    assert "Invalid limit file: Couldn't parse: .[0]: missing field `namespace`" in capsys.readouterr().err
    assert main(["--validate", str(tmp_path / "no.yaml")], {}) == 1
    assert "No such file or directory (os error 2)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "LIMITS_FILE"),
        (["--nope", "x.yaml"], "--nope"),
        (["-p", "65536", "x.yaml"], "'65536' is no port; expected a number from 0 to 65535"),
        (["-P", "http", "x.yaml"], "'http' is no port"),
        (["-H", "DRAFT", "x.yaml"], "'DRAFT' is not known; expected NONE or DRAFT_VERSION_03"),
        (["--metric-labels-default", "descriptors[", "x.yaml"], "couldn't parse descriptors["),
        (["x.yaml", "redis"], "'redis'"),
        (["x.yaml", "memory", "--cache", "0"], "'0' is no count"),
    ],
)
def test_bad_arguments(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments, {}) == 2
    assert message in capsys.readouterr().err


def test_bad_values_in_the_environment(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["x.yaml"], {"ENVOY_RLS_PORT": "none"}) == 2
    assert "'none' is no port" in capsys.readouterr().err


def test_help_and_version(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-h"], {}) == 0
    assert "--rls-port" in capsys.readouterr().out
    assert main(["-V"], {}) == 0
    assert capsys.readouterr().out.startswith("tallyman-limiter ")


def test_a_bad_limits_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "no.yaml"), "-p0", "-P0"], {}) == 1
    assert "Failed to load limit file: Invalid limit file: Couldn't read file" in capsys.readouterr().err


def test_a_bad_labels_file(limits_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["-L", str(tmp_path / "no.yaml"), "-p0", "-P0"], {"LIMITS_FILE": limits_file}) == 1
    assert "Failed to load labels file: Couldn't read file" in capsys.readouterr().err


@pytest.mark.parametrize(("option", "what"), [("-p", "rate limit service"), ("-P", "HTTP")])
def test_a_taken_port(limits_file: str, option: str, what: str, capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main([limits_file, "-p0", "-P0", option, str(port)], {}) == 1
    assert f"Error: {what} cannot listen on 127.0.0.1:{port}: Address already in use" in capsys.readouterr().err


def test_an_address_that_is_not_ours(limits_file: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([limits_file, "-b", "203.0.113.1", "-p0", "-P0"], {}) == 1
    assert "cannot listen on 203.0.113.1:0: Cannot assign requested address" in capsys.readouterr().err


@pytest.mark.parametrize("signal_number", [signal.SIGTERM, signal.SIGINT])
def test_it_serves_until_a_signal(limits_file: str, signal_number: signal.Signals) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "host_sim.world.limiter", limits_file, "--rls-port", "0", "--http-port", "0"],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        assert process.stderr.readline().startswith("Tallyman limiter ")
        started = process.stderr.readline()
        match = re.fullmatch(r"rate limit service on 127\.0\.0\.1:\d+, HTTP on (http://127\.0\.0\.1:\d+)\n", started)
        assert match is not None, started
        limits = httpx.get(f"{match[1]}/limits/llm%2Fllm-sim", trust_env=False).json()
        assert [limit["name"] for limit in limits] == ["free", "gold"]
        process.send_signal(signal_number)
        assert process.wait(10) == 0
    finally:
        process.kill()
        process.communicate()
