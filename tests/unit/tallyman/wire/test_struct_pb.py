import contextlib
import json
import math
from typing import Any

import pytest
from google.protobuf import struct_pb2
from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tallyman.wire import struct_pb
from tallyman.wire.protobuf import WireError, message_field

VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=6)),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=4), inner, max_size=4)),
    max_leaves=12,
)
STRUCTS = st.dictionaries(st.text(max_size=4), VALUES, max_size=5)


def from_library(value: struct_pb2.Value) -> Any:
    kind = value.WhichOneof("kind")
    if kind is None or kind == "null_value":
        return None
    if kind == "struct_value":
        return {key: from_library(member) for key, member in value.struct_value.fields.items()}
    if kind == "list_value":
        return [from_library(item) for item in value.list_value.values]
    return getattr(value, kind)


@given(STRUCTS)
def test_structs_are_read_by_the_library(fields: dict[str, Any]) -> None:
    assert MessageToDict(struct_pb2.Struct.FromString(struct_pb.encode_struct(fields))) == fields


@given(STRUCTS)
def test_structs_of_the_library_are_read(fields: dict[str, Any]) -> None:
    assert struct_pb.decode_struct(ParseDict(fields, struct_pb2.Struct()).SerializeToString()) == fields


@given(st.lists(VALUES.map(struct_pb.encode_value), max_size=3).map(b"".join))
def test_of_several_kinds_the_last_one_counts(message: bytes) -> None:
    assert struct_pb.decode_value(message) == from_library(struct_pb2.Value.FromString(message))


@given(STRUCTS, st.data())
def test_damaged_structs_are_read_as_the_library_reads_them_or_refused(
    fields: dict[str, Any], data: st.DataObject
) -> None:
    message = bytearray(struct_pb.encode_struct(fields))
    for _ in range(data.draw(st.integers(0, 3))):
        if message:
            message[data.draw(st.integers(0, len(message) - 1))] = data.draw(st.integers(0, 255))
    try:
        expected = struct_pb2.Struct.FromString(bytes(message))
    except DecodeError:
        # Values that a later one replaces are not looked into here, so it may also be read.
        with contextlib.suppress(WireError):
            struct_pb.decode_struct(bytes(message))
        return
    found = struct_pb.decode_struct(bytes(message))
    size = expected.ByteSize()
    expected.DiscardUnknownFields()
    if expected.ByteSize() != size:
        return  # the library sets whole entries aside if anything in them is unknown
    fields_expected = {key: from_library(value) for key, value in expected.fields.items()}
    assert json.dumps(found, sort_keys=True) == json.dumps(fields_expected, sort_keys=True)


def test_numbers_become_doubles() -> None:
    found = struct_pb.decode_struct(struct_pb.encode_struct({"n": 3, "nan": math.nan, "inf": math.inf}))
    assert repr(found) == "{'n': 3.0, 'nan': nan, 'inf': inf}"


def nested(depth: int, shape: str) -> object:
    value: object = "x"
    for _ in range(depth):
        value = [value] if shape == "list" else {"k": value}
    return value


@pytest.mark.parametrize("shape", ["list", "struct"])
def test_nesting_is_bounded(shape: str) -> None:
    deepest = nested(struct_pb.DEEPEST, shape)
    message = struct_pb.encode_value(deepest)
    assert struct_pb.decode_value(message) == deepest
    deeper = _wrap(message, shape)
    with pytest.raises(WireError, match="nested"):
        struct_pb.decode_value(deeper)
    with pytest.raises(WireError, match="nested"):
        struct_pb.encode_value(nested(struct_pb.DEEPEST + 1, shape))


def _wrap(message: bytes, shape: str) -> bytes:
    if shape == "list":
        return message_field(6, message_field(1, message))
    return message_field(5, message_field(1, message_field(2, message)))


@pytest.mark.parametrize("value", [b"bytes", object(), 10**400])
def test_what_a_struct_cannot_hold(value: object) -> None:
    with pytest.raises(WireError):
        struct_pb.encode_struct({"a": value})
