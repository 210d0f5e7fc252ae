"""Protobuf's wire format (protobuf.dev/programming-guides/encoding): what every message here is made of.

A message is the concatenation of its fields, and concatenating two encodings of a message merges them. So fields that
never change are encoded once and joined with those that do.
"""

from typing import Final, final

VARINT: Final = 0
I64: Final = 1
LEN: Final = 2
GROUP: Final = 3
GROUP_END: Final = 4
I32: Final = 5

DEEPEST: Final = 100
"""Groups, or messages of a recursive type, inside each other; protobuf's own libraries have the same limit."""

_ONE_BYTE: Final = [bytes([value]) for value in range(128)]


class WireError(ValueError):
    """Bytes that are no such message, or a value that no such message can hold."""


def varint(value: int) -> bytes:
    """`value` is 0 to 2^64 - 1."""
    if 0 <= value < 128:
        return _ONE_BYTE[value]
    if not 0 <= value < 1 << 64:
        raise WireError(f"{value} is no 64-bit unsigned integer")
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    out.append(value)
    return bytes(out)


def signed(value: int) -> bytes:
    """int32, int64 and enums: two's complement in 64 bits."""
    if not -(1 << 63) <= value < 1 << 63:
        raise WireError(f"{value} is no 64-bit integer")
    return varint(value & (1 << 64) - 1)


def tag(number: int, wire_type: int) -> bytes:
    return _ONE_BYTE[number << 3 | wire_type] if number < 16 else varint(number << 3 | wire_type)


def integer_field(number: int, value: int) -> bytes:
    """Nothing for 0, as proto3 has it."""
    return tag(number, VARINT) + signed(value) if value else b""


def message_field(number: int, message: bytes) -> bytes:
    """A sub-message; one without fields is written too, for its presence tells something."""
    return tag(number, LEN) + varint(len(message)) + message


def bytes_field(number: int, value: bytes) -> bytes:
    """Nothing for `b""`, as proto3 has it."""
    return message_field(number, value) if value else b""


def text_field(number: int, value: str) -> bytes:
    """Nothing for `""`. What UTF-8 cannot hold (lone surrogates, out of JSON) becomes `?`."""
    return message_field(number, value.encode("utf-8", "replace")) if value else b""


def text(payload: bytes) -> str:
    """Decodes a `string`. Raises `WireError` where it is not UTF-8, as proto3 demands."""
    try:
        return payload.decode()
    except UnicodeDecodeError as error:
        raise WireError(f"a string is not UTF-8: {error}") from None


@final
class Reader:
    """Goes through the fields of a message: `while reader.next(): ...`.

    `key` is the field's number and wire type (`number << 3 | wire_type`), so a field of another wire type than expected
    goes by as unknown. `integer` is the value of a VARINT, unsigned; `payload` that of LEN, I64 and I32. Groups are
    passed over. `next` raises `WireError` for anything that is no message.
    """

    def __init__(self, message: bytes) -> None:
        self._message: bytes = message
        self._at: int = 0
        self.key: int = 0
        self.integer: int = 0
        self.payload: bytes = b""

    def next(self) -> bool:
        while self._at < len(self._message):
            key = self._read_key()
            wire_type = key & 7
            if wire_type == GROUP:
                self._skip_group(key >> 3)
                continue
            if wire_type == GROUP_END:
                raise WireError(f"group {key >> 3} ends at byte {self._at} without a beginning")
            self._read_value(wire_type)
            self.key = key
            return True
        return False

    def _read_key(self) -> int:
        start = self._at
        key = self._read_varint()
        if self._at - start > 5 or not 8 <= key < 1 << 32:
            raise WireError(f"byte {start} begins no field")
        return key

    def _read_value(self, wire_type: int) -> None:
        if wire_type == VARINT:
            self.integer = self._read_varint()
            return
        if wire_type == LEN:
            size = self._read_varint()
        elif wire_type == I64:
            size = 8
        elif wire_type == I32:
            size = 4
        else:
            raise WireError(f"wire type {wire_type} at byte {self._at}, expected 0 to 5")
        end = self._at + size
        if end > len(self._message):
            raise WireError(f"a field of {size} bytes at byte {self._at} of {len(self._message)} runs over the end")
        self.payload = self._message[self._at : end]
        self._at = end

    def _read_varint(self) -> int:
        message = self._message
        at = self._at
        value = 0
        shift = 0
        while at < len(message):
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            if byte < 128:
                if shift == 63 and byte > 1:
                    break
                self._at = at
                return value
            shift += 7
            if shift > 63:
                break
        raise WireError(f"the integer at byte {self._at} does not end within the message and 64 bits")

    def _skip_group(self, number: int) -> None:
        """Iterative, so that nesting costs no stack."""
        open_groups = [number]
        while open_groups:
            key = self._read_key()
            wire_type = key & 7
            if wire_type == GROUP:
                if len(open_groups) == DEEPEST:
                    raise WireError(f"groups are nested more than {DEEPEST} deep")
                open_groups.append(key >> 3)
            elif wire_type == GROUP_END:
                if open_groups.pop() != key >> 3:
                    raise WireError(f"group {key >> 3} ends at byte {self._at} inside another one")
            else:
                self._read_value(wire_type)


def as_signed(value: int) -> int:
    """An `int64` out of `Reader.integer`."""
    return value - (1 << 64) if value >= 1 << 63 else value


def as_int32(value: int) -> int:
    """An `int32` or enum out of `Reader.integer`: its low 32 bits."""
    value &= (1 << 32) - 1
    return value - (1 << 32) if value >= 1 << 31 else value
