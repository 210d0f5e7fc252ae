"""Reading objects: what their kinds refuse, and what is let pass with a notice."""

from collections.abc import Callable
from pathlib import Path

import pytest

from host_sim.kuadrant import ManifestError, Resources
from host_sim.kuadrant.objects import Deployment, Secret, Service
from host_sim.kuadrant.policies import TokenRateLimitPolicy

Load = Callable[..., Resources]

POLICY = """\
apiVersion: kuadrant.io/v1alpha1
kind: TokenRateLimitPolicy
metadata: {name: limits, namespace: llm}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: HTTPRoute, name: llm-sim}
  limits:
    free:
      rates:
        - limit: 100
          window: 1m
"""


def notices(resources: Resources) -> list[str]:
    """The notices without the folder of the file."""
    return [f"{Path(notice.place.file).name}:{str(notice).split(':', 1)[1]}" for notice in resources.notices]


def refusal(load: Load, document: str) -> str:
    with pytest.raises(ManifestError) as caught:
        load(document)
    assert caught.value.place.file.name == "manifests.yaml"
    return str(caught.value).partition("manifests.yaml:")[2]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("limit: 100", 'limit: "100"', "9: spec.limits.free.rates[0].limit: found '100', expected a valid integer"),
        ("limit: 100", "limit: 1.5", "9: spec.limits.free.rates[0].limit: found 1.5, expected a valid integer"),
        ("limit: 100", "limit: yes", "9: spec.limits.free.rates[0].limit: found True, expected a valid integer"),
        ("limit: 100", "limits: 1", "9: spec.limits.free.rates[0].limit: found nothing, expected this field of Token"),
        ("window: 1m", "window: 1 minute", "10: spec.limits.free.rates[0].window: found '1 minute', expected a dura"),
        ("window: 1m", "window: 1ms", "10: spec.limits.free.rates[0].window: found '1ms', expected a window of at"),
        (
            "kind: HTTPRoute",
            "kind: Service",
            "5: spec.targetRef: found a mapping of group, kind, name, expected",
        ),
        ("rates:", "rates: none", "8: spec.limits.free.rates: found 'none', expected a valid list"),
        (
            "  limits:",
            "  defaults: {}\n  limits:",
            "4: spec: found a mapping of targetRef, defaults, limits, e",
        ),
        ("name: limits,", "", "3: metadata.name: found nothing, expected this field of TokenRateLimitPolicy"),
        ("apiVersion: kuadrant.io/v1alpha1", "", "expected the apiVersion of an object"),
    ],
)
def test_a_mistake_is_named_with_its_place(load: Load, old: str, new: str, message: str) -> None:
    document = POLICY.replace(old, new, 1)
    if old == "rates:":
        document = document.partition("        - limit")[0]
    assert refusal(load, document).startswith(message) or message in refusal(load, document)


def test_several_mistakes_are_counted(load: Load) -> None:
    document = POLICY.replace("limit: 100", "limit: x").replace("window: 1m", "window: x")
    assert refusal(load, document).endswith("; 1 more like it in this object")


def test_unknown_kinds_have_no_effect_and_say_so(load: Load) -> None:
    resources = load("apiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n", POLICY)
    assert notices(resources) == ["manifests.yaml:2: kind: v1 ConfigMap is not translated, so it has no effect"]
    assert len(resources.all(TokenRateLimitPolicy)) == 1


def test_a_known_kind_of_another_group_is_unknown(load: Load) -> None:
    resources = load(POLICY.replace("kuadrant.io/v1alpha1", "example.com/v1"))
    assert notices(resources) == [
        "manifests.yaml:2: kind: example.com/v1 TokenRateLimitPolicy is not translated, so it has no effect"
    ]


def test_unknown_fields_have_no_effect_and_say_so(load: Load) -> None:
    resources = load(POLICY + "          burst: 5\n")
    assert notices(resources) == [
        "manifests.yaml:11: spec.limits.free.rates[0].burst: "
        "this field of TokenRateLimitPolicy is not translated, so it has no effect"
    ]


def test_what_the_server_adds_is_no_mistake(load: Load) -> None:
    added = "{name: limits, uid: x, resourceVersion: '1', generation: 2, creationTimestamp: 2026-01-01T00:00:00Z}"
    resources = load(POLICY.replace("{name: limits, namespace: llm}", added) + "status: {conditions: []}\n")
    assert resources.notices == []


def test_a_second_object_of_a_name_replaces_the_first(load: Load) -> None:
    resources = load(POLICY, POLICY.replace("100", "7"))
    (policy,) = resources.all(TokenRateLimitPolicy)
    assert policy.spec.limits["free"].rates[0].limit == 7
    assert "TokenRateLimitPolicy llm/limits again: replaces" in notices(resources)[0]


@pytest.mark.parametrize(("namespace", "expected"), [(None, "default"), ("team", "team")])
def test_namespace_of_objects_that_name_none(load: Load, namespace: str | None, expected: str) -> None:
    resources = load("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\n", POLICY, namespace=namespace)
    assert [secret.namespace for secret in resources.all(Secret)] == [expected]
    assert [policy.namespace for policy in resources.all(TokenRateLimitPolicy)] == ["llm"]


def test_secrets_are_decoded_and_string_data_wins(load: Load) -> None:
    text = "apiVersion: v1\nkind: Secret\nmetadata: {name: x}\ndata: {a: b25l, b: b25l}\nstringData: {b: two}\n"
    (secret,) = load(text).all(Secret)
    assert secret.values() == {"a": b"one", "b": b"two"}


@pytest.mark.parametrize("field", ["data: {api_key: not-base-64!}", "stringData: {api_key: [iamafreeuser]}"])
def test_no_message_shows_a_secret(load: Load, field: str) -> None:
    message = refusal(load, f"apiVersion: v1\nkind: Secret\nmetadata: {{name: x}}\n{field}\n")
    assert "not-base-64" not in message
    assert "iamafreeuser" not in message
    assert message.startswith("4: ")


def test_secrets_do_not_show_in_a_repr(load: Load) -> None:
    (secret,) = load("apiVersion: v1\nkind: Secret\nmetadata: {name: x}\nstringData: {k: iamafreeuser}\n").all(Secret)
    assert "iamafreeuser" not in repr(secret)


def test_core_kinds_are_read(load: Load, tutorial: Path) -> None:
    resources = load((tutorial / "1-llm-service.yaml").read_text(), namespace="llm")
    assert resources.notices == []
    assert [item.key for item in (*resources.all(Service), *resources.all(Deployment))] == ["llm/llm-sim"] * 2
