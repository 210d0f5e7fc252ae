"""What subcommands share: where things are, options, the two consoles, how a run ends."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import re
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from host_sim.gateway.processes import ProcessError
from host_sim.gateway.world import LocalGateway, Options, Ports
from host_sim.kuadrant import load_resources
from host_sim.kuadrant.gateway_api import duration_milliseconds

PROJECT: Final = Path(__file__).resolve().parents[2]
TUTORIAL: Final = PROJECT / "envoy" / "tutorial"
MODULE: Final = PROJECT / "dist" / "tallyman.wasm"


class Failure(Exception):
    """The command cannot do its work: one message for the user, exit code 1."""


class Interrupted(Exception):
    """SIGINT or SIGTERM came; everything that ran has been stopped."""


def results() -> Console:
    """Standard output: tables, or JSON."""
    return Console(highlight=False, markup=False, emoji=False)


def messages() -> Console:
    """Standard error: progress and messages."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False)


def version() -> str:
    try:
        return metadata.version("tallyman")
    except metadata.PackageNotFoundError:  # run from a source tree
        found = re.search(r'^version = "(.+)"$', (PROJECT / "pyproject.toml").read_text(), re.MULTILINE)
        return found.group(1) if found else "unknown"


def shown(path: Path) -> str:
    """A path as a message shows it: short where it can be."""
    with contextlib.suppress(ValueError):
        return str(path.resolve().relative_to(Path.cwd()))
    return str(path)


def add_world_options(parser: argparse.ArgumentParser) -> None:
    """The options of subcommands that start the local gateway."""
    parser.add_argument(
        "--policies",
        type=Path,
        action="append",
        metavar="PATH",
        help="file or folder of manifests, may be given again (default: the guide's, envoy/tutorial)",
    )
    parser.add_argument(
        "--window", type=_window, metavar="DURATION", help="replaces the window of every limit, e.g. 5s"
    )
    parser.add_argument(
        "--wasm", type=Path, metavar="FILE", default=MODULE, help="the plugin (default: dist/tallyman.wasm)"
    )
    parser.add_argument(
        "--concurrency", type=_count, metavar="N", default=1, help="worker threads of Envoy (default: %(default)s)"
    )
    parser.add_argument(
        "--call-timeout",
        type=_duration,
        metavar="DURATION",
        default="5s",
        help="timeout of the plugin's calls (default: %(default)s, because a laptop may be busy; Kuadrant's are 100ms"
        " and 200ms)",
    )
    parser.add_argument("--no-prometheus", action="store_true", help="do not start Prometheus, even if it is on PATH")


def manifests(arguments: argparse.Namespace) -> Sequence[Path]:
    """The files and folders that `--policies` names, else the guide's."""
    return arguments.policies or [TUTORIAL]


@contextlib.asynccontextmanager
async def local_gateway(arguments: argparse.Namespace, ports: Ports) -> AsyncIterator[LocalGateway]:
    """The world that the options of `add_world_options` describe, while it runs; notices go to standard error.

    Raises:
        ManifestError, GatewayMissing: the manifests cannot be used.
        ProcessError: a port is taken, a program is missing or refuses its configuration.
        Failure: a service cannot be started.
    """
    console = messages()
    options = Options(
        wasm=arguments.wasm,
        ports=ports,
        window_seconds=arguments.window,
        call_timeout=arguments.call_timeout,
        concurrency=arguments.concurrency,
        prometheus=not arguments.no_prometheus,
    )
    world = LocalGateway(load_resources(manifests(arguments)), options)
    for notice in world.notices:
        console.print(f"note: {notice}", soft_wrap=True)
    if not world.translation.paths:
        raise Failure(f"no HTTPRoute in {', '.join(map(shown, manifests(arguments)))} is attached to the Gateway")
    known = len(world.notices)
    async with contextlib.AsyncExitStack() as stack:
        with console.status("starting Envoy and its services ..."):
            try:
                await stack.enter_async_context(world)
            except ProcessError:
                raise
            except (ValueError, OSError) as error:
                raise Failure(str(error)) from error
        for notice in world.notices[known:]:
            console.print(f"note: {notice}", soft_wrap=True)
        if world.prometheus is None and not arguments.no_prometheus:
            console.print("note: found no `prometheus` on PATH; metrics come from the limiter itself")
        yield world


def run_until_signal(work: Coroutine[Any, Any, int]) -> int:
    """Run `work`; SIGINT and SIGTERM cancel it, so that it stops what it started.

    Raises `Interrupted` if a signal ended it.
    """

    async def guarded() -> int:
        task = asyncio.ensure_future(work)
        interrupted = False

        def interrupt() -> None:
            nonlocal interrupted
            interrupted = True
            task.cancel()

        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, interrupt)
        try:
            return await task
        except asyncio.CancelledError:
            if interrupted:
                raise Interrupted from None
            raise

    return asyncio.run(guarded())


def _duration(text: str) -> str:
    try:
        duration_milliseconds(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"{text!r} is not {error}") from None
    return text


def _window(text: str) -> int:
    milliseconds = duration_milliseconds(_duration(text))
    if milliseconds < 1000 or milliseconds % 1000:
        raise argparse.ArgumentTypeError(f"{text!r} is no window; expected whole seconds, from 1s")
    return milliseconds // 1000


def _count(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 64:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; expected a number from 1 to 64")
    return int(text)
