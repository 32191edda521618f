"""Changes of the cluster that one leader begins and another one goes on with."""

import asyncio

import pytest

from gorilla.service.errors import ChangeRefusedError
from gorilla.service.ports import AddMember, Member, TransferLeadership
from tests.support.changing import Town


@pytest.fixture
async def town():
    town = Town()
    yield town
    town.close()


def add(name, **more):
    return AddMember(name=name, peer=f"{name}:1", http=f"{name}:2", **more)


async def hang(*_):
    await asyncio.get_running_loop().create_future()


class LostMember:
    """A member whose process and disk are gone; an empty directory waits under its name."""

    def __init__(self, town, name):
        self.town, self.name = town, name
        self.new = Member(id="id-new", name=name, peer=f"{name}:1", http=f"{name}:2")
        town.newcomer(name, self.new.id)

    @classmethod
    async def of(cls, town):
        lost = await town.follower()
        town.stop(lost)
        return cls(town, lost.name)

    async def others(self):
        """The leader, and the one that follows it."""
        leader = await self.town.leader()
        [other] = (node for node in self.town.nodes.values() if node is not leader)
        return leader, other


async def test_a_replacement_by_the_same_name_is_not_done_because_the_dead_one_is_still_there(town):
    lost = await LostMember.of(town)
    leader, other = await lost.others()
    leader.invite = hang

    async def lose_the_leader():
        await town.until(lambda: leader.engine.roster.learners)
        leader.engine.roster.transfer(other.member.id)
        leader.driver.wake()
        await town.until(lambda: other.engine.roster.leads)
        town.unlink(other, leader)
        town.link(other, leader)

    change = town.change(other, add(lost.name, replaces=lost.name))
    report, _ = await asyncio.gather(change, lose_the_leader())

    assert report.steps[-1] == f"make {lost.name} a member"
    await town.until(lambda: lost.new in other.engine.roster.members)
    assert len(other.engine.roster.members) == 3


def loses_office_before(leader, other, kind):
    """Have another node's later term reach the leader right before it proposes such a change."""
    propose = leader.engine.roster.change

    def depose(proposed, member):
        if proposed == kind:
            leader.engine.roster.change = propose  # once
            term = leader.engine.view().term + 1
            leader.driver.received(other.member.id, {"type": "stale", "term": term})
        propose(proposed, member)

    leader.engine.roster.change = depose


async def test_the_next_leader_takes_the_steps_that_are_left(town):
    lost = await LostMember.of(town)
    leader, other = await lost.others()
    loses_office_before(leader, other, "add")

    report = await town.change(leader, add(lost.name, replaces=lost.name))

    assert report.done
    assert report.steps[0].startswith("remove ")
    assert report.steps[-1] == f"make {lost.name} a member"
    assert lost.new in leader.engine.roster.members


async def test_a_refusal_says_what_an_earlier_leader_had_done(town):
    lost = await LostMember.of(town)
    leader, other = await lost.others()
    loses_office_before(leader, other, "add")
    for node in (leader, other):
        node.unformed = lambda name, node=node: (
            None if len(node.engine.roster.members) == 2 else town.waiting[name]
        )
    with pytest.raises(ChangeRefusedError, match=r"done before that: remove id-") as refused:
        await town.change(leader, add(lost.name, replaces=lost.name))
    assert refused.value.reason == "newcomer_not_up"


async def test_a_successor_that_dies_does_not_keep_the_leader_from_taking_commands(town):
    leader = await town.leader()
    successor = await town.follower()
    send = leader.send
    leader.send = lambda to, what: what["type"] == "timeout_now" or send(to, what)
    change = asyncio.ensure_future(
        town.change(leader, TransferLeadership(to=successor.name), within_s=60)
    )
    await town.until(lambda: leader.engine._leading.successor)

    town.stop(successor)

    async with asyncio.timeout(1):
        with pytest.raises(ChangeRefusedError) as refused:
            await change
    assert refused.value.reason == "not_taken_over"
    await town.acquire(leader, 1)
