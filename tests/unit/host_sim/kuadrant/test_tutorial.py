"""The tutorial's manifests, translated: the values Kuadrant's own operator is known to produce for them."""

import hashlib
import re
from pathlib import Path
from typing import Any

import pytest

from host_sim.kuadrant import Translation, load_resources, translate

FREE = "tokenlimit.free__cca14490"
GOLD = "tokenlimit.gold__8a3ba14b"


@pytest.fixture
def translation(tutorial: Path) -> Translation:
    return translate(load_resources([tutorial]))


def test_nothing_in_it_is_without_effect(translation: Translation) -> None:
    assert translation.notices == []


def test_translating_twice_gives_the_same(tutorial: Path) -> None:
    resources = load_resources([tutorial / "2-gateway.yaml", tutorial / "3-httproute.yaml"], namespace="llm")
    first = translate(resources)
    assert first == translate(resources)
    assert len(first.notices) == 1
    assert resources.notices == []


def test_objects_that_name_no_namespace_are_in_llm(translation: Translation) -> None:
    assert {path.route.key for path in translation.paths} == {"llm/llm-sim"}
    assert translation.gateway.key == "api-gateway/external"


def test_limits_are_limitadors(translation: Translation) -> None:
    assert translation.limits == [
        {
            "namespace": "llm/llm-sim",
            "max_value": max_value,
            "seconds": 60,
            "name": name,
            "conditions": [f'descriptors[0]["{identifier}"] == "1"'],
            "variables": ['descriptors[0]["auth.identity.userid"]'],
        }
        for name, identifier, max_value in (("free", FREE, 100), ("gold", GOLD, 500))
    ]
    assert translation.metric_labels_default == "descriptors[1]"


def test_services_are_the_operators(translation: Translation) -> None:
    services = translation.plugin_configuration["services"]
    keys = ("type", "endpoint", "failureMode", "timeout")
    assert {name: tuple(item[key] for key in keys) for name, item in services.items()} == {
        "auth-service": ("auth", "kuadrant-auth-service", "deny", "200ms"),
        "ratelimit-service": ("ratelimit", "kuadrant-ratelimit-service", "allow", "100ms"),
        "ratelimit-check-service": ("ratelimit-check", "kuadrant-ratelimit-service", "allow", "100ms"),
        "ratelimit-report-service": ("ratelimit-report", "kuadrant-ratelimit-service", "allow", "100ms"),
    }


def test_one_action_set_for_the_route(translation: Translation) -> None:
    (action_set,) = translation.plugin_configuration["actionSets"]
    path_id = "istio|api-gateway/external|api-gateway/external#http|llm/llm-sim|llm/llm-sim#rule-1"
    assert action_set["name"] == hashlib.sha256(f"{path_id}|1|llm.example.com".encode()).hexdigest()
    assert action_set["routeRuleConditions"] == {
        "hostnames": ["llm.example.com"],
        "predicates": ["request.url_path.startsWith('/')"],
    }
    assert action_set["actions"][0] == {
        "service": "auth-service",
        "scope": hashlib.sha256(path_id.encode()).hexdigest(),
        "sources": ["authpolicy.kuadrant.io:llm/llm-api-keys"],
    }


def test_each_limit_is_checked_and_reported(translation: Translation) -> None:
    (action_set,) = translation.plugin_configuration["actionSets"]
    assert [action["service"] for action in action_set["actions"][1:]] == [
        "ratelimit-check-service",
        "ratelimit-report-service",
    ] * 2
    assert action_set["actions"][1:] == [
        _limit_action(service, group, identifier, hits)
        for group, identifier in (("free", FREE), ("gold", GOLD))
        for service, hits in (("check", "0"), ("report", 'responseBodyJSON("/usage/total_tokens")'))
    ]


def _limit_action(service: str, group: str, identifier: str, hits: str) -> dict[str, Any]:
    entries = [(identifier, "1"), ("auth.identity.userid", "auth.identity.userid"), ("ratelimit.hits_addend", hits)]
    return {
        "service": f"ratelimit-{service}-service",
        "scope": "llm/llm-sim",
        "conditionalData": [
            {
                "predicates": [
                    'request.path == "/v1/chat/completions"',
                    f'auth.identity.groups.split(",").exists(g, g == "{group}")\n',
                ],
                "data": [{"expression": {"key": key, "value": value}} for key, value in entries],
            }
        ],
        "sources": ["tokenratelimitpolicy.kuadrant.io:llm/token-limits"],
    }


def test_telemetry_labels_are_request_data(translation: Translation) -> None:
    assert translation.plugin_configuration["requestData"] == {
        "metrics.labels.user": "auth.identity.userid",
        "metrics.labels.group": "auth.identity.groups",
    }


def test_auth_config_carries_the_policys_rules(translation: Translation) -> None:
    (config,) = translation.auth_configs
    (action_set,) = translation.plugin_configuration["actionSets"]
    spec = config["spec"]
    assert spec["hosts"] == [config["metadata"]["name"]] == [action_set["actions"][0]["scope"]]
    assert spec["authentication"]["api-key-users"]["credentials"] == {"authorizationHeader": {"prefix": "APIKEY"}}
    assert 'allow { groups[_] == "gold" }' in spec["authorization"]["allow-groups"]["opa"]["rego"]
    properties = spec["response"]["success"]["dynamicMetadata"]["identity"]["json"]["properties"]
    assert properties["userid"] == {"selector": r"auth.identity.metadata.annotations.kuadrant\.io/user-id"}


def test_secrets_are_the_two_keys(translation: Translation) -> None:
    assert {secret.values()["api_key"] for secret in translation.secrets} == {b"iamafreeuser", b"iamagolduser"}


def test_backend_is_the_simulator(translation: Translation) -> None:
    (backend,) = translation.backends.values()
    assert backend.name == "llm/llm-sim:80"
    assert backend.workload is not None
    assert backend.workload.port == 8000
    assert backend.workload.argument("--model") == "meta-llama/Llama-3.1-8B-Instruct"
    assert backend.workload.argument("--port") == "8000"


@pytest.mark.parametrize(("limit", "window", "seconds"), [(7, "1m", 60), (100, "90s", 90), (1_000_000, "1h30m", 5400)])
def test_a_changed_limit_changes_the_outcome(
    tutorial: Path, tmp_path: Path, limit: int, window: str, seconds: int
) -> None:
    for file in tutorial.iterdir():
        text = file.read_text()
        text = re.sub(r"limit: 100 .*\n( +)window: 1m", rf"limit: {limit}\n\1window: {window}", text)
        (tmp_path / file.name).write_text(text)
    free = translate(load_resources([tmp_path])).limits[0]
    assert (free["max_value"], free["seconds"]) == (limit, seconds)
