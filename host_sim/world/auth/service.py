"""The authorization service without I/O: AuthConfigs by host, and a CheckRequest turned into a CheckResponse."""

import logging
import re
from collections.abc import Iterable, Mapping
from typing import Any, Final

from envoy.config.core.v3.base_pb2 import HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse, DeniedHttpResponse, OkHttpResponse
from google.protobuf.struct_pb2 import Struct
from google.rpc.status_pb2 import Status
from pydantic import ValidationError

from host_sim.world.auth.expressions import PolicyError
from host_sim.world.auth.pipeline import INVALID_ARGUMENT, NOT_FOUND, OK, Pipeline, Verdict, denied
from host_sim.world.auth.rules import AuthConfig, Secret

_log: Final = logging.getLogger(__name__)

HOST_EXTENSION: Final = "host"
"""Context extension that selects the AuthConfig, before the request's own host."""

REASON_HEADER: Final = "X-Ext-Auth-Reason"
_NOT_IN_HEADERS: Final = re.compile(r"[\x00-\x1f\x7f]")


class AuthService:
    """Answers authorization requests by the AuthConfigs it holds.

    Not bound to a thread or an event loop; :meth:`check` takes at most as long as its Rego policies may.
    """

    def __init__(self, configs: Iterable[AuthConfig] = (), secrets: Iterable[Mapping[str, Any]] = ()) -> None:
        """See :meth:`replace`."""
        self._by_host: dict[str, Pipeline] = {}
        self.refused: dict[str, str] = {}
        """Names of AuthConfigs that are not served, and why. Requests for their hosts are denied with 404."""
        self.replace(configs, secrets)

    def replace(self, configs: Iterable[AuthConfig], secrets: Iterable[Mapping[str, Any]]) -> None:
        """Serve *configs* and trust *secrets* (Kubernetes objects of kind Secret) from now on, instead of those before.

        An AuthConfig whose rules cannot be served is entered in :attr:`refused`; so is a host that is taken already.
        Raises ValueError for a malformed Secret, and then changes nothing.
        """
        trusted = [_secret(secret) for secret in secrets]
        by_host: dict[str, Pipeline] = {}
        refused: dict[str, str] = {}
        for config in configs:
            try:
                pipeline = Pipeline(config, trusted)
            except PolicyError as error:
                refused[config.name] = str(error)
                continue
            for host in config.hosts:
                if by_host.setdefault(host, pipeline) is not pipeline:
                    refused[config.name] = f"host {host} is protected by another AuthConfig already"
        for name, reason in refused.items():
            _log.error("AuthConfig %s is not served: %s", name, reason)
        self._by_host = by_host
        self.refused = refused

    def check(self, request: CheckRequest) -> CheckResponse:
        """The answer to ``envoy.service.auth.v3.Authorization/Check``."""
        attributes = request.attributes
        if not attributes.request.HasField("http"):
            return _response(denied(INVALID_ARGUMENT, "Invalid request"))
        extensions = attributes.context_extensions
        host = extensions.get(HOST_EXTENSION, attributes.request.http.host)
        pipeline = self._find(host) or self._find(host.partition(":")[0])
        if pipeline is None:
            return _response(denied(NOT_FOUND, "Service not found"))
        return _response(pipeline.evaluate(attributes))

    def _find(self, host: str) -> Pipeline | None:
        """The AuthConfig of *host* itself, or of the longest ``*.`` that covers it."""
        pipeline = self._by_host.get(host)
        rest = host
        while pipeline is None and rest:
            _label, _dot, rest = rest.partition(".")
            pipeline = self._by_host.get(f"*.{rest}" if rest else "*")
        return pipeline


def _secret(manifest: Mapping[str, Any]) -> Secret:
    try:
        return Secret.model_validate(manifest)
    except ValidationError as error:
        # The error would show what it found, which is a secret.
        problems = error.errors(include_url=False, include_context=False, include_input=False)
        name = (manifest.get("metadata") or {}).get("name")
        raise ValueError(f"Secret {name}: " + "; ".join(f"{_place(p['loc'])}{p['msg']}" for p in problems)) from None


def _place(location: tuple[int | str, ...]) -> str:
    return ".".join(map(str, location)) + ": " if location else ""


def _response(verdict: Verdict) -> CheckResponse:
    if verdict.code == OK:
        metadata = Struct()
        metadata.update(verdict.metadata)
        return CheckResponse(
            status=Status(code=OK),
            ok_response=OkHttpResponse(headers=_headers(verdict.headers)),
            dynamic_metadata=metadata,
        )
    response = CheckResponse(
        status=Status(code=verdict.code),
        denied_response=DeniedHttpResponse(
            headers=_headers([*verdict.headers, (REASON_HEADER, verdict.reason)]), body=verdict.body
        ),
    )
    # Envoy's enum has no names for all statuses a policy may give; on the wire it is a number.
    response.denied_response.status.code = verdict.http_status
    return response


def _headers(headers: Iterable[tuple[str, str]]) -> list[HeaderValueOption]:
    """Headers whose values may come from a request: what could end a line becomes a space."""
    options = []
    for name, value in headers:
        option = HeaderValueOption()
        option.header.key = name
        option.header.value = _NOT_IN_HEADERS.sub(" ", value)
        options.append(option)
    return options
