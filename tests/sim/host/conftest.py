"""The scripted guest on the test's own host."""

from collections.abc import Callable
from typing import Any

import pytest

from host_sim.host import Host, Plugin
from tests.sim.host.guest import Guest, Script, scripted_module

Load = Callable[..., tuple[Guest, Plugin]]


@pytest.fixture
def load(make_host: Callable[..., Host]) -> Load:
    """`load(host_options..., proxy_on_...=script)`: the guest with those scripts, and the plugin it runs in."""

    def make(
        configuration: bytes = b"", host: Host | None = None, *, options: Any = None, **rest: Any
    ) -> tuple[Guest, Plugin]:
        scripts: dict[str, Script] = {key: rest.pop(key) for key in list(rest) if key.startswith("proxy_on_")}
        guest = Guest(**scripts)
        host = make_host(scripted_module(), **(options or {})) if host is None else host
        return guest, guest.load(configuration, host, **rest)

    return make
