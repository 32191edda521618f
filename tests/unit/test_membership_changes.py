"""Changes of the cluster, asked for at any node, while links break and leaders come and go."""

import asyncio
import logging

import pytest

from gorilla.consensus.driver import LEADERLESS_S
from gorilla.consensus.membership.messages import decode_answer
from gorilla.consensus.roster import RemovedError
from gorilla.service.errors import (
    ChangeRefusedError,
    MemberNotFoundError,
    NoLeaderError,
    OutcomeUnknownError,
)
from gorilla.service.ports import (
    AddMember,
    DrainMember,
    MoveMember,
    RemoveMember,
    TransferLeadership,
)
from tests.support.changing import Role, Town, member


@pytest.fixture
async def town():
    town = Town()
    yield town
    town.close()


def add(name, **more):
    return AddMember(name=name, peer=f"{name}:1", http=f"{name}:2", **more)


async def test_a_newcomer_is_added_at_any_node_and_has_the_data(town):
    town.newcomer("d")
    await town.acquire(await town.leader(), 1)

    report = await town.change(await town.follower(), add("d"))

    assert report.done
    assert report.steps == ("let d learn the log, without a vote", "make d a member")
    await town.roster("abcd")
    leader = await town.leader()
    assert leader.dialled == ()
    await town.until(
        lambda: town.nodes["d"].replica.table.digest() == leader.replica.table.digest()
    )


async def test_a_dry_run_says_the_steps_and_changes_nothing(town):
    town.newcomer("d")
    report = await town.change(await town.follower(), add("d"), dry_run=True)
    assert not report.done
    assert [one.name for one in report.members] == list("abcd")
    assert "d" not in town.nodes
    assert (await town.leader()).names() == list("abc")


async def test_a_removed_follower_answers_who_asked_it_and_ends(town):
    leaving = await town.follower()
    report = await town.change(leaving, RemoveMember(member=leaving.name))
    assert report.done
    assert [one.name for one in report.members] == sorted({*"abc"} - {leaving.name})
    await town.until(lambda: leaving.failures)
    assert isinstance(leaving.failures[0], RemovedError)


async def test_a_leader_that_is_asked_to_remove_itself_hands_over_and_the_next_one_does_it(town):
    leader = await town.leader()
    report = await town.change(leader, RemoveMember(member=leader.name))
    assert [step.split(" to ")[0] for step in report.steps] == [
        "hand leadership over",
        f"remove {leader.name}",
    ]
    rest = {*"abc"} - {leader.name}
    await town.until(lambda: leader.failures)
    town.stop(leader)
    await town.roster(rest)
    assert (await town.leader()).name in rest


async def test_a_link_that_breaks_under_a_change_makes_it_neither_twice_nor_unknown(town):
    town.newcomer("d")
    origin, leader = await town.follower(), await town.leader()

    async def break_it():
        await town.until(lambda: leader.engine.roster.learners)
        town.unlink(origin, leader)
        town.link(origin, leader)

    report, _ = await asyncio.gather(town.change(origin, add("d")), break_it())

    assert report.done
    await town.roster("abcd")
    adds = [c for c, _, _ in leader.journal[:] if b"add" in c and b"id-d" in c]
    assert len(adds) == 1


async def test_a_change_outlives_the_leader_that_was_making_it(town):
    town.newcomer("d")
    origin, leader = await town.follower(), await town.leader()
    leader.invite = hang  # it gets no further

    async def end_it():
        await town.until(lambda: leader.engine.roster.learners)
        town.stop(leader)

    report, _ = await asyncio.gather(town.change(origin, add("d")), end_it())

    assert report.done
    await town.until(lambda: origin.names() == list("abcd"))


async def hang(*_):
    await asyncio.get_running_loop().create_future()


