from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict

from host_sim.world.auth.selectors import Selector, SelectorError, Template, is_template


def filters(**items: Any) -> dict[str, Any]:
    return {"response": {"success": {"filters": items}}}


def test_json_properties(kit: Any) -> None:
    properties = {
        "static": {"value": {"a": [1, None, "x"]}},
        "nothing": {"selector": "auth.identity.nothing"},
        "text": {"selector": "request.method"},
        "template": {"selector": "{request.method} {request.url_path}?{request.query}"},
        "cel": {"expression": "request.path.split('?')[0] + '!'"},
        "list": {"expression": "[1, 2u, 1.5, true, null, b'x', {'k': 'v'}]"},
        "time": {"expression": "duration('90s')"},
    }
    response = kit.service(filters(x={"json": {"properties": properties}})).check(kit.request(path="/a?b=c"))
    assert MessageToDict(response.dynamic_metadata)["x"] == {
        "static": {"a": [1, None, "x"]},
        "nothing": None,
        "text": "POST",
        "template": "POST /a?b=c",
        "cel": "/a!",
        "list": [1, 2, 1.5, True, None, "eA==", {"k": "v"}],
        "time": "90s",
    }


def test_items_by_key_order_and_condition(kit: Any) -> None:
    rules = filters(
        late={"plain": {"expression": "auth.response.early + '!'"}, "priority": 1, "key": "renamed"},
        early={"plain": {"value": "hello"}},
        never={"plain": {"value": 1}, "when": [{"predicate": "request.method == 'GET'"}]},
        broken={"plain": {"expression": "request.nothing"}},
    )
    response = kit.service(rules).check(kit.request())
    assert MessageToDict(response.dynamic_metadata) == {"early": "hello", "renamed": "hello!"}


def test_request_headers(kit: Any) -> None:
    items = {
        "x-user": {"plain": {"selector": "request.host"}},
        "x-json": {"json": {"properties": {"a": {"value": 1}}}},
        "x-split": {"plain": {"value": "a\r\nb: c"}},
    }
    response = kit.service({"response": {"success": {"headers": items}}}).check(kit.request())
    assert kit.headers(response) == [("x-user", "llm.example.com"), ("x-json", '{"a":1}'), ("x-split", "a  b: c")]
    assert not response.dynamic_metadata.fields


@pytest.mark.parametrize(
    ("verdict", "authorization", "code"), [("unauthenticated", "", 16), ("unauthorized", "APIKEY iamsilver", 7)]
)
def test_denials_of_ones_own(kit: Any, verdict: str, authorization: str, code: int) -> None:
    rules = kit.tutorial_rules()
    rules["response"][verdict] = {
        "code": 302,
        "message": {"value": "go away"},
        "headers": {"location": {"selector": "https://{request.host}/login"}},
        "body": {"expression": "'no ' + request.path"},
    }
    response = kit.service(rules).check(kit.request(authorization=authorization))
    assert kit.summary(response) == (
        code,
        302,
        [("location", "https://llm.example.com/login"), ("X-Ext-Auth-Reason", "go away")],
    )
    assert response.denied_response.body == "no /v1/chat/completions"


def test_a_denial_of_ones_own_keeps_what_it_does_not_name(kit: Any) -> None:
    rules = kit.tutorial_rules()
    rules["response"]["unauthenticated"] = {"code": 444}
    assert kit.summary(kit.service(rules).check(kit.request())) == (
        16,
        444,
        [
            ("WWW-Authenticate", 'APIKEY realm="api-key-users"'),
            ("X-Ext-Auth-Reason", "credential not found"),
        ],
    )


def test_policies_see_authorinos_document(kit: Any) -> None:
    rules = filters(
        d={
            "json": {
                "properties": {
                    name: {"selector": selector}
                    for name, selector in {
                        "old": "context.request.http.headers.user-agent",
                        "agent": "request.user_agent",
                        "scope": "request.context_extensions.host",
                        "address": "source.address",
                        "port": "context.source.address.Address.SocketAddress.PortSpecifier.PortValue",
                        "service": "request.grpc.service",
                        "empty": "request.body",
                    }.items()
                }
            }
        }
    )
    request = kit.request(path="/pkg.Service/Method", user_agent="curl", content_type="application/grpc")
    assert MessageToDict(kit.service(rules).check(request).dynamic_metadata)["d"] == {
        "old": "curl",
        "agent": "curl",
        "scope": "scope",
        "address": "127.0.0.1",
        "port": 4711,
        "service": "pkg.Service",
        "empty": None,
    }


DOCUMENT = {
    "a": {"b.c": 1, "list": [{"n": "x"}, {"m": 0}, {"n": "y"}], "t": "Hello, World", "null": None, "0": "zero"},
    "authorization": "Basic dXNlcjpwYXNz",
    "bad": "a\x00b\n",
}


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (r"a.b\.c", 1),
        ("a.list.1.m", 0),
        ("a.list.9", None),
        ("a.list.#", 3),
        ("a.list.#.n", ["x", "y"]),
        ("a.list.#.n|0", "x"),
        ("a.list.#.n|#", 2),
        ("a.0", "zero"),
        ("a.t.x", None),
        ("a.#", None),
        ("a.t.@case:upper", "HELLO, WORLD"),
        ("a.t|@case:lower", "hello, world"),
        ('authorization.@extract:{"sep":" ","pos":1}|@base64:decode', "user:pass"),
        ('a.t.@extract:{"pos":7}', None),
        ('a.t.@replace:{"old":"World","new":"{you}"}', "Hello, {you}"),
        ("a.t.@base64:encode", "SGVsbG8sIFdvcmxk"),
        ("bad.@strip", "ab"),
    ],
)
def test_selectors(path: str, value: Any) -> None:
    assert Selector(path).select(DOCUMENT) == value


@pytest.mark.parametrize(
    "path", ["", "a..b", "a.", ".a", "a.*", "a?", "a.#(n==1)", "[a,b]", "a.@nope", "a.@", 'a.@extract:{"sep"', "!1"]
)
def test_what_is_no_selector(path: str) -> None:
    with pytest.raises(SelectorError):
        Selector(path)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ("{a.t}!", "Hello, World!"),
        (r"{a.b\.c}{a.null}{a.nothing}", "1"),
        (r"\{a.t\}", "{a.t}"),
        ("{a.list.#.n}", '["x","y"]'),
        ('<{a.t.@extract:{"sep":", ","pos":1}}>', "<World>"),
        ("{}x}", "x}"),
    ],
)
def test_templates(source: str, text: str) -> None:
    assert is_template(source)
    assert Template(source).render(DOCUMENT) == text


def test_a_modifiers_braces_make_no_template() -> None:
    assert not is_template('a.t.@extract:{"pos":0}')
    with pytest.raises(SelectorError, match="never closed"):
        Template("{a.t")
