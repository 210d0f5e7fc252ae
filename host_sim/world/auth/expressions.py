"""Values and conditions of a policy, compiled once and evaluated against the authorization JSON.

CEL is the filter's own (:mod:`tallyman.cel`), so an expression means the same here and at the gateway.
"""

import base64
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, Protocol

from tallyman.cel.activation import Activation
from tallyman.cel.environment import Environment, Program
from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, NO_SUCH_KEY, CelError, CelSyntaxError
from tallyman.cel.re2 import MAX_PROGRAM, PatternError
from tallyman.cel.re2 import Pattern as RegularExpression
from tallyman.cel.times import format_duration, format_timestamp
from tallyman.cel.values import Duration, Timestamp, UInt

from host_sim.world.auth.rules import AuthRules, Pattern, ValueOrSelector
from host_sim.world.auth.selectors import Selector, SelectorError, Template, as_list, as_text, is_template

Document = Mapping[str, Any]
"""The authorization JSON."""

Condition = Callable[[Document], bool]
"""Raises EvaluationError."""

_ROOTS: Final = ("auth", "destination", "metadata", "request", "source")
_MAX_DEPTH: Final = 20


class PolicyError(ValueError):
    """Rules that cannot be served. The text names the place in them, what was found and what is wrong."""


class EvaluationError(Exception):
    """An expression without a value for this request. Its text holds nothing of the request."""


class Value(Protocol):
    def resolve(self, document: Document) -> Any:
        """The value (JSON) for one request. Raises EvaluationError."""


class _Static:
    def __init__(self, value: Any) -> None:
        self._value = value

    def resolve(self, document: Document) -> Any:
        return self._value


class _Selected:
    def __init__(self, selector: Selector) -> None:
        self._selector = selector

    def resolve(self, document: Document) -> Any:
        return self._selector.select(document)


class _Rendered:
    def __init__(self, template: Template) -> None:
        self._template = template

    def resolve(self, document: Document) -> Any:
        return self._template.render(document)


class _Computed:
    def __init__(self, environment: Environment, program: Program) -> None:
        self._environment = environment
        self._program = program

    def resolve(self, document: Document) -> Any:
        try:
            return _to_json(self._program.evaluate(_DocumentActivation(self._environment, document)))
        except CelError as error:
            raise EvaluationError(str(error)) from None


class _DocumentActivation(Activation):
    """CEL attributes found in the authorization JSON."""

    def __init__(self, environment: Environment, document: Document) -> None:
        super().__init__(environment)
        self._document = document

    def fetch(self, path: tuple[str, ...]) -> object:
        if path[0] not in _ROOTS:
            raise CelError(NO_SUCH_ATTRIBUTE, path[0])
        value: object = self._document
        for depth, name in enumerate(path):
            if not isinstance(value, Mapping) or name not in value:
                raise CelError(NO_SUCH_KEY, ".".join(path[: depth + 1]))
            value = value[name]
        return value


def compile_value(spec: ValueOrSelector, where: str) -> Value:
    """The value *spec* describes; *where* names its place. Raises PolicyError."""
    if spec.expression:
        return _Computed(*_compile_cel(spec.expression, where))
    if not spec.selector:
        return _Static(spec.value)
    try:
        return _Rendered(Template(spec.selector)) if is_template(spec.selector) else _Selected(Selector(spec.selector))
    except SelectorError as error:
        raise PolicyError(f"{where}.selector: {error}") from None


def compile_values(specs: Mapping[str, ValueOrSelector], where: str) -> dict[str, Value]:
    """Named values. Raises PolicyError."""
    return {name: compile_value(spec, f"{where}.{name}") for name, spec in specs.items()}


def compile_conditions(patterns: Sequence[Pattern], rules: AuthRules, where: str) -> Condition:
    """A condition that holds if all *patterns* do; those with a ``patternRef`` are found in *rules*.

    Raises PolicyError.
    """
    return _all([_condition(pattern, rules, f"{where}[{index}]", 0) for index, pattern in enumerate(patterns)])


