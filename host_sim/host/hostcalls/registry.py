"""How a host function is written down: its name, signature and the ABI versions that have it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from host_sim.host.abi import AbiVersion, Status, WasiErrno

EVERY_VERSION: Final = frozenset(AbiVersion)


@dataclass(frozen=True)
class HostCall:
    """`function` takes the VM and the arguments as unsigned integers; `fault` is the result of an invalid memory
    access."""

    name: str
    signature: str
    function: Callable[..., int | None]
    versions: frozenset[AbiVersion]
    fault: int


class Family:
    """Collects the functions of a file."""

    def __init__(self, prefix: str, fault: Status | WasiErrno) -> None:
        self.calls: list[HostCall] = []
        self._prefix = prefix
        self._fault = fault

    def __call__(
        self, signature: str, versions: frozenset[AbiVersion] = EVERY_VERSION
    ) -> Callable[[Callable[..., int | None]], Callable[..., int | None]]:
        """A decorator: the function is exported under its own name behind the family's prefix."""

        def register(function: Callable[..., int | None]) -> Callable[..., int | None]:
            name = self._prefix + function.__name__.rstrip("_")
            self.calls.append(HostCall(name, signature, function, versions, int(self._fault)))
            return function

        return register


def proxy_family() -> Family:
    return Family("proxy_", Status.INVALID_MEMORY_ACCESS)
