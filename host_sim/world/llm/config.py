"""The simulator's configuration, and its command line.

The flags are those of llm-d-inference-sim: all of v0.1.1, and of v0.10 those that bear on tokens and time.
"""

import argparse
import re
from collections.abc import Sequence
from typing import Annotated, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

FailureType = Literal[
    "rate_limit", "invalid_api_key", "context_length", "server_error", "invalid_request", "model_not_found"
]

_FAILURE_TYPES: Final[tuple[FailureType, ...]] = (
    "rate_limit", "invalid_api_key", "context_length", "server_error", "invalid_request", "model_not_found",
)  # fmt: skip
_DURATION: Final = re.compile(r"(?:[0-9]+(?:\.[0-9]+)?(?:ns|us|µs|ms|s|m|h))+")
_DURATION_PART: Final = re.compile(r"([0-9.]+)(ns|us|µs|ms|s|m|h)")
_UNIT_SECONDS: Final = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class SimulatorConfig(BaseModel):
    """How the simulator answers."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    model: Annotated[str, Field(min_length=1)]
    served_model_names: tuple[str, ...] = ()
    """Names requests may use; the first is the one answers carry. Empty: the model's own name."""
    lora: tuple[str, ...] = ()
    """Names of LoRA adapters, served beside the model."""
    max_loras: Annotated[int, Field(ge=1)] = 1
    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    """0: a free one."""
    mode: Literal["random", "echo"] = "random"
    time_to_first_token: Annotated[float, Field(ge=0)] = 0.0
    """Seconds from request to first token."""
    inter_token_latency: Annotated[float, Field(ge=0)] = 0.0
    """Seconds between two tokens."""
    seed: int | None = None
    max_model_len: Annotated[int, Field(ge=1)] = 1024
    """Tokens of the context window, prompt and completion together."""
    max_num_seqs: Annotated[int, Field(ge=1)] = 5
    """Requests that run at the same time; others wait."""
    max_request_body_size: Annotated[int, Field(ge=1)] = 4 * 1024 * 1024
    """Bytes."""
    failure_injection_rate: Annotated[int, Field(ge=0, le=100)] = 0
    """Percentage of completions answered with an error of :attr:`failure_types`."""
    failure_types: tuple[FailureType, ...] = _FAILURE_TYPES
    allow_response_override: bool = False
    """Let a request dictate its response; see :mod:`.override`. For tests only."""

    @property
    def names(self) -> tuple[str, ...]:
        """Base model names a request may use."""
        return self.served_model_names or (self.model,)


def parse_duration(text: str) -> float:
    """Seconds of a Go duration (``100ms``, ``1m30s``) or, as v0.1.1 has it, of a whole number of milliseconds.

    Raises ValueError for anything else.
    """
    if text.isascii() and text.isdigit():
        return int(text) / 1000
    if not _DURATION.fullmatch(text):
        raise ValueError(f"{text!r} is no duration; expected one such as 100ms or 1.5s, or whole milliseconds")
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in _DURATION_PART.findall(text))


def _duration(text: str) -> float:
    try:
        return parse_duration(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def argument_parser() -> argparse.ArgumentParser:
    """The command line; its destinations are the fields of :class:`SimulatorConfig`."""
    parser = argparse.ArgumentParser(
        prog="python -m host_sim.world.llm",
        description="An OpenAI-compatible LLM simulator that keeps a ledger of every token it answered with.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--model", required=True, metavar="NAME", help="the model's name")
    add("--served-model-name", dest="served_model_names", nargs="+", metavar="NAME", help="names requests may use")
    add("--lora", type=lambda text: tuple(filter(None, text.split(","))), metavar="A,B", help="LoRA adapters' names")
    add("--max-loras", type=int, metavar="N", help="LoRA adapters in one batch; shown in the metrics only")
    add("--max-cpu-loras", type=int, metavar="N", dest="ignored", help="accepted and of no effect")
    add("--host", help="address to listen on (default 127.0.0.1)")
    add("--port", type=int, help="port to listen on; 0 takes a free one (default 8000)")
    add("--mode", choices=("random", "echo"), help="random text, or the text of the last message (default random)")
    add("--time-to-first-token", type=_duration, metavar="DURATION", help="such as 100ms; a bare number is ms")
    add("--inter-token-latency", type=_duration, metavar="DURATION", help="such as 20ms; a bare number is ms")
    add("--seed", type=int, metavar="N", help="makes random answers repeatable")
    add("--max-model-len", type=int, metavar="N", help="context window in tokens (default 1024)")
    add("--max-num-seqs", "--max-running-requests", type=int, metavar="N", help="requests run at once (default 5)")
    add("--failure-injection-rate", type=int, metavar="PERCENT", help="percentage of completions that fail (default 0)")
    add("--failure-types", nargs="+", choices=_FAILURE_TYPES, help="with which errors (default all)")
    add("--allow-response-override", action="store_true", help="let requests dictate their responses; for tests only")
    return parser


def parse_config(argv: Sequence[str]) -> SimulatorConfig:
    """The configuration a command line asks for.

    Raises SystemExit as argparse does, pydantic.ValidationError if a value is out of range.
    """
    given = {name: value for name, value in vars(argument_parser().parse_args(argv)).items() if value is not None}
    given.pop("ignored", None)
    return SimulatorConfig.model_validate(given)
