"""Sessions and policies as services, on virtual time."""

import asyncio

from gorilla.domain.commands import Acquire, Policy
from gorilla.domain.outcomes import (
    Done,
    Granted,
    NotFound,
    Replayed,
    SessionAlive,
    SessionEnded,
    SessionNotFound,
)
from gorilla.service.keys import Key
from gorilla.service.locks import LockSettings
from gorilla.service.sessions import SessionView
from tests.support.service import Fate, Node, on_virtual_time


async def opened(node: Node, ttl_ms: int = 10_000) -> SessionAlive:
    outcome = await node.sessions.open(holder="ann", ttl_ms=ttl_ms)
    assert isinstance(outcome, SessionAlive)
    return outcome


async def acquired(node: Node, lock: str, session: str, ttl_ms: int = 0) -> Granted:
    command = Acquire(lock, "ann", ttl_ms, f"secret-{lock}", session=session)
    outcome = await node.proposals.submit(command, node.loop.time() + 5)
    assert isinstance(outcome, Granted)
    return outcome


@on_virtual_time
async def test_a_session_lives_for_its_ttl_after_each_sign_of_life():
    node = Node()
    alive = await opened(node)
    session_id = alive.session.id

    await asyncio.sleep(8)
    kept = await node.sessions.keep(session_id)
    await asyncio.sleep(8)
    still = await node.sessions.show(session_id)
    await asyncio.sleep(3)
    gone = await node.sessions.show(session_id)

    assert alive.remaining_ms == 10_000
    assert isinstance(kept, SessionAlive)
    assert kept.remaining_ms == 10_000
    assert isinstance(still, SessionView)
    assert 1_990 <= still.remaining_ms <= 2_010
    assert gone == SessionNotFound()
    assert await node.sessions.keep(session_id) == SessionNotFound()
    assert await node.sessions.end(session_id) == SessionNotFound()


@on_virtual_time
async def test_a_session_shows_what_lives_in_it_and_takes_it_along():
    node = Node()
    session_id = (await opened(node)).session.id
    await acquired(node, "b", session_id)
    await acquired(node, "a", session_id, ttl_ms=5_000)

    view = await node.sessions.show(session_id)
    ended = await node.sessions.end(session_id)

    assert isinstance(view, SessionView)
    assert [shown.lease.lock for shown in view.leases] == ["b", "a"]
    assert [round(shown.remaining_ms, -3) for shown in view.leases] == [10_000, 5_000]
    assert view.waits == ()
    assert ended == SessionEnded(2)
    assert node.replica.table.held == 0


@on_virtual_time
async def test_too_long_a_ttl_is_lowered_and_time_that_passed_is_not_promised():
    node = Node(settings=LockSettings(max_timeout_ms=60_000))
    node.consensus.fates.extend([Fate.DROP])

    alive = await opened(node, ttl_ms=1_000_000)

    assert alive.session.ttl_ms == 60_000
    assert 58_000 < alive.remaining_ms < 60_000


@on_virtual_time
async def test_a_session_told_again_does_not_promise_the_time_that_it_took():
    node = Node()
    key = Key("k", b"f")
    await node.sessions.open(holder="ann", ttl_ms=10_000, key=key)
    node.consensus.fates.append(Fate.DROP)
    asked_s = node.loop.time()

    again = await node.sessions.open(holder="ann", ttl_ms=10_000, key=key)

    passed_ms = (node.loop.time() - asked_s) * 1_000
    assert isinstance(again, Replayed)
    assert isinstance(again.outcome, SessionAlive)
    assert again.outcome.remaining_ms <= 10_000 - 2 * passed_ms + 50


@on_virtual_time
async def test_what_can_be_no_id_is_not_found_without_asking_anybody():
    node = Node()
    for wrong in ("", "x" * 65):
        assert await node.sessions.keep(wrong) == SessionNotFound()
        assert await node.sessions.end(wrong) == SessionNotFound()
        assert await node.sessions.show(wrong) == SessionNotFound()
    assert node.consensus.offered == []


@on_virtual_time
async def test_a_session_is_opened_once_under_a_key():
    node = Node()
    key = Key("open", b"fingerprint")

    first = await node.sessions.open(holder="ann", ttl_ms=10_000, key=key)
    await asyncio.sleep(4)
    again = await node.sessions.open(holder="ann", ttl_ms=10_000, key=key)

    assert isinstance(first, SessionAlive)
    assert isinstance(again, Replayed)
    assert isinstance(again.outcome, SessionAlive)
    assert again.outcome.session.id == first.session.id
    assert 5_990 <= again.outcome.remaining_ms <= 6_010
    assert node.replica.table.session_count == 1


# Policies


@on_virtual_time
async def test_policies_are_set_listed_and_dropped():
    node = Node()
    every, deploy = Policy("", ttl_ms_max=90_000), Policy("deploy/", owners=("ci-*",))

    done = [await node.policies.set(policy) for policy in (deploy, every, deploy)]
    listed = await node.policies.list()
    ruling = await node.policies.list(lock="deploy/shop")
    other = await node.policies.list(lock="x")
    dropped = [await node.policies.drop("deploy/") for _ in range(2)]

    assert done == [Done(), Done(), Done(changed=False)]
    assert listed.policies == (every, deploy)
    assert (ruling.policies, other.policies) == ((deploy,), (every,))
    assert dropped == [Done(), NotFound()]
    assert (await node.policies.list()).policies == (every,)


@on_virtual_time
async def test_policies_are_listed_without_a_leader_when_that_is_asked_for():
    node = Node()
    await node.policies.set(Policy("a"))
    node.consensus.lose_leader()

    stale = await node.policies.list(stale=True)

    assert stale.policies == (Policy("a"),)
    assert stale.age_ms is not None
