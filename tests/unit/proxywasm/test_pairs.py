"""Serialized header maps: any bytes survive, anything cut or made up is refused."""

import contextlib
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st
from proxywasm.pairs import decode_pairs, encode_pairs

TEXT = st.binary(max_size=20).map(lambda raw: raw.decode("utf-8", "surrogateescape"))
PAIRS = st.lists(st.tuples(TEXT, TEXT), max_size=8)


def by_the_book(pairs: list[tuple[bytes, bytes]]) -> bytes:
    """The specification's layout, spelled out."""
    data = struct.pack("<I", len(pairs))
    for name, value in pairs:
        data += struct.pack("<II", len(name), len(value))
    for name, value in pairs:
        data += name + b"\0" + value + b"\0"
    return data


@given(PAIRS)
def test_round_trip(pairs):
    assert decode_pairs(encode_pairs(pairs)) == pairs


@given(st.lists(st.tuples(st.binary(max_size=9), st.binary(max_size=9)), min_size=1, max_size=8))
def test_layout_is_the_specifications(raw):
    decoded = decode_pairs(by_the_book(raw))
    assert [(n.encode("utf-8", "surrogateescape"), v.encode("utf-8", "surrogateescape")) for n, v in decoded] == raw
    assert encode_pairs(decoded) == by_the_book(raw)


def test_no_pairs_are_no_bytes():
    assert encode_pairs([]) == b""
    assert decode_pairs(b"") == []
    assert decode_pairs(bytes(4)) == []


@given(PAIRS.filter(bool), st.data())
def test_truncated_raises_value_error(pairs, data):
    whole = encode_pairs(pairs)
    end = data.draw(st.integers(1, len(whole) - 1))
    with pytest.raises(ValueError, match="header map of"):
        decode_pairs(whole[:end])


@given(st.binary(max_size=80))
def test_anything_else_is_pairs_or_value_error(junk):
    with contextlib.suppress(ValueError):
        decode_pairs(junk)


@pytest.mark.parametrize("count", [1, 2**16, 2**32 - 1])
def test_a_count_beyond_the_data_allocates_nothing(count):
    with pytest.raises(ValueError, match=f"cannot hold {count} pairs"):
        decode_pairs(struct.pack("<I", count))


def test_a_length_beyond_the_data():
    with pytest.raises(ValueError, match="ends inside pair 0"):
        decode_pairs(struct.pack("<III", 1, 2**32 - 1, 0) + b"a\0b\0")
