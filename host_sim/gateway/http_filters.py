"""The chain of HTTP filters: the Wasm plugin, or Envoy's own filters in its place, for comparison."""

from __future__ import annotations

import enum
import json
from pathlib import Path
from typing import Any, Final

# These imports register the messages that `Any` fields hold.
from envoy.extensions.filters.http.ext_authz.v3 import ext_authz_pb2 as _ext_authz  # noqa: F401
from envoy.extensions.filters.http.json_to_metadata.v3 import json_to_metadata_pb2 as _json_to_metadata  # noqa: F401
from envoy.extensions.filters.http.ratelimit.v3 import rate_limit_pb2 as _rate_limit  # noqa: F401
from envoy.extensions.filters.http.router.v3 import router_pb2 as _router  # noqa: F401
from envoy.extensions.filters.http.wasm.v3 import wasm_pb2 as _wasm  # noqa: F401
from google.protobuf import wrappers_pb2 as _wrappers  # noqa: F401

from host_sim.gateway.routes import Json
from host_sim.kuadrant import Translation
from host_sim.kuadrant.plugin_configuration import AUTH_CLUSTER, AUTH_SERVICE, RATELIMIT_CLUSTER

PLUGIN_NAME: Final = "tallyman"

_TYPE: Final = "type.googleapis.com/envoy.extensions.filters.http"
_EXT_AUTHZ: Final = "envoy.filters.http.ext_authz"
_RATELIMIT: Final = "envoy.filters.http.ratelimit"
_USAGE_NAMESPACE: Final = "envoy.lb.usage"


class Pipeline(enum.StrEnum):
    """Who does what on a request's way through Envoy."""

    PLUGIN = "plugin"
    """The Wasm plugin makes all calls itself, as in Kuadrant."""
    EXT_AUTHZ = "ext_authz"
    """Envoy's ext_authz filter in front; the plugin finds the identity in its metadata, checks and reports."""
    NATIVE = "native"
    """Envoy's ext_authz and ratelimit filters, no plugin."""
    NONE = "none"
    """The router alone."""

    @property
    def needs_plugin(self) -> bool:
        return self in (Pipeline.PLUGIN, Pipeline.EXT_AUTHZ)


def http_filters(configuration: dict[str, Any], pipeline: Pipeline, wasm: Path | None) -> list[Json]:
    """The filters of one listener, in order.

    Raises `ValueError` if the pipeline has the plugin and `wasm` is None.
    """
    filters: list[Json] = []
    if pipeline in (Pipeline.EXT_AUTHZ, Pipeline.NATIVE):
        filters.append(_ext_authz_filter(configuration["services"][AUTH_SERVICE]))
    if pipeline is Pipeline.NATIVE:
        # Filters see the response in reverse order: the usage must be known before the rate limit filter reports it.
        filters.extend((_ratelimit_filter(), _usage_filter()))
    if pipeline.needs_plugin:
        if wasm is None:
            raise ValueError(f"found no Wasm module, expected one for the pipeline {pipeline.value}")
        own = without_auth(configuration) if pipeline is Pipeline.EXT_AUTHZ else configuration
        filters.append(_wasm_filter(own, wasm))
    filters.append({"name": "envoy.filters.http.router", "typed_config": {"@type": f"{_TYPE}.router.v3.Router"}})
    return filters


def without_auth(configuration: dict[str, Any]) -> dict[str, Any]:
    """The plugin's configuration less the auth actions, for a gateway where another filter has done that part."""
    action_sets = [
        {**item, "actions": [action for action in item["actions"] if action["service"] != AUTH_SERVICE]}
        for item in configuration["actionSets"]
    ]
    return {**configuration, "actionSets": [item for item in action_sets if item["actions"]]}


def route_filter_configs(translation: Translation, pipeline: Pipeline) -> dict[str, Json]:
    """`typed_per_filter_config` of the routes by path id: which AuthConfig, which rate limit domain."""
    configs: dict[str, Json] = {}
    if pipeline in (Pipeline.EXT_AUTHZ, Pipeline.NATIVE):
        known = {config["metadata"]["name"] for config in translation.auth_configs}
        for path in translation.paths:
            ext_authz: Json = {"@type": f"{_TYPE}.ext_authz.v3.ExtAuthzPerRoute"}
            if path.auth_scope in known:
                ext_authz["check_settings"] = {"context_extensions": {"host": path.auth_scope}}
            else:
                ext_authz["disabled"] = True
            configs[path.id] = {_EXT_AUTHZ: ext_authz}
    if pipeline is Pipeline.NATIVE:
        for path in translation.paths:
            per_route = {"@type": f"{_TYPE}.ratelimit.v3.RateLimitPerRoute", "domain": path.route.key}
            configs[path.id][_RATELIMIT] = per_route
    return configs


