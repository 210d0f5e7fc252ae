"""Predicates, descriptors and auth requests, against maps of attributes and xds-protos messages."""

import json
from typing import Any

import pytest
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.cel.activation import MapActivation
from tallyman.cel.environment import Environment
from tallyman.cel.errors import CelError
from tallyman.config.configuration import Configuration, Expression, read_configuration
from tallyman.config.document import ConfigurationError
from tallyman.policy.blueprint import Blueprint
from tallyman.policy.predicates import PredicateTable, Verdicts
from tallyman.wire import ratelimit


class Counting(MapActivation):
    """Counts what is fetched."""

    def __init__(self, table: Environment, attributes: dict[object, object]) -> None:
        super().__init__(table, attributes)  # type: ignore[arg-type]
        self.fetched: list[tuple[str, ...]] = []

    def fetch(self, path: tuple[str, ...]) -> object:
        self.fetched.append(path)
        return super().fetch(path)


def table_of(*sources: str) -> tuple[PredicateTable, list[Any]]:
    table = PredicateTable(Environment())
    return table, [table.conjunction([Expression(source, "$") for source in group.split(";")]) for group in sources]


def test_a_predicate_that_occurs_twice_is_compiled_and_tested_once() -> None:
    table, (first, second) = table_of('a.b == "x";a.c == "y"', 'a.b == "x"')
    assert len(table.programs) == 2
    activation = Counting(table.environment, {"a": {"b": "x", "c": "y"}})
    verdicts = Verdicts(table)
    assert first.holds(verdicts, activation)
    assert second.holds(verdicts, activation)
    assert activation.fetched == [("a", "b"), ("a", "c")]
    table.programs.clear()  # nothing is evaluated again
    assert second.holds(verdicts, activation)


def test_a_conjunction_stops_at_the_first_false() -> None:
    table, (conjunction,) = table_of('a.b == "x";a.c == "y"')
    activation = Counting(table.environment, {"a": {"b": "z", "c": "y"}})
    assert not conjunction.holds(Verdicts(table), activation)
    assert activation.fetched == [("a", "b")]


@pytest.mark.parametrize("group", ["missing.x;a.b == 1", "a.b == 1;missing.x", "a.b;a.b == 1"])
def test_false_absorbs_errors_as_in_cel(group: str) -> None:
    table, (conjunction,) = table_of(group)
    assert not conjunction.holds(Verdicts(table), Counting(table.environment, {"a": {"b": 2}}))
    with pytest.raises(CelError):
        conjunction.holds(Verdicts(table), Counting(table.environment, {"a": {"b": 1}}))


def test_no_predicates_hold() -> None:
    table = PredicateTable(Environment())
    assert table.conjunction([]).holds(Verdicts(table), Counting(table.environment, {}))


def test_predicates_on_the_response_are_tested_again_when_it_comes() -> None:
    table, (late, early) = table_of("response.code == 200", "request.size == 1")
    attributes: dict[object, object] = {"request": {"size": 1}, "response": {"code": 100}}
    verdicts = Verdicts(table)
    activation = Counting(table.environment, attributes)
    assert (late.holds(verdicts, activation), early.holds(verdicts, activation)) == (False, True)
    verdicts.response_begins()
    fresh = Counting(table.environment, {"request": {"size": 2}, "response": {"code": 200}})
    assert (late.holds(verdicts, fresh), early.holds(verdicts, fresh)) == (True, True)
    verdicts.forget()
    assert not early.holds(verdicts, fresh)


TEXT = st.text(max_size=20)
DATA = st.lists(st.tuples(st.booleans(), TEXT.filter(lambda key: not key.startswith("ratelimit.")), TEXT), max_size=5)
BLOCKS = st.lists(st.tuples(st.booleans(), DATA), max_size=3)


def configured(blocks: list[dict[str, Any]], labels: dict[str, str] | None = None) -> Configuration:
    document = {
        "services": {"limiter": {"type": "ratelimit", "endpoint": "c"}},
        "requestData": labels or {},
        "actionSets": [
            {
                "name": "a",
                "routeRuleConditions": {"hostnames": ["*"]},
                "actions": [{"service": "limiter", "scope": "Größe/x", "conditionalData": blocks}],
            }
        ],
    }
    return read_configuration(json.dumps(document).encode())


def message(configuration: Configuration, attributes: dict[object, object]) -> RateLimitRequest | None:
    """The request of the one action; None if it does not apply."""
    blueprint = Blueprint(configuration)
    (action_set,) = blueprint.hosts.find("any")
    (step,) = action_set.steps
    assert step.limit is not None
    activation, verdicts = Counting(blueprint.environment, attributes), Verdicts(blueprint.table)
    if not step.limit.applies(verdicts, activation):
        return None
    domain, descriptors = step.limit.domain_and_descriptor(verdicts, activation)
    values, _ = blueprint.labels.values(activation, False)
    descriptors += blueprint.labels.descriptor(values, False)
    return RateLimitRequest.FromString(ratelimit.request(domain, descriptors, step.limit.hits_addend(activation)))


