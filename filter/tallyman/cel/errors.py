"""What can go wrong with an expression: when it is compiled, and when it is evaluated."""

from typing import Final

NO_SUCH_KEY: Final = "no such key"
NO_SUCH_ATTRIBUTE: Final = "no such attribute"
NO_SUCH_OVERLOAD: Final = "no such overload"
INVALID_ARGUMENT: Final = "invalid argument"
OVERFLOW: Final = "overflow"
DIVIDE_BY_ZERO: Final = "divide by zero"
INDEX_OUT_OF_RANGE: Final = "index out of range"
RANGE: Final = "out of range"
DUPLICATE_KEY: Final = "duplicate key"
TOO_DEEP: Final = "nested too deeply"
TOO_LARGE: Final = "result too large"

_EXCERPT: Final = 120


class CelSyntaxError(ValueError):
    """A source that is not a valid expression, with the place where it fails.

    `position` is an offset in characters into `source`; `line` and `column` count from 1.
    """

    def __init__(self, message: str, source: str, position: int) -> None:
        start = source.rfind("\n", 0, position) + 1
        end = source.find("\n", position)
        line_text = source[start : end if end >= 0 else len(source)]
        self.message = message
        self.source = source
        self.position = position
        self.line = source.count("\n", 0, position) + 1
        self.column = position - start + 1
        # A generated one-line expression can be very long: show what stands around the fault.
        cut = max(0, self.column - 1 - _EXCERPT // 2)
        excerpt = line_text[cut : cut + _EXCERPT].replace("\t", " ")
        caret = " " * (self.column - 1 - cut) + "^"
        super().__init__(f"{self.line}:{self.column}: {message}\n  {excerpt}\n  {caret}")


class CelError(Exception):
    """An error value of CEL: the outcome of an evaluation that has no value.

    `reason` is one of this module's constants (few, so fit to be a metric's label); `detail` names types, attribute
    paths and keys written in the expression, never the values found in a request.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
