"""google.protobuf.Timestamp and Duration: both seconds (1) and nanoseconds (2). Values here are nanoseconds."""

from typing import Final

from tallyman.wire.protobuf import Reader, as_int32, as_signed, integer_field

_SECOND: Final = 1_000_000_000
_SECONDS: Final = 1 << 3
_NANOS: Final = 2 << 3


def encode_timestamp(nanoseconds: int) -> bytes:
    """`nanoseconds` since 1970 UTC. The field nanos counts forwards, also before 1970."""
    return integer_field(1, nanoseconds // _SECOND) + integer_field(2, nanoseconds % _SECOND)


def encode_duration(nanoseconds: int) -> bytes:
    """Both fields have the sign of the duration."""
    if nanoseconds < 0:
        return integer_field(1, -(-nanoseconds // _SECOND)) + integer_field(2, -(-nanoseconds % _SECOND))
    return encode_timestamp(nanoseconds)


def decode(message: bytes) -> int:
    """Either of them, in nanoseconds. Raises `WireError`."""
    seconds = nanos = 0
    reader = Reader(message)
    while reader.next():
        if reader.key == _SECONDS:
            seconds = as_signed(reader.integer)
        elif reader.key == _NANOS:
            nanos = as_int32(reader.integer)
    return seconds * _SECOND + nanos
