"""Which limits a request meets, and what that does to their counters."""

import pytest

from host_sim.world.limiter import Limit, Limiter, parse_limits
from host_sim.world.limiter.counters import MemoryStorage
from host_sim.world.limiter.expressions import ConditionError, Descriptors, EvaluationError
from tests.unit.host_sim.world.limiter.tutorial import FREE, GOLD, NAMESPACE, VirtualClock, descriptors


def limits(*conditions: str, variables: tuple[str, ...] = (), name: str = "null", max_value: int = 0) -> list[Limit]:
    return parse_limits(
        f"- {{namespace: n, max_value: {max_value}, seconds: 60, name: {name}, id: i1,"
        f" conditions: {list(conditions)!r}, variables: {list(variables)!r}}}"
    )


def meets(limits: list[Limit], descriptors: Descriptors) -> bool:
    """Does one of the limits, all of maximum 0, apply to the request?"""
    return Limiter(limits).check("n", descriptors).limited


def remaining(limiter: Limiter, namespace: str = NAMESPACE) -> dict[tuple[str | None, str], int]:
    return {
        (state.limit.name, value): state.remaining
        for state in limiter.counters(namespace)
        for value in state.set_variables.values()
    }


def test_a_check_makes_no_counter(limiter: Limiter) -> None:
    assert not limiter.check(NAMESPACE, descriptors(FREE, "user-1")).limited
    assert limiter.counters(NAMESPACE) == []


def test_a_user_is_let_through_until_the_limit_is_reached_and_may_overshoot_it(limiter: Limiter) -> None:
    request = descriptors(FREE, "user-1")
    for hits, left in ((42, 58), (57, 1)):
        limiter.report(NAMESPACE, request, hits)
        assert remaining(limiter) == {("free", "user-1"): left}
        assert not limiter.check(NAMESPACE, request).limited
    limiter.report(NAMESPACE, request, 1)
    decision = limiter.check(NAMESPACE, request)
    assert decision.limited
    assert decision.limit_name == "free"
    limiter.report(NAMESPACE, request, 30)
    (state,) = limiter.counters(NAMESPACE)
    assert (state.remaining, state.overshoot) == (0, 30)


def test_users_and_limits_have_counters_of_their_own(limiter: Limiter) -> None:
    limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 100)
    limiter.report(NAMESPACE, descriptors(GOLD, "user-2"), 100)
    assert remaining(limiter) == {("free", "user-1"): 0, ("gold", "user-2"): 400}
    assert limiter.check(NAMESPACE, descriptors(FREE, "user-1")).limited
    assert not limiter.check(NAMESPACE, descriptors(FREE, "user-3")).limited
    assert not limiter.check(NAMESPACE, descriptors(GOLD, "user-2")).limited


def test_check_and_report_takes_all_or_nothing(limiter: Limiter) -> None:
    assert not limiter.check_and_report(NAMESPACE, descriptors(GOLD, "user-2"), 500).limited
    assert limiter.check_and_report(NAMESPACE, descriptors(GOLD, "user-2"), 1).limited
    assert limiter.check_and_report(NAMESPACE, descriptors(FREE, "user-1"), 101).limited
    assert not limiter.check_and_report(NAMESPACE, descriptors(FREE, "user-1"), 60).limited
    assert remaining(limiter) == {("gold", "user-2"): 0, ("free", "user-1"): 40}


def test_a_refused_call_starts_no_window(limiter: Limiter) -> None:
    assert limiter.check_and_report(NAMESPACE, descriptors(FREE, "user-1"), 101).limited
    assert limiter.counters(NAMESPACE) == []


@pytest.mark.parametrize(
    "request_descriptors",
    [
        [{}],
        [{"auth.identity.userid": "user-1"}],
        [{FREE: "1"}],
        [{FREE: "2", "auth.identity.userid": "user-1"}],
    ],
    ids=["empty", "no identifier", "no variable", "other identifier"],
)
def test_a_request_that_meets_no_limit_is_let_through_and_counted_nowhere(
    limiter: Limiter, request_descriptors: Descriptors
) -> None:
    limiter.report(NAMESPACE, request_descriptors, 1000)
    assert not limiter.check(NAMESPACE, request_descriptors).limited
    assert limiter.counters(NAMESPACE) == []


