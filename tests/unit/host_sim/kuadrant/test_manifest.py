import contextlib
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from host_sim.kuadrant import ManifestError
from host_sim.kuadrant.manifest import MAX_DEPTH, MAX_FILE_BYTES, Manifest, parse_manifests, read_manifests

FILE = Path("some.yaml")


def parse_one(text: str) -> Manifest:
    (manifest,) = parse_manifests(text, FILE)
    return manifest


def test_documents_keep_their_lines() -> None:
    first, second = parse_manifests("a: 1\nb:\n  - c: 2\n---\n\nd: 3\n", FILE)
    assert str(first.place("b", 0, "c")) == "some.yaml:3: b[0].c"
    assert str(second.place("d")) == "some.yaml:6: d"


def test_a_path_that_is_not_there_is_placed_at_its_parent() -> None:
    assert str(parse_one("a:\n  b: 1\n").place("a", "x", "y")) == "some.yaml:1: a.x.y"


def test_empty_documents_are_left_out() -> None:
    assert parse_manifests("---\n---\na: 1\n---\n# nothing\n", FILE)[0].content == {"a": 1}
    assert parse_manifests("", FILE) == []


def test_timestamps_stay_text_as_in_json() -> None:
    assert parse_one("created: 2026-01-02T03:04:05Z\n").content == {"created": "2026-01-02T03:04:05Z"}


def test_merge_keys_do_not_override_what_is_written() -> None:
    assert parse_one("base: &b {x: 1, y: 2}\nmore:\n  <<: *b\n  y: 3\n").content["more"] == {"x": 1, "y": 3}


def test_lists_are_taken_apart() -> None:
    items = list(parse_one("kind: List\nitems:\n- kind: A\n- kind: B\n").items())
    assert [str(item.place("kind")) for item in items] == ["some.yaml:3: kind", "some.yaml:4: kind"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "some.yaml:2: a: found the key a second time, expected each key once"),
        ("a:\n  1: x\n", "some.yaml:2: a: found 1, expected text as key; put it in quotes"),
        ("a: [1\n", "some.yaml:2: found expected ',' or ']', but got '<stream end>', expected YAML"),
        ("- a\n", "some.yaml:1: found a list, expected a Kubernetes object"),
        ("a: !!python/object/apply:os.system [id]\n", "expected a plain mapping or list"),
        ("a: !secret x\n", "expected a plain value"),
        ("a: &x [*x]\n", f"expected at most {MAX_DEPTH} levels"),
        ("a: " + "[" * 5000, f"expected at most {MAX_DEPTH} levels"),
    ],
)
def test_what_is_refused_is_named(text: str, message: str) -> None:
    with pytest.raises(ManifestError) as caught:
        parse_one(text)
    assert message in str(caught.value)


def test_aliases_cannot_blow_up() -> None:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x, x]"]
    for below, key in zip("abcdefgh", "bcdefghi", strict=True):
        lines.append(f"{key}: &{key} [{', '.join([f'*{below}'] * 10)}]")
    with pytest.raises(ManifestError, match="at most 100000 in a file"):
        parse_one("\n".join(lines))


def test_big_files_are_refused(tmp_path: Path) -> None:
    file = tmp_path / "big.yaml"
    file.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    with pytest.raises(ManifestError, match="found more than"):
        read_manifests(file)


def test_bytes_that_are_no_text_are_refused() -> None:
    with pytest.raises(ManifestError, match=r"some\.yaml:1: "):
        parse_manifests(b"a: \xff\xfe\x00", FILE)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text(), json_values, min_size=1, max_size=5))
def test_what_a_yaml_library_writes_is_read_back(content: dict[str, Any]) -> None:
    assert parse_one(yaml.safe_dump(content)).content == content


@given(st.text(max_size=200) | st.binary(max_size=200))
def test_any_input_is_read_or_refused(data: str | bytes) -> None:
    with contextlib.suppress(ManifestError):
        assert all(isinstance(manifest.content, dict) for manifest in parse_manifests(data, FILE))