@given(BLOCKS, st.dictionaries(st.sampled_from(["user", "group", "Ä"]), TEXT, max_size=3))
def test_descriptors_hold_what_was_configured(
    blocks: list[tuple[bool, list[tuple[bool, str, str]]]], labels: dict[str, str]
) -> None:
    values: dict[object, object] = {}
    written: list[dict[str, Any]] = []
    for holds, data in blocks:
        items: list[dict[str, Any]] = []
        for is_expression, key, value in data:
            if is_expression:
                name = f"v{len(values)}"
                values[name] = value
                items.append({"expression": {"key": key, "value": f"request.{name}"}})
            else:
                items.append({"static": {"key": key, "value": value}})
        written.append({"predicates": [f"request.yes == {str(holds).lower()}"], "data": items})
    texts = {f"l{index}": text for index, text in enumerate(labels.values())}
    sources = {f"metrics.labels.{name}": f"request.l{index}" for index, name in enumerate(labels)}
    found = message(configured(written, sources), {"request": {**values, **texts, "yes": True}})
    if blocks and not any(holds for holds, _ in blocks):
        assert found is None
        return
    assert found is not None
    assert (found.domain, found.hits_addend) == ("Größe/x", 1)
    descriptors = [[(entry.key, entry.value) for entry in item.entries] for item in found.descriptors]
    first = [(key, value) for holds, data in blocks if holds for _, key, value in data]
    assert descriptors == [part for part in (first, sorted(labels.items())) if part]


@pytest.mark.parametrize(
    ("expression", "value", "text"),
    [
        ("request.v", 7, "7"),
        ("request.v", True, "true"),
        ("request.v", 2.5, "2.5"),
        ("request.v + 1", 7, "8"),
        ('request.v == 7 ? "seven" : "other" // why not', 7, "seven"),
        ("request.v", b"bytes", "bytes"),
    ],
)
def test_values_become_text_by_cels_string(expression: str, value: object, text: str) -> None:
    block = {"data": [{"expression": {"key": "k", "value": expression}}]}
    found = message(configured([block]), {"request": {"v": value}})
    assert found is not None
    assert found.descriptors[0].entries[0].value == text


@pytest.mark.parametrize("value", [None, ["list"], {}, b"\xff"])
def test_values_that_are_no_text_are_errors(value: object) -> None:
    block = {"data": [{"expression": {"key": "k", "value": "request.v"}}]}
    with pytest.raises(CelError):
        message(configured([block]), {"request": {"v": value}})


@pytest.mark.parametrize(("value", "hits"), [("request.v", 7), ("request.v * 2", 14), ("3", 3), ("0", 0), ("2u", 2)])
def test_hits_are_a_number(value: str, hits: int) -> None:
    block = {"data": [{"expression": {"key": "ratelimit.hits_addend", "value": value}}]}
    found = message(configured([block]), {"request": {"v": 7}})
    assert found is not None
    assert found.hits_addend == hits


def test_hits_below_zero_are_errors() -> None:
    block = {"data": [{"expression": {"key": "ratelimit.hits_addend", "value": "request.v"}}]}
    with pytest.raises(CelError):
        message(configured([block]), {"request": {"v": -7}})


def test_constants_that_have_no_text_are_refused() -> None:
    block = {"data": [{"expression": {"key": "k", "value": "[1]"}}]}
    with pytest.raises(ConfigurationError, match=r"\.data\[0\]\.expression\.value: always fails"):
        Blueprint(configured([block]))


def test_attributes_that_only_reports_read_are_fetched_before_the_request_goes_on() -> None:
    document = {
        "services": {"report": {"type": "ratelimit-report", "endpoint": "c"}},
        "actionSets": [
            {
                "name": "a",
                "routeRuleConditions": {"hostnames": ["*"]},
                "actions": [
                    {
                        "service": "report",
                        "scope": "s",
                        "predicates": ['request.headers["x"] == "y"', "response.code == 200"],
                        "conditionalData": [{"data": [{"expression": {"key": "k", "value": "source.address"}}]}],
                    }
                ],
            }
        ],
    }
    blueprint = Blueprint(read_configuration(json.dumps(document).encode()))
    (action_set,) = blueprint.hosts.find("any")
    paths = {blueprint.environment.paths[slot] for slot in action_set.prefetch}
    assert paths == {("request", "headers", "x"), ("source", "address")}
