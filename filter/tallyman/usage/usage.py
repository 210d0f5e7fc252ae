"""Token usage as OpenAI's API reports it: the object under `usage` in a chat completion, completion or embedding."""

from typing import Final, final

BIGGEST: Final = 2**63 - 1
"""No more tokens than this are taken for a count (protobuf's int64)."""

_INPUT: Final = ("prompt_tokens", "input_tokens")
_OUTPUT: Final = ("completion_tokens", "output_tokens")
_INPUT_DETAILS: Final = ("prompt_tokens_details", "input_tokens_details")
_OUTPUT_DETAILS: Final = ("completion_tokens_details", "output_tokens_details")

_UNKNOWN: Final = -1
_BAD: Final = -2


@final
class Usage:
    """Tokens of one answer; None is what is not known. `cached` is part of `input`, `reasoning` is part of `output`."""

    def __init__(
        self, input: int | None, output: int | None, total: int | None, cached: int | None, reasoning: int | None
    ) -> None:
        self.input = input
        self.output = output
        self.total = total
        self.cached = cached
        self.reasoning = reasoning

    def __repr__(self) -> str:
        return (
            f"Usage(input={self.input}, output={self.output}, total={self.total}, "
            f"cached={self.cached}, reasoning={self.reasoning})"
        )


@final
class UsageReader:
    """Merges usage objects, field by field: later ones win, nulls say nothing."""

    def __init__(self) -> None:
        self._bad_object: bool = False
        self._input: int = _UNKNOWN
        self._output: int = _UNKNOWN
        self._total: int = _UNKNOWN
        self._cached: int = _UNKNOWN
        self._reasoning: int = _UNKNOWN

    def take(self, value: object) -> None:
        """Takes a decoded `usage` member that is not null."""
        self._bad_object = not isinstance(value, dict)
        if isinstance(value, dict):
            self._input = _count(value, _INPUT, self._input)
            self._output = _count(value, _OUTPUT, self._output)
            self._total = _count(value, ("total_tokens",), self._total)
            self._cached = _detail(value, _INPUT_DETAILS, "cached_tokens", self._cached)
            self._reasoning = _detail(value, _OUTPUT_DETAILS, "reasoning_tokens", self._reasoning)

    def usage(self) -> Usage | None:
        """None if no count of input, output or total is known, or if one of them cannot be trusted: see `missing`."""
        if self.missing():
            return None
        total = self._total
        if total == _UNKNOWN and self._input >= 0 and self._output >= 0:
            total = self._input + self._output
        return Usage(
            _known(self._input), _known(self._output), _known(total), _known(self._cached), _known(self._reasoning)
        )

    def missing(self) -> str:
        """Why there is no usage: `no_usage` or `bad_number`; empty if there is."""
        if self._bad_object or _BAD in (self._input, self._output, self._total):
            return "bad_number"
        if self._total == _UNKNOWN:
            if self._input == _UNKNOWN and self._output == _UNKNOWN:
                return "no_usage"
            if self._input + self._output > BIGGEST:
                return "bad_number"
        return ""


def _known(count: int) -> int | None:
    return count if count >= 0 else None


def _count(fields: dict[str, object], names: tuple[str, ...], known: int) -> int:
    """The first of `names` that is not null, as a count; `known` if there is none."""
    for name in names:
        value = fields.get(name)
        if value is not None:
            return _tokens(value)
    return known


def _detail(fields: dict[str, object], names: tuple[str, ...], name: str, known: int) -> int:
    for details in names:
        value = fields.get(details)
        if isinstance(value, dict):
            known = _count(value, (name,), known)
    return known


def _tokens(value: object) -> int:
    """An integer of 0 to 2^63 - 1, however JSON writes it (`12`, `12.0`); anything else is `_BAD`."""
    if isinstance(value, float) and value.is_integer() and abs(value) < 2.0**53:
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= BIGGEST:
        return _BAD
    return value
