"""The limits file: what is valid, what is not, and how that is said (Limitador's verdicts, row by row)."""

import contextlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from host_sim.world.limiter.limits import LimitsFileError, load_limits, parse_limits
from tests.unit.host_sim.world.limiter.tutorial import NAMESPACE, TUTORIAL

MINIMAL = "- {namespace: n, seconds: 60, conditions: [], variables: []}"


def limit_yaml(**fields: str) -> str:
    base = {"namespace": "n", "max_value": "1", "seconds": "60", "conditions": "[]", "variables": "[]", **fields}
    return "\n".join(("- " if i == 0 else "  ") + f"{key}: {value}" for i, (key, value) in enumerate(base.items()))


@pytest.mark.parametrize("text", ["", "[]", "---\n", "# nothing\n"])
def test_no_limits(text: str) -> None:
    assert parse_limits(text) == []


def test_the_tutorial() -> None:
    free, gold = parse_limits(TUTORIAL)
    assert (free.namespace, free.name, free.max_value, free.seconds) == (NAMESPACE, "free", 100, 60)
    assert gold.to_dict() == {
        "id": None,
        "namespace": NAMESPACE,
        "max_value": 500,
        "seconds": 60,
        "name": "gold",
        "conditions": ['descriptors[0]["tokenlimit.gold__8a3ba14b"] == "1"'],
        "variables": ['descriptors[0]["auth.identity.userid"]'],
    }


def test_defaults() -> None:
    (limit,) = parse_limits(MINIMAL)
    assert (limit.max_value, limit.name, limit.id) == (0, None, None)
    assert limit.conditions == limit.variables == ()


@pytest.mark.parametrize("null", ["null", "~", ""])
def test_name_and_id_may_be_null(null: str) -> None:
    (limit,) = parse_limits(limit_yaml(name=null, id=null))
    assert (limit.name, limit.id) == (None, None)


def test_scalars_are_text_where_text_is_expected() -> None:
    (limit,) = parse_limits(limit_yaml(namespace="5", name="true", id='"null"'))
    assert (limit.namespace, limit.name, limit.id) == ("5", "true", "null")


def test_unknown_keys_are_ignored() -> None:
    assert len(parse_limits(limit_yaml(policy="x", other="[1, {a: b}]"))) == 1


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1", "invalid type: map, expected a sequence at line 1 column 1"),
        ("x", 'invalid type: string "x", expected a sequence at line 1 column 1'),
        ("- 5", ".[0]: invalid type: integer `5`, expected a mapping at line 1 column 3"),
        ("- {namespace: n, seconds: 1, variables: []}", ".[0]: missing field `conditions` at line 1 column 3"),
        ("- {namespace: n, seconds: 1, conditions: []}", ".[0]: missing field `variables` at line 1 column 3"),
        ("- {seconds: 1, conditions: [], variables: []}", ".[0]: missing field `namespace` at line 1 column 3"),
        ("- {namespace: n, conditions: [], variables: []}", ".[0]: missing field `seconds` at line 1 column 3"),
        (f"{MINIMAL}\n- {{namespace: n, namespace: m}}", ".[1]: duplicate field `namespace` at line 2 column 18"),
        (limit_yaml(max_value='"1"'), '.[0].max_value: invalid type: string "1", expected u64 at line 2 column 14'),
        (limit_yaml(max_value="-1"), ".[0].max_value: invalid value: integer `-1`, expected u64"),
        (limit_yaml(max_value=str(2**64)), f".[0].max_value: invalid value: integer `{2**64}`, expected u64"),
        (limit_yaml(seconds="1.5"), ".[0].seconds: invalid type: floating point `1.5`, expected u64"),
        (limit_yaml(seconds="null"), ".[0].seconds: invalid type: unit value, expected u64"),
        (limit_yaml(seconds="true"), ".[0].seconds: invalid type: boolean `true`, expected u64"),
        (limit_yaml(conditions="{}"), ".[0].conditions: invalid type: map, expected a sequence"),
        (limit_yaml(variables="[[]]"), ".[0].variables: invalid type: sequence, expected a string"),
        ("- {", "not a YAML document"),
        ("--- []\n--- []", "not a YAML document"),
    ],
)
def test_mistakes_are_named_with_their_place(text: str, message: str) -> None:
    with pytest.raises(LimitsFileError) as caught:
        parse_limits(text)
    assert message in str(caught.value)


@pytest.mark.parametrize("field", ["conditions", "variables"])
def test_bad_cel_is_shown_with_a_caret(field: str) -> None:
    with pytest.raises(LimitsFileError) as caught:
        parse_limits(limit_yaml(**{field: "['a == ']"}))
    message = str(caught.value)
    assert f".[0].{field}: couldn't parse a == : ERROR: <input>:1:" in message
    assert "^" in message


def test_a_missing_file() -> None:
    with pytest.raises(LimitsFileError) as caught:
        load_limits(Path("/nowhere/limits.yaml"))
    assert "Couldn't read file '/nowhere/limits.yaml': No such file or directory (os error 2)" in str(caught.value)


def test_a_file_that_is_not_utf8(tmp_path: Path) -> None:
    path = tmp_path / "limits.yaml"
    path.write_bytes(b"- \xff")
    with pytest.raises(LimitsFileError, match="not UTF-8 at byte 2"):
        load_limits(path)


def test_identity_is_namespace_seconds_conditions_and_variables() -> None:
    fields = {"conditions": "[a == 'x', b == 'y']", "variables": "[c, d]"}
    (limit,) = parse_limits(limit_yaml(**fields))
    swapped = {"conditions": "[b == 'y', a == 'x', a == 'x']", "variables": "[d, c]"}
    for same in ({"max_value": "7"}, {"name": "other"}, {"id": "other"}, swapped):
        assert parse_limits(limit_yaml(**{**fields, **same}))[0].identity == limit.identity
    for other in ({"namespace": "m"}, {"seconds": "61"}, {"conditions": "[]"}, {"variables": "[c]"}):
        assert parse_limits(limit_yaml(**{**fields, **other}))[0].identity != limit.identity


@given(st.text(max_size=200))
def test_any_text_is_limits_or_a_clear_error(text: str) -> None:
    with contextlib.suppress(LimitsFileError):
        assert isinstance(parse_limits(text), list)
