"""has(), the macros over lists and maps, and optional values."""

from collections.abc import Callable

import pytest
from tallyman.cel.errors import CelError
from tallyman.cel.values import Value

Evaluate = Callable[..., Value]


@pytest.mark.parametrize(
    "source",
    [
        "has(a.b) && !has(a.c) && !has(b.c)",
        "has(a.n) && a.n == null",
        "has({'x': 1}.x) && !has({'x': 1}.y)",
        "has(l[0].x) && !has(l[0].y)",
        "l.all(e, has(e.x))",
    ],
)
def test_has(evaluate: Evaluate, source: str) -> None:
    assert evaluate(source, a={"b": 1, "n": None}, l=[{"x": 1}]) is True


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("[1, 2, 3].all(x, x > 0)", True),
        ("[].all(x, x > 0)", True),
        ("[1, 2, 3].exists(x, x == 2)", True),
        ("[].exists(x, true)", False),
        ("[1, 2, 2].exists_one(x, x == 2)", False),
        ("[1, 2, 2].existsOne(x, x == 1)", True),
        ("[1, 2, 3].map(x, x * x)", [1, 4, 9]),
        ("[1, 2, 3].map(x, x > 1, x * x)", [4, 9]),
        ("[1, 2, 3].filter(x, x % 2 == 1)", [1, 3]),
        ("{'a': 1, 'b': 2}.all(k, k in ['a', 'b'])", True),
        ("{'a': 1, 'b': 2}.map(k, k + '!')", ["a!", "b!"]),
        ("{'a': 1, 'b': 2}.exists(k, k == 'b')", True),
        ("'free,gold'.split(',').exists(g, g == 'gold')", True),
        ("[1, 'gold', null].exists(g, g == 'gold')", True),
        ("[[1, 2], [3]].map(x, x.map(y, y + size(x)))", [[3, 4], [4]]),
        ("[1, 2].map(x, [3].map(x, x * 10))", [[30], [30]]),
        ("[1, 2].map(x, [3].map(y, x * y)).size() + [5].map(x, x)[0]", 7),
        ("[0, 2].exists(x, 4 / x == 2)", True),
        ("[0, 2].all(x, 4 / x > 5)", False),
    ],
)
def test_comprehensions(evaluate: Evaluate, source: str, expected: Value) -> None:
    assert evaluate(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        "[0, 2].all(x, 4 / x > 0)",
        "[0, 2].exists(x, 4 / x == 9)",
        "[0, 2].exists_one(x, 4 / x == 2)",
        "[0, 2].filter(x, 4 / x == 2)",
        "[0, 2].map(x, 4 / x)",
        "[1].all(x, x)",
        "[1].exists(x, x)",
        "[1].filter(x, x)",
        "'abc'.all(x, true)",
        "1.exists(x, x == 'a')",
    ],
)
def test_errors_of_comprehensions(evaluate: Evaluate, source: str) -> None:
    with pytest.raises(CelError):
        evaluate(source)


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a.?b.orValue('x')", "found"),
        ("a.?c.orValue('x')", "x"),
        ("a[?'c'].orValue('x')", "x"),
        ("a.?c.?d.orValue('x')", "x"),
        ("{'k': {'l': 1}}.?k.l.orValue(2)", 1),
        ("{'k': {'l': 1}}.?m.l.orValue(2)", 2),
        ("[1][?0].value()", 1),
        ("[1][?1].hasValue()", False),
        ("a.?c.or(a.?b).value()", "found"),
        ("optional.of(1).optMap(x, x + 1).value()", 2),
        ("optional.none().optMap(x, x + 1).hasValue()", False),
        ("optional.of([1]).optFlatMap(x, x[?0]).value()", 1),
        ("optional.ofNonZeroValue('').hasValue()", False),
        ("[1, ?a.?c, ?optional.of(2)]", [1, 2]),
        ("{'x': 1, ?'y': a.?c, ?'z': a.?b}", {"x": 1, "z": "found"}),
        ("optional.of(1) == optional.of(1u) && optional.none() != optional.of(1)", True),
        ("has(a.?c.d)", False),
        ("has({'k': {'l': 1}}.?k.l)", True),
    ],
)
def test_optional_values(evaluate: Evaluate, source: str, expected: Value) -> None:
    assert evaluate(source, a={"b": "found"}) == expected


@pytest.mark.parametrize("source", ["optional.none().value()", "1.orValue(2)", "[?1]", "optional.none().or(2)"])
def test_errors_of_optional_values(evaluate: Evaluate, source: str) -> None:
    with pytest.raises(CelError):
        evaluate(source)
