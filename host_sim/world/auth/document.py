"""The authorization JSON: what policies see of a request, in the shape and under the names of Authorino.

Source: Authorino ``docs/architecture.md`` ("The Authorization JSON") and ``pkg/service/well_known_attributes.go``.
Members that are empty are left out, as Go's encoder does.
"""

import base64
from typing import Any
from urllib.parse import urlsplit

from envoy.service.auth.v3.attribute_context_pb2 import AttributeContext
from google.protobuf.json_format import MessageToDict


def authorization_json(attributes: AttributeContext) -> dict[str, Any]:
    """The document for one request before anything is decided: ``auth`` holds no identity yet."""
    http = _http(attributes.request.http)
    time = {"seconds": attributes.request.time.seconds, "nanos": attributes.request.time.nanos}
    known = _without_empty({"time": _without_empty(time)})
    source, destination = _peer(attributes.source), _peer(attributes.destination)
    metadata = MessageToDict(attributes.metadata_context, preserving_proto_field_name=True)
    extensions = dict(attributes.context_extensions)
    context = {
        "source": _without_empty(source | {"address": _go_address(attributes.source)}),
        "destination": _without_empty(destination | {"address": _go_address(attributes.destination)}),
        "request": known | {"http": http},
        "context_extensions": extensions,
        "metadata_context": metadata,
    }
    path = _split_target(attributes.request.http.path)
    request = {
        **known,
        **http,
        "url_path": path[0],
        "query": path[1],
        "referer": http.get("headers", {}).get("referer", ""),
        "user_agent": http.get("headers", {}).get("user-agent", ""),
        "grpc": _grpc(http.get("headers", {}), path[0]),
        "context_extensions": extensions,
    }
    return {
        "context": _without_empty(context),
        **_without_empty({"metadata": metadata}),
        "request": _without_empty(request),
        "source": _without_empty(source),
        "destination": _without_empty(destination),
        "auth": {},
    }


def _http(http: AttributeContext.HttpRequest) -> dict[str, Any]:
    return _without_empty(
        {
            "id": http.id,
            "method": http.method,
            "headers": dict(http.headers),
            "path": http.path,
            "host": http.host,
            "scheme": http.scheme,
            "query": http.query,
            "fragment": http.fragment,
            "size": http.size,
            "protocol": http.protocol,
            "body": http.body,
            "raw_body": base64.b64encode(http.raw_body).decode(),
        }
    )


def _peer(peer: AttributeContext.Peer) -> dict[str, Any]:
    socket = peer.address.socket_address
    return {
        "address": socket.address,
        "port": socket.port_value,
        "service": peer.service,
        "labels": dict(peer.labels),
        "principal": peer.principal,
    }


def _go_address(peer: AttributeContext.Peer) -> dict[str, Any]:
    """An address as Go's encoder shows Envoy's oneofs."""
    socket = peer.address.socket_address
    if not socket.address:
        return {}
    address = {"address": socket.address, "PortSpecifier": {"PortValue": socket.port_value}}
    return {"Address": {"SocketAddress": address}}


def _split_target(path: str) -> tuple[str, str]:
    """Path and query of a request target; both empty if it is none."""
    try:
        parts = urlsplit(path)
    except ValueError:
        return "", ""
    return parts.path, parts.query


def _grpc(headers: dict[str, str], path: str) -> dict[str, str]:
    """Service and method of a gRPC request."""
    parts = path.split("/")
    if not headers.get("content-type", "").startswith("application/grpc") or len(parts) != 3 or parts[0]:
        return {}
    return {"service": parts[1], "method": parts[2]} if parts[1] and parts[2] else {}


def _without_empty(members: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in members.items() if value}
