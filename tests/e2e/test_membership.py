"""Clusters of real nodes that grow, shrink, lose members and get new ones, under load."""

import asyncio
import itertools
import shutil
import time

import pytest

from tests.support.growing import MEMBERS, GrowingNodes
from tests.support.real_cluster import POLL_S, acquire, call, until_equal
from tests.support.writers import Account, Session, Writers, ask_again, lost, undone

pytestmark = pytest.mark.e2e

LEADER = "/api/v1/cluster/leader"
CLIENTS = 8

# The log forgets soon: newcomers begin with a snapshot, and it is snapshots that keep the roster.
COMPACTING = {"GORILLA_JOURNAL_COMPACT_ENTRIES": "300", "GORILLA_JOURNAL_RETAIN_ENTRIES": "50"}


@pytest.fixture
async def nodes(tmp_path):
    nodes = GrowingNodes(tmp_path, 5, forming=3, **COMPACTING)
    try:
        nodes.start(*nodes.forming)
        await nodes.until_ready(*nodes.forming)
        yield nodes
    finally:
        nodes.close()


async def leader_of(nodes):
    while (leader := await asyncio.to_thread(nodes.leader)) is None:
        await asyncio.sleep(POLL_S)
    return leader


async def a_follower(nodes, members):
    leader = await leader_of(nodes)
    return next(name for name in members if name != leader)


async def grow_and_shrink(nodes, urls):
    """3 -> 5 -> 3 -> 1 -> 3, asked for at any node."""
    members = list(nodes.forming)

    def seen():
        urls[:] = [nodes.url(name) for name in members]

    async def grow(name):
        await nodes.add(name, members[0])
        members.append(name)
        await nodes.until_members(*members)
        seen()

    async def shrink(name, at):
        members.remove(name)
        seen()
        await nodes.remove(name, at)
        await nodes.until_members(*members)

    await grow("n4")
    await grow("n5")
    leader = await leader_of(nodes)
    await shrink(leader, leader)
    follower = await a_follower(nodes, members)
    await shrink(follower, follower)
    leader = await leader_of(nodes)
    await shrink(leader, await a_follower(nodes, members))
    await shrink(await a_follower(nodes, members), await leader_of(nodes))
    assert len(members) == 1
    for name in [name for name in nodes.names if name not in members][:2]:
        await grow(name)
    return members


async def test_a_cluster_grows_and_shrinks_from_three_to_five_to_one_to_three_under_load(nodes):
    kept = [await asyncio.to_thread(acquire, nodes.url("n1"), f"kept-{n}") for n in range(8)]
    urls = [nodes.url(name) for name in nodes.forming]
    account = Account()
    async with Session(urls) as session:
        async with Writers(session, account, count=CLIENTS, seed="churn"):
            members = await grow_and_shrink(nodes, urls)
        nodes.names = sorted(members)  # the others are gone for good
        await until_equal(nodes)
        assert account.unexpected == []
        assert len(account.holds) > 100
        assert await lost(session, account, account.held.values()) == []
        assert await undone(session, account.released) == []
        await ask_again(session, account)

        # It is the log that says who is a member, not the list that the nodes were started with.
        nodes.kill(*nodes.names)
        nodes.start()
        await nodes.until_ready()
        await nodes.until_members(*members)
        assert await lost(session, account, account.held.values()) == []
        views = [nodes.ask(name, "/api/v1/cluster") for name in members]
        assert all(view["snapshotIndex"] > 0 for view in views)
    by_number = sorted(account.holds, key=lambda hold: hold.fencing_token)
    assert all(a.fencing_token < b.fencing_token for a, b in itertools.pairwise(by_number))
    for lock in kept:
        seen = nodes.ask(members[0], f"/api/v1/locks/{lock['resource']}/{lock['token']}", 10)
        assert seen is not None
        assert seen["id"] == lock["id"]


