"""What is an expression and what is not; where and how a fault is shown."""

import contextlib
from collections.abc import Callable
from typing import cast

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tallyman.cel.activation import MapActivation
from tallyman.cel.environment import Environment
from tallyman.cel.errors import CelSyntaxError
from tallyman.cel.parser import MAX_DEPTH, MAX_NESTING
from tallyman.cel.values import Message, UInt, Value

Evaluate = Callable[..., Value]


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("42", 42),
        ("0x2A", 42),
        ("-0x2A", -42),
        ("-9223372036854775808", -9223372036854775808),
        ("42u", UInt(42)),
        ("0xFFu", UInt(255)),
        ("18446744073709551615u", UInt(18446744073709551615)),
        ("1.5", 1.5),
        (".5", 0.5),
        ("-2.5e-3", -0.0025),
        ("1e3", 1000.0),
        ("true", True),
        ("false", False),
        ("null", None),
        ("''", ""),
        ("'it\"s'", 'it"s'),
        (r'"\a\b\f\n\r\t\v\\\?\"\'\`"', "\a\b\f\n\r\t\v\\?\"'`"),
        (r"'\x41\X42\103\u0044\U00000045'", "ABCDE"),
        (r"'\U0001F431'", "\U0001f431"),
        (r"r'\n'", "\\n"),
        (r'R"\"', "\\"),
        ("'''a'b\n''c'''", "a'b\n''c"),
        ('"""\n"""', "\n"),
        ('r"""\\a"b"""', '\\a"b'),
        ("b'abc'", b"abc"),
        (r"b'\x00\377é'", b"\x00\xff\xc3\xa9"),
        (r"rb'\n'", b"\\n"),
        (r"bR'\n'", b"\\n"),
        ("[1, 2,]", [1, 2]),
        ("{'a': 1, 2: 'b',}", {"a": 1, 2: "b"}),
        ("{}", {}),
    ],
)
def test_literals(evaluate: Evaluate, source: str, expected: Value) -> None:
    value = evaluate(source)
    assert value == expected
    assert type(value) is type(expected)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("1 + 2 * 3 - 4", 3),
        ("10 - 3 - 2", 5),
        ("-2 * -(3)", 6),
        ("!true || true && false", False),
        ("true ? (false ? 1 : 2) : 3", 2),
        ("false ? 1 : true ? 2 : 3", 2),
        ("1 + 1 == 2 && 3 < 4", True),
        ("1 < 2 == true", True),
        ("'a' in ['a'] == true", True),
        ("[[1, 2], [3]][0][1]", 2),
        ("{'a': {'b': [7]}}.a.b[0]", 7),
        ("{'a-b': 7}.`a-b`", 7),
        ("[1, 2].size()", 2),
        ("-1 + // a comment\n 2", 1),
        ("--1", 1),
        ("!!true", True),
    ],
)
def test_precedence_and_members(evaluate: Evaluate, source: str, expected: Value) -> None:
    assert evaluate(source) == expected


def test_a_keyword_may_be_a_field_but_not_a_root(evaluate: Evaluate) -> None:
    assert evaluate("a.package", a={"package": 1}) == 1
    with pytest.raises(CelSyntaxError, match="'package' is a reserved word"):
        Environment().compile("package.a")


def test_a_leading_dot_passes_by_the_variables_of_macros(evaluate: Evaluate) -> None:
    assert evaluate("[1].map(x, x + .x)", x=10) == [11]


def test_messages(evaluate: Evaluate) -> None:
    source = "envoy.v3.RateLimitRequest{domain: d, hits_addend: 1 + 1, descriptors: [envoy.v3.Descriptor{}]}"
    message = evaluate(source, d="ns/name")
    assert isinstance(message, Message)
    assert message.type_name == "envoy.v3.RateLimitRequest"
    assert list(message.fields) == ["domain", "hits_addend", "descriptors"]
    assert message.fields["domain"] == "ns/name"
    assert message.fields["hits_addend"] == 2
    assert evaluate(source + ".domain", d="ns/name") == "ns/name"
    assert evaluate(f"{source} == {source}", d="ns/name") is True
    assert evaluate("has(a.B{c: 1}.c) && !has(a.B{c: 1}.d)") is True


def test_messages_as_an_operator_writes_them() -> None:
    source = """envoy.service.ratelimit.v3.RateLimitRequest {
      domain: "ns/x",
      hits_addend: uint(1),
      descriptors: [common.v3.RateLimitDescriptor {
        entries: [common.v3.RateLimitDescriptor.Entry { key: "a", value: string(request.path) }]
          + ((request.method == "GET") ? [common.v3.RateLimitDescriptor.Entry { key: "b", value: "1" }] : [])
      }]
    }"""
    environment = Environment()
    program = environment.compile(source)
    assert [environment.paths[slot] for slot in program.slots] == [("request", "path"), ("request", "method")]
    message = program.evaluate(MapActivation(environment, {"request": {"path": "/", "method": "GET"}}))
    assert isinstance(message, Message)
    assert message.fields["hits_addend"] == UInt(1)
    (descriptor,) = cast(list[Message], message.fields["descriptors"])
    entries = cast(list[Message], descriptor.fields["entries"])
    assert [entry.fields for entry in entries] == [{"key": "a", "value": "/"}, {"key": "b", "value": "1"}]


