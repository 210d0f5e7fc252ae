"""What a scenario holds: a plugin in some guest, its streams, and its calls to services as typed messages."""

import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

import grpc
from envoy.config.core.v3.base_pb2 import HeaderValue, HeaderValueOption
from envoy.service.auth.v3.external_auth_pb2 import CheckRequest, CheckResponse
from envoy.service.ratelimit.v3.rls_pb2 import RateLimitRequest, RateLimitResponse
from google.protobuf.json_format import ParseDict
from google.protobuf.struct_pb2 import Struct

from host_sim.host import Action, GrpcCallout, Host, HttpStream, Outcome, Plugin, VirtualClock

CLUSTERS: Final = ("kuadrant-auth-service", "kuadrant-ratelimit-service", "my-limiter")
UNKNOWN_CLUSTER: Final = "no-such-service"
SEPARATOR: Final = "\x1f"
Headers = Iterable[tuple[str | bytes, str | bytes]]

CHAT: Final = [
    (":method", "POST"),
    (":scheme", "http"),
    (":authority", "llm.example.com"),
    (":path", "/v1/chat/completions"),
    ("content-type", "application/json"),
]
JSON_OK: Final = [(":status", "200"), ("content-type", "application/json")]
EVENTS_OK: Final = [(":status", "200"), ("content-type", "text/event-stream")]


def completion(total: object = 30, prompt: object = 10, output: object = 20, **members: object) -> bytes:
    """A chat completion with this usage."""
    usage = {"prompt_tokens": prompt, "completion_tokens": output, "total_tokens": total}
    choices = [{"index": 0, "message": {"role": "assistant", "content": 'Größe → "usage": {}'}}]
    return json.dumps({"id": "x", "model": "llama", "choices": choices, "usage": usage, **members}).encode()


class Call:
    """A call to a service that waits for its answer."""

    def __init__(self, callout: GrpcCallout) -> None:
        self.callout = callout
        self.method = f"{callout.service}/{callout.method}"

    @property
    def check(self) -> CheckRequest:
        assert self.method == "envoy.service.auth.v3.Authorization/Check"
        return CheckRequest.FromString(self.callout.message)

    @property
    def limits(self) -> RateLimitRequest:
        assert self.method.rpartition("/")[2] in ("ShouldRateLimit", "CheckRateLimit", "Report")
        return RateLimitRequest.FromString(self.callout.message)

    @property
    def entries(self) -> list[dict[str, str]]:
        """The descriptors of a rate-limit request."""
        return [{entry.key: entry.value for entry in item.entries} for item in self.limits.descriptors]

    def code(self, code: int, headers: Mapping[str, str] | None = None) -> None:
        """Answer a rate-limit request with an overall code."""
        response = RateLimitResponse(overall_code=code)
        for key, value in (headers or {}).items():
            response.response_headers_to_add.append(HeaderValue(key=key, value=value))
        self.callout.reply(response.SerializeToString())

    def ok(self, headers: Mapping[str, str] | None = None) -> None:
        self.code(RateLimitResponse.OK, headers)

    def over_limit(self, headers: Mapping[str, str] | None = None) -> None:
        self.code(RateLimitResponse.OVER_LIMIT, headers)

    def allow(
        self, metadata: Mapping[str, Any] | None = None, headers: Mapping[str, str] | None = None, **fields: Any
    ) -> None:
        """Answer an auth request: let it pass. `fields` are further ones of OkHttpResponse."""
        response = CheckResponse()
        ParseDict({"ok_response": fields}, response)
        response.ok_response.headers.extend(_options(headers))
        if metadata is not None:
            response.dynamic_metadata.CopyFrom(ParseDict(dict(metadata), Struct()))
        self.callout.reply(response.SerializeToString())

    def deny(self, status: int = 0, body: str = "", headers: Mapping[str, str] | None = None) -> None:
        response = CheckResponse()
        response.denied_response.body = body
        response.denied_response.status.code = status
        response.denied_response.headers.extend(_options(headers))
        self.callout.reply(response.SerializeToString())

    def raw(self, message: bytes) -> None:
        self.callout.reply(message)

    def fail(self, status: grpc.StatusCode = grpc.StatusCode.UNAVAILABLE, detail: str = "no healthy upstream") -> None:
        self.callout.fail(status.value[0], detail)


def _options(headers: Mapping[str, str] | None) -> list[HeaderValueOption]:
    return [HeaderValueOption(header=HeaderValue(key=key, value=value)) for key, value in (headers or {}).items()]


@dataclass(frozen=True)
class Reply:
    """A local reply as the client gets it."""

    status: int
    body: str
    details: str
    headers: list[tuple[str, str]]


