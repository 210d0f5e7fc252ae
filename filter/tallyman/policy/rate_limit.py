"""A rate-limit action compiled: when it applies, and its RateLimitRequest with all constant parts encoded in advance.

The classic action's meaning is that of wasm-shim (`legacy_translation.rs`, module `ratelimit`).
"""

from typing import Final, final

from tallyman.cel.activation import Activation
from tallyman.cel.environment import Environment, Program
from tallyman.cel.errors import CelError
from tallyman.config.configuration import REPORT, Action, DataItem, Label
from tallyman.config.document import ConfigurationError
from tallyman.policy.predicates import Conjunction, PredicateTable, Verdicts, compile_at, constant_value, needs_response
from tallyman.wire import ratelimit

DOMAIN_KEY: Final = "ratelimit.domain"
HITS_KEY: Final = "ratelimit.hits_addend"
TOTAL_TOKENS: Final = 'responseBodyJSON("/usage/total_tokens")'


@final
class Entry:
    """A descriptor entry whose value changes with the request."""

    def __init__(self, key: str, text: Program) -> None:
        self._prefix = ratelimit.entry_prefix(key)
        self.text = text

    def encode(self, activation: Activation) -> bytes:
        value = self.text.evaluate(activation)
        assert isinstance(value, str)
        return ratelimit.complete_entry(self._prefix, value)


@final
class CompiledBlock:
    """Entries that count if the predicates hold: runs of constant ones, encoded, each followed by one that varies."""

    def __init__(self, predicates: Conjunction, parts: list[tuple[bytes, Entry | None]]) -> None:
        self.predicates = predicates
        self.parts = parts


@final
class CompiledLabel:
    """A metric label: a descriptor entry of its own kind, and a label of our counters."""

    def __init__(self, name: str, text: Program, late: bool) -> None:
        self.name = name
        self.text = text
        self.late = late
        self.prefix = ratelimit.entry_prefix(name)
        self.constant: bytes = b""
        if text.is_constant and isinstance(text.constant, str):
            self.constant = ratelimit.entry(name, text.constant)


@final
class LabelSet:
    """The labels of `requestData`, in the order of their names."""

    def __init__(self, environment: Environment, labels: list[Label]) -> None:
        self.labels: list[CompiledLabel] = []
        for label in labels:
            program = compile_text(environment, label.source, label.path)
            self.labels.append(CompiledLabel(label.name, program, needs_response(environment, program)))

    def values(self, activation: Activation, response: bool) -> tuple[list[str], int]:
        """The label values, and how many could not be told and are empty.

        Before the response, labels that read it are left out of the count.
        """
        values: list[str] = []
        failed = 0
        for label in self.labels:
            if label.late and not response:
                values.append("")
                continue
            try:
                value = label.text.evaluate(activation)
            except CelError:
                value = ""
                failed += 1
            values.append(value if isinstance(value, str) else "")
        return values, failed

    def descriptor(self, values: list[str], response: bool) -> bytes:
        """The encoded second descriptor, empty if no label belongs to this phase."""
        entries = b""
        for index, label in enumerate(self.labels):
            if response or not label.late:
                entries += label.constant or ratelimit.complete_entry(label.prefix, values[index])
        return ratelimit.descriptor(entries) if entries else b""


