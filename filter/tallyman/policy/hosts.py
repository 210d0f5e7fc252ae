"""From a request's host to its action sets: a lookup, not a scan."""

from typing import Generic, TypeVar, final

T = TypeVar("T")


def normalize_host(authority: str) -> str:
    """The host of an `:authority`, lower case and without its port (RFC 9110, section 7.2; IPv6 in brackets)."""
    if authority.startswith("["):
        return authority[: authority.find("]") + 1].lower()
    colon = authority.find(":")
    return (authority if colon < 0 else authority[:colon]).lower()


def without_port(address: str) -> str:
    """The IP address of `1.2.3.4:80` or `[::1]:80`, as Envoy writes them."""
    if address.startswith("["):
        return address[1 : address.find("]")]
    return address.rpartition(":")[0] if ":" in address else address


@final
class HostIndex(Generic[T]):
    """Values by hostname, exact or with a leading `*.` (Gateway API); the most specific hostname alone counts."""

    def __init__(self) -> None:
        self._exact: dict[str, list[T]] = {}
        self._suffixes: dict[str, list[T]] = {}
        self._any: list[T] = []

    def add(self, hostname: str, value: T) -> None:
        """Add a value under a hostname; values of one hostname keep their order."""
        name = hostname.lower()
        if name == "*":
            self._any.append(value)
        elif name.startswith("*."):
            self._suffixes.setdefault(name[2:], []).append(value)
        else:
            self._exact.setdefault(name, []).append(value)

    def find(self, host: str) -> list[T]:
        """The values of the most specific hostname that matches a normalized host."""
        found = self._exact.get(host)
        if found is not None:
            return found
        if self._suffixes:
            dot = host.find(".")
            while dot >= 0:
                found = self._suffixes.get(host[dot + 1 :])
                if found is not None:
                    return found
                dot = host.find(".", dot + 1)
        return self._any
