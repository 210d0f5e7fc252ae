"""An auth action compiled: when it applies, and its CheckRequest. Meaning as in wasm-shim (`legacy_translation.rs`)."""

from typing import Final, final

from tallyman.cel.activation import Activation
from tallyman.cel.environment import Environment, Program
from tallyman.cel.values import Timestamp
from tallyman.config.configuration import Action, Label
from tallyman.policy.hosts import without_port
from tallyman.policy.predicates import PredicateTable, needs_response
from tallyman.policy.rate_limit import compile_text
from tallyman.wire import ext_authz

METADATA_DOMAIN: Final = "io.kuadrant"


@final
class MetadataField:
    """A `requestData` entry for the auth service: its value, or, when it reads `auth.`, its own source."""

    def __init__(self, domain: str, field: str, source: str, text: Program | None) -> None:
        self.domain = domain
        self.field = field
        self.source = source
        self.text = text


@final
class AuthAction:
    """A call to the auth service."""

    def __init__(self, table: PredicateTable, action: Action, labels: list[Label]) -> None:
        environment = table.environment
        self.service = action.service
        self.predicates = table.conjunction(action.predicates)
        self._fields = _metadata_fields(environment, labels)
        self._constant_metadata: bytes | None = None
        if not any([field.text is not None and not field.text.is_constant for field in self._fields]):
            self._constant_metadata = self._metadata(Activation(environment))
        self._builder = ext_authz.CheckRequestBuilder(action.scope)
        self._time = environment.slot(("request", "time"))
        names = ("method", "scheme", "host", "path", "protocol")
        self._request = [environment.slot(("request", name)) for name in names]
        self._source = (environment.slot(("source", "address")), environment.slot(("source", "port")))
        self._destination = (environment.slot(("destination", "address")), environment.slot(("destination", "port")))

    def encode(self, activation: Activation, headers: bytes) -> bytes:
        """The CheckRequest, with the request's `headers` as the host serializes them.

        Raises CelError when the metadata that goes along cannot be told, WireError when it is no JSON value.
        """
        time = activation.outcome(self._time)
        request = self._request
        http = ext_authz.http_request(
            _text(activation, request[0]),
            _text(activation, request[1]),
            _text(activation, request[2]),
            _text(activation, request[3]),
            _text(activation, request[4]),
            headers,
        )
        return self._builder.build(
            time.nanoseconds if isinstance(time, Timestamp) else 0,
            _peer(activation, self._source),
            _peer(activation, self._destination),
            http,
            self._constant_metadata if self._constant_metadata is not None else self._metadata(activation),
        )

    def _metadata(self, activation: Activation) -> bytes:
        metadata: dict[str, dict[str, object]] = {}
        for field in self._fields:
            value: object = {"cel_expr": field.source}
            if field.text is not None:
                value = field.text.evaluate(activation)
            metadata.setdefault(field.domain, {})[field.field] = value
        return ext_authz.metadata_context(metadata)


def _metadata_fields(environment: Environment, labels: list[Label]) -> list[MetadataField]:
    fields: list[MetadataField] = []
    for label in labels:
        program = compile_text(environment, label.source, label.path)
        if needs_response(environment, program):
            continue
        domain, _, field = label.key.rpartition(".")
        name = f"{METADATA_DOMAIN}.{domain}" if domain else METADATA_DOMAIN
        reads_auth = any([environment.paths[slot][0] == "auth" for slot in program.slots])
        fields.append(MetadataField(name, field, label.source, None if reads_auth else program))
    return fields


def _text(activation: Activation, slot: int) -> str:
    value = activation.outcome(slot)
    return value if isinstance(value, str) else ""


def _peer(activation: Activation, slots: tuple[int, int]) -> bytes:
    address = _text(activation, slots[0])
    port = activation.outcome(slots[1])
    return ext_authz.peer(without_port(address), port if isinstance(port, int) else 0)