def native_rate_limits(translation: Translation) -> dict[str, list[Json]]:
    """`rate_limits` for Envoy's own filter by path id: once before the request, once when the response has ended.

    The descriptors are the plugin's: identifiers and counters of the limits in the first, metric labels in the second.
    Envoy's filter has no conditions, so every limit of a path meets every request, and what it adds at the end stands
    in the descriptors, where Limitador does not look: good for measuring what the calls cost, not for enforcing.
    """
    labels: dict[str, str] = translation.plugin_configuration.get("requestData", {})
    label_actions = [
        _identity(key.removeprefix("metrics.labels."), value) for key, value in labels.items() if _is_identity(value)
    ]
    result: dict[str, list[Json]] = {}
    for path in translation.paths:
        limits = [limit for limit in translation.limits if limit["namespace"] == path.route.key]
        if not limits:
            continue
        identifiers = dict.fromkeys(_quoted(limit["conditions"][0]) for limit in limits)
        counters = dict.fromkeys(_quoted(variable) for limit in limits for variable in limit["variables"])
        limit_actions = [_generic_key(identifier, "1") for identifier in identifiers]
        limit_actions.extend(_identity(counter, counter) for counter in counters if _is_identity(counter))
        descriptors: list[Json] = [{"actions": actions} for actions in (limit_actions, label_actions) if actions]
        usage = {"format": f"%DYNAMIC_METADATA({_USAGE_NAMESPACE}:total_tokens)%"}
        at_end = [{**item, "apply_on_stream_done": True, "hits_addend": usage} for item in descriptors]
        result[path.id] = descriptors + at_end
    return result


def _wasm_filter(configuration: dict[str, Any], wasm: Path) -> Json:
    return {
        "name": "envoy.filters.http.wasm",
        "typed_config": {
            "@type": f"{_TYPE}.wasm.v3.Wasm",
            "config": {
                "name": PLUGIN_NAME,
                "root_id": PLUGIN_NAME,
                "failure_policy": "FAIL_CLOSED",
                "vm_config": {
                    "vm_id": PLUGIN_NAME,
                    "runtime": "envoy.wasm.runtime.v8",
                    "code": {"local": {"filename": str(wasm)}},
                },
                "configuration": {
                    "@type": "type.googleapis.com/google.protobuf.StringValue",
                    "value": json.dumps(configuration),
                },
            },
        },
    }


def _ext_authz_filter(service: dict[str, str]) -> Json:
    return {
        "name": _EXT_AUTHZ,
        "typed_config": {
            "@type": f"{_TYPE}.ext_authz.v3.ExtAuthz",
            "transport_api_version": "V3",
            "failure_mode_allow": service["failureMode"] == "allow",
            "status_on_error": {"code": "InternalServerError"},
            "grpc_service": {"envoy_grpc": {"cluster_name": AUTH_CLUSTER}, "timeout": "0.2s"},
        },
    }


def _ratelimit_filter() -> Json:
    return {
        "name": _RATELIMIT,
        "typed_config": {
            "@type": f"{_TYPE}.ratelimit.v3.RateLimit",
            "domain": "tallyman",
            "timeout": "0.1s",
            "failure_mode_deny": False,
            "rate_limit_service": {
                "transport_api_version": "V3",
                "grpc_service": {"envoy_grpc": {"cluster_name": RATELIMIT_CLUSTER}},
            },
        },
    }


def _usage_filter() -> Json:
    metadata = {"metadata_namespace": _USAGE_NAMESPACE, "key": "total_tokens"}
    rule = {
        "selectors": [{"key": "usage"}, {"key": "total_tokens"}],
        "on_present": {**metadata, "type": "NUMBER"},
        "on_missing": {**metadata, "value": 0},
    }
    return {
        "name": "envoy.filters.http.json_to_metadata",
        "typed_config": {
            "@type": f"{_TYPE}.json_to_metadata.v3.JsonToMetadata",
            "response_rules": {"rules": [rule]},
        },
    }


def _generic_key(key: str, value: str) -> Json:
    return {"generic_key": {"descriptor_key": key, "descriptor_value": value}}


def _is_identity(expression: str) -> bool:
    """Whether `expression` is a plain path below `auth`, which is all that Envoy's metadata action can follow."""
    return expression.startswith("auth.") and all(step.isidentifier() for step in expression.split("."))


def _identity(key: str, expression: str) -> Json:
    """A descriptor entry from what ext_authz left behind: `auth.identity.userid` is `identity`, `userid` there."""
    path = [{"key": step} for step in expression.removeprefix("auth.").split(".")]
    return {"metadata": {"descriptor_key": key, "metadata_key": {"key": _EXT_AUTHZ, "path": path}}}


def _quoted(expression: str) -> str:
    """The key in `descriptors[0]["key"]`."""
    return expression.split('"')[1]
