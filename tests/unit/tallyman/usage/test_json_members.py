import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tallyman.usage.json_members import DEEPEST_VALUE, LONGEST_VALUE, MemberScanner
from tallyman.usage.wanted import WantedMembers

WANTED = WantedMembers(["/usage", "/model", '/q"uo\\te', "/a~1b", "/é😀", "/\x01\n"])


def scan(document: bytes, cuts: list[int] | None = None, wanted: WantedMembers = WANTED) -> MemberScanner:
    scanner = MemberScanner(wanted)
    for piece in pieces(document, cuts or []):
        scanner.feed(piece)
    scanner.finish()
    return scanner


def pieces(data: bytes, cuts: list[int]) -> Iterator[bytes]:
    ends = sorted({cut % (len(data) + 1) for cut in cuts} | {len(data)})
    start = 0
    for end in ends:
        yield data[start:end]
        start = end


def members(scanner: MemberScanner, wanted: WantedMembers = WANTED) -> dict[str, Any]:
    return {name: value for name, value in zip(wanted.names, scanner.values, strict=True) if value is not None}


class LastNonNull(dict[str, Any]):
    """What `json.loads` makes of an object in which of a repeated member the last one counts that is not null."""

    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        super().__init__()
        for key, value in pairs:
            if value is not None or key not in self:
                self[key] = value


def oracle(document: str, wanted: WantedMembers = WANTED) -> dict[str, Any]:
    root = json.loads(document)
    if not isinstance(root, dict):
        return {}
    outermost = LastNonNull(json.loads(document, object_pairs_hook=_Pairs).pairs)
    return {
        name: json.loads(json.dumps(plain(outermost[name]))) for name in wanted.names if outermost.get(name) is not None
    }


class _Pairs:
    def __init__(self, pairs: list[tuple[str, Any]]) -> None:
        self.pairs = pairs


def plain(value: Any) -> Any:
    if isinstance(value, _Pairs):
        return {key: plain(member) for key, member in value.pairs}
    if isinstance(value, list):
        return [plain(member) for member in value]
    return value


HOSTILE = [
    "usage",
    "model",
    '"usage":1',
    'a"usage":{',
    "\\",
    '\\"',
    '"',
    "}",
    "{",
    "]",
    "[",
    "é",
    "😀",
    "\ud83d",
    "u",
    "",
]
TEXTS = st.one_of(
    st.sampled_from(HOSTILE), st.lists(st.sampled_from(HOSTILE), max_size=4).map("".join), st.text(max_size=8)
)
KEYS = st.one_of(st.sampled_from(WANTED.names), TEXTS)
SCALARS = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), TEXTS)
SPACES = st.sampled_from(["", "", " ", "\n", "\t\r\n  "])


@st.composite
def written_texts(draw: st.DrawFn, texts: st.SearchStrategy[str] = TEXTS) -> str:
    """A JSON string, each character written in any of the ways JSON knows."""
    out = []
    for char in draw(texts):
        way = draw(st.integers(0, 3))
        if way == 0 or "\ud800" <= char <= "\udfff":
            out.append(json.dumps(char)[1:-1])
        elif way == 1:
            units = char.encode("utf-16-be", "surrogatepass").hex()
            out.append("".join("\\u" + units[at : at + 4] for at in range(0, len(units), 4)))
        elif way == 2 and char == "/":
            out.append("\\/")
        else:
            out.append(json.dumps(char, ensure_ascii=False)[1:-1])
    return '"' + "".join(out) + '"'


def written_values(depth: int) -> st.SearchStrategy[str]:
    scalars = st.one_of(SCALARS.filter(lambda value: not isinstance(value, str)).map(json.dumps), written_texts())
    if depth == 0:
        return scalars
    inner = written_values(depth - 1)
    return st.one_of(scalars, written_objects(inner), written_arrays(inner))


