"""Where expressions find attributes: interned paths at compile time, values per stream at run time."""

from typing import Final

from tallyman.cel.errors import NO_SUCH_ATTRIBUTE, CelError
from tallyman.cel.values import Value

Path = tuple[str, ...]


class _Unfetched:
    pass


_UNFETCHED: Final = _Unfetched()


class AttributeTable:
    """Attribute paths and their slots, numbered from 0 in order of appearance. Slots are never taken back."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        self._slots: dict[Path, int] = {}

    def slot(self, path: Path) -> int:
        """The slot of `path`, a new one if the path was never seen."""
        slot = self._slots.get(path)
        if slot is None:
            slot = len(self.paths)
            self._slots[path] = slot
            self.paths.append(path)
        return slot


class Activation:
    """The attributes of one stream. Every attribute is fetched at most once: values and errors are both kept.

    Subclasses override `fetch`, and `call` for host functions whose argument is not constant.
    """

    def __init__(self, table: AttributeTable) -> None:
        self.table = table
        # The variables of the macros being evaluated; `Program` sets it up.
        self.frame: list[Value] = []
        self._outcomes: list[object] = [_UNFETCHED] * len(table.paths)

    def fetch(self, path: Path) -> Value:
        """The value at `path`, such as ("request", "headers", "host"). Raises CelError if there is none."""
        raise CelError(NO_SUCH_ATTRIBUTE, ".".join(path))

    def fetch_slot(self, slot: int) -> Value:
        """The same by slot, for those who have prepared something for each."""
        return self.fetch(self.table.paths[slot])

    def call(self, name: str, arguments: list[Value]) -> Value:
        """The result of host function `name`. Raises CelError."""
        raise CelError(NO_SUCH_ATTRIBUTE, f"{name}() cannot be called here")

    def get(self, slot: int) -> Value:
        """The value of the attribute in `slot`. Raises CelError, the same each time."""
        outcome = self.outcome(slot)
        if isinstance(outcome, CelError):
            # Raised anew without its past, or every use would lengthen its traceback.
            raise outcome.with_traceback(None)
        return outcome

    def outcome(self, slot: int) -> Value | CelError:
        """The value of the attribute in `slot`, or the error that stands for it, not raised."""
        outcomes = self._outcomes
        if slot < len(outcomes):
            outcome = outcomes[slot]
            if outcome is not _UNFETCHED:
                return outcome
        else:
            self._grow()
        try:
            outcome = self.fetch_slot(slot)
        except CelError as error:
            outcome = error.with_traceback(None)
        outcomes[slot] = outcome
        return outcome

    def put(self, slot: int, value: Value) -> None:
        """Makes `value` the outcome of `slot`, without a fetch."""
        if slot >= len(self._outcomes):
            self._grow()
        self._outcomes[slot] = value

    def _grow(self) -> None:
        """Makes room for paths that were interned after this activation was made."""
        self._outcomes.extend([_UNFETCHED] * (len(self.table.paths) - len(self._outcomes)))

    def forget(self, slot: int) -> None:
        """The next `get` of `slot` fetches again."""
        if slot < len(self._outcomes):
            self._outcomes[slot] = _UNFETCHED

    def forget_all(self, slots: list[int]) -> None:
        """The next `get` of each slot fetches again."""
        outcomes = self._outcomes
        for slot in slots:
            if slot < len(outcomes):
                outcomes[slot] = _UNFETCHED

    def forget_under(self, prefix: Path) -> None:
        """Forgets every attribute at, below or above `prefix`: a map above it holds what has changed."""
        length = len(prefix)
        for slot in range(len(self._outcomes)):
            path = self.table.paths[slot]
            if path[:length] == prefix or prefix[: len(path)] == path:
                self._outcomes[slot] = _UNFETCHED


class MapActivation(Activation):
    """Attributes out of nested maps: a path is resolved key by key."""

    def __init__(self, table: AttributeTable, attributes: dict[str, Value]) -> None:
        super().__init__(table)
        self.attributes = attributes

    def fetch(self, path: Path) -> Value:
        value: Value = self.attributes
        for name in path:
            if not isinstance(value, dict) or name not in value:
                raise CelError(NO_SUCH_ATTRIBUTE, ".".join(path))
            value = value[name]
        return value
