import gc
import threading
import time
from typing import Any

import pytest

from host_sim.world.auth.rego import RegoCompileError, RegoEvaluationError, RegoPolicy

RANGE = "allow { x := numbers.range(1, input.n); y := [a | a := x[_]; b := x[_]; a == b]; count(y) > 1 }"


@pytest.mark.parametrize(
    ("source", "allowed"),
    [
        ("allow { input.a == 1 }", True),
        ("allow { input.a == 2 }", False),
        ("allow = true", True),
        ("allow := 1", False),
        ('allow = "true"', False),
        ("package my.own\nallow { true }", True),
        ("# nothing", False),
        ("import future.keywords.in\nallow { 2 in input.l }", True),
        ("import input.deep as d\nallow { d.x.y == null }", True),
        ("f(x) = y { y := x + 1 }\nallow { f(input.a) == 2 }", True),
        ("allow { not input.b }", True),
        ('allow { input["a"] == 1 }', True),
        ("allow { x := input; x.a == 1 }", True),
        ("allow { input == {} }", False),
        ('allow { input.text == "quote\\" and ü \\\\ \\n" }', True),
    ],
)
def test_policies(source: str, allowed: bool) -> None:
    document = {"a": 1, "l": [1, 2], "deep": {"x": {"y": None}}, "text": 'quote" and ü \\ \n'}
    assert RegoPolicy(source).allows(document) is allowed


@pytest.mark.parametrize(
    "source",
    [
        "allow {",
        "allow { foo(1) }",
        "allow { allow }",
        "default allow = true",
        "nonsense nonsense",
        'allow { trace("x") }',
    ],
)
def test_what_does_not_compile(source: str) -> None:
    with pytest.raises(RegoCompileError):
        RegoPolicy(source)


def test_an_evaluation_is_bounded_in_time() -> None:
    policy = RegoPolicy(RANGE)
    assert policy.allows({"n": 3})
    began = time.monotonic()
    with pytest.raises(RegoEvaluationError, match="no result within"):
        policy.allows({"n": 400}, timeout=0.05)
    with pytest.raises(RegoEvaluationError, match="overdue"):
        policy.allows({"n": 3})
    assert time.monotonic() - began < 0.4
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        try:
            assert policy.allows({"n": 3}, timeout=1)
            break
        except RegoEvaluationError:
            time.sleep(0.01)
    else:
        pytest.fail("the policy never came back")


def test_an_auth_config_with_bad_rego_is_not_served(kit: Any) -> None:
    rules = kit.tutorial_rules()
    rules["authorization"]["allow-groups"]["opa"]["rego"] = "allow {"
    service = kit.service(rules)
    response = service.check(kit.request(authorization="APIKEY iamafreeuser"))
    assert kit.summary(response) == (5, 404, [("X-Ext-Auth-Reason", "Service not found")])
    assert service.refused["scope"].startswith("authorization.allow-groups.opa.rego: ")


def test_a_policy_that_fails_denies_and_tells_nothing(kit: Any, caplog: pytest.LogCaptureFixture) -> None:
    rules = kit.tutorial_rules()
    rules["authorization"]["allow-groups"]["opa"]["rego"] = (
        "allow = true { input.auth.identity }\nallow = false { input.request }"
    )
    response = kit.service(rules).check(kit.request(authorization="APIKEY iamafreeuser"))
    assert kit.summary(response) == (7, 403, [("X-Ext-Auth-Reason", "Unauthorized")])
    assert "iamafreeuser" not in caplog.text


@pytest.mark.parametrize(
    ("pattern", "allowed"),
    [
        ({"selector": "request.method", "operator": "eq", "value": "POST"}, True),
        ({"selector": "request.method", "operator": "neq", "value": "POST"}, False),
        ({"selector": "request.headers.x-list", "operator": "incl", "value": "a"}, True),
        ({"selector": "request.nothing", "operator": "excl", "value": "a"}, True),
        ({"selector": "request.nothing", "operator": "eq", "value": ""}, True),
        ({"selector": "request.path", "operator": "matches", "value": "^/v[0-9]+/"}, True),
        ({"selector": "source.port", "operator": "eq", "value": "4711"}, True),
        ({"predicate": 'request.path.startsWith("/v1")'}, True),
        ({"predicate": "request.nothing == 1"}, False),
        ({"predicate": 'has(request.headers["x-none"])'}, False),
        ({"patternRef": "posts"}, True),
        ({"all": [{"patternRef": "posts"}, {"predicate": "false"}]}, False),
        ({"any": [{"predicate": "false"}, {"patternRef": "posts"}]}, True),
    ],
)
def test_pattern_matching(kit: Any, pattern: dict[str, Any], allowed: bool) -> None:
    if "has(" in pattern.get("predicate", ""):
        pattern = {"predicate": "has(request.headers.xnone)"}
    rules = {
        "patterns": {"posts": [{"selector": "request.method", "operator": "eq", "value": "POST"}]},
        "authorization": {"rule": {"patternMatching": {"patterns": [pattern]}}},
    }
    service = kit.service(rules)
    assert not service.refused
    response = service.check(kit.request(x_list="a"))
    assert response.status.code == (0 if allowed else 7)


