"""Configurations that are refused, and how: JSON path, what was found, what was expected."""

import contextlib
import copy
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.config.configuration import Configuration, read_configuration
from tallyman.config.document import ConfigurationError
from tallyman.policy.blueprint import Blueprint

VALID: dict[str, Any] = {
    "services": {
        "auth-service": {"type": "auth", "endpoint": "auth", "failureMode": "deny", "timeout": "200ms"},
        "check": {"type": "ratelimit-check", "endpoint": "limiter", "failureMode": "allow"},
        "report": {"type": "ratelimit-report", "endpoint": "limiter"},
        "spans": {"type": "tracing", "endpoint": "spans"},
    },
    "requestData": {"metrics.labels.user": "auth.identity.userid"},
    "actionSets": [
        {
            "name": "chat",
            "routeRuleConditions": {"hostnames": ["*.example.com"], "predicates": ['request.method == "POST"']},
            "actions": [
                {"service": "auth-service", "scope": "0123"},
                {
                    "service": "check",
                    "scope": "llm/llm-sim",
                    "predicates": ['auth.identity.group == "free"'],
                    "conditionalData": [
                        {
                            "predicates": ['request.url_path == "/v1"'],
                            "data": [
                                {"static": {"key": "limit", "value": "1"}},
                                {"expression": {"key": "user", "value": "auth.identity.userid"}},
                            ],
                        }
                    ],
                },
            ],
        }
    ],
}

SET = "actionSets", 0
CHECK = *SET, "actions", 1
BLOCK = *CHECK, "conditionalData", 0

Place = tuple[str | int, ...]


def changed(place: Place, value: object) -> bytes:
    """The valid configuration with `value` at `place`."""
    document = copy.deepcopy(VALID)
    node: Any = document
    for step in place[:-1]:
        node = node[step]
    node[place[-1]] = value
    return json.dumps(document).encode()


def without(place: Place) -> bytes:
    document = copy.deepcopy(VALID)
    node: Any = document
    for step in place[:-1]:
        node = node[step]
    del node[place[-1]]
    return json.dumps(document).encode()


def compiled(text: bytes) -> Configuration:
    configuration = read_configuration(text)
    Blueprint(configuration)
    return configuration


def refusal(text: bytes) -> str:
    with pytest.raises(ConfigurationError) as caught:
        compiled(text)
    return str(caught.value)


def test_the_valid_one_is_read_without_warnings() -> None:
    configuration = compiled(json.dumps(VALID).encode())
    assert configuration.warnings == []
    assert [service.timeout_ms for service in configuration.services.values()] == [200, 20, 20, 20]
    assert [service.deny for service in configuration.services.values()] == [True, False, True, True]
    assert [label.name for label in configuration.labels] == ["user"]
    (action_set,) = configuration.action_sets
    assert action_set.hostnames == ["*.example.com"]
    assert [action.service.name for action in action_set.actions] == ["auth-service", "check"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (b"", "$: is empty, expected a JSON object"),
        (b" \n", "$: is empty, expected a JSON object"),
        (b"{", "$: is not JSON at line 1, column 2"),
        (b'{\n "services": {},\n}', "$: is not JSON at line 3, column 1"),
        (b"[]", "$: found a list [], expected an object"),
        (b"null", "$: found null, expected an object"),
        (b'{"a": "\xff"}', "$: is not UTF-8 at byte 7, expected JSON in UTF-8"),
        (b'{"a":' + b"[" * 100_000, "$: is nested too deeply"),
        (b'{"a": ' + b"9" * 5000 + b"}", "$: is not JSON: "),
        (b'{"services": {}, "actionSets": [], "services": {}}', '$: has the key "services" twice in one object'),
        (b'{"services": {}, "actionSets": [], "x": NaN}', "$: is not JSON: NaN"),
    ],
)
def test_what_is_not_json_is_refused(text: bytes, expected: str) -> None:
    assert refusal(text).startswith(expected)


