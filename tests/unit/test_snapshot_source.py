"""What the snapshot keeper sees of a node."""

import asyncio

from gorilla.daemon.snapshot_source import ReplicaSource
from gorilla.domain.outcomes import Granted
from tests.support.service import Node, on_virtual_time


@on_virtual_time
async def test_a_change_of_a_lock_makes_a_new_snapshot_worth_while_and_time_alone_does_not():
    node = Node()
    source = ReplicaSource("n1", node.consensus, node.replica)
    granted = await node.locks.acquire(lock="db", holder="ann", ttl_ms=60_000)
    assert isinstance(granted, Granted)
    held, written = source.chain(), node.consensus.index
    await asyncio.sleep(20)

    later = source.chain()
    await node.locks.renew("db", granted.lease.secret, ttl_ms=60_000)
    renewed = source.chain()
    await asyncio.sleep(70)

    assert node.consensus.index > written, "time was written meanwhile"
    assert later == held
    assert len({held, renewed, source.chain()}) == 3
    assert source.capture().chain == source.chain()
