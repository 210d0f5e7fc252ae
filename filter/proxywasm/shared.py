"""Shared between the VMs of one `vm_id`: a key-value store with compare-and-swap, and queues
(specification, sections "Shared Key-Value Store" and "Shared Queues")."""

from collections.abc import Callable

from proxywasm.types import HostError, Status
from proxywasm.vm import VM

_UPDATE_TRIES = 100


def get_shared(key: str) -> tuple[bytes, int] | None:
    """The value under `key` with its compare-and-swap number, or `None`."""
    return VM.host.get_shared_data(key)


def set_shared(key: str, value: bytes, cas: int = 0) -> bool:
    """Store `value`; with a `cas` other than 0 only if the key still has that number. True if it was stored."""
    try:
        VM.host.set_shared_data(key, value, cas)
    except HostError as error:
        if error.status == Status.CAS_MISMATCH:
            return False
        raise
    return True


def update_shared(key: str, change: Callable[[bytes | None], bytes]) -> bytes:
    """Replace the value under `key` by `change(value)` atomically, trying again when another VM was faster.

    Raises `HostError` with `CAS_MISMATCH` after 100 lost races.
    """
    for _ in range(_UPDATE_TRIES):
        found = VM.host.get_shared_data(key)
        value = change(None if found is None else found[0])
        # a key that does not exist yet has no number to compare: 0 stores unconditionally
        if set_shared(key, value, 0 if found is None else found[1]):
            return value
    raise HostError(Status.CAS_MISMATCH, "proxy_set_shared_data")


class SharedQueue:
    """A queue of byte strings; the VM that registered it is told of new items by `RootContext.on_queue_ready`."""

    def __init__(self, queue_id: int) -> None:
        self.id = queue_id

    @staticmethod
    def register(name: str) -> "SharedQueue":
        """Create or find this VM's queue `name`."""
        return SharedQueue(VM.host.register_shared_queue(name))

    @staticmethod
    def resolve(vm_id: str, name: str) -> "SharedQueue | None":
        """A queue that the VM `vm_id` registered, or `None`."""
        queue_id = VM.host.resolve_shared_queue(vm_id, name)
        return None if queue_id is None else SharedQueue(queue_id)

    def enqueue(self, value: bytes) -> None:
        VM.host.enqueue_shared_queue(self.id, value)

    def dequeue(self) -> bytes | None:
        """The oldest item, or `None` if the queue is empty."""
        return VM.host.dequeue_shared_queue(self.id)