@pytest.mark.parametrize(
    ("place", "value", "expected"),
    [
        (("services",), [], "$.services: found a list [], expected an object"),
        (("services", "check"), "x", '$.services.check: found a string "x", expected an object'),
        (("services", "check", "type"), "ratelimits", '$.services.check.type: found a string "ratelimits", expected'),
        (("services", "check", "type"), 3, "$.services.check.type: found a number 3, expected one of auth, ratelimit"),
        (("services", "check", "endpoint"), "", "$.services.check.endpoint: is empty, expected the name of an Envoy"),
        (("services", "check", "endpoint"), None, "$.services.check.endpoint: found null, expected a string"),
        (("services", "check", "failureMode"), "open", "$.services.check.failureMode: found a string"),
        (("services", "check", "timeout"), 20, "$.services.check.timeout: found a number 20, expected a duration"),
        (("services", "check", "timeout"), "", '$.services.check.timeout: found a string "", expected a duration'),
        (("services", "check", "timeout"), "5 s", '$.services.check.timeout: found a string "5 s", expected a'),
        (("services", "check", "timeout"), "1ns", "$.services.check.timeout: found a string"),
        (("services", "check", "timeout"), "-1s", "$.services.check.timeout: found a string"),
        (("services", "a.b"), 1, '$.services["a.b"]: found a number 1, expected an object'),
        (("actionSets",), {}, "$.actionSets: found an object {}, expected a list"),
        (SET, 1, "$.actionSets[0]: found a number 1, expected an object"),
        ((*SET, "name"), True, "$.actionSets[0].name: found a boolean true, expected a string"),
        ((*SET, "routeRuleConditions"), [], "$.actionSets[0].routeRuleConditions: found a list [], expected an object"),
        (
            (*SET, "routeRuleConditions", "hostnames"),
            ["a", 1],
            "$.actionSets[0].routeRuleConditions.hostnames[1]: found a number 1, expected a string",
        ),
        (
            (*SET, "routeRuleConditions", "predicates"),
            "true",
            '$.actionSets[0].routeRuleConditions.predicates: found a string "true", expected a list',
        ),
        (
            (*CHECK, "service"),
            "limiter",
            '$.actionSets[0].actions[1].service: found "limiter", expected a name under $.services '
            "(auth-service, check, report, spans)",
        ),
        (
            (*CHECK, "service"),
            "spans",
            '$.actionSets[0].actions[1].service: found "spans" of type tracing, which a classic action cannot call',
        ),
        ((*CHECK, "scope"), 7, "$.actionSets[0].actions[1].scope: found a number 7, expected a string"),
        ((*CHECK, "conditionalData"), {}, "$.actionSets[0].actions[1].conditionalData: found an object {}, expected a"),
        (
            (*BLOCK, "data", 0),
            {},
            "$.actionSets[0].actions[1].conditionalData[0].data[0]: found nothing, expected either static or",
        ),
        (
            (*BLOCK, "data", 0),
            {"static": {}, "expression": {}},
            "$.actionSets[0].actions[1].conditionalData[0].data[0]: found static, expression, expected either",
        ),
        (
            (*BLOCK, "data", 1, "expression", "value"),
            [],
            "$.actionSets[0].actions[1].conditionalData[0].data[1].expression.value: found a list [], expected",
        ),
        (("requestData",), "x", '$.requestData: found a string "x", expected an object'),
        (("requestData", "user"), "x", '$.requestData.user: is named "user" as $.requestData["metrics.labels.user"] i'),
        (("requestData", ""), "x", '$.requestData[""]: has no name'),
        (("requestData", "a"), 1, "$.requestData.a: found a number 1, expected a string"),
        (("tallyman",), 1, "$.tallyman: found a number 1, expected an object"),
        (("tallyman",), {"maxSeries": 0}, "$.tallyman.maxSeries: found a number 0, expected a whole number from 1 to"),
        (("tallyman",), {"maxSeries": True}, "$.tallyman.maxSeries: found a boolean true, expected a whole number"),
        (("tallyman",), {"maxSeries": 1.5}, "$.tallyman.maxSeries: found a number 1.5, expected a whole number"),
        (("tallyman",), {"identityNamespace": 1}, "$.tallyman.identityNamespace: found a number 1, expected a string"),
        (("observability",), [], "$.observability: found a list [], expected an object"),
        (("services", "check", "endpoint"), "\udc80", '$.services.check.endpoint: found a string "\\udc80", expected'),
        (("services", "\ud800"), {}, '$.services["\\ud800"]: has a key with a lone surrogate'),
    ],
)
def test_the_refusal_names_path_find_and_expectation(place: Place, value: object, expected: str) -> None:
    text = refusal(changed(place, value))
    assert text.startswith(expected)
    text.encode()  # fit for a log


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        (("services",), "$.services: is missing, expected an object"),
        (("actionSets",), "$.actionSets: is missing, expected a list"),
        (("services", "check", "type"), "$.services.check.type: is missing, expected one of auth, ratelimit,"),
        (("services", "check", "endpoint"), "$.services.check.endpoint: is missing, expected a string"),
        ((*SET, "name"), "$.actionSets[0].name: is missing, expected a string"),
        ((*SET, "actions"), "$.actionSets[0].actions: is missing, expected a list"),
        ((*SET, "routeRuleConditions"), "$.actionSets[0].routeRuleConditions: is missing, expected an object"),
        ((*SET, "routeRuleConditions", "hostnames"), "$.actionSets[0].routeRuleConditions.hostnames: is missing"),
        ((*CHECK, "service"), "$.actionSets[0].actions[1].service: is missing, expected a string"),
        ((*CHECK, "scope"), "$.actionSets[0].actions[1].scope: is missing, expected a string"),
        ((*BLOCK, "data", 0, "static", "key"), "$.actionSets[0].actions[1].conditionalData[0].data[0].static.key: i"),
    ],
)
def test_what_is_required_is_named_when_it_is_missing(place: Place, expected: str) -> None:
    assert refusal(without(place)).startswith(expected)