@pytest.mark.parametrize(
    ("source", "place", "message"),
    [
        ("", "1:1", "expected an operand, found end of expression"),
        ("a ==", "1:5", "expected an operand, found end of expression"),
        ("a = b", "1:3", "did you mean '=='?"),
        ("a & b", "1:3", "did you mean '&&'?"),
        ("(a", "1:3", "expected ')', found end of expression"),
        ("a b", "1:3", "expected an operator or the end of the expression, found 'b'"),
        ("[1, 2", "1:6", "expected ']'"),
        ("true ? 1", "1:9", "expected ':'"),
        ("true ? false ? 1 : 2 : 3", "1:14", "expected ':', found '?'"),
        ("1 +\n  * 3", "2:3", "expected an operand, found '*'"),
        ('"abc', "1:1", "string is not closed"),
        (r'"\z"', "1:2", r"invalid escape \z in string literal"),
        (r"b'\u0041'", "1:3", r"invalid escape \u in bytes literal"),
        (r'"\ud800"', "1:2", "is not a Unicode character"),
        ("9223372036854775808", "1:1", "out of range for int"),
        ("18446744073709551616u", "1:1", "out of range for uint"),
        ("'\ud800'", "1:2", "surrogate"),
        ("12ab", "1:3", "a number must end before 'a'"),
        ("a.true", "1:3", "expected a field name, found 'true'"),
        ("!-1", "1:2", "expected an operand"),
        ("f(1)", "1:1", "there is no function f()"),
        ("a.b.startswith('x')", "1:5", "did you mean startsWith()?"),
        ("startsWith(a, 'x')", "1:1", "startsWith() is written x.startsWith()"),
        ("a.int()", "1:3", "int() is written int(x)"),
        ("size()", "1:1", "size() takes 1 argument, found 0"),
        ("a.split()", "1:3", "split() takes 1 or 2 arguments, found 0"),
        ("has(a)", "1:1", "has() takes a field selection"),
        ("a.all(x)", "1:3", "all() takes a variable and an expression"),
        ("a.map(x.y, x)", "1:8", "the first argument of map() must be the name of a variable"),
        ("a.matches('(')", "1:11", "missing closing )"),
        ("a.B{c: 1, c: 2}", "1:11", "field 'c' is set twice"),
        ("a[0]{c: 1}", "1:5", "a message is written pkg.Type{field: value}"),
        ("requestBodyJSON()", "1:1", "requestBodyJSON() takes 1 argument (a JSON pointer), found 0"),
    ],
)
def test_faults_are_explained_where_they_are(source: str, place: str, message: str) -> None:
    with pytest.raises(CelSyntaxError) as caught:
        Environment().compile(source)
    text = str(caught.value)
    assert text.startswith(place + ": ")
    assert message in text


def test_the_faulty_line_is_shown_with_a_caret() -> None:
    with pytest.raises(CelSyntaxError) as caught:
        Environment().compile("request.path == '/a' &&\n\trequest.method = 'GET'")
    assert str(caught.value).splitlines()[1:] == ["   request.method = 'GET'", "                  ^"]
    assert (caught.value.line, caught.value.column) == (2, 17)


def test_a_long_line_is_cut_around_the_fault() -> None:
    with pytest.raises(CelSyntaxError) as caught:
        Environment().compile("'" + "a" * 5000 + "' = '" + "b" * 5000 + "'")
    _, line, caret = str(caught.value).splitlines()
    assert len(line) < 130
    assert line[caret.index("^")] == "="


@pytest.mark.parametrize(
    "source",
    [
        "(" * 5000 + "1" + ")" * 5000,
        "[" * (MAX_NESTING + 1) + "]" * (MAX_NESTING + 1),
        "!" * 5000 + "true",
        "1" + " + 1" * 5000,
        "a" + ".b" * 5000,
        "a" + "[0]" * 5000,
        "1||1&&1==1+1*(" * (MAX_NESTING + 1) + "1" + ")" * (MAX_NESTING + 1),
        "a ? b : " * 5000 + "c",
        "'" + "a" * 70000 + "'",
    ],
)
def test_bounds_on_depth_and_length(source: str) -> None:
    with pytest.raises(CelSyntaxError):
        Environment().compile(source)


def test_what_the_bounds_allow(evaluate: Evaluate) -> None:
    assert evaluate("(" * (MAX_NESTING - 1) + "1" + ")" * (MAX_NESTING - 1)) == 1
    assert evaluate("n" + " + 1" * (MAX_DEPTH - 1), n=0) == MAX_DEPTH - 1
    assert evaluate(" && ".join(["n == 1"] * 2000), n=1) is True


@given(st.text(alphabet="ab01.\"'\\rbux[](){}?:,!-+*/%<>=&|_ \n`in", max_size=40))
@example("a" * 70000)
def test_any_text_compiles_or_is_explained(source: str) -> None:
    with contextlib.suppress(CelSyntaxError):
        Environment().compile(source)


@given(st.text(st.characters(exclude_categories=["Cs"]), max_size=30))
def test_escaped_text_reads_back(text: str) -> None:
    escaped = "".join(f"\\U{ord(character):08x}" for character in text)
    octets = "".join(f"\\x{octet:02x}" for octet in text.encode())
    assert Environment().compile(f'"{escaped}"').constant == text
    assert Environment().compile(f"b'{octets}'").constant == text.encode()
