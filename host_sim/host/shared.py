"""What VMs share: key-value data with compare-and-swap, and queues. Both belong to a `vm_id`, as in Envoy."""

from collections import deque
from collections.abc import Callable

from host_sim.host.abi import Status


class SharedData:
    """Keys and values for each `vm_id`. The CAS of an entry changes with each write and is never 0."""

    def __init__(self) -> None:
        self._entries: dict[tuple[str, bytes], tuple[bytes, int]] = {}
        self._last_cas = 0

    def get(self, vm_id: str, key: bytes) -> tuple[bytes, int] | None:
        """The value and its CAS."""
        return self._entries.get((vm_id, key))

    def set(self, vm_id: str, key: bytes, value: bytes, cas: int) -> Status:
        """Writes unless `cas` is neither 0 nor the entry's; a CAS for a key that is not there is not looked at."""
        entry = self._entries.get((vm_id, key))
        if entry is not None and cas not in (0, entry[1]):
            return Status.CAS_MISMATCH
        self._last_cas = self._last_cas % 0xFFFFFFFF + 1
        self._entries[vm_id, key] = (value, self._last_cas)
        return Status.OK


class _Queue:
    def __init__(self, ready: Callable[[int], None]) -> None:
        self.items: deque[bytes] = deque()
        self.ready = ready


class SharedQueues:
    """Queues by token. Whoever registered a queue last is told of each item."""

    def __init__(self) -> None:
        self._tokens: dict[tuple[str, bytes], int] = {}
        self._queues: dict[int, _Queue] = {}

    def register(self, vm_id: str, name: bytes, ready: Callable[[int], None]) -> int:
        """The queue's token; registering again keeps what the queue holds."""
        token = self._tokens.setdefault((vm_id, name), len(self._tokens) + 1)
        queue = self._queues.get(token)
        if queue is None:
            self._queues[token] = _Queue(ready)
        else:
            queue.ready = ready
        return token

    def resolve(self, vm_id: str, name: bytes) -> int:
        """The token, 0 if nobody registered the queue."""
        return self._tokens.get((vm_id, name), 0)

    def enqueue(self, token: int, item: bytes) -> Status:
        queue = self._queues.get(token)
        if queue is None:
            return Status.NOT_FOUND
        queue.items.append(item)
        queue.ready(token)
        return Status.OK

    def dequeue(self, token: int) -> bytes | Status:
        queue = self._queues.get(token)
        if queue is None:
            return Status.NOT_FOUND
        return queue.items.popleft() if queue.items else Status.EMPTY
