"""One step of who waits for whom."""

import msgspec


class Link(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One step of a cycle: ``waiter`` waits for ``lock``, which ``holder`` has or comes before."""

    waiter: str
    lock: str
    holder: str
    holds: bool
    """Whether it holds the lock; else it is ahead in the queue."""
