"""Places in the queue that are kept: asking for them on a node in memory, and looking at them."""

from typing import Any

from gorilla.domain import limits
from tests.support.service import Node, acquired

KEEP_MS = limits.KEPT_PLACE_MS_MAX


def queue(node: Node, lock: str = "db") -> list[str]:
    return [waiter.holder for waiter in node.replica.table.waiters.queue(lock).values()]


async def held(node: Node, lock: str = "db", ttl_ms: int = 1_000_000) -> str:
    granted = await node.locks.acquire(lock=lock, holder="ann", ttl_ms=ttl_ms)
    return granted.lease.secret


async def asked(node: Node, holder: str, wait_ms: int = 2_000, **more: Any) -> Any:
    """Wait, and have the place kept."""
    return await acquired(node, holder, wait_ms=wait_ms, keep_ms=KEEP_MS, **more)
