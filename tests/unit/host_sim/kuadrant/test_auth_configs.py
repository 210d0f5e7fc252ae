from collections.abc import Callable

from host_sim.kuadrant import Resources, translate

Load = Callable[..., Resources]

AUTH = """\
apiVersion: kuadrant.io/v1
kind: AuthPolicy
metadata: {name: %s, namespace: %s}
spec:
  targetRef: {group: gateway.networking.k8s.io, kind: %s, name: %s}
  %s:
    strategy: merge
    when: [{predicate: request.path != "/health"}]
    patterns: {p: {allOf: [{predicate: "true"}]}}
    rules:
      authentication: {%s: {anonymous: {}}}
      response:
        unauthorized: {code: 402, message: {value: pay}}
        success: {headers: {x-user: {plain: {value: someone}}}}
"""


def test_policies_of_gateway_and_route_become_one_auth_config(load_routed: Load) -> None:
    resources = load_routed(
        AUTH % ("above", "api-gateway", "Gateway", "external", "defaults", "staff"),
        AUTH % ("below", "llm", "HTTPRoute", "llm-sim", "defaults", "guests"),
    )
    translation = translate(resources)
    (config,) = translation.auth_configs
    assert config["spec"] == {
        "hosts": [config["metadata"]["name"]],
        "patterns": {"p": {"allOf": [{"predicate": "true"}]}},
        "authentication": {"guests": {"anonymous": {}}, "staff": {"anonymous": {}}},
        "response": {
            "unauthorized": {"code": 402, "message": {"value": "pay"}},
            "success": {"headers": {"x-user": {"plain": {"value": "someone"}}}},
        },
    }
    (action_set,) = translation.plugin_configuration["actionSets"]
    assert action_set["actions"][0]["sources"] == [
        "authpolicy.kuadrant.io:api-gateway/above",
        "authpolicy.kuadrant.io:llm/below",
    ]
    assert [notice for notice in translation.notices if "AuthPolicy" in str(notice)] == []


def test_secrets_need_authorinos_label(load_routed: Load) -> None:
    secret = "apiVersion: v1\nkind: Secret\nmetadata: {name: %s, namespace: llm, labels: {%s}}\n"
    resources = load_routed(
        secret % ("seen", "authorino.kuadrant.io/managed-by: authorino"), secret % ("unseen", "app: my-llm")
    )
    translation = translate(resources)
    assert [item.name for item in translation.secrets] == ["seen"]
    assert "Secret llm/unseen has no label authorino.kuadrant.io/managed-by" in str(translation.notices[0])
