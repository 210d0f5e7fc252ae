"""The same expressions in cel-python and in common-expression-language (cel-rust): same values, same errors."""

import re

import cel
import celpy
import celpy.celtypes
from hypothesis import given, settings
from hypothesis import strategies as st
from tallyman.cel.activation import MapActivation
from tallyman.cel.environment import Environment
from tallyman.cel.errors import CelError
from tallyman.cel.values import Value

ATTRIBUTES: dict[str, Value] = {
    "request": {"path": "/v1/chat/completions", "size": 17, "headers": {"x-tier": "gold", "host": "a.example"}},
    "auth": {"identity": {"groups": "free,gold,é", "roles": ["a", "b", ""], "quota": -3}},
    "n": 7,
    "flag": True,
}
FAILED = "error"
CEL_PYTHON = celpy.Environment()

# What stands in angle brackets is to be replaced. Left out, as an oracle departs from the specification there: sizes of
# what is not ASCII (cel-rust counts octets), methods on concatenations (to cel-python no strings), the negation of the
# least int (neither sees the overflow), errors within exists_one (in cel-python nothing absorbs them).
GRAMMAR: dict[str, list[str]] = {
    "start": ["<int>", "<string>", "<bool>", "<list>", "{'k': <int>, 'l': [<string>, <bool>]}"],
    "int": [
        *("0", "1", "2", "-1", "7", "100", "0x1F", "9223372036854775807", "-9223372036854775807"),
        *("n", "request.size", "auth.identity.quota", "size(<ascii>)", "size(<words>)"),
        *("(<int> + <int>)", "(<int> - <int>)", "(<int> * <int>)", "(<int> / <int>)", "(<int> % <int>)"),
        *("-(<int>)", "(<bool> ? <int> : <int>)"),
    ],
    "ascii": [
        *('"a"', "'gold'", '""', "r'\\n'", '"""a"b"""', '"a\\n\\t\\x41\\101"'),
        *("request.path", 'request.headers["x-tier"]'),
    ],
    "text": ["<ascii>", '"é\\u00e9"', "auth.identity.groups", "auth.identity.roles[1]"],
    "string": ["<text>", "(<string> + <string>)", "(<bool> ? <string> : <string>)"],
    "words": ['["a", "gold"]', "[]", "auth.identity.roles", '(["x"] + ["y", "a"])', '["b", request.path]'],
    "list": [
        *("<words>.map(v, v + <string>)", "<words>.filter(v, v != <string>)"),
        "<words>.filter(v, size(v) > 0).map(v, size(v) * <int>)",
    ],
    "relation": ["==", "!=", "<", "<=", ">", ">="],
    "quantifier": ["all", "exists", "exists_one"],
    "bool": [
        *("true", "false", "flag", "!flag", '"host" in request.headers', "has(request.nothing)", "has(request.path)"),
        *("1 / 0 > 0", "request.nothing == 1", "auth.identity.roles[9] == ''"),
        *("(<int> <relation> <int>)", "(<string> <relation> <string>)", "(<words> == <words>)", "<text> in <words>"),
        *("<text>.startsWith(<text>)", "<text>.endsWith(<text>)", "<text>.contains(<text>)"),
        *("<words>.<quantifier>(v, v <relation> <string>)", "<words>.all(v, <int> / size(v) > 0)"),
        "<words>.exists(v, <int> / size(v) > 0)",
        *("(<bool> && <bool>)", "(<bool> || <bool>)", "!(<bool>)", "(<bool> ? <bool> : <bool>)"),
    ],
}


@st.composite
def expressions(draw: st.DrawFn) -> str:
    """A sentence of GRAMMAR; beyond a dozen replacements only from the alternatives that end soonest."""
    source = "<start>"
    for replaced in range(200):
        symbol = re.search("<([a-z]+)>", source)
        if symbol is None:
            break
        alternatives = GRAMMAR[symbol[1]]
        if replaced > 12:
            fewest = min(alternative.count("<") for alternative in alternatives)
            alternatives = [alternative for alternative in alternatives if alternative.count("<") == fewest]
        source = source[: symbol.start()] + draw(st.sampled_from(alternatives)) + source[symbol.end() :]
    return source


def ours(source: str) -> Value:
    environment = Environment()
    try:
        return environment.compile(source).evaluate(MapActivation(environment, ATTRIBUTES))
    except CelError:
        return FAILED


def rust(source: str) -> Value:
    try:
        return cel.evaluate(source, ATTRIBUTES)
    except Exception:
        return FAILED


def python(source: str) -> Value:
    bindings = {name: celpy.json_to_cel(value) for name, value in ATTRIBUTES.items()}
    try:
        return _plain(CEL_PYTHON.program(CEL_PYTHON.compile(source)).evaluate(bindings))
    except celpy.CELEvalError:
        return FAILED


def _plain(value: object) -> Value:
    if isinstance(value, celpy.CELEvalError):  # an error inside a map literal
        raise value
    if isinstance(value, celpy.celtypes.BoolType):
        return bool(value)
    if isinstance(value, celpy.celtypes.IntType):
        return int(value)
    if isinstance(value, celpy.celtypes.StringType):
        return str(value)
    if isinstance(value, list):
        return [_plain(element) for element in value]
    if isinstance(value, dict):
        return {_plain(key): _plain(element) for key, element in value.items()}
    return value


def typed(value: Value) -> tuple[str, Value]:
    """Python holds True and 1 equal."""
    return type(value).__name__, value


@settings(max_examples=300, deadline=None)
@given(expressions())
def test_agrees_with_cel_rust(source: str) -> None:
    assert typed(ours(source)) == typed(rust(source))


@settings(max_examples=120, deadline=None)
@given(expressions())
def test_agrees_with_cel_python(source: str) -> None:
    assert typed(ours(source)) == typed(python(source))
