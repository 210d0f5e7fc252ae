"""Children: they start, they are watched, and they end."""

import asyncio
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from host_sim.gateway.processes import ChildProcess, ProcessError, free_port, require_free_port

STUBBORN = "import signal, time; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); time.sleep(60)"
PATIENT = "import time; print('up', flush=True); time.sleep(60)"


def python(program: str) -> list[str]:
    return [sys.executable, "-c", program]


async def start_and_wait(program: str, log: Path) -> ChildProcess:
    child = await ChildProcess.start("child", python(program), log)

    async def is_up() -> bool:
        return "up" in child.log_lines()

    await child.wait_ready(is_up, 20)
    return child


def is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    # A zombie is dead, but keeps its id until somebody asks for its exit code.
    return "Z" not in Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def test_a_child_starts_logs_and_stops(tmp_path: Path) -> None:
    async def scenario() -> ChildProcess:
        child = await start_and_wait(PATIENT, tmp_path / "log")
        assert is_alive(child.pid)
        assert child.exit_code is None
        await child.stop()
        await child.stop()
        return child

    child = asyncio.run(scenario())
    assert child.exit_code == -signal.SIGTERM
    assert not is_alive(child.pid)


def test_a_child_that_ignores_sigterm_is_killed(tmp_path: Path) -> None:
    async def scenario() -> int | None:
        child = await start_and_wait(STUBBORN, tmp_path / "log")
        await child.stop(grace_seconds=0.1)
        return child.exit_code

    assert asyncio.run(scenario()) == -signal.SIGKILL


def test_a_child_does_not_outlive_us(tmp_path: Path) -> None:
    parent = f"""
import asyncio, time
from pathlib import Path
from host_sim.gateway.processes import ChildProcess
async def main():
    child = await ChildProcess.start("child", {python(PATIENT)!r}, Path({str(tmp_path / "log")!r}))
    while "up" not in child.log_lines():
        await asyncio.sleep(0.02)
    print(child.pid, flush=True)
    time.sleep(60)
asyncio.run(main())
"""
    root = Path(__file__).parents[4]
    with subprocess.Popen(python(parent), stdout=subprocess.PIPE, cwd=root, env={"PYTHONPATH": str(root)}) as process:
        assert process.stdout is not None
        pid = int(process.stdout.readline())
        assert is_alive(pid)
        process.kill()
    deadline = time.monotonic() + 10
    while is_alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(pid)


def test_an_early_end_is_told_with_the_telling_lines(tmp_path: Path) -> None:
    async def never() -> bool:
        return False

    async def scenario() -> None:
        program = "import sys; print('all fine'); print('[critical] no such cluster'); sys.exit(3)"
        child = await ChildProcess.start("child", python(program), tmp_path / "log")
        await child.wait_ready(never, 20)

    with pytest.raises(ProcessError) as caught:
        asyncio.run(scenario())
    assert str(caught.value).startswith("child ended with exit code 3 before it was ready; from its log (")
    assert str(caught.value).endswith("):\n  [critical] no such cluster")


def test_a_late_child_is_told(tmp_path: Path) -> None:
    async def refused() -> bool:
        raise ConnectionRefusedError

    async def scenario() -> None:
        child = await start_and_wait(PATIENT, tmp_path / "log")
        try:
            await child.wait_ready(refused, 0.1)
        finally:
            await child.stop()

    with pytest.raises(ProcessError, match=r"child was not ready within 0\.1 s; from its log"):
        asyncio.run(scenario())


@pytest.mark.parametrize("program", ["no-such-program", "/no/such/program", __file__])
def test_a_program_that_cannot_be_run_is_named(tmp_path: Path, program: str) -> None:
    with pytest.raises(ProcessError, match=f"child: cannot run {program}: no such program, or not executable"):
        asyncio.run(ChildProcess.start("child", [program], tmp_path / "log"))


def test_a_taken_port_is_named() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(
            ProcessError, match=rf"gateway: cannot listen on 127\.0\.0\.1:{port}: Address already in use"
        ):
            require_free_port("gateway", "127.0.0.1", port)
    require_free_port("gateway", "127.0.0.1", port)
    require_free_port("gateway", "127.0.0.1", 0)


def test_a_free_port_can_be_had() -> None:
    with socket.create_server(("127.0.0.1", free_port())):
        pass
