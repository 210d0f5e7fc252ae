"""One AuthConfig, compiled: identity, authorization, response, in Authorino's order and with its answers."""

import json
import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final, TypeVar

from envoy.service.auth.v3.attribute_context_pb2 import AttributeContext

from host_sim.world.auth.document import authorization_json
from host_sim.world.auth.expressions import (
    Condition,
    Document,
    EvaluationError,
    PolicyError,
    Value,
    compile_conditions,
    compile_value,
    compile_values,
)
from host_sim.world.auth.identities import AnonymousAccess, ApiKeys, IdentitySource, Unauthenticated
from host_sim.world.auth.rego import RegoCompileError, RegoEvaluationError, RegoPolicy
from host_sim.world.auth.rules import (
    Anonymous,
    AuthConfig,
    Authentication,
    Authorization,
    AuthRules,
    DenyWith,
    Secret,
    SuccessItem,
)
from host_sim.world.auth.selectors import as_text

_log: Final = logging.getLogger(__name__)

OK: Final = 0
INVALID_ARGUMENT: Final = 3
NOT_FOUND: Final = 5
PERMISSION_DENIED: Final = 7
UNAUTHENTICATED: Final = 16
"""gRPC status codes (``google.rpc.Code``)."""

_HTTP_STATUS: Final = {INVALID_ARGUMENT: 400, NOT_FOUND: 404, PERMISSION_DENIED: 403, UNAUTHENTICATED: 401}
_UNAUTHORIZED: Final = "Unauthorized"


@dataclass(frozen=True)
class Verdict:
    """What an authorization request is answered with."""

    code: int = OK
    reason: str = ""
    headers: list[tuple[str, str]] = field(default_factory=list)
    """Request headers to set if allowed, response headers if denied."""
    metadata: dict[str, Any] = field(default_factory=dict)
    """Dynamic metadata, if allowed."""
    http_status: int = 0
    body: str = ""


def denied(code: int, reason: str, headers: Iterable[tuple[str, str]] = ()) -> Verdict:
    """A denial with the HTTP status that belongs to *code*."""
    return Verdict(code, reason, list(headers), http_status=_HTTP_STATUS[code])


@dataclass(frozen=True)
class _Identity:
    name: str
    priority: int
    holds: Condition
    source: IdentitySource
    defaults: Mapping[str, Value]
    overrides: Mapping[str, Value]


@dataclass(frozen=True)
class _Rule:
    name: str
    priority: int
    holds: Condition
    allows: Callable[[dict[str, Any]], bool]
    """Raises EvaluationError."""
    result: Any
    """What later rules see of it."""


@dataclass(frozen=True)
class _Item:
    name: str
    key: str
    priority: int
    holds: Condition
    resolve: Callable[[Document], Any]
    """Raises EvaluationError."""


class _Denial:
    """A ``denyWith``, compiled."""

    def __init__(self, spec: DenyWith, where: str) -> None:
        self._code = spec.code
        self._message = None if spec.message is None else compile_value(spec.message, f"{where}.message")
        self._body = None if spec.body is None else compile_value(spec.body, f"{where}.body")
        self._headers = compile_values(spec.headers, f"{where}.headers")

    def apply(self, verdict: Verdict, document: Document) -> Verdict:
        """*verdict* with what the policy says instead. A value that cannot be computed is empty."""
        if self._code is not None:
            verdict = replace(verdict, http_status=self._code)
        if self._message is not None:
            verdict = replace(verdict, reason=_text(self._message, document))
        if self._body is not None:
            verdict = replace(verdict, body=_text(self._body, document))
        if self._headers:
            headers = [(name, _text(value, document)) for name, value in self._headers.items()]
            verdict = replace(verdict, headers=headers)
        return verdict