@pytest.mark.parametrize("namespace", ["nope", "LLM/llm-sim", f" {NAMESPACE}", ""])
def test_namespaces_are_compared_exactly(limiter: Limiter, namespace: str) -> None:
    limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 100)
    assert not limiter.check(namespace, descriptors(FREE, "user-1")).limited
    assert limiter.limits(namespace) == []
    assert limiter.counters(namespace) == []


def test_a_window_is_fixed_and_begins_with_the_first_hit(limiter: Limiter, clock: VirtualClock) -> None:
    request = descriptors(FREE, "user-1")
    limiter.check(NAMESPACE, request)
    clock.advance(30)
    limiter.report(NAMESPACE, request, 60)
    clock.advance(59)
    limiter.report(NAMESPACE, request, 60)
    (state,) = limiter.counters(NAMESPACE)
    assert state.expires_in == pytest.approx(1)
    assert limiter.check(NAMESPACE, request).limited
    clock.advance(1)
    assert limiter.counters(NAMESPACE) == []
    assert not limiter.check(NAMESPACE, request).limited


def test_two_limits_that_differ_in_seconds_have_two_counters_and_the_tighter_decides(clock: VirtualClock) -> None:
    two = parse_limits(
        "- {namespace: n, name: minute, max_value: 5, seconds: 60, conditions: [], variables: []}\n"
        "- {namespace: n, name: hour, max_value: 7, seconds: 3600, conditions: [], variables: []}\n"
    )
    limiter = Limiter(two, MemoryStorage(clock))
    assert not limiter.check_and_report("n", [], 5).limited
    assert limiter.check_and_report("n", [], 1).limit_name == "minute"
    assert {state.limit.name: state.remaining for state in limiter.counters("n")} == {"minute": 0, "hour": 2}
    clock.advance(60)
    assert limiter.check_and_report("n", [], 3).limit_name == "hour"
    assert {state.limit.name: state.remaining for state in limiter.counters("n")} == {"hour": 2}
    assert not limiter.check_and_report("n", [], 2).limited


def test_a_limit_without_conditions_meets_requests_without_descriptors() -> None:
    assert meets(limits(), [])


@pytest.mark.parametrize(
    "condition",
    [
        'descriptors[0]["a"] == "1"',
        'descriptors[0].a == "1" && descriptors[1].b != "1"',
        '"a" in descriptors[0]',
        '!(descriptors[0].a == "2") || false',
        'descriptors[0].a == "1" ? true : false',
        'descriptors[0].a + "x" == "1x"',
        "has(descriptors[0].a)",
        "size(descriptors) == 2",
        'descriptors[1].b.startsWith("x") && descriptors[1].b.endsWith("z")',
        'descriptors[1].b.contains("y") && descriptors[1].b.matches("^x.z$")',
        "int(descriptors[0].a) < 2 && double(descriptors[0].a) == 1.0",
        'timestamp("2026-01-01T00:00:00Z") < timestamp("2026-01-02T00:00:00Z")',
        'duration("60s") == duration("1m")',
        'limit.name == "tokens" && limit.id == "i1"',
    ],
)
def test_conditions_that_hold(condition: str) -> None:
    assert meets(limits(condition, name="tokens"), [{"a": "1"}, {"b": "xyz"}])


@pytest.mark.parametrize(
    "condition",
    ["false", 'descriptors[0].b == "1"', "nobody", "a == b", "has(descriptors[0].b)", 'limit.name == "other"'],
)
def test_conditions_that_do_not_hold_or_name_what_is_not_there(condition: str) -> None:
    assert not meets(limits(condition, name="tokens"), [{"a": "1"}])