async def test_a_newcomer_that_gets_no_data_is_let_go_and_the_next_change_is_taken(town):
    town.newcomer("d")
    leader = await town.leader()
    send = leader.send
    leader.send = lambda peer, message: None if peer == "id-d" else send(peer, message)

    with pytest.raises(ChangeRefusedError, match="did not get the data in time") as refused:
        await town.change(leader, add("d"), within_s=0.5)

    assert refused.value.reason == "not_caught_up"
    assert leader.engine.roster.learners == {}
    assert leader.names() == list("abc")
    leader.send = send
    report = await town.change(leader, add("d"))
    assert report.done
    await town.roster("abcd")


@pytest.mark.parametrize("at", ["leader", "follower"])
async def test_refusals_reach_whoever_asked(town, at):
    node = await (town.leader() if at == "leader" else town.follower())
    town.newcomer("x")
    town.declining.add("x")
    with pytest.raises(ChangeRefusedError, match="belongs to another cluster") as declined:
        await town.change(node, add("x"))
    with pytest.raises(MemberNotFoundError, match="'z'"):
        await town.change(node, RemoveMember(member="z"))
    assert declined.value.reason == "newcomer_declined"
    assert (await town.leader()).engine.roster.learners == {}


async def test_one_change_at_a_time_the_next_one_is_refused_and_may_come_after(town):
    town.newcomer("d")
    leader = await town.leader()
    first = asyncio.ensure_future(town.change(leader, add("d")))
    await town.until(lambda: leader.dialled)
    with pytest.raises(ChangeRefusedError) as refused:
        await town.change(await town.follower(), TransferLeadership())
    assert refused.value.reason == "under_way"
    assert (await first).done
    assert (await town.change(await town.follower(), TransferLeadership())).done


async def test_without_a_leader_nothing_is_changed_and_that_is_said(town):
    leader = await town.leader()
    others = [node for node in town.nodes.values() if node is not leader]
    for other in others:
        town.stop(other)
    await town.until(lambda: leader.role is not Role.LEADER)
    with pytest.raises(NoLeaderError):
        await town.change(leader, RemoveMember(member="a"), within_s=0.2)


async def test_a_change_that_was_proposed_and_not_committed_is_told_as_unknown(town):
    leader = await town.leader()
    sending, leader.send = leader.send, lambda *_: None  # mute
    with pytest.raises(OutcomeUnknownError):
        await town.change(leader, MoveMember(member=leader.name, peer="new:1"), within_s=0.3)
    leader.send = sending


async def test_a_move_is_in_every_roster(town):
    await town.change(await town.follower(), MoveMember(member="b", peer="new:9"))
    peers = {node.name: node for node in town.nodes.values()}
    await town.until(
        lambda: all(
            {one.peer for one in node.engine.roster.members} == {"a:1", "new:9", "c:1"}
            for node in peers.values()
        )
    )


async def test_leadership_goes_to_whom_it_is_said(town):
    for name in "abcabc":
        await town.change(town.nodes["a"], TransferLeadership(to=name))
        assert (await town.leader()).name == name


async def test_a_member_of_the_same_name_replaces_a_lost_one(town):
    lost = await town.follower()
    town.stop(lost)
    new = member(lost.name)
    town.newcomer(lost.name)
    town.waiting[lost.name] = type(town.waiting[lost.name])(
        name=new.name, id="id-new", version="1", cluster_id=None, protocol=1
    )
    leader = await town.leader()
    with pytest.raises(ChangeRefusedError) as refused:
        await town.change(leader, add(lost.name))
    assert refused.value.reason == "exists"
    report = await town.change(leader, add(lost.name, replaces=lost.name), dry_run=True)
    assert [step.split(" ")[0] for step in report.steps] == ["let", "remove", "make"]


# -- drain


async def test_a_drained_leader_hands_over_and_every_member_knows(town):
    leader, asked_at = await town.leader(), await town.follower()
    report = await town.change(asked_at, DrainMember(member=leader.name, draining=True))

    assert report.steps[0] == f"drain {leader.name}"
    assert leader.drains == [True]
    new = await town.until(lambda: town.leading() not in {None, leader} and town.leading())
    drained = [one.member.name for one in new.driver.view().progress if one.draining]
    assert drained == [leader.name]

    [third] = (one for one in town.nodes.values() if one not in (leader, new))
    await town.change(new, DrainMember(member=third.name, draining=True))
    with pytest.raises(ChangeRefusedError) as refused:
        await town.change(third, DrainMember(member=new.name, draining=True))
    assert refused.value.reason == "last_serving"
    await town.change(asked_at, DrainMember(member=leader.name, draining=False))
    assert leader.drains == [True, False]