@st.composite
def written_arrays(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    space = draw(SPACES)
    return f"[{space}" + f",{space}".join(draw(st.lists(inner, max_size=4))) + f"{space}]"


@st.composite
def written_objects(draw: st.DrawFn, inner: st.SearchStrategy[str]) -> str:
    space = draw(SPACES)
    pairs = draw(st.lists(st.tuples(written_texts(KEYS), inner), max_size=5))
    return "{" + space + f"{space},".join(f"{key}{space}:{space}{value}" for key, value in pairs) + space + "}"


DOCUMENTS = st.one_of(written_objects(written_values(2)), written_arrays(written_values(1)))
CUTS = st.lists(st.integers(0, 10_000), max_size=12)


@given(DOCUMENTS, SPACES, SPACES, CUTS)
@settings(max_examples=600, deadline=None)
def test_any_document_in_any_pieces_gives_what_json_loads_gives(
    document: str, before: str, behind: str, cuts: list[int]
) -> None:
    scanner = scan((before + document + behind).encode("utf-8"), cuts)
    assert members(scanner) == oracle(document)
    assert not scanner.broken
    assert not any(scanner.reasons)


@given(DOCUMENTS)
@settings(max_examples=150, deadline=None)
def test_byte_by_byte(document: str) -> None:
    data = document.encode()
    scanner = scan(data, list(range(len(data))))
    assert members(scanner) == oracle(document)
    assert not scanner.broken


@given(
    st.lists(DOCUMENTS, min_size=1, max_size=4),
    st.integers(0, 6000),
    st.sampled_from(["x", '\\"', "\\\\", "1,", "{},"]),
    CUTS,
)
@settings(max_examples=200, deadline=None)
def test_wanted_members_after_much_else(documents: list[str], size: int, filling: str, cuts: list[int]) -> None:
    """Long gaps are followed by other means than short ones."""
    long = f'["{filling * size}"]' if filling in ("x", '\\"', "\\\\") else f"[{filling * size}0]"
    members_before = "".join(f'"k{n}":{document},' for n, document in enumerate(documents))
    document = f'{{{members_before}"long":{long},{members_before}"usage":{{"a":{documents[0]}}}}}'
    if len(documents[0]) < LONGEST_VALUE - 100:
        scanner = scan(document.encode(), cuts)
        assert members(scanner) == oracle(document)
        assert not scanner.broken


@given(
    st.one_of(
        st.binary(max_size=300),
        st.lists(st.sampled_from([*'{}[]":,\\u0', "usage", '"usage":', "null", " ", "1"])).map("".join).map(str.encode),
    ),
    CUTS,
)
@settings(max_examples=600, deadline=None)
def test_any_bytes_are_survived_within_bounds(data: bytes, cuts: list[int]) -> None:
    scan(data, cuts)


@pytest.mark.parametrize(
    "document",
    [
        '{"choices":[{"usage":{"a":1}}],"x":{"usage":2}}',
        '{"text":"\\"usage\\":1"}',
        '{"text":"\\\\","x":"usage","y":["usage"]}',
        '["usage",1]',
        '[{"usage":1}]',
        "{}",
        '{"usage":null,"model":null}',
        '{"Usage":1,"usage ":1,"\\usage":1}'.replace("\\u", "\\\\u"),
    ],
)
def test_what_is_no_member_of_the_outermost_object_is_not_taken(document: str) -> None:
    for cuts in ([], list(range(len(document)))):
        assert members(scan(document.encode(), cuts)) == {}


def test_a_later_null_does_not_take_a_value_away_and_a_later_value_does() -> None:
    assert members(scan(b'{"usage":1,"model":"a","usage":null,"model":"b"}')) == {"usage": 1, "model": "b"}


def test_keys_may_be_written_with_escapes() -> None:
    document = b'{"\\u0075s\\u0061ge":1,"a\\/b":2,"q\\"uo\\\\te":3,"\\u00E9\\ud83D\\uDe00":4,"\\u0001\\n":5}'
    for cuts in ([], list(range(len(document)))):
        assert members(scan(document, cuts)) == {"usage": 1, "a/b": 2, 'q"uo\\te': 3, "é😀": 4, "\x01\n": 5}


def test_nesting_outside_wanted_members_is_only_a_number() -> None:
    deep = b"[" * 200_000 + b"]" * 200_000
    scanner = scan(b'{"a":' + deep + b',"usage":1}', [7, 100_000])
    assert members(scanner) == {"usage": 1}


@pytest.mark.parametrize("cuts", [[], [40], [15, 200_000]])
def test_values_that_are_too_long_or_too_deep_are_given_up(cuts: list[int]) -> None:
    for value in (b'"' + b"x" * 300_000 + b'"', b"[" * 2000 + b"]" * 2000, b"1" * 20_000):
        scanner = scan(b'{"usage":' + value + b',"model":"m"}', cuts)
        assert scanner.values[0] is None
        assert scanner.reasons[:2] == ["too_long", ""]
        assert scanner.values[1] == "m"
        assert not scanner.broken


@pytest.mark.parametrize("depth", [DEEPEST_VALUE - 1, DEEPEST_VALUE])
def test_values_as_deep_as_allowed_are_decoded(depth: int) -> None:
    document = b'{"usage":' + b"[" * depth + b"]" * depth + b"}"
    for cuts in ([], [100], list(range(len(document)))):
        assert scan(document, cuts).reasons[0] == ""
    for cuts in ([], [100], list(range(len(document) + 2))):
        document = b'{"usage":' + b"[" * (DEEPEST_VALUE + 1) + b"]" * (DEEPEST_VALUE + 1) + b"}"
        assert scan(document, cuts).reasons[0] == "too_long"


def test_no_more_than_the_longest_value_is_held() -> None:
    scanner = MemberScanner(WANTED)
    scanner.feed(b'{"usage":"')
    for _ in range(1000):
        scanner.feed(b"x" * 1000)
        held = len(scanner._gathered) + len(scanner._carry)
        assert held <= LONGEST_VALUE


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"   ",
        b"hello",
        b'"text"',
        b"12",
        b"\xef\xbb\xbf{}",
        b"{",
        b'{"a":"b',
        b'{"a":[1}',
        b"{}}",
        b"{}{}",
        b"{} x",
        b'{} "',
        b'{} ""',
        b'{"a":1},{"b":2}',
        b"[1],",
        b'{"a":' + b"1" * 3000 + b'}"' + b"x" * 3000,
        b'{"a":' + b"1" * 3000 + b"}" + b" " * 3000 + b"{}",
        b'{"usa',
        b'{"usage',
        b'{"usage"',
        b'{"usage":12',
    ],
)
def test_documents_that_are_broken(document: bytes) -> None:
    for cuts in ([], list(range(len(document)))):
        scanner = scan(document, cuts)
        assert scanner.broken
        assert members(scanner) == {}


