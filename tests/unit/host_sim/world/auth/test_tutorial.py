"""The answers recorded from Authorino for the tutorial's AuthPolicy, row by row."""

from typing import Any

import pytest
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest
from google.protobuf.json_format import MessageToDict

CHALLENGE = ("WWW-Authenticate", 'APIKEY realm="api-key-users"')
NOT_FOUND = ("X-Ext-Auth-Reason", "credential not found")
INVALID = ("X-Ext-Auth-Reason", "the API Key provided is invalid")


@pytest.mark.parametrize(
    ("key", "groups", "user"),
    [
        ("iamafreeuser", "free", "user-1"),
        ("iamagolduser", "gold", "user-2"),
        ("iamboth", "silver,gold", "user-3"),
    ],
)
def test_an_allowed_request(kit: Any, key: str, groups: str, user: str) -> None:
    response = kit.service().check(kit.request(authorization=f"APIKEY {key}"))
    assert response.status.code == 0
    assert response.WhichOneof("http_response") == "ok_response"
    assert not response.ok_response.headers
    assert MessageToDict(response.dynamic_metadata) == {"identity": {"groups": groups, "userid": user}}


@pytest.mark.parametrize(
    ("headers", "reason"),
    [
        ({}, NOT_FOUND),
        ({"authorization": "Bearer iamafreeuser"}, NOT_FOUND),
        ({"authorization": "apikey iamafreeuser"}, NOT_FOUND),
        ({"authorization": "APIKEY"}, NOT_FOUND),
        ({"authorization": "APIKEY nobody"}, INVALID),
        ({"authorization": "APIKEY "}, INVALID),
        ({"authorization": "APIKEY iamelsewhere"}, INVALID),
        ({"authorization": "APIKEY  iamafreeuser"}, INVALID),
        ({"authorization": "APIKEY iamafreeuser "}, INVALID),
    ],
)
def test_no_identity(kit: Any, headers: dict[str, str], reason: tuple[str, str]) -> None:
    response = kit.service().check(kit.request(**headers))
    assert kit.summary(response) == (16, 401, [CHALLENGE, reason])
    assert response.denied_response.body == ""


@pytest.mark.parametrize("key", ["iamsilver", "iamnobody"])
def test_a_group_that_is_not_allowed(kit: Any, key: str) -> None:
    response = kit.service().check(kit.request(authorization=f"APIKEY {key}"))
    assert kit.summary(response) == (7, 403, [("X-Ext-Auth-Reason", "Unauthorized")])


def test_a_host_without_auth_config(kit: Any) -> None:
    response = kit.service().check(kit.request(scope="elsewhere", authorization="APIKEY iamafreeuser"))
    assert kit.summary(response) == (5, 404, [("X-Ext-Auth-Reason", "Service not found")])


def test_a_request_without_http_attributes(kit: Any) -> None:
    for request in (CheckRequest(), CheckRequest(attributes={"context_extensions": {"host": "scope"}})):
        response = kit.service().check(request)
        assert kit.summary(response) == (3, 400, [("X-Ext-Auth-Reason", "Invalid request")])


def test_the_scope_wins_over_the_requests_host(kit: Any) -> None:
    service = kit.service(hosts=["llm.example.com"])
    assert service.check(kit.request(scope="llm.example.com", host="x")).status.code == 16
    assert service.check(kit.request(scope=None, host="llm.example.com:8080")).status.code == 16
    assert service.check(kit.request(scope="", host="llm.example.com")).status.code == 5


def test_a_host_may_be_a_wildcard(kit: Any) -> None:
    service = kit.service(hosts=["*.example.com"])
    assert service.check(kit.request(scope=None, host="a.b.example.com")).status.code == 16
    assert service.check(kit.request(scope=None, host="example.com")).status.code == 5


def test_a_changed_key_is_good_and_the_old_one_unknown(kit: Any) -> None:
    service = kit.service()
    config = kit.config(kit.tutorial_rules())
    service.replace([config], [kit.secret("changed", "user-1", "free")])
    assert service.check(kit.request(authorization="APIKEY changed")).status.code == 0
    assert kit.headers(service.check(kit.request(authorization="APIKEY iamafreeuser")))[1] == INVALID


def test_an_auth_config_as_the_operator_writes_it(kit: Any) -> None:
    rules = kit.tutorial_rules()
    rules["response"]["success"]["dynamicMetadata"] = rules["response"]["success"].pop("filters")
    manifest = {
        "apiVersion": "authorino.kuadrant.io/v1beta3",
        "kind": "AuthConfig",
        "metadata": {"name": "scope", "namespace": "kuadrant-system"},
        "spec": {"hosts": ["scope"], **rules},
    }
    service = type(kit.service())([type(kit.config({})).from_object(manifest)], kit.secrets)
    response = service.check(kit.request(authorization="APIKEY iamafreeuser"))
    assert MessageToDict(response.dynamic_metadata) == {"identity": {"groups": "free", "userid": "user-1"}}