async def test_a_member_that_links_again_says_that_it_drains(town):
    node = await town.follower()
    await town.change(node, DrainMember(member=node.name, draining=True))
    town.isolate(node)
    leader = await town.leader()
    assert leader.engine.roster.drained == set()
    town.rejoin(node)
    await town.until(lambda: leader.engine.roster.drained == {node.member.id})


async def test_a_drained_node_leads_as_a_last_resort_and_gives_it_away_when_it_can(town):
    drained = await town.follower()
    await town.change(drained, DrainMember(member=drained.name, draining=True))
    leader = await town.leader()
    others = [one for one in town.nodes.values() if one is not drained]
    for one in others:
        one.engine.roster.drain(draining=True)  # they would wait, too
    await town.change(drained, TransferLeadership(to=drained.name))
    assert (await town.leader()) is drained

    stop = asyncio.Event()
    running = asyncio.ensure_future(drained.changes.run(stop))
    await town.until(lambda: town.leading() not in {None, drained})
    stop.set()
    await running
    assert leader.failures == []


async def test_a_drained_leader_goes_on_while_the_only_other_one_lacks_most_of_the_log(
    town, monkeypatch
):
    monkeypatch.setattr("gorilla.consensus.membership.leading.BEHIND_MAX", 5)
    leader = await town.leader()
    behind, drained = (node for node in town.nodes.values() if node is not leader)
    send = leader.send
    leader.send = lambda to, what: (
        (to == behind.member.id and bool(what.get("entries"))) or send(to, what)
    )
    for node in (leader, drained):
        node.changes.draining.set(draining=True)
    for number in range(1, 10):
        await town.acquire(leader, number)
    stop = asyncio.Event()
    running = asyncio.ensure_future(leader.changes.run(stop))
    await town.acquire(leader, 10)
    assert leader.engine._leading.successor is None
    stop.set()
    await running


# -- nodes of other releases


async def test_what_this_release_does_not_understand_is_refused_and_stops_nobody(town):
    leader, node = await town.leader(), await town.follower()
    answers = []
    node.engine.others["changed"] = lambda peer, message: answers.append(message)
    node.engine.tell(leader.member.id, {"type": "change", "id": 7, "asked": b"\x81\xa1x\x01"})
    node.engine.tell(leader.member.id, {"type": "change-of-2031", "id": 8})
    node.driver.wake()

    await town.until(lambda: answers)

    assert decode_answer(answers[0]["answer"]).reason == "unsupported"
    assert leader.failures == []
    assert (await town.leader()) is leader


def warnings(caplog):
    return [one.message for one in caplog.records if one.levelno >= logging.WARNING]


async def test_a_planned_handover_warns_nobody(town, caplog):
    await town.leader()
    caplog.clear()
    with caplog.at_level(logging.INFO, "gorilla.consensus.driver"):
        for name in "abc":
            await town.change(town.nodes["a"], TransferLeadership(to=name))
            await town.until(lambda name=name: all(leads(one, name) for one in town.nodes.values()))

    told = [one.message for one in caplog.records if one.name == "gorilla.consensus.driver"]
    assert any("no leader" in one for one in told)
    assert warnings(caplog) == []


def leads(node, name):
    leader = node.driver.view().leader
    return leader is not None and leader.name == name


async def test_that_nobody_leads_is_a_warning_when_it_lasts(town, caplog):
    leader = await town.leader()
    for other in [node for node in town.nodes.values() if node is not leader]:
        town.stop(other)

    await town.until(lambda: warnings(caplog))

    assert warnings(caplog)[0].startswith(
        f"no leader with a majority is known for {LEADERLESS_S:g}"
    )