async def test_a_dead_member_with_a_lost_disk_is_replaced_by_an_empty_one_of_the_same_name(nodes):
    dead = await a_follower(nodes, nodes.forming)
    rest = [name for name in nodes.forming if name != dead]
    lock = await asyncio.to_thread(acquire, nodes.url(rest[0]), "kept")
    nodes.kill(dead)
    shutil.rmtree(nodes.data(dead))

    tried = await nodes.change(
        rest[0], "POST", MEMBERS + "?dry_run=true", nodes.body(dead), wanted=409
    )
    assert tried.body["code"] == "change_refused"
    answer = await nodes.add(dead, rest[1], replaces=dead)

    assert answer.body["steps"][-1] == f"make {dead} a member"
    await nodes.until_members(*nodes.forming)
    seen = nodes.ask(dead, f"/api/v1/locks/kept/{lock['token']}", 10)
    assert seen is not None
    nodes.kill(rest[0])  # the new one counts: it and the other are a majority
    await asyncio.to_thread(acquire, nodes.url(dead), "after", timeout_s=5)


async def test_a_change_that_would_break_something_says_what(nodes):
    leader = await leader_of(nodes)
    body = nodes.body("n4")
    absent = await nodes.change("n1", "POST", MEMBERS, body, wanted=409)
    assert absent.body["reason"] == "newcomer_not_up"
    assert "start it first" in absent.body["detail"]
    await nodes.change("n2", "DELETE", f"{MEMBERS}/n9", wanted=404)

    down = await a_follower(nodes, nodes.forming)
    up = next(name for name in nodes.forming if name not in (leader, down))
    nodes.kill(down)
    refused = await nodes.change(leader, "DELETE", f"{MEMBERS}/{up}", wanted=409)
    assert refused.body["reason"] == "no_quorum"
    assert "start those that are down first" in refused.body["detail"]
    assert nodes.members_at(leader) == nodes.forming

    nodes.kill(up)
    alone = await asyncio.to_thread(
        call, nodes.url(leader), "DELETE", f"{MEMBERS}/{down}?timeout=2"
    )
    assert alone.status in {409, 503, 504}
    assert nodes.members_at(leader) == nodes.forming


async def test_leadership_goes_to_whom_it_is_said_and_only_there(nodes):
    for target in (*nodes.forming, *nodes.forming):
        await nodes.change("n1", "POST", LEADER, {"to": target})
        assert await leader_of(nodes) == target
    was = await leader_of(nodes)
    await nodes.change("n2", "POST", LEADER)
    assert await leader_of(nodes) != was


async def until_ready_is(nodes, name, wanted):
    deadline = time.monotonic() + 5
    while await asyncio.to_thread(nodes.is_ready, name) != wanted:
        assert time.monotonic() < deadline, f"{name} is not {'ready' if wanted else 'drained'}"
        await asyncio.sleep(POLL_S)


async def test_a_drained_member_is_not_ready_does_not_lead_and_serves_what_reaches_it(nodes):
    leader = await leader_of(nodes)
    asked_at = await a_follower(nodes, nodes.forming)
    await nodes.change(asked_at, "POST", f"{MEMBERS}/{leader}/drain")

    await until_ready_is(nodes, leader, wanted=False)
    ready = await asyncio.to_thread(call, nodes.url(leader), "GET", "/_ready")
    assert ready.body["code"] == "draining"
    assert await leader_of(nodes) != leader
    await asyncio.to_thread(acquire, nodes.url(leader), "still-served")
    view = nodes.ask(asked_at, "/api/v1/cluster")
    assert [m["name"] for m in view["members"] if m["draining"]] == [leader]

    other = await leader_of(nodes)
    nodes.kill(other)
    third = next(name for name in nodes.forming if name not in (leader, other))
    deadline = time.monotonic() + 10
    while await asyncio.to_thread(nodes.leader) != third:
        assert time.monotonic() < deadline
        await asyncio.sleep(POLL_S)

    await nodes.change(leader, "DELETE", f"{MEMBERS}/{leader}/drain")
    await until_ready_is(nodes, leader, wanted=True)


async def test_a_member_moves_to_another_address(nodes):
    moving = await a_follower(nodes, nodes.forming)
    at = next(name for name in nodes.forming if name != moving)
    nodes.kill(moving)
    body = nodes.move(moving)
    await nodes.change(at, "PUT", f"{MEMBERS}/{moving}", body)
    nodes.start(moving)
    await nodes.until_ready(moving)
    # Each finds the others where the log says, also when all were down.
    nodes.kill(*nodes.forming)
    nodes.start(*nodes.forming)
    await nodes.until_ready(*nodes.forming)
    view = nodes.ask(at, "/api/v1/cluster")
    assert body["peer"] in {member["peer"] for member in view["members"]}
