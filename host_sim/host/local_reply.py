"""Local replies as Envoy puts them together (`source/common/http/utility.cc`, `prepareLocalReply`)."""

from typing import Final
from urllib.parse import quote

from host_sim.host.contexts import LocalReply
from host_sim.host.headers import HeaderMap

_GRPC_STATUS: Final = {400: 13, 401: 16, 403: 7, 404: 12, 429: 14, 502: 14, 503: 14, 504: 14}
_GRPC_UNKNOWN: Final = 2
"""grpc/doc/http-grpc-status-mapping.md."""


def render(reply: LocalReply, request: HeaderMap | None) -> tuple[HeaderMap, bytes]:
    """Headers and body of the answer to `request`: for a gRPC request a trailers-only response, for HEAD no body."""
    headers = HeaderMap([(":status", str(reply.status))])
    for name, value in reply.headers.pairs():
        headers.add(name, value)
    content_type = (request.get(b"content-type") if request is not None else None) or b""
    if content_type == b"application/grpc" or content_type.startswith((b"application/grpc+", b"application/grpc;")):
        status = reply.grpc_status
        if status is None:
            status = _GRPC_STATUS.get(reply.status, _GRPC_UNKNOWN)
        headers.replace(b":status", b"200")
        headers.replace(b"content-type", b"application/grpc")
        headers.remove(b"content-length")
        headers.replace(b"grpc-status", str(status).encode())
        if reply.body:
            headers.replace(b"grpc-message", quote(reply.body, safe=" !\"#$&'()*+,-./:;<=>?@[]^_`{|}~").encode())
        return headers, b""
    if not reply.body:
        headers.remove(b"content-length")
        headers.remove(b"content-type")
        return headers, b""
    headers.replace(b"content-length", str(len(reply.body)).encode())
    if "content-type" not in headers:
        headers.add(b"content-type", b"text/plain")
    head = request is not None and request.get(b":method") == b"HEAD"
    return headers, b"" if head else reply.body
