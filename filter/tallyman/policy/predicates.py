"""Predicates shared by actions: a source that occurs twice is compiled once and tested once per stream."""

from typing import Final, final

from tallyman.cel.activation import Activation
from tallyman.cel.environment import Environment, Program
from tallyman.cel.errors import CelError, CelSyntaxError
from tallyman.cel.values import Value
from tallyman.config.configuration import Expression
from tallyman.config.document import ConfigurationError
from tallyman.usage import json_pointer

_UNTESTED: Final = 0
_FALSE: Final = 1
_TRUE: Final = 2

RESPONSE_ROOTS: Final = ("response", "responseBodyJSON")
"""Attributes that are not there before the response."""


def compile_at(environment: Environment, source: str, path: str) -> Program:
    """Compile CEL. Raises `ConfigurationError` with the JSON path, the position and a caret."""
    try:
        program = environment.compile(source)
    except CelSyntaxError as error:
        raise ConfigurationError(path, f"is not a valid CEL expression at {error}") from None
    if program.calls:
        problem = f'{program.calls[0]}() needs a JSON pointer that is written out, such as "/usage/total_tokens"'
        raise ConfigurationError(path, problem)
    for slot in program.slots:
        attribute = environment.paths[slot]
        if attribute[0] == "requestBodyJSON":
            raise ConfigurationError(path, "requestBodyJSON() cannot be read: requests go on before their bodies come")
        if attribute[0] == "responseBodyJSON" and len(attribute) > 1:
            try:
                json_pointer.parse(attribute[1])
            except json_pointer.JsonPointerError as error:
                raise ConfigurationError(path, f"responseBodyJSON: {error}") from None
    return program


def constant_value(environment: Environment, program: Program, path: str, expected: str) -> Value:
    """The value of a program that reads nothing, None for one that does.

    Raises `ConfigurationError` if it always fails: that is better said now than with each request.
    """
    if program.slots:
        return None
    try:
        return program.evaluate(Activation(environment))
    except CelError as error:
        raise ConfigurationError(path, f"always fails ({error}), expected {expected}") from None


def needs_response(environment: Environment, program: Program) -> bool:
    """Whether the program reads something that only the response brings."""
    for slot in program.slots:
        if environment.paths[slot][0] in RESPONSE_ROOTS:
            return True
    return False


@final
class PredicateTable:
    """All predicates of a configuration, numbered by source."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.programs: list[Program] = []
        self.late: list[bool] = []
        self._numbers: dict[str, int] = {}

    def conjunction(self, expressions: list[Expression]) -> "Conjunction":
        """Predicates that must all hold. Raises `ConfigurationError`."""
        numbers: list[int] = []
        for expression in expressions:
            number = self._numbers.get(expression.source)
            if number is None:
                program = compile_at(self.environment, expression.source, expression.path)
                value = constant_value(self.environment, program, expression.path, "true or false")
                if value is not None and not isinstance(value, bool):
                    problem = f"is a predicate that is always {value}, expected true or false"
                    raise ConfigurationError(expression.path, problem)
                number = len(self.programs)
                self._numbers[expression.source] = number
                self.programs.append(program)
                self.late.append(needs_response(self.environment, program))
            numbers.append(number)
        return Conjunction(self, numbers)


@final
class Verdicts:
    """What the predicates have come to in one stream."""

    def __init__(self, table: PredicateTable) -> None:
        self.table = table
        self.known: list[int] = [_UNTESTED] * len(table.programs)

    def test(self, number: int, activation: Activation) -> bool:
        """The predicate's value. Raises CelError, each time anew."""
        verdict = self.known[number]
        if verdict == _UNTESTED:
            verdict = _TRUE if self.table.programs[number].test(activation) else _FALSE
            self.known[number] = verdict
        return verdict == _TRUE

    def forget(self) -> None:
        """Attributes have changed: test every predicate again."""
        self.known = [_UNTESTED] * len(self.known)

    def response_begins(self) -> None:
        """Predicates on the response were tested without one, if at all: test them again."""
        for number, late in enumerate(self.table.late):
            if late:
                self.known[number] = _UNTESTED


@final
class Conjunction:
    """Predicates that must all hold; none holds always."""

    def __init__(self, table: PredicateTable, numbers: list[int]) -> None:
        self.numbers = numbers
        self.late = any([table.late[number] for number in numbers])

    def holds(self, verdicts: Verdicts, activation: Activation) -> bool:
        """Raises CelError if a predicate fails and none is false (cel-spec langdef.md, "Logical Operators")."""
        failure: CelError | None = None
        for number in self.numbers:
            try:
                if not verdicts.test(number, activation):
                    return False
            except CelError as error:
                failure = error
        if failure is not None:
            raise failure
        return True
