"""Names and numbers of the Proxy-Wasm ABI (spec: proxy-wasm/spec, abi-versions/v0.2.1) and Envoy's limits on it."""

from enum import Enum, IntEnum
from typing import Final


class AbiVersion(Enum):
    """ABI versions a module can declare, by the function it exports to declare it."""

    V0_1_0 = "proxy_abi_version_0_1_0"
    V0_2_0 = "proxy_abi_version_0_2_0"
    V0_2_1 = "proxy_abi_version_0_2_1"


class Status(IntEnum):
    """`proxy_status_t`: what a host function returns. Numbers 8 and 9 are only used by hosts (shared data)."""

    OK = 0
    NOT_FOUND = 1
    BAD_ARGUMENT = 2
    SERIALIZATION_FAILURE = 3
    PARSE_FAILURE = 4
    BAD_EXPRESSION = 5
    INVALID_MEMORY_ACCESS = 6
    EMPTY = 7
    CAS_MISMATCH = 8
    RESULT_MISMATCH = 9
    INTERNAL_FAILURE = 10
    BROKEN_CONNECTION = 11
    UNIMPLEMENTED = 12


class LogLevel(IntEnum):
    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    CRITICAL = 5


class MapType(IntEnum):
    HTTP_REQUEST_HEADERS = 0
    HTTP_REQUEST_TRAILERS = 1
    HTTP_RESPONSE_HEADERS = 2
    HTTP_RESPONSE_TRAILERS = 3
    GRPC_RECEIVE_INITIAL_METADATA = 4
    GRPC_RECEIVE_TRAILING_METADATA = 5
    HTTP_CALL_RESPONSE_HEADERS = 6
    HTTP_CALL_RESPONSE_TRAILERS = 7


class BufferType(IntEnum):
    HTTP_REQUEST_BODY = 0
    HTTP_RESPONSE_BODY = 1
    DOWNSTREAM_DATA = 2
    UPSTREAM_DATA = 3
    HTTP_CALL_RESPONSE_BODY = 4
    GRPC_RECEIVE_BUFFER = 5
    VM_CONFIGURATION = 6
    PLUGIN_CONFIGURATION = 7
    CALL_DATA = 8


class StreamType(IntEnum):
    HTTP_REQUEST = 0
    HTTP_RESPONSE = 1
    DOWNSTREAM = 2
    UPSTREAM = 3


class MetricType(IntEnum):
    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class Action(IntEnum):
    """What a stream callback asks for. Envoy knows more values; `host.flow` maps them to these two."""

    CONTINUE = 0
    PAUSE = 1


class FailurePolicy(Enum):
    """What becomes of streams once the VM has failed (`envoy.extensions.wasm.v3.FailurePolicy`)."""

    FAIL_CLOSED = "FAIL_CLOSED"
    FAIL_OPEN = "FAIL_OPEN"
    FAIL_RELOAD = "FAIL_RELOAD"


class WasiErrno(IntEnum):
    SUCCESS = 0
    BADF = 8
    NOTDIR = 20  # as Envoy has it; in WASI itself it is 54
    FAULT = 21
    INVAL = 28
    NOENT = 44
    NOSYS = 52
    NOTSUP = 58


MAX_PAIRS: Final = 1024
MAX_PAIRS_BYTES: Final = 1024 * 1024
MAX_RANDOM_BYTES: Final = 64 * 1024
MAX_MEMORY_BYTES: Final = 1024 * 1024 * 1024

Pairs = list[tuple[bytes, bytes]]
"""Header-like pairs as they cross the ABI: names and values are bytes, order and duplicates are kept."""
