"""HTTP header maps with the manners of Envoy's `HeaderMapImpl`."""

from collections.abc import Iterable, Iterator
from typing import Final

from host_sim.host.abi import Pairs

HeaderLike = tuple[str | bytes, str | bytes]
"""A name and a value as a caller may write them; text is encoded as UTF-8."""

_SINGLE: Final = frozenset(
    {
        b":authority", b":method", b":path", b":protocol", b":scheme", b":status", b"accept", b"accept-encoding",
        b"authorization", b"cache-control", b"connection", b"content-encoding", b"content-length", b"content-type",
        b"date", b"etag", b"expect", b"grpc-message", b"grpc-status", b"grpc-timeout", b"keep-alive", b"location",
        b"origin", b"referer", b"server", b"te", b"transfer-encoding", b"upgrade", b"user-agent", b"vary", b"via",
        b"x-envoy-upstream-service-time", b"x-forwarded-client-cert", b"x-forwarded-for", b"x-forwarded-host",
        b"x-forwarded-proto", b"x-request-id",
    }
)  # fmt: skip
"""Headers that Envoy keeps in a field of their own: adding a second value joins it to the first."""


def encode(text: str | bytes) -> bytes:
    return text.encode() if isinstance(text, str) else text


class HeaderMap:
    """An ordered multimap. Names are lower-case; pseudo headers come before all others, as HTTP/2 wants it (RFC 9113,
    8.3)."""

    __slots__ = ("_pairs",)

    def __init__(self, headers: Iterable[HeaderLike] = ()) -> None:
        self._pairs: Pairs = []
        for name, value in headers:
            self.add(encode(name), encode(value))

    def add(self, name: bytes, value: bytes) -> None:
        name = self._key(name)
        if name in _SINGLE:
            for index, (present, old) in enumerate(self._pairs):
                if present == name:
                    self._pairs[index] = (name, old + b"," + value)
                    return
        if name.startswith(b":"):
            self._pairs.insert(sum(present.startswith(b":") for present, _ in self._pairs), (name, value))
        else:
            self._pairs.append((name, value))

    def get(self, name: bytes) -> bytes | None:
        """The first value, None without one."""
        name = self._key(name)
        for present, value in self._pairs:
            if present == name:
                return value
        return None

    def remove(self, name: bytes) -> None:
        name = self._key(name)
        self._pairs = [pair for pair in self._pairs if pair[0] != name]

    def replace(self, name: bytes, value: bytes) -> None:
        self.remove(name)
        self.add(name, value)

    def assign(self, pairs: Iterable[tuple[bytes, bytes]]) -> None:
        """Replaces the whole map."""
        self._pairs = []
        for name, value in pairs:
            self.add(name, value)

    def pairs(self) -> Pairs:
        return self._pairs

    def byte_size(self) -> int:
        """Bytes of all names and values, as Envoy's `byteSize()`."""
        return sum(len(name) + len(value) for name, value in self._pairs)

    def values(self, name: str) -> list[str]:
        wanted = self._key(name.encode())
        return [value.decode("utf-8", "replace") for present, value in self._pairs if present == wanted]

    def items(self) -> list[tuple[str, str]]:
        return [(name.decode("utf-8", "replace"), value.decode("utf-8", "replace")) for name, value in self._pairs]

    def __getitem__(self, name: str) -> str:
        value = self.get(name.encode())
        if value is None:
            raise KeyError(f"no header {name!r}; there are {sorted({key for key, _ in self.items()})}")
        return value.decode("utf-8", "replace")

    def __contains__(self, name: str) -> bool:
        return self.get(name.encode()) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return iter(self.items())

    def __len__(self) -> int:
        return len(self._pairs)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.items()!r})"

    @staticmethod
    def _key(name: bytes) -> bytes:
        return name.lower()


class RequestHeaderMap(HeaderMap):
    """Request headers: `host` is another name for `:authority`."""

    __slots__ = ()

    @staticmethod
    def _key(name: bytes) -> bytes:
        name = name.lower()
        return b":authority" if name == b"host" else name
