"""The command line as a user meets it: help, usage errors, messages, exit codes."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from host_sim.cli import main

ROOT = Path(__file__).parents[4]
TUTORIAL = ROOT / "envoy" / "tutorial"


def test_help_has_examples_and_exit_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "tallyman demo --window 5s" in shown
    assert "exit codes" in shown


@pytest.mark.parametrize("command", ["demo", "up", "check"])
def test_each_subcommand_has_help(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "--help"]) == 0
    assert f"tallyman {command}" in capsys.readouterr().out


def test_the_module_is_the_same_command() -> None:
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'filter'}:{ROOT}"}
    command = [sys.executable, "-m", "host_sim", "--version"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()[0]) == (0, "tallyman")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["play"], "'play'"),
        (["demo", "--window", "5"], "'5' is not a duration such as 30s"),
        (["demo", "--window", "500ms"], "'500ms' is no window; expected whole seconds, from 1s"),
        (["demo", "--call-timeout", "soon"], "'soon' is not a duration"),
        (["demo", "--concurrency", "0"], "'0' is no count; expected a number from 1 to 64"),
        (["up", "--port", "8080"], "'8080' names no port; expected NAME=PORT with one of gateway, envoy-admin"),
        (["up", "--port", "gateway=http"], "'gateway=http' has no port"),
    ],
)
def test_wrong_usage(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert message in " ".join(shown.err.split())


def test_a_missing_module(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["demo", "--wasm", str(tmp_path / "none.wasm"), "--report", str(tmp_path / "report.json")]) == 1
    assert "none.wasm, expected the plugin; `make wasm` builds it" in capsys.readouterr().err
    assert not (tmp_path / "report.json").exists()


def test_a_taken_port(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["up", "--free-ports", "--port", f"limiter-http={port}"]) == 1
    shown = capsys.readouterr().err
    assert f"tallyman up: limiter http: cannot listen on 127.0.0.1:{port}" in shown
    assert "--port limiter-http=PORT" in shown


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("kind: [", "policies.yaml:"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: 7}\n", "policies.yaml:3: metadata.name"),
        ("apiVersion: v1\nkind: Secret\nmetadata: {name: a}\n", "found no Gateway in the manifests"),
    ],
)
@pytest.mark.parametrize("command", [["check"], ["demo", "--policies"]])
def test_manifests_that_cannot_be_used(
    command: list[str], text: str, message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "policies.yaml"
    file.write_text(text)
    assert main([*command, str(file)]) == 1
    shown = capsys.readouterr().err
    assert shown.startswith(f"tallyman {command[0]}: ")
    assert message in shown


def test_check_shows_routes_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(TUTORIAL)]) == 0
    shown = capsys.readouterr()
    assert shown.err == ""
    for expected in ("api-gateway/external", "llm.example.com", "gold", "500", "metric labels: group, user"):
        assert expected in shown.out
    assert "\x1b" not in shown.out


def test_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["check", str(TUTORIAL), "--output", "json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert [limit["max_value"] for limit in document["limits"]] == [100, 500]
    assert main(["check", str(TUTORIAL), "--output", "plugin"]) == 0
    assert json.loads(capsys.readouterr().out) == document["pluginConfiguration"]


def test_check_names_what_has_no_effect(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "more.yaml"
    file.write_text("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: a}\n")
    assert main(["check", str(TUTORIAL), str(file)]) == 0
    assert "more.yaml:2: kind: v1 ConfigMap is not translated, so it has no effect" in capsys.readouterr().err
