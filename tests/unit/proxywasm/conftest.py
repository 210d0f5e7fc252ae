"""A host of its own for each test, and no filter registered before it."""

from collections.abc import Iterator

import pytest
from proxywasm import dispatch
from proxywasm.vm import VM

from tests.unit.proxywasm.host import InMemoryHost
from tests.unit.proxywasm.recorder import Record


@pytest.fixture
def host(monkeypatch: pytest.MonkeyPatch) -> Iterator[InMemoryHost]:
    monkeypatch.setattr(dispatch, "_root_classes", {})
    made = InMemoryHost()
    VM.reset(made)
    yield made
    VM.reset(None)


@pytest.fixture
def recorded() -> Iterator[type[Record]]:
    Record.calls.clear()
    Record.raising.clear()
    Record.pausing.clear()
    Record.fail_open = False
    yield Record
    Record.calls.clear()
