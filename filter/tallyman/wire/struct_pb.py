"""google.protobuf.Struct (google/protobuf/struct.proto) as Python values: dict, list, str, float, bool and None."""

from struct import pack, unpack
from typing import Final

from tallyman.wire.protobuf import (
    I64,
    LEN,
    VARINT,
    Reader,
    WireError,
    message_field,
    text,
    text_field,
)

DEEPEST: Final = 50
"""Structs and lists inside each other; protobuf's own libraries stop after a hundred messages: 33 structs, 49 lists."""

_FIELDS: Final = 1 << 3 | LEN  # Struct
_KEY: Final = 1 << 3 | LEN  # Struct.FieldsEntry
_VALUE: Final = 2 << 3 | LEN
_NULL: Final = 1 << 3 | VARINT  # Value
_NUMBER: Final = 2 << 3 | I64
_STRING: Final = 3 << 3 | LEN
_BOOL: Final = 4 << 3 | VARINT
_STRUCT: Final = 5 << 3 | LEN
_LIST: Final = 6 << 3 | LEN
_VALUES: Final = 1 << 3 | LEN  # ListValue

_NULL_VALUE: Final = b"\x08\x00"
_TRUE: Final = b"\x20\x01"
_FALSE: Final = b"\x20\x00"


def encode_struct(fields: dict[str, object]) -> bytes:
    """A Struct. Integers become floats, as JSON numbers do. Raises `WireError` for values a Struct cannot hold."""
    return _encode_struct(fields, 0)


def encode_value(value: object) -> bytes:
    """A Value. Raises `WireError`."""
    return _encode_value(value, 0)


def _encode_struct(fields: dict[str, object], depth: int) -> bytes:
    out: list[bytes] = []
    for key, value in fields.items():
        out.append(message_field(1, text_field(1, key) + message_field(2, _encode_value(value, depth))))
    return b"".join(out)


def _encode_value(value: object, depth: int) -> bytes:
    if value is None:
        return _NULL_VALUE
    if isinstance(value, str):
        return message_field(3, value.encode("utf-8", "replace"))
    if isinstance(value, bool):
        return _TRUE if value else _FALSE
    if isinstance(value, (int, float)):
        try:
            return b"\x11" + pack("<d", float(value))
        except OverflowError:
            raise WireError("an integer is too big for a double") from None
    if depth == DEEPEST:
        raise WireError(f"structs and lists are nested more than {DEEPEST} deep")
    if isinstance(value, dict):
        return message_field(5, _encode_struct(value, depth + 1))
    if isinstance(value, list):
        return message_field(6, b"".join([message_field(1, _encode_value(item, depth + 1)) for item in value]))
    raise WireError(f"a struct holds text, numbers, booleans, null, lists and maps, not {type(value).__name__}")


def decode_struct(message: bytes) -> dict[str, object]:
    """Raises `WireError`, also for one that is nested more than `DEEPEST` deep."""
    return _decode_struct(message, 0)


def decode_value(message: bytes) -> object:
    """Raises `WireError`."""
    return _decode_value(message, 0)


def _decode_struct(message: bytes, depth: int) -> dict[str, object]:
    fields: dict[str, object] = {}
    reader = Reader(message)
    while reader.next():
        if reader.key == _FIELDS:
            key = ""
            value = b""
            entry = Reader(reader.payload)
            while entry.next():
                if entry.key == _KEY:
                    key = text(entry.payload)
                elif entry.key == _VALUE:
                    value += entry.payload
            fields[key] = _decode_value(value, depth)
    return fields


def _decode_value(message: bytes, depth: int) -> object:
    """The last kind that is set counts (a oneof); a Value without any is null."""
    value: object = None
    kind = 0
    nested = b""
    reader = Reader(message)
    while reader.next():
        key = reader.key
        if key == _STRING:
            value = text(reader.payload)
        elif key == _NUMBER:
            value = _double(reader.payload)
        elif key == _BOOL:
            value = reader.integer != 0
        elif key == _NULL:
            value = None
        elif key in (_STRUCT, _LIST):
            nested = nested + reader.payload if kind == key else reader.payload
        else:
            continue
        kind = key
    if kind not in (_STRUCT, _LIST):
        return value
    if depth == DEEPEST:
        raise WireError(f"structs and lists are nested more than {DEEPEST} deep")
    if kind == _STRUCT:
        return _decode_struct(nested, depth + 1)
    return _decode_list(nested, depth + 1)


def _decode_list(message: bytes, depth: int) -> list[object]:
    values: list[object] = []
    reader = Reader(message)
    while reader.next():
        if reader.key == _VALUES:
            values.append(_decode_value(reader.payload, depth))
    return values


def _double(payload: bytes) -> float:
    number: float = unpack("<d", payload)[0]
    return number
