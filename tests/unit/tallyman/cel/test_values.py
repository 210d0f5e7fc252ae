"""Operators on values: arithmetic with bounds, equality and order across types, errors absorbed by logic."""

import math
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.cel import operators
from tallyman.cel.errors import (
    DIVIDE_BY_ZERO,
    DUPLICATE_KEY,
    INDEX_OUT_OF_RANGE,
    NO_SUCH_ATTRIBUTE,
    NO_SUCH_KEY,
    NO_SUCH_OVERLOAD,
    OVERFLOW,
    TOO_DEEP,
    CelError,
)
from tallyman.cel.values import INT_MAX, INT_MIN, UINT_MAX, UInt, Value, equals

Evaluate = Callable[..., Value]

INTS = st.one_of(st.integers(-20, 20), st.integers(INT_MIN, INT_MAX))
UINTS = st.one_of(st.integers(0, 20), st.integers(0, UINT_MAX))


@pytest.mark.parametrize(
    ("source", "reason"),
    [
        ("9223372036854775807 + 1", OVERFLOW),
        ("-9223372036854775808 - 1", OVERFLOW),
        ("9223372036854775807 * 2", OVERFLOW),
        ("-9223372036854775808 / -1", OVERFLOW),
        ("-(-9223372036854775808)", OVERFLOW),
        ("0u - 1u", OVERFLOW),
        ("18446744073709551615u + 1u", OVERFLOW),
        ("1 / 0", DIVIDE_BY_ZERO),
        ("1u % 0u", DIVIDE_BY_ZERO),
        ("1 + 1u", NO_SUCH_OVERLOAD),
        ("1 + 1.0", NO_SUCH_OVERLOAD),
        ("'a' + 1", NO_SUCH_OVERLOAD),
        ("true + true", NO_SUCH_OVERLOAD),
        ("-1u", NO_SUCH_OVERLOAD),
        ("-'a'", NO_SUCH_OVERLOAD),
        ("1.0 % 1.0", NO_SUCH_OVERLOAD),
        ("'a' < 1", NO_SUCH_OVERLOAD),
        ("null <= null", NO_SUCH_OVERLOAD),
        ("[1] < [2]", NO_SUCH_OVERLOAD),
        ("true < 1", NO_SUCH_OVERLOAD),
        ("!1", NO_SUCH_OVERLOAD),
        ("1 ? 2 : 3", NO_SUCH_OVERLOAD),
        ("1 in 'a'", NO_SUCH_OVERLOAD),
        ("{'a': 1}.b", NO_SUCH_KEY),
        ("{'a': 1}['b']", NO_SUCH_KEY),
        ("{1: 1}[true]", NO_SUCH_KEY),
        ("{'a': 1}[null]", NO_SUCH_OVERLOAD),
        ("[1][1]", INDEX_OUT_OF_RANGE),
        ("[1][-1]", INDEX_OUT_OF_RANGE),
        ("[1]['a']", NO_SUCH_OVERLOAD),
        ("[1][0.5]", NO_SUCH_OVERLOAD),
        ("{'a': 1, 'a': 2}", DUPLICATE_KEY),
        ("{1: 1, 1u: 2}", DUPLICATE_KEY),
        ("{1.5: 1}", NO_SUCH_OVERLOAD),
        ("{null: 1}", NO_SUCH_OVERLOAD),
        ("nothing.here", NO_SUCH_ATTRIBUTE),
    ],
)
def test_errors(evaluate: Evaluate, source: str, reason: str) -> None:
    with pytest.raises(CelError) as caught:
        evaluate(source)
    assert caught.value.reason == reason


