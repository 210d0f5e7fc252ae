"""Whatever number stands in a policy is the number Limitador gets."""

from pathlib import Path
from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from host_sim.kuadrant import Resources, Translation, translate
from host_sim.kuadrant.gateway_api import Gateway, HTTPRoute, duration_milliseconds
from host_sim.kuadrant.limits import limit_identifier
from host_sim.kuadrant.manifest import parse_manifests
from host_sim.kuadrant.objects import KubernetesObject
from host_sim.kuadrant.policies import TokenRateLimitPolicy
from host_sim.world.limiter import Limiter, parse_limits

from .conftest import GATEWAY, ROUTE

FILE = Path("policy.yaml")

units = {"h": 3_600_000, "m": 60_000, "s": 1_000, "ms": 1}
duration_parts = st.lists(st.tuples(st.integers(0, 99_999), st.sampled_from(sorted(units))), min_size=1, max_size=4)
names = st.text(min_size=1, max_size=20)


def add(resources: Resources, kind: type[KubernetesObject], text: str) -> KubernetesObject:
    (manifest,) = parse_manifests(text, FILE)
    item = kind.model_validate(manifest.content)
    item.attach(manifest)
    resources.add(item)
    return item


def translate_limits(limits: dict[str, Any]) -> tuple[Translation, TokenRateLimitPolicy]:
    resources = Resources()
    add(resources, Gateway, GATEWAY)
    add(resources, HTTPRoute, ROUTE)
    policy = {
        "apiVersion": "kuadrant.io/v1alpha1",
        "kind": "TokenRateLimitPolicy",
        "metadata": {"name": "limits", "namespace": "llm"},
        "spec": {
            "targetRef": {"group": "gateway.networking.k8s.io", "kind": "HTTPRoute", "name": "llm-sim"},
            "limits": limits,
        },
    }
    added = add(resources, TokenRateLimitPolicy, yaml.safe_dump(policy))
    assert isinstance(added, TokenRateLimitPolicy)
    return translate(resources), added


@given(
    st.dictionaries(
        names,
        st.lists(st.tuples(st.integers(0, 2**63 - 1), st.integers(1, 99_999)), max_size=3),
        min_size=1,
        max_size=4,
    )
)
def test_any_limit_arrives(rates: dict[str, list[tuple[int, int]]]) -> None:
    limits = {
        name: {"rates": [{"limit": maximum, "window": f"{seconds}s"} for maximum, seconds in pairs]}
        for name, pairs in rates.items()
    }
    translation, _ = translate_limits(limits)
    arrived: dict[str, list[tuple[int, int]]] = {name: [] for name in rates}
    for limit in translation.limits:
        arrived[limit["name"]].append((limit["max_value"], limit["seconds"]))
    assert arrived == {name: list(dict.fromkeys(pairs)) for name, pairs in rates.items()}


@given(st.sets(names, min_size=1, max_size=6))
def test_plugin_and_limiter_agree_on_identifiers(limit_names: set[str]) -> None:
    translation, policy = translate_limits({name: {"rates": [{"limit": 1, "window": "1s"}]} for name in limit_names})
    (action_set,) = translation.plugin_configuration["actionSets"]
    sent = {
        action["conditionalData"][0]["data"][0]["expression"]["key"]
        for action in action_set["actions"]
        if action["service"] == "ratelimit-check-service"
    }
    assert {f'descriptors[0]["{identifier}"] == "1"' for identifier in sent} == {
        limit["conditions"][0] for limit in translation.limits
    }
    assert sent == {limit_identifier(policy, name) for name in limit_names}
    assert len(sent) == len(limit_names)


@given(st.text(min_size=1, max_size=30))
def test_the_limiter_takes_any_counter(expression: str) -> None:
    """Whatever the expression, the limits file stays one, and the limiter looks for the key the plugin sends."""
    limit = {"rates": [{"limit": 1, "window": "1s"}], "counters": [{"expression": expression}]}
    translation, _ = translate_limits({"any": limit})
    (parsed,) = parse_limits(yaml.safe_dump(translation.limits))
    (action_set,) = translation.plugin_configuration["actionSets"]
    identifier, counter, _ = (
        item["expression"]["key"] for item in action_set["actions"][0]["conditionalData"][0]["data"]
    )
    limiter = Limiter([parsed])
    limiter.report("llm/llm-sim", [{identifier: "1", counter: "someone"}], 1)
    assert limiter.check("llm/llm-sim", [{identifier: "1", counter: "someone"}]).limited
    assert not limiter.check("llm/llm-sim", [{identifier: "1", counter: "another"}]).limited


@given(duration_parts)
def test_durations_add_up(parts: list[tuple[int, str]]) -> None:
    text = "".join(f"{number}{unit}" for number, unit in parts)
    assert duration_milliseconds(text) == sum(number * units[unit] for number, unit in parts)