class Pipeline:
    """A compiled AuthConfig with the Secrets it trusts. Nothing in it changes."""

    def __init__(self, config: AuthConfig, secrets: Sequence[Secret]) -> None:
        """Raises PolicyError if the rules cannot be served as they are."""
        rules = config.rules
        self._name = config.name
        self._holds = compile_conditions(rules.when, rules, "when")
        # An AuthConfig without authentication lets everyone in.
        authentication = rules.authentication or {"anonymous": Authentication(anonymous=Anonymous())}
        self._identities = _by_priority(_identity(name, spec, config, secrets) for name, spec in authentication.items())
        self._rules = _by_priority(_rule(name, spec, rules) for name, spec in rules.authorization.items())
        success = rules.response.success
        self._headers = _items(success.headers, rules, "response.success.headers")
        self._metadata = _items(success.filters, rules, "response.success.filters")
        unauthenticated, unauthorized = rules.response.unauthenticated, rules.response.unauthorized
        self._unauthenticated = unauthenticated and _Denial(unauthenticated, "response.unauthenticated")
        self._unauthorized = unauthorized and _Denial(unauthorized, "response.unauthorized")

    def evaluate(self, attributes: AttributeContext) -> Verdict:
        """The verdict on one request, which must have HTTP attributes."""
        document = authorization_json(attributes)
        if not _holds(self._holds, document):
            return Verdict()
        auth = document["auth"]
        try:
            auth["identity"] = self._identify(attributes.request.http, document)
        except Unauthenticated as error:
            challenges = [
                ("WWW-Authenticate", identity.source.location.challenge(identity.name)) for identity in self._identities
            ]
            verdict = denied(UNAUTHENTICATED, str(error), challenges)
            return self._unauthenticated.apply(verdict, document) if self._unauthenticated else verdict
        if not self._authorize(document):
            verdict = denied(PERMISSION_DENIED, _UNAUTHORIZED)
            return self._unauthorized.apply(verdict, document) if self._unauthorized else verdict
        headers = [(name, as_text(value)) for name, value in self._resolve(self._headers, document).items()]
        return Verdict(headers=headers, metadata=self._resolve(self._metadata, document))

    def _identify(self, request: AttributeContext.HttpRequest, document: dict[str, Any]) -> dict[str, Any]:
        """The first identity found. Raises Unauthenticated with the reason, or with all of them as JSON."""
        reasons: dict[str, str] = {}
        for identity in self._identities:
            if not _holds(identity.holds, document):
                continue
            try:
                return _extended(identity, identity.source.identify(request), document)
            except Unauthenticated as error:
                reasons[identity.name] = str(error)
            except EvaluationError:
                reasons[identity.name] = "the identity cannot be extended"
        if len(self._identities) == 1 and reasons:
            raise Unauthenticated(next(iter(reasons.values())))
        raise Unauthenticated(json.dumps(reasons, separators=(",", ":"), sort_keys=True, ensure_ascii=False))

    def _authorize(self, document: dict[str, Any]) -> bool:
        results: dict[str, Any] = {}
        for rule in self._rules:
            if not _holds(rule.holds, document):
                continue
            try:
                if not rule.allows(document):
                    return False
            except EvaluationError as error:
                _log.warning("AuthConfig %s, authorization %s: denied, as %s", self._name, rule.name, error)
                return False
            results[rule.name] = rule.result
            document["auth"]["authorization"] = results
        return True

    def _resolve(self, items: Sequence[_Item], document: dict[str, Any]) -> dict[str, Any]:
        """The items by key; one that cannot be computed is left out."""
        resolved: dict[str, Any] = {}
        for item in items:
            if not _holds(item.holds, document):
                continue
            try:
                value = item.resolve(document)
            except EvaluationError as error:
                _log.warning("AuthConfig %s, response %s: left out, as %s", self._name, item.name, error)
                continue
            resolved[item.key] = value
            document["auth"].setdefault("response", {})[item.name] = value
        return resolved


_Prioritized = TypeVar("_Prioritized", _Identity, _Rule, _Item)


def _by_priority(items: Iterable[_Prioritized]) -> list[_Prioritized]:
    """Lower priorities first; the order within one is the policy's own."""
    return sorted(items, key=lambda item: item.priority)


def _holds(condition: Condition, document: Document) -> bool:
    """Whether a rule's ``when`` holds; one that cannot be computed does not, as in Authorino."""
    try:
        return condition(document)
    except EvaluationError:
        return False


def _text(value: Value, document: Document) -> str:
    try:
        return as_text(value.resolve(document))
    except EvaluationError:
        return ""


def _extended(identity: _Identity, found: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    if not identity.defaults and not identity.overrides:
        return found
    seen = document | {"auth": {"identity": found}}
    defaults = {name: value.resolve(seen) for name, value in identity.defaults.items() if name not in found}
    return found | defaults | {name: value.resolve(seen) for name, value in identity.overrides.items()}


def _identity(name: str, spec: Authentication, config: AuthConfig, secrets: Sequence[Secret]) -> _Identity:
    where = f"authentication.{name}"
    source: IdentitySource
    if spec.api_key is None:
        source = AnonymousAccess(spec.credentials)
    else:
        source = ApiKeys(spec.api_key, spec.credentials, secrets, config.namespace)
    return _Identity(
        name,
        spec.priority,
        compile_conditions(spec.when, config.rules, f"{where}.when"),
        source,
        compile_values(spec.defaults, f"{where}.defaults"),
        compile_values(spec.overrides, f"{where}.overrides"),
    )


def _rule(name: str, spec: Authorization, rules: AuthRules) -> _Rule:
    where = f"authorization.{name}"
    holds = compile_conditions(spec.when, rules, f"{where}.when")
    if spec.pattern_matching is not None:
        patterns = f"{where}.patternMatching.patterns"
        allows = compile_conditions(spec.pattern_matching.patterns, rules, patterns)
        return _Rule(name, spec.priority, holds, allows, True)
    assert spec.opa is not None  # the model has exactly one of the two
    try:
        policy = RegoPolicy(spec.opa.rego)
    except RegoCompileError as error:
        raise PolicyError(f"{where}.opa.rego: {error}") from None

    def rego_allows(document: dict[str, Any]) -> bool:
        try:
            return policy.allows(document)
        except RegoEvaluationError as error:
            raise EvaluationError(f"its Rego policy failed: {error}") from None

    return _Rule(name, spec.priority, holds, rego_allows, {"allow": True})


def _items(specs: Mapping[str, SuccessItem], rules: AuthRules, where: str) -> list[_Item]:
    return _by_priority(_item(name, spec, rules, f"{where}.{name}") for name, spec in specs.items())


def _item(name: str, spec: SuccessItem, rules: AuthRules, where: str) -> _Item:
    holds = compile_conditions(spec.when, rules, f"{where}.when")
    if spec.plain is not None:
        return _Item(name, spec.key or name, spec.priority, holds, compile_value(spec.plain, f"{where}.plain").resolve)
    assert spec.json_ is not None  # the model has exactly one of the two
    properties = compile_values(spec.json_.properties, f"{where}.json.properties")

    def resolve(document: Document) -> dict[str, Any]:
        return {name: value.resolve(document) for name, value in properties.items()}

    return _Item(name, spec.key or name, spec.priority, holds, resolve)