EXPRESSIONS: list[tuple[Place, str]] = [
    ((*SET, "routeRuleConditions", "predicates", 0), "$.actionSets[0].routeRuleConditions.predicates[0]"),
    ((*CHECK, "predicates", 0), "$.actionSets[0].actions[1].predicates[0]"),
    ((*BLOCK, "predicates", 0), "$.actionSets[0].actions[1].conditionalData[0].predicates[0]"),
    (
        (*BLOCK, "data", 1, "expression", "value"),
        "$.actionSets[0].actions[1].conditionalData[0].data[1].expression.value",
    ),
    (("requestData", "metrics.labels.user"), '$.requestData["metrics.labels.user"]'),
]


@pytest.mark.parametrize(("place", "path"), EXPRESSIONS)
def test_broken_expressions_are_shown_with_a_caret(place: Place, path: str) -> None:
    text = refusal(changed(place, "request.method == )"))
    assert text.splitlines() == [
        f"{path}: is not a valid CEL expression at 1:19: expected an operand, found ')'",
        "  request.method == )",
        "                    ^",
    ]


@pytest.mark.parametrize(("place", "path"), EXPRESSIONS)
def test_expressions_with_unknown_functions_are_refused(place: Place, path: str) -> None:
    assert refusal(changed(place, "frob(1)")).startswith(f"{path}: is not a valid CEL expression at 1:1: there is")


@pytest.mark.parametrize(("place", "path"), EXPRESSIONS)
def test_an_expression_cannot_end_in_another_one(place: Place, path: str) -> None:
    assert refusal(changed(place, "1) + string(2")).startswith(f"{path}: is not a valid CEL expression at 1:2")


@pytest.mark.parametrize(("place", "path"), EXPRESSIONS)
def test_json_pointers_are_checked(place: Place, path: str) -> None:
    text = refusal(changed(place, 'responseBodyJSON("usage")'))
    assert text.startswith(f'{path}: responseBodyJSON: JSON pointer "usage" begins with "u", expected "/"')


@pytest.mark.parametrize("place", [place for place, _ in EXPRESSIONS[:3]])
def test_a_constant_that_is_no_bool_is_no_predicate(place: Place) -> None:
    assert "is a predicate that is always 1, expected true or false" in refusal(changed(place, "1"))
    compiled(changed(place, "true"))


