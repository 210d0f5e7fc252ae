"""envoy.config.core.v3.HeaderValue and HeaderValueOption (envoy/config/core/v3/base.proto)."""

from typing import Final, final

from tallyman.wire.protobuf import LEN, VARINT, Reader, as_int32, text

APPEND_IF_EXISTS_OR_ADD: Final = 0
ADD_IF_ABSENT: Final = 1
OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
OVERWRITE_IF_EXISTS: Final = 3

_KEY: Final = 1 << 3 | LEN
_VALUE: Final = 2 << 3 | LEN
_RAW_VALUE: Final = 3 << 3 | LEN
_HEADER: Final = 1 << 3 | LEN
_APPEND: Final = 2 << 3 | LEN
_APPEND_ACTION: Final = 3 << 3 | VARINT
_BOOL: Final = 1 << 3 | VARINT


@final
class HeaderOption:
    """A header and how it meets one of the same name. `append` is the older field, None where it is not set."""

    def __init__(self, name: str, value: bytes, append_action: int, append: bool | None) -> None:
        self.name = name
        self.value = value
        self.append_action = append_action
        self.append = append


def decode_header(message: bytes) -> tuple[str, bytes]:
    """A HeaderValue: its key, and its `raw_value` or else its `value`. Raises `WireError`."""
    name = ""
    value = raw_value = b""
    reader = Reader(message)
    while reader.next():
        if reader.key == _KEY:
            name = text(reader.payload)
        elif reader.key == _VALUE:
            text(reader.payload)
            value = reader.payload
        elif reader.key == _RAW_VALUE:
            raw_value = reader.payload
    return name, raw_value or value


def decode_header_option(message: bytes) -> HeaderOption:
    """A HeaderValueOption. Raises `WireError`."""
    header = b""
    action = 0
    append: bool | None = None
    reader = Reader(message)
    while reader.next():
        if reader.key == _HEADER:
            header += reader.payload
        elif reader.key == _APPEND_ACTION:
            action = as_int32(reader.integer)
        elif reader.key == _APPEND:
            append = append or False
            wrapped = Reader(reader.payload)
            while wrapped.next():
                if wrapped.key == _BOOL:
                    append = wrapped.integer != 0
    name, value = decode_header(header)
    return HeaderOption(name, value, action, append)