def test_all_conditions_must_hold() -> None:
    assert meets(limits("true", "size(descriptors) == 1"), [{}])
    assert not meets(limits("true", "size(descriptors) == 2"), [{}])


def test_conditions_of_each_limit_see_its_own_name() -> None:
    two = parse_limits(
        """
        - {namespace: n, max_value: 9, seconds: 1, name: a, conditions: ["limit.name == 'b'"], variables: []}
        - {namespace: n, max_value: 0, seconds: 2, name: b, conditions: ["limit.name == 'b'"], variables: []}
        """
    )
    assert Limiter(two).check("n", []).limit_name == "b"


@pytest.mark.parametrize("condition", ['descriptors[0].a == "1"', "1", "int('x') == 1", "1 / 0 == 1"])
def test_a_condition_that_cannot_be_decided_is_an_error(condition: str) -> None:
    with pytest.raises(ConditionError) as caught:
        meets(limits(condition), [])
    assert condition in str(caught.value)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("descriptors[0].a", "x"),
        ("descriptors[0].a + descriptors[0].a", "xx"),
        ("size(descriptors)", "1"),
        ("2u", "2"),
        ("1.0", "1"),
        ("1.5", "1.5"),
        ("true", "true"),
        ("null", "null"),
    ],
)
def test_the_text_of_a_variable(variable: str, value: str) -> None:
    limiter = Limiter(limits(variables=(variable,), max_value=5))
    limiter.report("n", [{"a": "x"}], 1)
    assert [state.set_variables for state in limiter.counters("n")] == [{variable: value}]


@pytest.mark.parametrize("variable", ["descriptors[0].b", "nobody", "limit.name"])
def test_a_limit_does_not_apply_if_a_variable_names_what_is_not_there(variable: str) -> None:
    assert not meets(limits(variables=(variable,), name="tokens"), [{"a": "x"}])


@pytest.mark.parametrize("variable", ["descriptors", "descriptors[7].a", "b'x'", "duration('1s')"])
def test_a_variable_without_a_text_is_an_error(variable: str) -> None:
    with pytest.raises(EvaluationError):
        meets(limits(variables=(variable,)), [{"a": "x"}])


def test_several_variables_make_one_counter_for_each_pair_of_values() -> None:
    limiter = Limiter(limits(variables=("descriptors[0].a", "descriptors[0].b"), max_value=1))
    limiter.report("n", [{"a": "1", "b": "2"}], 1)
    assert limiter.check("n", [{"a": "1", "b": "2"}]).limited
    assert not limiter.check("n", [{"a": "2", "b": "1"}]).limited


def test_reload_with_another_maximum_keeps_counters(limiter: Limiter, tutorial: list[Limit]) -> None:
    limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 60)
    free, gold = tutorial
    smaller = Limit(free.namespace, 50, free.seconds, free.conditions, free.variables, name="renamed")
    limiter.configure([smaller, gold])
    decision = limiter.check(NAMESPACE, descriptors(FREE, "user-1"))
    assert (decision.limited, decision.limit_name) == (True, "renamed")
    limiter.configure([free, gold])
    assert remaining(limiter) == {("free", "user-1"): 40}


def test_a_dropped_limit_starts_empty_when_put_back(limiter: Limiter, tutorial: list[Limit]) -> None:
    limiter.report(NAMESPACE, descriptors(FREE, "user-1"), 60)
    limiter.report(NAMESPACE, descriptors(GOLD, "user-2"), 60)
    limiter.configure(tutorial[1:])
    assert not limiter.check(NAMESPACE, descriptors(FREE, "user-1"), 1000).limited
    limiter.configure(tutorial)
    assert remaining(limiter) == {("gold", "user-2"): 440}


def test_of_two_limits_with_one_identity_the_first_counts(caplog: pytest.LogCaptureFixture) -> None:
    limiter = Limiter([*limits(name="first"), *limits(name="second", max_value=9)])
    assert [limit.name for limit in limiter.limits("n")] == ["first"]
    assert "'second'" in caplog.text
