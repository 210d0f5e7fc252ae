"""Bodies of the JSON API, good and bad; the messages are those a client of Limitador knows."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.limiter.check_request import CheckRequest, CheckRequestError, parse_check_request


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{", "EOF while parsing an object at line 1 column 1"),
        ("", "EOF while parsing a value at line 1 column 0"),
        ('{"values":{},"delta":1}', "missing field `namespace` at line 1 column 23"),
        ('{"namespace":"n","delta":1}', "missing field `values` at line 1 column 27"),
        ('{"namespace":"n","values":{}}', "missing field `delta` at line 1 column 29"),
        (
            '{"namespace":"abc","values":{},"delta":"1"}',
            'invalid type: string "1", expected u64 at line 1 column 42',
        ),
        ('{"namespace":"abc","values":{},"delta":-1}', "invalid value: integer `-1`, expected u64 at line 1 column 41"),
        ('{"namespace":"abc","values":{},"delta":1.5}', "invalid type: floating point `1.5`, expected u64"),
        ('{"namespace":"abc","values":{},"delta":true}', "invalid type: boolean `true`, expected u64"),
        (
            '{"namespace":"a","values":{"u":1},"delta":1}',
            "invalid type: integer `1`, expected a string at line 1 column 32",
        ),
        ('{"namespace":null,"values":{},"delta":1}', "invalid type: null, expected a string"),
        ('{"values":[]}', "invalid type: sequence, expected a map"),
        ("[]", "invalid type: sequence"),
        ('{"delta":1,"delta":1}', "duplicate field `delta`"),
        ('{"delta":1\n,x}', "key must be a string at line 2 column 2"),
        ('{"delta" 1}', "expected `:` at line 1 column 10"),
        ('{"namespace":"n","values":{},"delta":1} x', "trailing characters at line 1 column 41"),
        ('{"namespace":"\\ud800","values":{},"delta":1}', "lone surrogate"),
        ('{"x":' + "[" * 100_000, "recursion limit exceeded"),
    ],
)
def test_a_bad_body(body: str, message: str) -> None:
    with pytest.raises(CheckRequestError) as caught:
        parse_check_request(body.encode())
    assert message in str(caught.value)


def test_a_good_body() -> None:
    body = b' {"x": [1, {}], "namespace": "n", "values": {"u": "1"}, "delta": 0, "response_headers": null} '
    assert parse_check_request(body) == CheckRequest("n", {"u": "1"}, 0, None)
    body = b'{"namespace":"n","values":{},"delta":18446744073709551615,"response_headers":"DraftVersion03"}'
    assert parse_check_request(body) == CheckRequest("n", {}, 2**64 - 1, "DraftVersion03")


@given(
    namespace=st.text(),
    values=st.dictionaries(st.text(), st.text()),
    delta=st.integers(0, 2**64 - 1),
    headers=st.none() | st.text(),
    ascii_only=st.booleans(),
)
def test_what_json_writes_is_read(
    namespace: str, values: dict[str, str], delta: int, headers: str | None, ascii_only: bool
) -> None:
    members = {"response_headers": headers, "namespace": namespace, "delta": delta, "values": values}
    body = json.dumps(members, ensure_ascii=ascii_only, indent=1).encode()
    assert parse_check_request(body) == CheckRequest(namespace, values, delta, headers)


@given(st.binary(max_size=60) | st.text(alphabet='{}[]":, \\u12e.-"ntf', max_size=60).map(str.encode))
def test_any_bytes_are_a_request_or_a_clear_error(body: bytes) -> None:
    with pytest.raises(CheckRequestError, match=r" at line \d+ column \d+$"):
        parse_check_request(body)
