import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tallyman.usage.json_pointer import JsonPointerError, parse, resolve

# RFC 6901, section 5, but for the whole document
DOCUMENT = json.loads('{"foo":["bar","baz"],"":0,"a/b":1,"c%d":2,"e^f":3,"g|h":4,"i\\\\j":5,"k\\"l":6," ":7,"m~n":8}')


@pytest.mark.parametrize(
    ("pointer", "value"),
    [
        ("/foo", ["bar", "baz"]),
        ("/foo/0", "bar"),
        ("/", 0),
        ("/a~1b", 1),
        ("/c%d", 2),
        ("/e^f", 3),
        ("/g|h", 4),
        ("/i\\j", 5),
        ('/k"l', 6),
        ("/ ", 7),
        ("/m~0n", 8),
        ("/foo/1", "baz"),
        ("/foo/2", None),
        ("/foo/-", None),
        ("/foo/01", None),
        ("/foo/+1", None),
        ("/foo/\u0661", None),
        ("/foo/99999999999999999999", None),
        ("/foo/", None),
        ("/foo/0/x", None),
        ("/nothing", None),
    ],
)
def test_the_examples_of_the_rfc(pointer: str, value: object) -> None:
    assert resolve(DOCUMENT, parse(pointer)) == value


@given(st.lists(st.text(), min_size=1))
def test_any_tokens_can_be_written(tokens: list[str]) -> None:
    pointer = "".join("/" + token.replace("~", "~0").replace("/", "~1") for token in tokens)
    assert parse(pointer) == tokens
    value: Any = "found"
    for token in reversed(tokens):
        value = {token: value}
    assert resolve(value, parse(pointer)) == "found"


@pytest.mark.parametrize(
    ("pointer", "told"),
    [
        ("", "names the whole document"),
        ("usage", 'begins with "u", expected "/": "/usage"?'),
        ("/a~b", 'has "~b" in "a~b", expected "~0"'),
        ("/x/a~", 'has "~" in "a~"'),
        ("/~2", 'has "~2" in "~2"'),
    ],
)
def test_errors_say_what_to_mend(pointer: str, told: str) -> None:
    with pytest.raises(JsonPointerError) as caught:
        parse(pointer)
    assert told in str(caught.value)
