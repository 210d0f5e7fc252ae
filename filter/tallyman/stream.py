"""One HTTP stream: auth and checks before the request goes on, usage and reports after the response."""

from typing import Final, final

from proxywasm import Action, GrpcReply, HostError, HttpContext, StreamType
from proxywasm.pairs import Pairs

from tallyman.attributes import StreamAttributes
from tallyman.cel.errors import CelError
from tallyman.config.configuration import AUTH, Service
from tallyman.plugin_state import PluginState
from tallyman.policy.blueprint import MODEL_POINTER, CompiledActionSet, Step
from tallyman.policy.hosts import normalize_host
from tallyman.policy.predicates import Verdicts
from tallyman.policy.rate_limit import RateLimitAction
from tallyman.services import METHODS, status_name
from tallyman.usage.body import ResponseBody
from tallyman.wire import ext_authz, ratelimit
from tallyman.wire.protobuf import WireError

_TOO_MANY_REQUESTS: Final = b"Too Many Requests\n"
_INTERNAL_ERROR: Final = b"Internal Server Error.\n"

_CONTINUE: Final = Action.CONTINUE
_PAUSE: Final = Action.PAUSE


@final
class Stream(HttpContext):
    """Keeps the configuration it began with, whatever is configured meanwhile."""

    def __init__(self, context_id: int, state: PluginState) -> None:
        super().__init__(context_id, state.root)
        self._state = state
        self._attributes: StreamAttributes | None = None
        self._verdicts: Verdicts | None = None
        self._set: CompiledActionSet | None = None
        self._next_step = 0
        self._waiting = False
        self._answered = False
        self._response_headers: Pairs = []
        self._body: ResponseBody | None = None
        self._status = 0

    # the request

    def on_request_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        state = self._state
        authority = self.request_headers.get(":authority") or ""
        candidates = state.blueprint.hosts.find(normalize_host(authority))
        if not candidates:
            state.metrics.misses.increment()
            return _CONTINUE
        attributes = StreamAttributes(state.sources, self)
        attributes.put(state.host_slot, authority)
        verdicts = Verdicts(state.blueprint.table)
        for candidate in candidates:
            try:
                chosen = candidate.predicates.holds(verdicts, attributes)
            except CelError as error:
                state.warnings.warn(f"action set {candidate.name}: its predicates cannot be told: {error}")
                self._fail()
                return _PAUSE
            if chosen:
                break
        else:
            state.metrics.misses.increment()
            return _CONTINUE
        state.metrics.hits.increment()
        self._set = candidate
        self._attributes = attributes
        self._verdicts = verdicts
        self._proceed()
        return _PAUSE if self._waiting or self._answered else _CONTINUE

    def _proceed(self) -> None:
        """Take the steps in their order, up to the first call-out whose answer decides."""
        assert self._set is not None
        steps = self._set.steps
        while self._next_step < len(steps):
            step = steps[self._next_step]
            self._next_step += 1
            message = self._message(step)
            if self._answered:
                return
            if message is None:
                continue
            grpc_service, method = METHODS[step.service.kind]
            try:
                self.grpc_call(
                    step.service.upstream, grpc_service, method, message, self._on_reply, step.service.timeout_ms
                )
            except HostError as error:
                if self._service_failed(step.service, "not_sent", str(error)):
                    return
                continue
            self._waiting = True
            return
        assert self._attributes is not None
        for slot in self._set.prefetch:
            self._attributes.outcome(slot)
        self._state.metrics.allowed.increment()
        self._decide("allowed")

    def _message(self, step: Step) -> bytes | None:
        """The message of a step, or None if it does not apply, or if the request has just been answered."""
        attributes, verdicts = self._attributes, self._verdicts
        assert attributes is not None and verdicts is not None
        try:
            if step.auth is not None:
                if not step.auth.predicates.holds(verdicts, attributes):
                    return None
                return step.auth.encode(attributes, self.request_headers.serialized())
            assert step.limit is not None
            if not step.limit.applies(verdicts, attributes):
                return None
            domain, descriptors = step.limit.domain_and_descriptor(verdicts, attributes)
            values, failed = self._state.blueprint.labels.values(attributes, False)
            if failed:
                self._state.metrics.label_errors.add((), failed)
            descriptors += self._state.blueprint.labels.descriptor(values, False)
            return ratelimit.request(domain, descriptors, min(step.limit.hits_addend(attributes), ratelimit.MOST_HITS))
        except CelError as error:
            self._service_failed(step.service, "expression", str(error))
        except WireError as error:
            self._service_failed(step.service, "message", str(error))
        return None

    def _on_reply(self, reply: GrpcReply) -> None:
        assert self._set is not None
        self._waiting = False
        if self._answered:
            return
        step = self._set.steps[self._next_step - 1]
        if not reply.ok:
            self._service_failed(step.service, status_name(reply.status), reply.detail)
        else:
            try:
                if step.service.kind == AUTH:
                    self._take_auth(step.service, ext_authz.decode_response(reply.message))
                else:
                    self._take_limit(step.service, ratelimit.decode_response(reply.message))
            except WireError as error:
                self._service_failed(step.service, "bad_reply", str(error))
        if not self._answered:
            self._proceed()
        if not self._answered and not self._waiting:
            self.continue_stream(StreamType.HTTP_REQUEST)

    def _take_auth(self, service: Service, answer: ext_authz.CheckResponse) -> None:
        denied, allowed = answer.denied, answer.ok
        if denied is not None:
            headers = [(header.name, _header_text(header.value)) for header in denied.headers]
            self._state.metrics.denied.increment()
            status = denied.status if 200 <= denied.status <= 599 else 403
            self._answer(status, denied.body.encode(), headers, "denied", "ext_authz_denied")
            return
        if allowed is None:
            self._service_failed(service, "bad_reply", "the answer has no http_response")
            return
        if (
            allowed.headers_to_remove
            or allowed.response_headers_to_add
            or allowed.query_parameters_to_set
            or allowed.query_parameters_to_remove
        ):
            self._service_failed(service, "bad_reply", "ok_response changes more than request headers: not supported")
            return
        attributes, verdicts = self._attributes, self._verdicts
        assert attributes is not None and verdicts is not None
        attributes.auth = answer.dynamic_metadata if answer.dynamic_metadata is not None else {}
        attributes.forget_all(self._state.auth_slots)
        request_headers = self.request_headers
        for header in allowed.headers:
            value = _header_text(header.value)
            if header.append:
                request_headers.add(header.name, value)
            else:
                request_headers[header.name] = value
        if allowed.headers:
            attributes.forget_all(self._state.request_slots)
        verdicts.forget()

    def _take_limit(self, service: Service, answer: ratelimit.RateLimitResponse) -> None:
        headers = [(name, _header_text(value)) for name, value in answer.response_headers_to_add]
        if answer.overall_code == ratelimit.OVER_LIMIT:
            self._state.metrics.denied.increment()
            self._answer(429, _TOO_MANY_REQUESTS, headers, "limited", "rate_limited")
        elif answer.overall_code == ratelimit.OK:
            self._response_headers.extend(headers)
        else:
            self._service_failed(service, "bad_code", f"overall_code {answer.overall_code}")

    def _service_failed(self, service: Service, reason: str, detail: str) -> bool:
        """Follow the service's failure mode; True if the request has been answered with 500."""
        metrics = self._state.metrics
        metrics.errors.increment()
        metrics.service_errors.add((service.name, reason), 1)
        consequence = "the request is refused" if service.deny else "the request passes"
        self._state.warnings.warn(f"service {service.name}: {reason}: {detail}; failureMode: {consequence}")
        if service.deny:
            self._answer(500, _INTERNAL_ERROR, [], "error", "service_failed")
        return service.deny

    def _fail(self) -> None:
        self._state.metrics.errors.increment()
        self._answer(500, _INTERNAL_ERROR, [], "error", "predicates_failed")

    def _answer(self, status: int, body: bytes, headers: Pairs, decision: str, details: str) -> None:
        self._answered = True
        self._decide(decision)
        self.send_local_response(status, body, headers, details)

    def _decide(self, decision: str) -> None:
        attributes = self._attributes
        if attributes is None:
            self._state.metrics.requests.add((*self._state.metrics.no_labels(), self._route(), decision), 1)
            return
        values, _ = self._state.blueprint.labels.values(attributes, False)
        labels = self._state.metrics.label_values(values)
        self._state.metrics.requests.add((*labels, self._route(), decision), 1)

    def _route(self) -> str:
        return "" if self._set is None else self._set.route

    # the response

    def on_response_headers(self, num_headers: int, end_of_stream: bool) -> Action:
        chosen, attributes, verdicts = self._set, self._attributes, self._verdicts
        if self._waiting:
            self._abandon()
        if chosen is None or self._answered or attributes is None or verdicts is None:
            return _CONTINUE
        headers = self.response_headers
        for name, value in self._response_headers:
            headers.add(name, value)
        if not chosen.reports:
            return _CONTINUE
        for slot in self._state.response_header_slots:
            # the host no longer tells them once the headers have gone on
            attributes.forget(slot)
            attributes.outcome(slot)
        status = headers.get(":status") or ""
        self._status = int(status) if status.isdecimal() else 0
        self._body = ResponseBody(
            self._state.blueprint.wanted,
            headers.get("content-type") or "",
            headers.get("content-encoding") or "",
            self._status,
        )
        if end_of_stream:
            self._finish(False)
        return _CONTINUE

    def on_response_body(self, size: int, end_of_stream: bool) -> Action:
        body = self._body
        if body is not None:
            if size:
                body.feed(self.response_body.read(0, size))
            if end_of_stream:
                self._finish(False)
        return _CONTINUE

    def on_response_trailers(self, num_trailers: int) -> Action:
        self._finish(False)
        return _CONTINUE

    def on_done(self) -> bool:
        if self._waiting:
            self._abandon()
        # a body that has not ended by now was cut: by the client, by the upstream or by Envoy
        self._finish(True)
        return True

    def _abandon(self) -> None:
        """The stream ends, or another filter answers, while an answer is still owed: it comes too late."""
        if not self._answered:
            self._answered = True
            self._decide("aborted")

    def on_delete(self) -> None:
        # attributes and stream know each other: without this only the garbage collector would free them
        self._attributes = None

    def _finish(self, cut: bool) -> None:
        """The response is over: count its tokens, and report them for each limit that applies."""
        body, attributes = self._body, self._attributes
        if body is None or attributes is None:
            return
        self._body = None
        if cut:
            body.cut()
        else:
            body.finish()
        state, chosen, verdicts = self._state, self._set, self._verdicts
        assert chosen is not None and verdicts is not None
        attributes.body = body
        attributes.forget_all(state.body_slots)
        attributes.forget_all(state.response_slots)
        verdicts.response_begins()
        values, failed = state.blueprint.labels.values(attributes, True)
        if failed:
            state.metrics.label_errors.add((), failed)
        self._count(body, state.metrics.label_values(values))
        label_descriptor = state.blueprint.labels.descriptor(values, True)
        for report in chosen.reports:
            try:
                if not report.applies(verdicts, attributes):
                    continue
                hits = self._hits(report, body, attributes)
                if hits < 0:
                    continue
                domain, descriptor = report.domain_and_descriptor(verdicts, attributes)
            except CelError as error:
                usage = body.usage
                tokens = 0 if usage is None or usage.total is None else usage.total
                state.reporter.lost(report.service, report.scope, tokens, "expression", str(error))
                continue
            state.reporter.send(report.service, report.scope, domain, descriptor + label_descriptor, hits)

    def _hits(self, report: RateLimitAction, body: ResponseBody, attributes: StreamAttributes) -> int:
        """What to report, or -1 if the usage it depends on is not known. Raises CelError."""
        if not report.hits_are_total_tokens:
            return report.hits_addend(attributes)
        usage = body.usage
        return usage.total if usage is not None and usage.total is not None else -1

    def _count(self, body: ResponseBody, labels: tuple[str, ...]) -> None:
        usage = body.usage
        state = self._state
        route = self._route()
        if usage is None or usage.total is None:
            reason = "upstream_error" if self._status >= 400 else body.missing or "no_usage"
            state.metrics.usage_missing.add((route, reason), 1)
            if self._status < 400:
                state.warnings.warn(f"no token usage in a response on {route}: {reason}; nothing is reported for it")
            return
        model = ""
        try:
            value = body.pointer(MODEL_POINTER)
            model = value if isinstance(value, str) else ""
        except KeyError:
            model = ""
        tokens = state.metrics.tokens
        for kind, count in (
            ("input", usage.input),
            ("output", usage.output),
            ("total", usage.total),
            ("cached", usage.cached),
            ("reasoning", usage.reasoning),
        ):
            if count:
                tokens.add((*labels, route, model, kind), count)


def _header_text(value: bytes) -> str:
    return value.decode("utf-8", "surrogateescape")
