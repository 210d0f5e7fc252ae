"""Rego policies, compiled once and asked whether they allow (Open Policy Agent; evaluated by rego-cpp).

The native evaluator cannot be interrupted, so a policy evaluates on a daemon thread of its own that is waited for a
bounded time. While an evaluation is overdue, its policy answers nothing.
"""

import json
import queue
import re
import threading
import weakref
from typing import Any, Final, TypeAlias

import regopy

EVALUATION_TIMEOUT: Final = 0.5
"""Seconds."""

_PACKAGE: Final = "authorino.authz.policy"
_ENTRYPOINT: Final = "authorino/authz/policy/allow"
# Authorino's own default comes last here, so that a policy's imports stand directly behind the package.
_MODULE: Final = f"package {_PACKAGE}\n%s\ndefault allow = false\n"
_PACKAGE_CLAUSE: Final = re.compile(r"^\s*package\b[^;\n]*(?:;|\n|\Z)", re.MULTILINE)
_ERROR: Final = re.compile(r"\(errormsg \d+:(.*?)\)\s*\(errorast", re.DOTALL)
_INPUT: Final = re.compile(r"\binput\b(?:\.(\w+))?")
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
        interpreter = regopy.Interpreter()
        interpreter.log_level = regopy.LogLevel.NONE
        try:
            interpreter.add_module("policy.rego", _MODULE % _PACKAGE_CLAUSE.sub("", source))
            bundle = interpreter.build(None, [_ENTRYPOINT])
        except regopy.RegoError as error:
            raise RegoCompileError(_message(str(error))) from None
        if not bundle.ok():
            raise RegoCompileError("its rules do not fit together, such as two defaults for one name")
        members = set(_INPUT.findall(source))
        # Handing the input over costs more than evaluating; "" stands for the input as a whole.
        self._members = None if "" in members else members
        self._turn = threading.Lock()
        self._overdue: _Outcomes | None = None
        self._work: _Work = queue.SimpleQueue()
        worker = (interpreter, bundle, self._work)
        threading.Thread(target=_evaluate_all, args=worker, name="rego", daemon=True).start()
        weakref.finalize(self, self._work.put, None)
        try:
            self.allows({})
        except RegoEvaluationError as error:
            if str(error).startswith(_LATE_COMPILE_ERRORS):
                raise RegoCompileError(str(error)) from None

    def allows(self, document: dict[str, Any], timeout: float = EVALUATION_TIMEOUT) -> bool:
        """Whether ``allow`` is true for the input *document* (JSON).

        Raises RegoEvaluationError if the evaluation fails or takes more than *timeout* seconds.
        """
        read = document
        if self._members is not None:
            read = {name: value for name, value in document.items() if name in self._members}
        with self._turn:
            if self._overdue is not None and self._overdue.empty():
                raise RegoEvaluationError("an earlier evaluation is overdue")
            self._overdue = None
            outcomes: _Outcomes = queue.SimpleQueue()
            self._work.put((read, outcomes))
            try:
                outcome = outcomes.get(timeout=timeout)
            except queue.Empty:
                self._overdue = outcomes
                raise RegoEvaluationError(f"no result within {timeout} s") from None
        if isinstance(outcome, str):
            raise RegoEvaluationError(outcome)
        return outcome


_Outcomes: TypeAlias = "queue.SimpleQueue[bool | str]"
"""Receives whether the policy allows, or why it cannot tell."""

_Work: TypeAlias = "queue.SimpleQueue[tuple[dict[str, Any], _Outcomes] | None]"


def _evaluate_all(interpreter: regopy.Interpreter, bundle: regopy.Bundle, work: _Work) -> None:
    """Evaluate documents until None comes. Holds no policy, so that an unused one ends its thread."""
    while (item := work.get()) is not None:
        document, outcomes = item
        outcomes.put(_evaluate(interpreter, bundle, document))


def _evaluate(interpreter: regopy.Interpreter, bundle: regopy.Bundle, document: dict[str, Any]) -> bool | str:
    try:
        # As a term, for rego-cpp keeps strings as their source: unescaped, '"' would equal no literal of a policy.
        interpreter.set_input_term(json.dumps(document, ensure_ascii=False))
        output = interpreter.query_bundle_entrypoint(bundle, _ENTRYPOINT)
        values = output.results[0].expressions if output.results else []
        return len(values) == 1 and values[0] is True
    except json.JSONDecodeError as error:
        # An error stands where JSON should. Only some messages are known to be free of the input.
        message = _message(error.doc)
        return message if message.startswith(_LATE_COMPILE_ERRORS) else _FAILED
    except Exception as error:
        return f"{_FAILED} ({type(error).__name__})"


def _message(text: str) -> str:
    """rego-cpp's own messages, without the syntax trees beside them, which repeat the input."""
    return "; ".join(dict.fromkeys(_ERROR.findall(text))) or _FAILED