class Exchange:
    """A request and its response through the plugin."""

    def __init__(self, proxy: "Proxy", stream: HttpStream) -> None:
        self.stream = stream
        self._proxy = proxy

    def request(self, headers: Headers = CHAT, *, body: bytes = b"{}", extra: Headers = ()) -> Outcome:
        """Send the request, whole. `extra` headers come on top."""
        outcome = self.stream.request_headers([*headers, *extra], end_of_stream=not body)
        if body:
            self.stream.request_body(body, end_of_stream=True)
        return outcome

    def response(self, headers: Headers = JSON_OK, body: bytes | list[bytes] = b"", *, end: bool = True) -> None:
        """The upstream answers with these chunks; without `end` it may go on."""
        chunks = [body] if isinstance(body, bytes) else body
        chunks = [chunk for chunk in chunks if chunk]
        outcome = self.stream.response_headers(headers, end_of_stream=end and not chunks)
        assert outcome.action is Action.CONTINUE
        for index, chunk in enumerate(chunks):
            passed = self.stream.response_body(chunk, end_of_stream=end and index == len(chunks) - 1)
            assert passed.passed.body == chunk, "the response must not be held back or changed"

    @property
    def passed(self) -> bool:
        """The request has gone on to the upstream."""
        return self.stream.request.passed_headers

    @property
    def reply(self) -> Reply | None:
        reply = self.stream.local_reply
        if reply is None:
            return None
        return Reply(reply.status, reply.body.decode(), reply.details, reply.headers.items())

    @property
    def upstream_headers(self) -> list[tuple[str, str]]:
        assert self.stream.request.headers is not None
        return self.stream.request.headers.items()

    @property
    def client_headers(self) -> list[tuple[str, str]]:
        """Response headers as the client gets them."""
        assert self.stream.response.headers is not None
        return self.stream.response.headers.items()

    def close(self) -> None:
        """The stream is over, complete or not."""
        self.stream.close()


class Proxy:
    """A host with the filter's plugins."""

    def __init__(self, host: Host, clock: VirtualClock) -> None:
        self.host = host
        self.clock = clock
        self.plugins: list[Plugin] = []
        self._transcript: list[object] = []

    def load(self, configuration: Mapping[str, Any] | bytes, name: str = "tallyman") -> Plugin:
        """Start a plugin, in the VM of those before. Raises ConfigurationRefused."""
        text = configuration if isinstance(configuration, bytes) else json.dumps(configuration).encode()
        plugin = self.host.load(text, name=name, vm_id="tallyman")
        plugin.on_callout = self._record(name)
        self.plugins.append(plugin)
        return plugin

    def open(self, plugin: Plugin | None = None, **properties: Any) -> Exchange:
        """A stream through a plugin, by default the latest. Properties: `source_address="..."` is `source.address`."""
        given = {"source.address": "10.0.0.1:4711", **properties.pop("attributes", {})}
        return Exchange(self, (plugin or self.plugins[-1]).stream(properties=given))

    @property
    def calls(self) -> list[Call]:
        """All calls without an answer, oldest first."""
        return [
            Call(callout) for plugin in self.plugins for callout in plugin.callouts if isinstance(callout, GrpcCallout)
        ]

    def call(self, method: str) -> Call:
        """The one call that waits for an answer; its method must be this."""
        (call,) = self.calls
        assert call.method.endswith(f"/{method}"), call.method
        return call

    def metric(self, name: str, **labels: str) -> int:
        """The sum of all counters of this name with these labels."""
        total = 0
        for metric in self.host.metrics:
            base, *pairs = metric.name.rstrip(SEPARATOR).split(SEPARATOR)
            found = dict(pair.split("=", 1) for pair in pairs)
            if base == name and labels.items() <= found.items():
                total += metric.value
        return total

    def decisions(self) -> dict[str, int]:
        """`tallyman_requests_total` by decision."""
        known = ("allowed", "denied", "limited", "error", "aborted")
        return {name: count for name in known if (count := self.metric("tallyman_requests_total", decision=name))}

    @property
    def logs(self) -> list[str]:
        return [f"{record.level.name}: {record.text}" for plugin in self.plugins for record in plugin.logs]

    def warned(self, text: str) -> bool:
        return any(line.startswith("WARN") and text in line for line in self.logs)

    def transcript(self) -> object:
        """Everything that could be seen from outside, to be compared between guests."""
        metrics = sorted((metric.name, metric.value) for metric in self.host.metrics)
        return [*self._transcript, metrics, self.logs]

    def _record(self, name: str) -> Callable[[Any], None]:
        def record(callout: Any) -> None:
            self._transcript.append((name, callout.cluster, callout.service, callout.method, callout.timeout))
            self._transcript.append(callout.message)

        return record