@final
class RateLimitAction:
    """A check, a report, or both in one, for the limits that its descriptor names."""

    def __init__(self, table: PredicateTable, action: Action) -> None:
        environment = table.environment
        self.service = action.service
        self.scope = action.scope
        self.is_report = action.service.kind == REPORT
        self.predicates = table.conjunction(action.predicates)
        self.blocks: list[CompiledBlock] = []
        self.domain: Program | None = None
        self.hits: Program | None = None
        self.hits_are_total_tokens = False
        for block in action.blocks:
            parts = self._parts(environment, block.data)
            self.blocks.append(CompiledBlock(table.conjunction(block.predicates), parts))
        if not self.is_report and self._reads_response(environment):
            raise ConfigurationError(action.path, "reads the response, but is taken before the request goes on")

    def _reads_response(self, environment: Environment) -> bool:
        if self.predicates.late or any([block.predicates.late for block in self.blocks]):
            return True
        texts = [entry.text for block in self.blocks for _, entry in block.parts if entry is not None]
        programs = [program for program in (self.domain, self.hits, *texts) if program is not None]
        return any([needs_response(environment, program) for program in programs])

    def _parts(self, environment: Environment, data: list[DataItem]) -> list[tuple[bytes, Entry | None]]:
        parts: list[tuple[bytes, Entry | None]] = []
        constant = b""
        for item in data:
            if item.key == DOMAIN_KEY:
                if self.domain is None:
                    self.domain = _text(environment, item)
                continue
            if item.key == HITS_KEY:
                if self.hits is None:
                    self.hits_are_total_tokens = item.is_expression and item.value.strip() == TOTAL_TOKENS
                    self.hits = _hits(environment, item)
                continue
            text = _text(environment, item)
            if text.is_constant:
                assert isinstance(text.constant, str)
                constant += ratelimit.entry(item.key, text.constant)
            else:
                parts.append((constant, Entry(item.key, text)))
                constant = b""
        if constant:
            parts.append((constant, None))
        return parts

    def slots(self, table: PredicateTable) -> set[int]:
        """Every attribute that the action may read."""
        numbers = [*self.predicates.numbers]
        programs = [program for program in (self.domain, self.hits) if program is not None]
        for block in self.blocks:
            numbers.extend(block.predicates.numbers)
            programs.extend([entry.text for _, entry in block.parts if entry is not None])
        programs.extend([table.programs[number] for number in numbers])
        return {slot for program in programs for slot in program.slots}

    def applies(self, verdicts: Verdicts, activation: Activation) -> bool:
        """Whether the action is to be taken at all. Raises CelError."""
        if not self.predicates.holds(verdicts, activation):
            return False
        if not self.blocks:
            return True
        for block in self.blocks:
            if block.predicates.holds(verdicts, activation):
                return True
        return False

    def domain_and_descriptor(self, verdicts: Verdicts, activation: Activation) -> tuple[str, bytes]:
        """The request's domain and first descriptor, encoded. Raises CelError."""
        entries = b""
        for block in self.blocks:
            if block.predicates.holds(verdicts, activation):
                for constant, entry in block.parts:
                    entries += constant
                    if entry is not None:
                        entries += entry.encode(activation)
        domain = self.scope
        if self.domain is not None:
            value = self.domain.evaluate(activation)
            assert isinstance(value, str)
            domain = value
        return domain, (ratelimit.descriptor(entries) if entries else b"")

    def hits_addend(self, activation: Activation) -> int:
        """How much to ask for or to report. Raises CelError."""
        if self.hits is None:
            return 1
        value = self.hits.evaluate(activation)
        assert isinstance(value, int)
        return value


def compile_text(environment: Environment, source: str, path: str) -> Program:
    """An expression as text, by CEL's `string()`. Raises `ConfigurationError` for the expression as written."""
    compile_at(environment, source, path)
    text = compile_at(environment, f"string({source}\n)", path)
    constant_value(environment, text, path, "something that string() takes")
    return text


def _text(environment: Environment, item: DataItem) -> Program:
    if item.is_expression:
        return compile_text(environment, item.value, item.path)
    quoted = item.value.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\r", "\\r")
    return compile_at(environment, f'"{quoted}"', item.path)


def _hits(environment: Environment, item: DataItem) -> Program:
    bare = compile_at(environment, item.value, item.path)
    if bare.slots and not item.is_expression:
        raise ConfigurationError(item.path, f'found "{item.value}", expected a whole number that is not negative')
    hits = compile_at(environment, f"int(uint({item.value}\n))", item.path)
    constant_value(environment, hits, item.path, f"a whole number that is not negative, found {item.value}")
    return hits
