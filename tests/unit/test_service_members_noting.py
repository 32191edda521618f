"""A change of the members becomes an event, once."""

from gorilla.domain.events import MembersChanged
from gorilla.service.members_noting import MembersNoting
from gorilla.service.ports import MemberProgress
from tests.support.service import Node, member, on_virtual_time


def noted(node: Node) -> list[tuple[str, ...]]:
    events = node.replica.table.recent_events
    return [event.members for event in events if isinstance(event, MembersChanged)]


@on_virtual_time
async def test_the_leader_records_the_members_when_they_change_and_only_then():
    node = Node()
    noting = MembersNoting(node.consensus, node.replica, node.proposals)
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=10_000)
    await noting.step()
    await noting.step()
    assert noted(node) == []

    node.consensus.progress = (MemberProgress(member=member("gorilla-2"), connected=True),)
    await node.locks.acquire(lock="db2", holder="ann", ttl_ms=10_000)
    await noting.step()
    await noting.step()

    assert noted(node) == [("gorilla-1", "gorilla-2")]


@on_virtual_time
async def test_a_node_that_does_not_lead_records_nothing():
    node = Node()
    node.consensus.leader = member("gorilla-2")

    await MembersNoting(node.consensus, node.replica, node.proposals).step()

    assert noted(node) == []
