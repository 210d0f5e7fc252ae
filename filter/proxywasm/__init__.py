"""Proxy-Wasm ABI 0.2.1 for Python: write an Envoy filter as classes, compile it to one Wasm module.

Subclass `RootContext` and `HttpContext` (or `TcpContext`) and `register` the root context.
"""

from proxywasm.callouts import GrpcReply, GrpcStream, HttpReply, UnaryCall, grpc_service
from proxywasm.context import Context, HttpContext, RootContext, StreamContext, TcpContext
from proxywasm.dispatch import register
from proxywasm.log import get_log_level, log
from proxywasm.metrics import Counter, Gauge, Histogram
from proxywasm.properties import as_bool, as_float, as_int, as_text, property_path
from proxywasm.shared import SharedQueue, get_shared, set_shared, update_shared
from proxywasm.types import (
    Action,
    BufferType,
    GrpcStatus,
    HostError,
    LogLevel,
    MapType,
    MetricType,
    PeerType,
    Status,
    StreamType,
)
from proxywasm.views import Buffer, HeaderMap

__all__ = [
    "Action",
    "Buffer",
    "BufferType",
    "Context",
    "Counter",
    "Gauge",
    "GrpcReply",
    "GrpcStatus",
    "GrpcStream",
    "HeaderMap",
    "Histogram",
    "HostError",
    "HttpContext",
    "HttpReply",
    "LogLevel",
    "MapType",
    "MetricType",
    "PeerType",
    "RootContext",
    "SharedQueue",
    "Status",
    "StreamContext",
    "StreamType",
    "TcpContext",
    "UnaryCall",
    "as_bool",
    "as_float",
    "as_int",
    "as_text",
    "get_log_level",
    "get_shared",
    "grpc_service",
    "log",
    "property_path",
    "register",
    "set_shared",
    "update_shared",
]
