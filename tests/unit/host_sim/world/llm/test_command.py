import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import httpx
import pytest

from host_sim.world.llm import main, parse_config
from host_sim.world.llm.config import parse_duration


def test_the_tutorials_deployment() -> None:
    config = parse_config(["--model", "meta-llama/Llama-3.1-8B-Instruct", "--port", "8000"])
    assert (config.names, config.port) == (("meta-llama/Llama-3.1-8B-Instruct",), 8000)
    assert (config.host, config.mode, config.max_model_len) == ("127.0.0.1", "random", 1024)
    assert not config.allow_response_override


def test_all_flags() -> None:
    flags = (
        "--model m --served-model-name a b --lora x,y --max-loras 2 --max-cpu-loras 3 --max-running-requests 7 "
        "--mode echo --time-to-first-token 100 --inter-token-latency 20ms --seed 4 --max-model-len 50 "
        "--failure-injection-rate 5 --failure-types rate_limit server_error --allow-response-override"
    )
    config = parse_config(flags.split())
    assert (config.names, config.lora, config.max_num_seqs) == (("a", "b"), ("x", "y"), 7)
    assert (config.time_to_first_token, config.inter_token_latency) == (0.1, 0.02)
    assert config.failure_types == ("rate_limit", "server_error")


@pytest.mark.parametrize(
    ("text", "seconds"), [("100", 0.1), ("100ms", 0.1), ("1.5s", 1.5), ("1m30s", 90.0), ("250us", 0.00025), ("0", 0)]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == pytest.approx(seconds)


@pytest.mark.parametrize("text", ["", "-1", "1.5", "fast", "10 ms", "1x", "٣"])
def test_what_is_no_duration(text: str) -> None:
    with pytest.raises(ValueError, match="no duration"):
        parse_duration(text)


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        ([], "--model"),
        (["--model", "m", "--mode", "rude"], "--mode"),
        (["--model", "m", "--nonsense"], "--nonsense"),
        (["--model", "m", "--port", "70000"], "--port"),
        (["--model", "m", "--inter-token-latency", "fast"], "'fast' is no duration"),
    ],
)
def test_bad_flags_are_named(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 2
    assert message in capsys.readouterr().err


@pytest.fixture
def process() -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-m", "host_sim.world.llm", "--model", "m", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=dict(os.environ)) as running:
        try:
            yield running
        finally:
            running.kill()


def test_the_program_serves_until_sigterm(process: "subprocess.Popen[str]") -> None:
    assert process.stdout is not None
    line = process.stdout.readline()
    url = line.split()[-1]
    assert line.startswith("m listens on http://127.0.0.1:")
    assert httpx.get(f"{url}/v1/models", trust_env=False).json()["data"][0]["id"] == "m"
    process.send_signal(signal.SIGTERM)
    assert process.wait(10) == 0


def test_a_taken_port_is_an_error(process: "subprocess.Popen[str]", capsys: pytest.CaptureFixture[str]) -> None:
    assert process.stdout is not None
    port = process.stdout.readline().rsplit(":", 1)[1].strip()
    assert main(["--model", "m", "--port", port]) == 1
    assert f"cannot listen on 127.0.0.1:{port}" in capsys.readouterr().err
