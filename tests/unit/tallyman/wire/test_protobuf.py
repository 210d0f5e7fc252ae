import pytest
from google.protobuf import duration_pb2, struct_pb2, timestamp_pb2, wrappers_pb2
from google.protobuf.empty_pb2 import Empty
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from tallyman.wire import protobuf, time_pb
from tallyman.wire.protobuf import Reader, WireError

INT64 = st.integers(-(1 << 63), (1 << 63) - 1)


def read(message: bytes) -> list[tuple[int, int | bytes]]:
    reader = Reader(message)
    fields: list[tuple[int, int | bytes]] = []
    while reader.next():
        fields.append((reader.key, reader.integer if reader.key & 7 == protobuf.VARINT else reader.payload))
    return fields


@given(st.integers(0, (1 << 64) - 1))
def test_varints_are_those_of_the_library(value: int) -> None:
    message = protobuf.tag(1, protobuf.VARINT) + protobuf.varint(value)
    assert wrappers_pb2.UInt64Value.FromString(message).value == value
    assert read(message) == [(8, value)]


@given(INT64)
def test_signed_integers(value: int) -> None:
    message = protobuf.integer_field(1, value)
    assert message == wrappers_pb2.Int64Value(value=value).SerializeToString()
    assert [protobuf.as_signed(integer) for _, integer in read(message) if isinstance(integer, int)] == [value] * bool(
        value
    )
    assert protobuf.as_int32(value & (1 << 64) - 1) == wrappers_pb2.Int32Value.FromString(message).value


@pytest.mark.parametrize("value", [-1, 1 << 64])
def test_a_varint_has_64_bits(value: int) -> None:
    with pytest.raises(WireError, match=str(value)):
        protobuf.varint(value)


@given(st.text(), st.binary())
def test_text_and_bytes(value: str, raw: bytes) -> None:
    assert protobuf.text_field(1, value) == wrappers_pb2.StringValue(value=value).SerializeToString()
    assert protobuf.bytes_field(1, raw) == wrappers_pb2.BytesValue(value=raw).SerializeToString()


def test_lone_surrogates_become_question_marks() -> None:
    assert wrappers_pb2.StringValue.FromString(protobuf.text_field(1, "a\ud800")).value == "a?"


@given(st.binary(max_size=60))
def test_any_bytes_are_read_or_refused_as_the_library_does(message: bytes) -> None:
    """Every field number is unknown to Empty but its wire format is checked all the same."""
    try:
        Empty.FromString(message)
        accepted = True
    except DecodeError:
        accepted = False
    refusal = ""
    try:
        read(message)
    except WireError as error:
        refusal = str(error)
    if accepted:  # this library lets field number 0 pass; the specification and others do not
        assert refusal == "" or "begins no field" in refusal
    else:
        assert refusal


def group(number: int, content: bytes) -> bytes:
    return protobuf.tag(number, protobuf.GROUP) + content + protobuf.tag(number, protobuf.GROUP_END)


def test_groups_are_passed_over() -> None:
    inner = group(3, protobuf.integer_field(1, 7) + b"\x15abcd\x11abcdefgh" + protobuf.bytes_field(2, b"x"))
    message = protobuf.integer_field(1, 5) + group(2, inner + inner) + protobuf.integer_field(1, 6)
    assert read(message) == [(8, 5), (8, 6)]


@pytest.mark.parametrize(
    ("message", "told"),
    [
        (b"\x08", "does not end"),
        (b"\x08" + b"\x80" * 10 + b"\x01", "does not end"),
        (b"\x08" + b"\xff" * 9 + b"\x02", "64 bits"),
        (b"\x0a\x05abc", "runs over the end"),
        (b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", "runs over the end"),
        (b"\x09abc", "runs over the end"),
        (b"\x00\x00", "begins no field"),
        (b"\x88\x80\x80\x80\x80\x80\x00\x01", "begins no field"),
        (b"\x0e", "wire type 6"),
        (b"\x0f", "wire type 7"),
        (b"\x0c", "without a beginning"),
        (b"\x13\x0c", "inside another"),
        (b"\x13", "does not end"),
        (b"\x13" * 200, "nested"),
    ],
)
def test_what_is_no_message(message: bytes, told: str) -> None:
    with pytest.raises(WireError, match=told):
        read(message)


@given(st.integers(-62135596800 * 10**9, 253402300799 * 10**9))
def test_timestamps(nanoseconds: int) -> None:
    message = timestamp_pb2.Timestamp()
    message.FromNanoseconds(nanoseconds)
    assert time_pb.encode_timestamp(nanoseconds) == message.SerializeToString()
    assert time_pb.decode(message.SerializeToString()) == nanoseconds


@given(st.integers(-315576000000 * 10**9, 315576000000 * 10**9))
def test_durations(nanoseconds: int) -> None:
    message = duration_pb2.Duration()
    message.FromNanoseconds(nanoseconds)
    assert time_pb.encode_duration(nanoseconds) == message.SerializeToString()
    assert time_pb.decode(message.SerializeToString()) == nanoseconds


def test_fields_of_another_wire_type_go_by() -> None:
    assert time_pb.decode(b"\x0a\x01\x05" + protobuf.integer_field(2, 3)) == 3
    assert struct_pb2.Value.FromString(b"\x1d\x01\x02\x03\x04").WhichOneof("kind") is None