def test_all_authorizations_must_hold_and_see_those_before(kit: Any) -> None:
    rules = {
        "authorization": {
            "second": {
                "priority": 1,
                "patternMatching": {"patterns": [{"predicate": "auth.authorization.first.allow"}]},
            },
            "first": {"opa": {"rego": 'allow { input.request.path == "/ok" }'}},
            "skipped": {"opa": {"rego": "allow { false }"}, "when": [{"predicate": "false"}]},
        }
    }
    service = kit.service(rules)
    assert service.check(kit.request(path="/ok")).status.code == 0
    assert service.check(kit.request(path="/no")).status.code == 7


def test_an_auth_config_whose_when_does_not_hold_lets_pass(kit: Any) -> None:
    rules = kit.tutorial_rules() | {"when": [{"predicate": 'request.path != "/open"'}]}
    service = kit.service(rules)
    response = service.check(kit.request(path="/open"))
    assert (response.status.code, len(response.dynamic_metadata.fields)) == (0, 0)
    assert service.check(kit.request()).status.code == 16


@pytest.mark.parametrize(
    ("rules", "place"),
    [
        ({"authorization": {"r": {"patternMatching": {"patterns": [{"patternRef": "x"}]}}}}, "patternRef"),
        ({"authorization": {"r": {"patternMatching": {"patterns": [{"predicate": "1 +"}]}}}}, "patterns[0].predicate"),
        ({"when": [{"predicate": "input.x"}]}, "when[0].predicate: 'input' is not known"),
        ({"when": [{"selector": "a.*", "operator": "eq"}]}, "when[0].selector: 'a.*' has a wildcard"),
        ({"when": [{"selector": "a", "operator": "matches", "value": "("}]}, "when[0].value"),
        ({"patterns": {"p": [{"patternRef": "p"}]}, "when": [{"patternRef": "p"}]}, "more than 20 deep"),
        ({"response": {"success": {"filters": {"f": {"plain": {"selector": "@x"}}}}}}, "filters.f.plain.selector"),
    ],
)
def test_refusals_name_their_place(kit: Any, rules: dict[str, Any], place: str) -> None:
    assert place in kit.service(rules).refused["scope"]


@pytest.mark.parametrize(
    "rules",
    [
        {"authentication": {"a": {"jwt": {"issuerUrl": "http://x"}}}},
        {"authentication": {"a": {}}},
        {"authorization": {"a": {"kubernetesSubjectAccessReview": {}}}},
        {"authorization": {"a": {"opa": {"rego": "x", "externalPolicy": {}}}}},
        {"metadata": {"m": {"http": {}}}},
        {"callbacks": {"c": {"http": {}}}},
        {"response": {"success": {"headers": {"h": {"wristband": {}}}}}},
        {"authentication": {"a": {"anonymous": {}, "credentials": {"cookie": {"name": "a"}, "customHeader": None}}}},
    ],
)
def test_what_is_not_supported_is_refused(kit: Any, rules: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="validation error"):
        kit.config(rules)


def test_a_host_belongs_to_the_first_auth_config(kit: Any) -> None:
    service = kit.service()
    service.replace([kit.config({}, name="a", hosts=["h"]), kit.config({}, name="b", hosts=["h"])], [])
    assert service.refused == {"b": "host h is protected by another AuthConfig already"}


def test_a_policy_that_is_dropped_ends_its_thread() -> None:
    others = set(threading.enumerate())
    policy = RegoPolicy("allow { true }")
    assert policy.allows({})
    (thread,) = set(threading.enumerate()) - others
    del policy
    gc.collect()
    thread.join(5)
    assert not thread.is_alive()