def test_a_check_cannot_read_the_response() -> None:
    text = refusal(changed((*CHECK, "predicates"), ["response.code == 200"]))
    assert text == "$.actionSets[0].actions[1]: reads the response, but is taken before the request goes on"
    value = 'responseBodyJSON("/usage/total_tokens")'
    assert refusal(changed((*BLOCK, "data", 1, "expression", "value"), value)) == text
    hits = {"expression": {"key": "ratelimit.hits_addend", "value": value}}
    assert refusal(changed((*BLOCK, "data", 1), hits)) == text


@pytest.mark.parametrize(
    ("value", "reason"),
    [('"many"', 'found "many"'), ("-1", "found -1"), ("1.5.5", "is not a valid CEL"), ("[1]", "found [1]")],
)
def test_constant_hits_must_be_a_number(value: str, reason: str) -> None:
    path = "$.actionSets[0].actions[1].conditionalData[0].data[1]"
    for kind in ("expression", "static"):
        item = {kind: {"key": "ratelimit.hits_addend", "value": value}}
        text = refusal(changed((*BLOCK, "data", 1), item))
        assert text.startswith(f"{path}.{kind}.value: ")
        assert reason in text
    item = {"static": {"key": "ratelimit.hits_addend", "value": "many"}}
    assert refusal(changed((*BLOCK, "data", 1), item)).startswith(f'{path}.static.value: found "many", expected a')


@pytest.mark.parametrize(
    ("place", "path"),
    [
        (("sevices",), "$.sevices"),
        (("services", "check", "timeOut"), "$.services.check.timeOut"),
        ((*SET, "enabled"), "$.actionSets[0].enabled"),
        ((*SET, "routeRuleConditions", "methods"), "$.actionSets[0].routeRuleConditions.methods"),
        ((*CHECK, "conditionaldata"), "$.actionSets[0].actions[1].conditionaldata"),
        ((*BLOCK, "predicate"), "$.actionSets[0].actions[1].conditionalData[0].predicate"),
        ((*BLOCK, "data", 0, "static", "Value"), "$.actionSets[0].actions[1].conditionalData[0].data[0].static.Value"),
        (("observability",), "$.observability.level"),
        (("tallyman",), "$.tallyman.level"),
    ],
)
def test_unknown_keys_warn(place: Place, path: str) -> None:
    value: object = {"level": 1} if place in (("observability",), ("tallyman",)) else "x"
    (warning,) = compiled(changed(place, value)).warnings
    assert warning.startswith(f"{path}: unknown key, ignored; known here are ")


def test_actions_of_the_typed_form_are_refused_by_name() -> None:
    action = {"type": "grpc", "service": "check", "var": "x", "messageBuilder": "1"}
    assert refusal(changed(CHECK, action)).startswith("$.actionSets[0].actions[1].type: the typed form of actions")


@pytest.mark.parametrize(
    ("text", "milliseconds"),
    [("20ms", 20), ("1.5s", 1500), ("1m30s", 90_000), ("1500us", 1), ("1500µs", 1), ("2h", 7_200_000), (".5s", 500)],
)
def test_timeouts_are_written_as_in_go(text: str, milliseconds: int) -> None:
    assert compiled(changed(("services", "check", "timeout"), text)).services["check"].timeout_ms == milliseconds


def test_null_is_as_good_as_absent_where_a_key_is_optional() -> None:
    for place in (("requestData",), ("tallyman",), ("observability",), ("services", "check", "timeout"), BLOCK[:-1]):
        compiled(changed(place, None))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)


PLACES: list[Place] = [*(place for place, _ in EXPRESSIONS), CHECK, BLOCK, SET, ("services",), ("services", "check")]


@given(st.sampled_from(PLACES), JSON)
def test_any_json_anywhere_is_taken_or_refused(place: Place, value: object) -> None:
    _taken_or_refused(changed(place, value))


@given(st.binary(max_size=60))
def test_any_bytes_are_taken_or_refused(text: bytes) -> None:
    _taken_or_refused(text)


def _taken_or_refused(text: bytes) -> None:
    with contextlib.suppress(ConfigurationError):
        compiled(text)
