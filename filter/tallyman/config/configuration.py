"""Kuadrant's PluginConfiguration in its classic form (wasm-shim `configuration.rs`), as typed objects.

Our own options live beside it under `tallyman`; each is off or neutral by default.
"""

from typing import Final, final

from tallyman.config.document import ConfigurationError, Section, parse
from tallyman.wire.protobuf import message_field, text_field

AUTH: Final = "auth"
RATELIMIT: Final = "ratelimit"
CHECK: Final = "ratelimit-check"
REPORT: Final = "ratelimit-report"
TRACING: Final = "tracing"
DYNAMIC: Final = "dynamic"

DEFAULT_TIMEOUT_MS: Final = 20
LABEL_PREFIX: Final = "metrics.labels."


@final
class Service:
    """A gRPC service behind an Envoy cluster. `deny`: what to do with a request when the service fails."""

    def __init__(self, name: str, kind: str, endpoint: str, deny: bool, timeout_ms: int) -> None:
        self.name = name
        self.kind = kind
        self.upstream = message_field(1, text_field(1, endpoint))
        """An envoy.config.core.v3.GrpcService: Envoy also takes a bare name, and aborts if that happens to be one."""
        self.deny = deny
        self.timeout_ms = timeout_ms


@final
class DataItem:
    """A descriptor entry: its key, and a CEL expression, or a text taken as it is."""

    def __init__(self, key: str, value: str, is_expression: bool, path: str) -> None:
        self.key = key
        self.value = value
        self.is_expression = is_expression
        self.path = path


@final
class Expression:
    """A CEL source with its JSON path."""

    def __init__(self, source: str, path: str) -> None:
        self.source = source
        self.path = path


@final
class Block:
    """One of an action's `conditionalData`: entries that count if all predicates hold."""

    def __init__(self, predicates: list[Expression], data: list[DataItem]) -> None:
        self.predicates = predicates
        self.data = data


@final
class Action:
    """A call to a service, in the order of the configuration."""

    def __init__(
        self, service: Service, scope: str, predicates: list[Expression], blocks: list[Block], path: str
    ) -> None:
        self.service = service
        self.scope = scope
        self.predicates = predicates
        self.blocks = blocks
        self.path = path


@final
class ActionSet:
    """What to do with requests for some hosts that meet some predicates."""

    def __init__(self, name: str, hostnames: list[str], predicates: list[Expression], actions: list[Action]) -> None:
        self.name = name
        self.hostnames = hostnames
        self.predicates = predicates
        self.actions = actions


@final
class Label:
    """An entry of `requestData`: the key as configured, and as metrics and descriptors name it."""

    def __init__(self, key: str, source: str, path: str) -> None:
        self.key = key
        self.name = key.removeprefix(LABEL_PREFIX)
        self.source = source
        self.path = path


@final
class Options:
    """Our own options, under `tallyman`."""

    def __init__(self, section: Section) -> None:
        self.identity_namespace: str = section.optional_text("identityNamespace", "envoy.filters.http.ext_authz")
        """Dynamic metadata in which `auth.*` is looked for when no auth action has answered."""
        self.max_series: int = section.integer("maxSeries", 10_000, 1, 1_000_000)
        """Label sets of a metric; what comes later is counted under `__overflow__`."""
        section.warn_unknown()


@final
class Configuration:
    """The whole configuration. `warnings` are for the log."""

    def __init__(
        self,
        services: dict[str, Service],
        action_sets: list[ActionSet],
        labels: list[Label],
        options: Options,
        warnings: list[str],
    ) -> None:
        self.services = services
        self.action_sets = action_sets
        self.labels = labels
        self.options = options
        self.warnings = warnings


