import base64
import json
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from host_sim.world.auth import AuthService


def api_key(**members: Any) -> dict[str, Any]:
    return {"apiKey": {"allNamespaces": True, "selector": {"matchLabels": {"app": "my-llm"}}}, **members}


@pytest.mark.parametrize(
    ("credentials", "headers", "path", "challenge"),
    [
        ({}, {"authorization": "Bearer iamafreeuser"}, "/", "Bearer"),
        ({"authorizationHeader": {}}, {"authorization": "Bearer iamafreeuser"}, "/", "Bearer"),
        ({"authorizationHeader": {"prefix": "P"}}, {"authorization": "P iamafreeuser"}, "/", "P"),
        ({"customHeader": {"name": "X-API-Key"}}, {"x_api_key": "iamafreeuser"}, "/", "X-API-Key"),
        ({"cookie": {"name": "key"}}, {"cookie": "a=b; key=iamafreeuser; keys=no"}, "/", "key"),
        ({"queryString": {"name": "key"}}, {}, "/v1?a=b&key=iamafreeuser", "key"),
    ],
)
def test_places_of_credentials(
    kit: Any, credentials: dict[str, Any], headers: dict[str, str], path: str, challenge: str
) -> None:
    service = kit.service({"authentication": {"keys": api_key(credentials=credentials)}})
    assert service.check(kit.request(path=path, **headers)).status.code == 0
    wrong = kit.request(
        path=path.replace("iamafreeuser", "x"), **{name: v.replace("iamafreeuser", "x") for name, v in headers.items()}
    )
    assert kit.summary(service.check(wrong)) == (
        16,
        401,
        [
            ("WWW-Authenticate", f'{challenge} realm="keys"'),
            ("X-Ext-Auth-Reason", "the API Key provided is invalid"),
        ],
    )
    assert kit.headers(service.check(kit.request()))[1] == ("X-Ext-Auth-Reason", "credential not found")


def test_several_authentications_challenge_each(kit: Any) -> None:
    rules = {
        "authentication": {"a": api_key(), "b": api_key(credentials={"customHeader": {"name": "X-Key"}}, priority=1)}
    }
    service = kit.service(rules)
    assert service.check(kit.request(x_key="iamafreeuser")).status.code == 0
    code, status, headers = kit.summary(service.check(kit.request(x_key="wrong")))
    assert (code, status) == (16, 401)
    *challenges, reason = headers
    assert sorted(challenges) == [
        ("WWW-Authenticate", 'Bearer realm="a"'),
        ("WWW-Authenticate", 'X-Key realm="b"'),
    ]
    assert json.loads(reason[1]) == {"a": "credential not found", "b": "the API Key provided is invalid"}


def test_anonymous_lets_in_whom_no_key_identifies(kit: Any) -> None:
    rules = {
        "authentication": {"keys": api_key(), "anyone": {"anonymous": {}, "priority": 1}},
        "response": {"success": {"filters": {"who": {"plain": {"selector": "auth.identity"}}}}},
    }
    service = kit.service(rules)
    for headers in ({}, {"authorization": "Bearer wrong"}):
        response = service.check(kit.request(**headers))
        assert MessageToDict(response.dynamic_metadata) == {"who": {"anonymous": True}}
    known = service.check(kit.request(authorization="Bearer iamafreeuser"))
    assert MessageToDict(known.dynamic_metadata)["who"]["metadata"]["name"] == "key-of-user-1"


def test_priorities_decide_who_is_asked_first(kit: Any) -> None:
    rules = {
        "authentication": {"keys": api_key(priority=1), "anyone": {"anonymous": {}}},
        "response": {"success": {"filters": {"who": {"plain": {"selector": "auth.identity.anonymous"}}}}},
    }
    response = kit.service(rules).check(kit.request(authorization="Bearer iamafreeuser"))
    assert MessageToDict(response.dynamic_metadata) == {"who": True}


def test_without_all_namespaces_only_the_configs_own_secrets_count(kit: Any) -> None:
    rules = {"authentication": {"keys": api_key()}}
    del rules["authentication"]["keys"]["apiKey"]["allNamespaces"]
    request = kit.request(authorization="Bearer iamafreeuser")
    assert kit.service(rules).check(request).status.code == 16
    assert kit.service(rules, namespace="llm").check(request).status.code == 0


@pytest.mark.parametrize(
    ("selector", "allowed"),
    [
        ({}, True),
        ({"matchLabels": {"app": "my-llm", "tier": "x"}}, False),
        ({"matchExpressions": [{"key": "app", "operator": "In", "values": ["a", "my-llm"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "NotIn", "values": ["my-llm"]}]}, False),
        ({"matchExpressions": [{"key": "tier", "operator": "NotIn", "values": ["x"]}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "Exists"}]}, True),
        ({"matchExpressions": [{"key": "app", "operator": "DoesNotExist"}]}, False),
    ],
)
def test_label_selectors(kit: Any, selector: dict[str, Any], allowed: bool) -> None:
    rules = {"authentication": {"keys": {"apiKey": {"allNamespaces": True, "selector": selector}}}}
    response = kit.service(rules).check(kit.request(authorization="Bearer iamafreeuser"))
    assert (response.status.code == 0) is allowed


def test_keys_in_data_are_base64(kit: Any) -> None:
    secret = kit.secret("unused", "u", "free")
    del secret["stringData"]
    secret["data"] = {"api_key": base64.b64encode("schlüssel".encode()).decode()}
    service = AuthService([kit.config({"authentication": {"keys": api_key()}})], [secret])
    assert service.check(kit.request(authorization="Bearer schlüssel")).status.code == 0


def test_a_malformed_secret_is_named_but_not_shown(kit: Any) -> None:
    service = kit.service()
    secret = kit.secret("x", "user-9", "free") | {"data": {"api_key": "s3cret!"}}
    with pytest.raises(ValueError, match=r"Secret key-of-user-9: .*base64") as error:
        service.replace([], [secret])
    assert "s3cret" not in str(error.value)
    assert service.check(kit.request(authorization="APIKEY iamafreeuser")).status.code == 0


def test_an_identity_is_the_secret_and_may_be_extended(kit: Any) -> None:
    rules = {
        "authentication": {
            "keys": api_key(
                defaults={"type": {"value": "unused"}, "tier": {"value": 3}},
                overrides={"user": {"expression": 'auth.identity.metadata.annotations["kuadrant.io/user-id"]'}},
            )
        },
        "response": {"success": {"filters": {"who": {"plain": {"selector": "auth.identity"}}}}},
    }
    response = kit.service(rules).check(kit.request(authorization="Bearer iamafreeuser"))
    who = MessageToDict(response.dynamic_metadata)["who"]
    assert base64.b64decode(who["data"]["api_key"]) == b"iamafreeuser"
    assert (who["type"], who["tier"], who["user"]) == ("Opaque", 3, "user-1")


def test_an_authentication_whose_when_does_not_hold_is_passed_over(kit: Any) -> None:
    rules = {
        "authentication": {
            "keys": api_key(),
            "health": {"anonymous": {}, "when": [{"predicate": 'request.path == "/health"'}]},
        }
    }
    service = kit.service(rules)
    assert service.check(kit.request(path="/health")).status.code == 0
    assert service.check(kit.request(path="/v1")).status.code == 16


def test_rules_without_authentication_let_everyone_in(kit: Any) -> None:
    response = kit.service({}).check(kit.request())
    assert response.status.code == 0
    assert not response.dynamic_metadata.fields
