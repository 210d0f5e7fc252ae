"""Rego policies, compiled once and asked whether they allow (Open Policy Agent; evaluated by rego-cpp).

The native evaluator cannot be interrupted, so each evaluation runs on a daemon thread of its own that is waited for a
bounded time. A policy whose evaluation is overdue answers nothing until it has ended.
"""

import json
import re
import threading
from typing import Any, Final

import regopy

EVALUATION_TIMEOUT: Final = 0.5
"""Seconds."""

_PACKAGE: Final = "authorino.authz.policy"
_ENTRYPOINT: Final = "authorino/authz/policy/allow"
# Authorino's own default comes last here, so that a policy's imports stand directly behind the package.
_MODULE: Final = f"package {_PACKAGE}\n%s\ndefault allow = false\n"
_PACKAGE_CLAUSE: Final = re.compile(r"^\s*package\b[^;\n]*(?:;|\n|\Z)", re.MULTILINE)
_ERROR: Final = re.compile(r"\(errormsg \d+:(.*?)\)\s*\(errorast", re.DOTALL)
# rego-cpp finds these only as it evaluates, Open Policy Agent as it compiles.
_LATE_COMPILE_ERRORS: Final = ("Function not found", "Recursion detected")
_FAILED: Final = "it cannot be evaluated"


class RegoCompileError(ValueError):
    """A policy that is not valid Rego, or uses a function that is not there."""


class RegoEvaluationError(Exception):
    """An evaluation that failed or took too long. Its text holds nothing of the input."""


class RegoPolicy:
    """One compiled policy. Safe to use from several threads; evaluations take turns."""

    def __init__(self, source: str) -> None:
        """Compile *source*; a ``package`` clause in it is ignored. Raises RegoCompileError."""
        self._interpreter = regopy.Interpreter()
        self._interpreter.log_level = regopy.LogLevel.NONE
        try:
            self._interpreter.add_module("policy.rego", _MODULE % _PACKAGE_CLAUSE.sub("", source))
            self._bundle = self._interpreter.build(None, [_ENTRYPOINT])
        except regopy.RegoError as error:
            raise RegoCompileError(_message(str(error))) from None
        if not self._bundle.ok():
            raise RegoCompileError("its rules do not fit together, such as two defaults for one name")
        self._turn = threading.Lock()
        self._overdue = False
        try:
            self.allows({})
        except RegoEvaluationError as error:
            if str(error).startswith(_LATE_COMPILE_ERRORS):
                raise RegoCompileError(str(error)) from None

    def allows(self, document: dict[str, Any], timeout: float = EVALUATION_TIMEOUT) -> bool:
        """Whether ``allow`` is true for the input *document* (JSON).

        Raises RegoEvaluationError if the evaluation fails or takes more than *timeout* seconds.
        """
        if not self._turn.acquire(timeout=0 if self._overdue else timeout):
            raise RegoEvaluationError("an earlier evaluation is overdue")
        outcome: list[bool | str] = []
        thread = threading.Thread(target=self._evaluate, args=(document, outcome), name="rego", daemon=True)
        thread.start()
        thread.join(timeout)
        if not outcome:
            self._overdue = True
            raise RegoEvaluationError(f"no result within {timeout} s")
        if isinstance(outcome[0], str):
            raise RegoEvaluationError(outcome[0])
        return outcome[0]

    def _evaluate(self, document: dict[str, Any], outcome: list[bool | str]) -> None:
        try:
            # As a term, for rego-cpp keeps strings as their source: unescaped, '"' would equal no literal of a policy.
            self._interpreter.set_input_term(json.dumps(document, ensure_ascii=False))
            output = self._interpreter.query_bundle_entrypoint(self._bundle, _ENTRYPOINT)
            values = output.results[0].expressions if output.results else []
            outcome.append(len(values) == 1 and values[0] is True)
        except ValueError as error:
            # An error stands where JSON should: json.JSONDecodeError, whose document tells what happened. Only some
            # messages are known to be free of the input.
            message = _message(getattr(error, "doc", ""))
            outcome.append(message if message.startswith(_LATE_COMPILE_ERRORS) else _FAILED)
        except Exception as error:
            outcome.append(type(error).__name__)
        finally:
            self._overdue = False
            self._turn.release()


def _message(text: str) -> str:
    """rego-cpp's own messages, without the syntax trees beside them, which repeat the input."""
    return "; ".join(dict.fromkeys(_ERROR.findall(text))) or _FAILED