@pytest.mark.parametrize(
    "source",
    [
        "1 == 1u && 1 == 1.0 && 1u == 1.0",
        "1 != true && 0 != false && !(true == 1)",
        "1 < 1.5 && 1u < 2 && -1 < 1u && 2.5 > 2u",
        "1 <= 1.0 && 1u >= 1",
        "[1, 2u] == [1.0, 2]",
        "{'a': [1]} == {'a': [1u]}",
        "{1: 'a'} == {1u: 'a'}",
        "{1: 'a'} != {true: 'a'}",
        "[true] != [1]",
        "'a' != 1 && null != 0 && [] != {}",
        "double('NaN') != double('NaN')",
        "!(double('NaN') <= 1.0) && !(double('NaN') >= 1.0)",
        "[double('NaN')] != [double('NaN')]",
        "{1: 'a'}[1u] == 'a' && {1u: 'a'}[1.0] == 'a'",
        "{true: 'a'}[true] == 'a'",
        "1u in [1] && 1 in {1u: 0} && !(true in {1: 0}) && !(1 in [true])",
        "!([] in {'a': 1}) && [1] in [[1u]]",
        "[1, 2][1u] == 2 && [1, 2][1.0] == 2",
        "'a' < 'b' && b'a' < b'b' && false < true",
        "7 / -2 == -3 && -7 / 2 == -3 && 7 % -2 == 1 && -7 % 2 == -1",
        "1.0 / 0.0 == double('Infinity') && -1.0 / 0.0 == double('-Infinity')",
        "1.0 / -0.0 == double('-Infinity')",
        "[1] + [2] == [1, 2] && b'a' + b'b' == b'ab'",
        "type(1) == int && type(1u) == uint && type(type(1)) == type",
        "type(timestamp('2026-01-01T00:00:00Z')) == google.protobuf.Timestamp",
        "type(null) == null_type && type({}) == map && type([]) == list",
    ],
)
def test_truths(evaluate: Evaluate, source: str) -> None:
    assert evaluate(source) is True


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("false && nothing", False),
        ("nothing && false", False),
        ("true || nothing", True),
        ("nothing || true", True),
        ("1 || true", True),
        ("'a' && false", False),
        ("nothing || false || true", True),
        ("true ? 1 : nothing", 1),
    ],
)
def test_errors_are_absorbed(evaluate: Evaluate, source: str, expected: Value) -> None:
    assert evaluate(source) == expected


@pytest.mark.parametrize(
    "source", ["nothing && true", "true && nothing", "nothing || false", "1 && true", "false || 'a'"]
)
def test_errors_that_decide_are_raised(evaluate: Evaluate, source: str) -> None:
    with pytest.raises(CelError):
        evaluate(source)


@given(INTS, INTS)
def test_integer_arithmetic_is_exact_or_overflows(a: int, b: int) -> None:
    for operate, result in ((operators.add, a + b), (operators.subtract, a - b), (operators.multiply, a * b)):
        if INT_MIN <= result <= INT_MAX:
            assert operate(a, b) == result
        else:
            with pytest.raises(CelError, match=OVERFLOW):
                operate(a, b)
    if b != 0 and (a, b) != (INT_MIN, -1):
        quotient = operators.divide(a, b)
        remainder = operators.modulo(a, b)
        assert isinstance(quotient, int)
        assert isinstance(remainder, int)
        assert quotient * b + remainder == a
        assert abs(remainder) < abs(b)
        assert remainder == 0 or (remainder < 0) == (a < 0)


@given(UINTS, UINTS)
def test_unsigned_arithmetic_is_exact_or_overflows(a: int, b: int) -> None:
    for operate, result in ((operators.add, a + b), (operators.subtract, a - b), (operators.multiply, a * b)):
        if 0 <= result <= UINT_MAX:
            assert operate(UInt(a), UInt(b)) == UInt(result)
        else:
            with pytest.raises(CelError, match=OVERFLOW):
                operate(UInt(a), UInt(b))


@given(INTS, UINTS, st.floats(allow_nan=False))
def test_order_across_numeric_types(a: int, b: int, c: float) -> None:
    assert operators.less(a, UInt(b)) == (a < b)
    assert operators.less_equal(UInt(b), a) == (b <= a)
    assert operators.less(a, c) == (float(a) < c)
    assert operators.greater_equal(c, UInt(b)) == (c >= float(b))
    assert equals(a, UInt(b)) == (a == b)


def test_values_nested_too_deeply_are_an_error_not_a_crash() -> None:
    left: Value = []
    right: Value = []
    for _ in range(10000):
        left, right = [left], [right]
    with pytest.raises(CelError, match=TOO_DEEP):
        equals(left, right)


def test_a_value_that_is_none_of_ours_is_named(evaluate: Evaluate) -> None:
    with pytest.raises(CelError, match="Python's set is not a CEL value"):
        evaluate("type(a)", a=set())


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a > 1.5 && 1.5 < a && -1.5 > b && a > 1 && a != 1u", True),
        ("double(a) == double('Infinity')", True),
        ("'%f'.format([b])", "-Infinity"),
    ],
)
def test_integers_of_any_size_from_the_host(evaluate: Evaluate, source: str, expected: Value) -> None:
    assert evaluate(source, a=10**400, b=-(10**400)) == expected
    for overflowing in ("a + 1", "a * a", "-a", "a - b", "b / 1"):
        with pytest.raises(CelError, match=OVERFLOW):
            evaluate(overflowing, a=10**400, b=-(10**400))


def test_infinities_survive(evaluate: Evaluate) -> None:
    assert evaluate("1e308 * 10.0") == math.inf
