"""The command line program: run the simulator until SIGINT or SIGTERM."""

import asyncio
import signal
import sys
from collections.abc import Sequence

from pydantic import ValidationError

from host_sim.world.llm.config import SimulatorConfig, parse_config
from host_sim.world.llm.server import serve


async def _run(config: SimulatorConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    running = await serve(config)
    print(f"{config.model} listens on http://{running.host}:{running.port}", flush=True)
    await stop.wait()
    await running.stop()


def main(argv: Sequence[str] | None = None) -> int:
    """Run the simulator with the flags *argv*; returns the exit status: 0, 1 if it cannot listen, 2 for bad flags."""
    try:
        config = parse_config(sys.argv[1:] if argv is None else argv)
    except SystemExit as exit_:
        return exit_.code if isinstance(exit_.code, int) else 2
    except ValidationError as error:
        for problem in error.errors():
            flag = "--" + "-".join(map(str, problem["loc"][:1])).replace("_", "-")
            print(f"{flag}: {problem['msg']}; found {problem['input']!r}", file=sys.stderr)
        return 2
    try:
        asyncio.run(_run(config))
    except OSError as error:
        print(f"cannot listen on {config.host}:{config.port}: {error.strerror or error}", file=sys.stderr)
        return 1
    return 0
