"""The limiter's command line: Limitador's options, as far as they make sense for one process on one machine."""

import argparse
import asyncio
import logging
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path

import yaml
from tallyman.cel.errors import CelSyntaxError

from .counters import MAX_QUALIFIED_COUNTERS
from .expressions import Expression
from .limits import LimitsFileError, load_limits
from .metrics import LabelsFileError
from .rate_limit_headers import RateLimitHeaders
from .server import LOOPBACK, LimiterConfig, ListenError, serve

_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG)


def main(argv: Sequence[str], environment: Mapping[str, str] = os.environ) -> int:
    """Run the limiter until SIGTERM or SIGINT; `argv` is without the program's name.

    The exit status: 0 after a signal or a successful `--validate`, 1 for a bad file or a port that is taken, 2 for bad
    arguments.
    """
    try:
        arguments = _parser(environment).parse_args(argv)
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else 2
    print(f"Tallyman limiter {_version()}", file=sys.stderr)
    logging.basicConfig(
        stream=sys.stderr,
        level=_LEVELS[min(arguments.verbose, len(_LEVELS) - 1)],
        format="%(asctime)s %(levelname)s %(name)s: %(message)s",
    )
    if arguments.validate:
        return _validate(arguments.limits_file)
    config = LimiterConfig(
        limits_file=arguments.limits_file,
        rls_host=arguments.rls_ip,
        rls_port=arguments.rls_port,
        http_host=arguments.http_ip,
        http_port=arguments.http_port,
        limit_name_in_labels=arguments.limit_name_in_labels,
        metric_labels_default=arguments.metric_labels_default,
        metric_labels_file=arguments.custom_metric_labels,
        rate_limit_headers=arguments.rate_limit_headers,
        max_counters=arguments.cache,
    )
    try:
        asyncio.run(_run(config))
    except LimitsFileError as error:
        print(f"Failed to load limit file: Invalid limit file: {error}", file=sys.stderr)
        return 1
    except LabelsFileError as error:
        print(f"Failed to load labels file: {error}", file=sys.stderr)
        return 1
    except ListenError as error:
        print(f"Error: {error}", file=sys.stderr)
        return 1
    return 0


async def _run(config: LimiterConfig) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for signal_number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(signal_number, stop.set)
    async with await serve(config) as running:
        print(f"rate limit service on {running.rls_address}, HTTP on {running.http_url}", file=sys.stderr, flush=True)
        await stop.wait()


def _validate(limits_file: Path) -> int:
    try:
        limits = load_limits(limits_file)
    except LimitsFileError as error:
        print(f"Invalid limit file: {error}", file=sys.stderr)
        return 1
    shown = [limit.to_dict() for limit in limits]
    print(yaml.safe_dump(shown, sort_keys=False, allow_unicode=True, width=sys.maxsize))
    return 0


def _parser(environment: Mapping[str, str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m host_sim.world.limiter",
        description="A rate limit service that speaks Limitador's gRPC, HTTP, metrics and limits file.",
    )
    limits_file = environment.get("LIMITS_FILE")
    parser.add_argument(
        "limits_file",
        metavar="LIMITS_FILE",
        type=Path,
        nargs="?" if limits_file else None,
        default=limits_file,
        help="YAML file with the limits; read again when it changes (environment: LIMITS_FILE)",
    )
    parser.add_argument(
        "storage", nargs="?", choices=["memory"], default="memory", help="where counters are kept (default: memory)"
    )
    parser.add_argument(
        "--cache",
        type=_positive,
        metavar="N",
        default=MAX_QUALIFIED_COUNTERS,
        help="how many counters with variables are kept, the least recently used going first (default: %(default)s)",
    )
    parser.add_argument(
        "-b",
        "--rls-ip",
        metavar="IP",
        default=environment.get("ENVOY_RLS_HOST", LOOPBACK),
        help="address of the rate limit service (default: %(default)s; environment: ENVOY_RLS_HOST)",
    )
    parser.add_argument(
        "-p",
        "--rls-port",
        type=_port,
        metavar="PORT",
        default=environment.get("ENVOY_RLS_PORT", "8081"),
        help="port of the rate limit service, 0 for any (default: %(default)s; environment: ENVOY_RLS_PORT)",
    )
    parser.add_argument(
        "-B",
        "--http-ip",
        metavar="IP",
        default=environment.get("HTTP_API_HOST", LOOPBACK),
        help="address of the HTTP server (default: %(default)s; environment: HTTP_API_HOST)",
    )
    parser.add_argument(
        "-P",
        "--http-port",
        type=_port,
        metavar="PORT",
        default=environment.get("HTTP_API_PORT", "8080"),
        help="port of the HTTP server, 0 for any (default: %(default)s; environment: HTTP_API_PORT)",
    )
    parser.add_argument(
        "-l",
        "--limit-name-in-labels",
        action="store_true",
        default=environment.get("LIMIT_NAME_IN_PROMETHEUS_LABELS") == "1",
        help="give limited_calls the label limit_name (environment: LIMIT_NAME_IN_PROMETHEUS_LABELS=1)",
    )
    parser.add_argument(
        "-L",
        "--custom-metric-labels",
        type=Path,
        metavar="FILE",
        help="YAML map of metric label to CEL expression; read again when it changes",
    )
    parser.add_argument(
        "--metric-labels-default",
        type=_cel,
        metavar="CEL",
        help="expression whose value, a map of text to text, becomes metric labels, such as 'descriptors[1]'",
    )
    parser.add_argument(
        "-H",
        "--rate-limit-headers",
        type=_headers,
        metavar="{NONE,DRAFT_VERSION_03}",
        default=environment.get("RATE_LIMIT_HEADERS", "NONE"),
        help="headers ShouldRateLimit answers with (default: %(default)s; environment: RATE_LIMIT_HEADERS)",
    )
    parser.add_argument("--validate", action="store_true", help="check the limits file, print its limits, and exit")
    parser.add_argument("-v", dest="verbose", action="count", default=0, help="more log lines on stderr, up to -vvv")
    parser.add_argument("-V", "--version", action="version", version=f"tallyman-limiter {_version()}")
    return parser


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) > 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is no port; expected a number from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is no count; expected a number from 1")
    return int(text)


def _headers(text: str) -> RateLimitHeaders:
    try:
        return RateLimitHeaders(text)
    except ValueError:
        expected = " or ".join(member.value for member in RateLimitHeaders)
        raise argparse.ArgumentTypeError(f"{text!r} is not known; expected {expected}") from None


def _cel(text: str) -> str:
    try:
        Expression(text)
    except CelSyntaxError as error:
        raise argparse.ArgumentTypeError(f"couldn't parse {text}: {error}") from None
    return text


def _version() -> str:
    try:
        return f"v{metadata.version('tallyman')}"
    except metadata.PackageNotFoundError:  # run from a source tree
        return "(from source)"
