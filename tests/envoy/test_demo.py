"""`tallyman demo` and `tallyman up` as a user runs them, on a real Envoy, with Prometheus if the machine has it."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import wasmtime
import yaml

from host_sim.cli import demo, main
from host_sim.gateway.metric_labels import stats_tags
from host_sim.kuadrant import load_resources, translate

ROOT = Path(__file__).parents[2]
TUTORIAL = ROOT / "envoy" / "tutorial"
COMMAND = [sys.executable, "-m", "host_sim"]
ENVIRONMENT = {**os.environ, "PYTHONPATH": f"{ROOT / 'filter'}:{ROOT}", "NO_COLOR": "1"}

CALL_LLM = r"""
function call_llm {
    curl --resolve $KUADRANT_LLM_DOMAIN:$KUADRANT_INGRESS_PORT:$KUADRANT_INGRESS_HOST \
        --write-out 'Status: %{http_code}\n' --silent --output /dev/null \
        -H 'Content-Type: application/json' \
        -H "Authorization: APIKEY $1" \
        -X POST \
        -d '{
           "model": "meta-llama/Llama-3.1-8B-Instruct",
           "messages": [
             { "role": "user", "content": "What is Kubernetes?" }
           ],
           "max_tokens": 100,
           "stream": false,
           "stream_options": {
             "include_usage": true
           }
         }'  \
        http://llm.example.com:$KUADRANT_INGRESS_PORT/v1/chat/completions
}
"""

LETS_ALL_PASS = """
(module
  (memory (export "memory") 4)
  (func (export "proxy_abi_version_0_2_1"))
  (func (export "_initialize"))
  (global $free (mut i32) (i32.const 1024))
  (func (export "proxy_on_memory_allocate") (param $size i32) (result i32)
    (global.get $free)
    (global.set $free (i32.add (global.get $free) (local.get $size))))
  (func (export "proxy_on_context_create") (param i32 i32))
  (func (export "proxy_on_vm_start") (param i32 i32) (result i32) (i32.const 1))
  (func (export "proxy_on_configure") (param i32 i32) (result i32) (i32.const 1)))
"""


def play(report: Path, *arguments: str | Path) -> tuple[dict[str, Any], subprocess.CompletedProcess[str]]:
    command = [*COMMAND, "demo", "--report", report, *arguments]
    done = subprocess.run(
        command, cwd=ROOT, env=ENVIRONMENT, capture_output=True, text=True, timeout=150, check=False
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(report.read_text()), done


def test_the_guide_with_a_short_window(tmp_path: Path) -> None:
    report, done = play(tmp_path / "report.json", "--window", "4s")
    assert report["ok"]
    assert all(check["expected"] == check["found"] for check in report["checks"])
    assert list(report["users"]) == ["user-1", "user-2"]
    limits = {name: user["limit"] for name, user in report["users"].items()}
    assert limits == {
        "user-1": {"name": "free", "tokens": 100, "seconds": 4},
        "user-2": {"name": "gold", "tokens": 500, "seconds": 4},
    }
    free = report["users"]["user-1"]
    assert free["limited"] > 0
    assert free["status_after_window"] == 200
    for name, user in report["users"].items():
        assert (user["streamed"], len(user["statuses"])) == (1, 31)
        assert user["tokens"] == user["ledger"]["reported_tokens"] == user["ledger"]["total_tokens"]
        labels = {"user": name, "group": user["group"], "limitador_namespace": "llm/llm-sim"}
        for metric, number in (
            ("authorized_hits", "tokens"),
            ("authorized_calls", "answered"),
            ("limited_calls", "limited"),
        ):
            series = [item for item in report["queries"][metric] if labels.items() <= item["labels"].items()]
            assert sum(item["value"] for item in series) == user[number]
    if shutil.which("prometheus"):
        assert report["queries_from"] == "prometheus"
        assert any(check["source"] == "Prometheus" for check in report["checks"])
    assert "every number equals the LLM simulator's ledger" in done.stdout
    assert "\x1b" not in done.stdout + done.stderr
    assert "iamafreeuser" not in done.stdout + done.stderr + json.dumps(report)


def test_other_limits_make_another_run(tmp_path: Path) -> None:
    policies = tmp_path / "policies"
    shutil.copytree(TUTORIAL, policies)
    file = policies / "5-token-rate-limits.yaml"
    text = file.read_text()
    changed = text.replace("limit: 100 ", "limit: 1 ").replace("limit: 500 ", "limit: 1000000 ")
    assert changed.count("limit: 1 ") == changed.count("limit: 1000000 ") == 1
    file.write_text(changed)
    report, done = play(tmp_path / "report.json", "--policies", policies, "--no-prometheus", "--output", "json")
    users = report["users"]
    assert users["user-1"]["statuses"] == [200, *[429] * 30]
    assert users["user-2"]["statuses"] == [200] * 31
    assert json.loads(done.stdout) == report
    assert report["queries_from"] == "limiter"


def test_a_plugin_that_counts_nothing_fails_the_demo(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(demo, "SETTLE_SECONDS", 0.2)
    module = tmp_path / "passes.wasm"
    module.write_bytes(wasmtime.wat2wasm(LETS_ALL_PASS))
    report = tmp_path / "report.json"
    assert main(["demo", "--wasm", str(module), "--report", str(report), "--no-prometheus"]) == 1
    shown = capsys.readouterr()
    assert "wrong: user-1: authorized_calls: the limiter says 0, expected 31" in shown.err
    assert "NOT every number equals" in shown.out
    assert json.loads(report.read_text())["ok"] is False


def test_the_guides_function_works_against_up(tmp_path: Path) -> None:
    log = tmp_path / "up.log"
    with log.open("w") as output:
        world = subprocess.Popen(
            [*COMMAND, "up", "--free-ports", "--no-prometheus"], cwd=ROOT, env=ENVIRONMENT, stdout=output, stderr=output
        )
    try:
        deadline = time.monotonic() + 90
        while "Ctrl-C stops everything." not in log.read_text():
            assert world.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        exports = "\n".join(re.findall("^export .*$", log.read_text(), re.MULTILINE))
        calls = "for i in {1..30}; do call_llm iamafreeuser; done; call_llm iamagolduser; call_llm nobody"
        shell = ["bash", "-ec", f"{exports}\n{CALL_LLM}\n{calls}"]
        done = subprocess.run(shell, capture_output=True, text=True, timeout=60, check=True)
        statuses = re.findall(r"Status: (\d+)", done.stdout)
        assert set(statuses[:30]) == {"200", "429"}
        assert statuses[30:] == ["200", "401"]
        port = int(re.search(r"KUADRANT_INGRESS_PORT=(\d+)", exports).group(1))  # type: ignore[union-attr]
        world.send_signal(signal.SIGINT)
        assert world.wait(20) == 0, log.read_text()
        assert log.read_text().endswith("all stopped\n")
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
    finally:
        if world.poll() is None:
            world.terminate()
            world.wait(20)


def test_the_shipped_labels_are_those_of_the_guide() -> None:
    shipped = yaml.safe_load((ROOT / "envoy" / "stats-tags.yaml").read_text())
    rendered = stats_tags(translate(load_resources([TUTORIAL])).plugin_configuration)
    by_name = {tag["tag_name"]: tag["regex"] for tag in rendered}
    assert {tag["tag_name"]: tag["regex"] for tag in shipped["stats_config"]["stats_tags"]} == by_name