def read_configuration(text: bytes) -> Configuration:
    """Parse a plugin configuration. Raises `ConfigurationError`; CEL is compiled later, from the paths kept here."""
    warnings: list[str] = []
    document = parse(text, warnings)
    services = _services(document.section("services"))
    action_sets = [_action_set(section, services) for section in document.sections("actionSets", required=True)]
    labels = _labels(document.optional_section("requestData"))
    options = Options(document.optional_section("tallyman"))
    observability = document.optional_section("observability")
    observability.optional_text("httpHeaderIdentifier", "")
    observability.optional_text("defaultLevel", "")
    observability.optional_section("tracing").names()
    observability.warn_unknown()
    document.optional_text("descriptorService", "")
    document.warn_unknown()
    return Configuration(services, action_sets, labels, options, warnings)


def _services(section: Section) -> dict[str, Service]:
    services: dict[str, Service] = {}
    for name in section.names():
        service = section.section(name)
        kind = service.choice("type", [AUTH, RATELIMIT, CHECK, REPORT, TRACING, DYNAMIC], None)
        endpoint = service.text("endpoint")
        if not endpoint:
            raise ConfigurationError(service.at("endpoint"), "is empty, expected the name of an Envoy cluster")
        deny = service.choice("failureMode", ["deny", "allow"], "deny") == "deny"
        services[name] = Service(name, kind, endpoint, deny, service.milliseconds("timeout", DEFAULT_TIMEOUT_MS))
        if kind == DYNAMIC:
            service.text("grpcService")
            service.text("grpcMethod")
        service.warn_unknown()
    return services


def _action_set(section: Section, services: dict[str, Service]) -> ActionSet:
    conditions = section.section("routeRuleConditions")
    action_set = ActionSet(
        section.text("name"),
        conditions.texts("hostnames", required=True),
        _expressions(conditions, "predicates"),
        [_action(action, services) for action in section.sections("actions", required=True)],
    )
    conditions.warn_unknown()
    section.warn_unknown()
    return action_set


def _action(section: Section, services: dict[str, Service]) -> Action:
    if section.has("type"):
        raise ConfigurationError(
            section.at("type"), "the typed form of actions is not supported, expected the classic form: service, scope"
        )
    name = section.text("service")
    service = services.get(name)
    if service is None:
        known = ", ".join(sorted(services)) or "none"
        raise ConfigurationError(section.at("service"), f'found "{name}", expected a name under $.services ({known})')
    if service.kind not in (AUTH, RATELIMIT, CHECK, REPORT):
        raise ConfigurationError(
            section.at("service"), f'found "{name}" of type {service.kind}, which a classic action cannot call'
        )
    action = Action(
        service,
        section.text("scope"),
        _expressions(section, "predicates"),
        [_block(block) for block in section.sections("conditionalData")],
        section.path,
    )
    section.texts("sources")
    section.warn_unknown()
    return action


def _block(section: Section) -> Block:
    block = Block(_expressions(section, "predicates"), [_data_item(item) for item in section.sections("data")])
    section.warn_unknown()
    return block


def _data_item(section: Section) -> DataItem:
    kinds = section.names()
    if kinds not in (["static"], ["expression"]):
        found = ", ".join(kinds) or "nothing"
        raise ConfigurationError(section.path, f"found {found}, expected either static or expression")
    inner = section.section(kinds[0])
    item = DataItem(inner.text("key"), inner.scalar_text("value"), kinds[0] == "expression", inner.at("value"))
    inner.warn_unknown()
    return item


def _labels(section: Section) -> list[Label]:
    labels: list[Label] = []
    for key in sorted(section.names()):
        label = Label(key, section.text(key), section.at(key))
        if not label.name:
            raise ConfigurationError(label.path, f'has no name, expected a key such as "{LABEL_PREFIX}user"')
        for other in labels:
            if label.name == other.name:
                problem = f'is named "{label.name}" as {other.path} is, expected another key'
                raise ConfigurationError(label.path, problem)
        labels.append(label)
    return labels


def _expressions(section: Section, key: str) -> list[Expression]:
    return [Expression(source, f"{section.at(key)}[{index}]") for index, source in enumerate(section.texts(key))]
