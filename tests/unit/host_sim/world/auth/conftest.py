import copy
from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse

from host_sim.world.auth import AuthConfig, AuthRules, AuthService

REGO = """
groups := split(object.get(input.auth.identity.metadata.annotations, "kuadrant.io/groups", ""), ",")
allow { groups[_] == "free" }
allow { groups[_] == "gold" }
"""

TUTORIAL_RULES: dict[str, Any] = {
    "authentication": {
        "api-key-users": {
            "apiKey": {"allNamespaces": True, "selector": {"matchLabels": {"app": "my-llm"}}},
            "credentials": {"authorizationHeader": {"prefix": "APIKEY"}},
        }
    },
    "response": {
        "success": {
            "filters": {
                "identity": {
                    "json": {
                        "properties": {
                            "groups": {"selector": r"auth.identity.metadata.annotations.kuadrant\.io/groups"},
                            "userid": {"selector": r"auth.identity.metadata.annotations.kuadrant\.io/user-id"},
                        }
                    }
                }
            }
        }
    },
    "authorization": {
        "allow-groups": {
            "opa": {
                "rego": REGO,
            }
        }
    },
}


def secret(key: str, user: str, groups: str | None, app: str = "my-llm", namespace: str = "llm") -> dict[str, Any]:
    annotations = {"kuadrant.io/user-id": user} | ({} if groups is None else {"kuadrant.io/groups": groups})
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": f"key-of-{user}",
            "namespace": namespace,
            "labels": {"app": app, "authorino.kuadrant.io/managed-by": "authorino"},
            "annotations": annotations,
        },
        "stringData": {"api_key": key},
        "type": "Opaque",
    }


SECRETS = [
    secret("iamafreeuser", "user-1", "free"),
    secret("iamagolduser", "user-2", "gold"),
    secret("iamboth", "user-3", "silver,gold"),
    secret("iamsilver", "user-4", "silver"),
    secret("iamnobody", "user-5", None),
    secret("iamelsewhere", "user-6", "free", app="other"),
    secret("", "user-7", "free"),
]


def check_request(
    scope: str | None = "scope", host: str = "llm.example.com", path: str = "/v1/chat/completions", **headers: str
) -> CheckRequest:
    """A request as the filter sends it; underscores in header names stand for dashes."""
    request = CheckRequest()
    attributes = request.attributes
    if scope is not None:
        attributes.context_extensions["host"] = scope
    attributes.source.address.socket_address.address = "127.0.0.1"
    attributes.source.address.socket_address.port_value = 4711
    http = attributes.request.http
    http.method, http.scheme, http.protocol = "POST", "http", "HTTP/1.1"
    http.host, http.path = host, path
    http.headers.update({name.replace("_", "-"): value for name, value in headers.items()})
    return request


class Kit:
    """What the tests share."""

    secrets = SECRETS
    secret = staticmethod(secret)
    request = staticmethod(check_request)

    @staticmethod
    def tutorial_rules() -> dict[str, Any]:
        return copy.deepcopy(TUTORIAL_RULES)

    @staticmethod
    def config(rules: dict[str, Any], name: str = "scope", **members: Any) -> AuthConfig:
        return AuthConfig(
            name=name, hosts=members.pop("hosts", [name]), rules=AuthRules.model_validate(rules), **members
        )

    def service(self, rules: dict[str, Any] | None = None, **members: Any) -> AuthService:
        return AuthService([self.config(self.tutorial_rules() if rules is None else rules, **members)], self.secrets)

    @staticmethod
    def headers(response: CheckResponse) -> list[tuple[str, str]]:
        options = response.denied_response.headers or response.ok_response.headers
        return [(option.header.key, option.header.value) for option in options]

    def summary(self, response: CheckResponse) -> tuple[int, int, list[tuple[str, str]]]:
        """gRPC status, HTTP status and headers."""
        return response.status.code, response.denied_response.status.code, self.headers(response)


@pytest.fixture
def kit() -> Kit:
    return Kit()
