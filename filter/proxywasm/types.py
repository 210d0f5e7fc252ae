"""Constants of Proxy-Wasm ABI 0.2.1, with the values of its specification (section "Types")."""

from enum import IntEnum


class Status(IntEnum):
    """`proxy_status_t`: what a host function answers."""

    OK = 0
    NOT_FOUND = 1
    BAD_ARGUMENT = 2
    SERIALIZATION_FAILURE = 3
    PARSE_FAILURE = 4
    INVALID_MEMORY_ACCESS = 6
    EMPTY = 7
    CAS_MISMATCH = 8
    INTERNAL_FAILURE = 10
    UNIMPLEMENTED = 12


class Action(IntEnum):
    """`proxy_action_t`: what a stream callback wants the host to do next."""

    CONTINUE = 0
    PAUSE = 1


class LogLevel(IntEnum):
    """`proxy_log_level_t`."""

    TRACE = 0
    DEBUG = 1
    INFO = 2
    WARN = 3
    ERROR = 4
    CRITICAL = 5


class BufferType(IntEnum):
    """`proxy_buffer_type_t`."""

    HTTP_REQUEST_BODY = 0
    HTTP_RESPONSE_BODY = 1
    DOWNSTREAM_DATA = 2
    UPSTREAM_DATA = 3
    HTTP_CALL_RESPONSE_BODY = 4
    GRPC_CALL_MESSAGE = 5
    VM_CONFIGURATION = 6
    PLUGIN_CONFIGURATION = 7
    FOREIGN_FUNCTION_ARGUMENTS = 8


class MapType(IntEnum):
    """`proxy_map_type_t`."""

    HTTP_REQUEST_HEADERS = 0
    HTTP_REQUEST_TRAILERS = 1
    HTTP_RESPONSE_HEADERS = 2
    HTTP_RESPONSE_TRAILERS = 3
    GRPC_CALL_INITIAL_METADATA = 4
    GRPC_CALL_TRAILING_METADATA = 5
    HTTP_CALL_RESPONSE_HEADERS = 6
    HTTP_CALL_RESPONSE_TRAILERS = 7


class StreamType(IntEnum):
    """`proxy_stream_type_t`."""

    HTTP_REQUEST = 0
    HTTP_RESPONSE = 1
    DOWNSTREAM = 2
    UPSTREAM = 3


class PeerType(IntEnum):
    """`proxy_peer_type_t`: who closed a TCP connection."""

    UNKNOWN = 0
    LOCAL = 1
    REMOTE = 2


class MetricType(IntEnum):
    """`proxy_metric_type_t`."""

    COUNTER = 0
    GAUGE = 1
    HISTOGRAM = 2


class GrpcStatus(IntEnum):
    """Status codes of gRPC (grpc/grpc `doc/statuscodes.md`)."""

    OK = 0
    CANCELLED = 1
    UNKNOWN = 2
    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    ALREADY_EXISTS = 6
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    FAILED_PRECONDITION = 9
    ABORTED = 10
    OUT_OF_RANGE = 11
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    DATA_LOSS = 15
    UNAUTHENTICATED = 16


class HostError(Exception):
    """A host function refused: the one exception of the SDK.

    `status` is the `proxy_status_t` it answered (an `int` when the host uses a value outside the specification),
    `function` its ABI name, such as `proxy_set_shared_data`.
    """

    def __init__(self, status: int, function: str) -> None:
        try:
            self.status: int = Status(status)
            name = Status(status).name
        except ValueError:
            self.status = status
            name = "unknown status"
        self.function = function
        super().__init__(f"{function} answered {name} ({int(status)})")
