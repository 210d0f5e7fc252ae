"""Host functions, a family a file. A module imports them as `env.proxy_*` and as WASI functions."""

from typing import Final

from host_sim.host.abi import AbiVersion
from host_sim.host.hostcalls import (
    buffers,
    callouts,
    compat,
    general,
    headers,
    metrics,
    properties,
    shared,
    streams,
    wasi,
    wasi_files,
)
from host_sim.host.hostcalls.registry import HostCall

_PROXY: Final[dict[str, HostCall]] = {
    call.name: call
    for family in (general, buffers, headers, properties, streams, callouts, shared, metrics, compat)
    for call in family.CALLS
}
_WASI: Final[dict[str, HostCall]] = {call.name: call for call in (*wasi.CALLS, *wasi_files.CALLS)}


def find(module: str, name: str, version: AbiVersion) -> HostCall | None:
    """The function that a module of ABI `version` may import as `module`.`name`, None if there is none."""
    if module == "env":
        call = _PROXY.get(name)
        return call if call is not None and version in call.versions else None
    return _WASI.get(name) if module in ("wasi_snapshot_preview1", "wasi_unstable") else None