@pytest.mark.parametrize("value", [b"nonsense", b"{1}", b"'a'", b"01", b'{"a":1}x', b'"\n"'])
def test_values_that_are_no_json_are_given_up(value: bytes) -> None:
    for cuts in ([], list(range(40))):
        scanner = scan(b'{"usage":' + value + b',"model":"m"}', cuts)
        assert scanner.reasons[0] == "bad_json"
        assert scanner.values[0] is None


def test_time_grows_with_the_document_only() -> None:
    """A wanted key that comes often, nested or repeated, must not have the whole rest searched again each time."""

    def seconds(items: int) -> float:
        data = b'{"data":[' + b'{"model":1,"x":"usage"},' * items + b'{}],"usage":1}'
        best = 1e9
        for _ in range(3):
            start = time.process_time()
            assert members(scan(data)) == {"usage": 1}
            best = min(best, time.process_time() - start)
        return best

    assert seconds(32_000) < 40 * seconds(2_000)


def test_reset_forgets_everything() -> None:
    scanner = scan(b'{"usage":1,"a":"')
    scanner.reset()
    assert (scanner.values[0], scanner.found, scanner.broken, scanner.is_empty()) == (None, False, False, True)
    scanner.feed(b'{"usage":2}')
    scanner.finish()
    assert members(scanner) == {"usage": 2}