def _condition(pattern: Pattern, rules: AuthRules, where: str, depth: int) -> Condition:
    if depth > _MAX_DEPTH:
        raise PolicyError(f"{where}: patterns are nested, or refer to each other, more than {_MAX_DEPTH} deep")
    if pattern.all_ is not None:
        return _all(_nested(pattern.all_, rules, f"{where}.all", depth))
    if pattern.any_ is not None:
        return _any(_nested(pattern.any_, rules, f"{where}.any", depth))
    if pattern.pattern_ref:
        named = rules.named_patterns(pattern.pattern_ref)
        if named is None:
            known = ", ".join(sorted(rules.patterns)) or "none"
            raise PolicyError(f"{where}.patternRef: no patterns are named {pattern.pattern_ref!r}; there are: {known}")
        return _all(_nested(named, rules, f"patterns.{pattern.pattern_ref}", depth))
    if pattern.predicate:
        return _predicate(pattern.predicate, where)
    return _comparison(pattern, where)


def _nested(patterns: Sequence[Pattern], rules: AuthRules, where: str, depth: int) -> list[Condition]:
    return [_condition(pattern, rules, f"{where}[{index}]", depth + 1) for index, pattern in enumerate(patterns)]


def _all(conditions: Sequence[Condition]) -> Condition:
    return lambda document: all(condition(document) for condition in conditions)


def _any(conditions: Sequence[Condition]) -> Condition:
    return lambda document: any(condition(document) for condition in conditions)


def _predicate(source: str, where: str) -> Condition:
    environment, program = _compile_cel(source, f"{where}.predicate")

    def holds(document: Document) -> bool:
        try:
            return program.test(_DocumentActivation(environment, document))
        except CelError as error:
            raise EvaluationError(str(error)) from None

    return holds


def _comparison(pattern: Pattern, where: str) -> Condition:
    try:
        selector = Selector(pattern.selector)
    except SelectorError as error:
        raise PolicyError(f"{where}.selector: {error}") from None
    expected = pattern.value
    if pattern.operator == "eq":
        return lambda document: as_text(selector.select(document)) == expected
    if pattern.operator == "neq":
        return lambda document: as_text(selector.select(document)) != expected
    if pattern.operator == "incl":
        return lambda document: expected in map(as_text, as_list(selector.select(document)))
    if pattern.operator == "excl":
        return lambda document: expected not in map(as_text, as_list(selector.select(document)))
    try:
        expression = RegularExpression(expected, MAX_PROGRAM)
    except PatternError as error:
        raise PolicyError(f"{where}.value: {expected!r} is no regular expression (RE2): {error}") from None
    return lambda document: expression.search(as_text(selector.select(document)))


def _compile_cel(source: str, where: str) -> tuple[Environment, Program]:
    environment = Environment()
    try:
        program = environment.compile(source)
    except CelSyntaxError as error:
        raise PolicyError(f"{where}: {error}") from None
    unknown = {path[0] for path in environment.paths} - set(_ROOTS)
    if unknown:
        raise PolicyError(f"{where}: {min(unknown)!r} is not known; expected one of {', '.join(_ROOTS)}")
    return environment, program


def _to_json(value: object) -> Any:
    """A CEL value as JSON (cel-spec langdef.md, "JSON Data Conversion"). Raises EvaluationError if it has none."""
    if value is None or isinstance(value, (bool, int, float, str)):
        return value
    if isinstance(value, list):
        return [_to_json(element) for element in value]
    if isinstance(value, Mapping):
        return {as_text(_to_json(key)): _to_json(element) for key, element in value.items()}
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, UInt):
        return value.value
    if isinstance(value, Timestamp):
        return format_timestamp(value)
    if isinstance(value, Duration):
        return format_duration(value)
    raise EvaluationError(f"a value of type {type(value).__name__} has no JSON")
