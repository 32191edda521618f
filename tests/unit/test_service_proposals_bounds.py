"""Bounds of proposals, callers that hang up, and stopping."""

import asyncio

import pytest

from gorilla.domain.commands import Acquire, Release
from gorilla.domain.outcomes import Granted, Held, NotFound, Outcome
from gorilla.service.errors import (
    DrainingError,
    GorillaError,
    OutcomeUnknownError,
    OverloadedError,
)
from gorilla.service.pending import ProposalLimits
from tests.support.service import Fate, Node, member, on_virtual_time, turns


def acquire(lock: str, holder: str = "ann", metadata: bytes = b"[]") -> Acquire:
    return Acquire(lock, holder, 3_600_000, f"secret-{lock}-{holder}", metadata)


def submit(node: Node, command: Acquire | Release, within_s: float = 5.0) -> asyncio.Task[Outcome]:
    return asyncio.ensure_future(node.proposals.submit(command, node.loop.time() + within_s))


def applied(node: Node) -> list[int]:
    """Return the fencing tokens of every new grant: one for each command that had an effect."""
    return list(range(1, node.replica.table.fencing_counter + 1))


# Bounds


@on_virtual_time
async def test_one_command_more_than_may_wait_is_refused_at_once():
    node = Node(elected=False, bounds=ProposalLimits(pending_max=3))
    waiting = [submit(node, acquire(f"lock-{n}")) for n in range(3)]
    await turns()

    with pytest.raises(OverloadedError):
        await submit(node, acquire("one-more"))

    node.consensus.elect()
    assert all(isinstance(outcome, Granted) for outcome in await asyncio.gather(*waiting))


@on_virtual_time
async def test_a_deadline_that_is_over_is_refused_at_once_and_definite():
    node = Node()

    with pytest.raises(OverloadedError):
        await submit(node, acquire("db"), within_s=0.0)

    assert node.consensus.offered == []


@on_virtual_time
async def test_a_command_beyond_the_limits_does_not_spoil_the_batch_of_others():
    node = Node()
    good = submit(node, acquire("db"))
    bad = submit(node, acquire("x" * 256))

    results = await asyncio.gather(good, bad, return_exceptions=True)

    assert isinstance(results[0], Granted)
    assert isinstance(results[1], ValueError)


@on_virtual_time
async def test_no_command_is_in_more_copies_than_the_bound_allows():
    node = Node(bounds=ProposalLimits(copies_max=3))
    node.consensus.fate = Fate.DROP
    task = submit(node, acquire("db"), within_s=60.0)
    await turns()
    for name in "bcdef":
        node.consensus.elect(member(name))
        await turns()

    await asyncio.wait([task])

    assert len(node.consensus.offered) == 3
    assert isinstance(task.exception(), OutcomeUnknownError)


@on_virtual_time
async def test_an_early_command_without_outcome_bounds_how_far_the_numbers_may_run_ahead():
    node = Node(bounds=ProposalLimits(resend_after_s=100.0, ahead_max=4))
    node.consensus.fates.append(Fate.DROP)
    early = submit(node, acquire("early"), within_s=60.0)
    await turns()
    for _ in range(3):
        await submit(node, Release("x", "none"))

    with pytest.raises(OverloadedError):
        await submit(node, acquire("late"))

    early.cancel()
    await turns()
    assert isinstance(await submit(node, acquire("late")), Granted)


@on_virtual_time
async def test_without_a_leader_new_commands_do_not_try_the_whole_queue_again():
    node = Node(elected=False)
    attempts = []
    offer = node.consensus.offer

    def count(number: int, batch: bytes) -> bool:
        attempts.append(number)
        return offer(number, batch)

    node.consensus.offer = count
    waiting = []
    for index in range(20):
        waiting.append(submit(node, acquire(f"lock-{index}")))
        await turns()

    assert len(attempts) == 1
    node.consensus.elect()
    assert all(isinstance(outcome, Granted) for outcome in await asyncio.gather(*waiting))


# Hanging up


@on_virtual_time
async def test_a_caller_that_hangs_up_before_anything_was_sent_leaves_nothing():
    node = Node(elected=False)
    task = submit(node, acquire("db"))
    await turns()

    task.cancel()
    await turns()
    node.consensus.elect()
    await submit(node, Release("other", "none"))

    assert node.proposals.pending == 0
    assert applied(node) == []


@on_virtual_time
async def test_a_caller_that_hangs_up_after_sending_leaves_no_bookkeeping():
    node = Node()
    node.consensus.fate = Fate.DELAY
    task = submit(node, acquire("db"))
    await turns()

    task.cancel()
    await turns()

    assert node.proposals.pending == 0
    assert node.proposals._offers == {}
    assert len(node.proposals._agenda) == 0
    node.consensus.deliver_delayed()
    await turns()
    assert applied(node) == [1]


@on_virtual_time
async def test_an_outcome_nobody_waits_for_any_more_is_confirmed():
    node = Node()
    node.consensus.fates.append(Fate.DELAY)
    task = submit(node, acquire("db"))
    await turns()
    task.cancel()
    await turns()
    node.consensus.deliver_delayed()
    await turns()

    held = await submit(node, acquire("db", "bob"))

    assert isinstance(held, Held)
    assert node.consensus.offered[-1].confirmed == 1


# Stopping


@on_virtual_time
async def test_draining_refuses_new_commands_and_waits_for_the_old():
    node = Node()
    node.consensus.fates.append(Fate.DROP)
    old = submit(node, acquire("db"))
    await turns()

    drained = asyncio.ensure_future(node.proposals.drain(timeout_s=4.0))
    await turns()
    with pytest.raises(DrainingError):
        await submit(node, acquire("new"))

    assert await drained == 0
    assert isinstance(await old, Granted)


@on_virtual_time
async def test_draining_ends_by_its_deadline_and_says_what_is_left():
    node = Node()
    node.consensus.fate = Fate.DROP
    old = submit(node, acquire("db"))
    await turns()
    started_s = node.loop.time()

    left = await node.proposals.drain(timeout_s=2.0)

    assert left == 1
    assert node.loop.time() - started_s == pytest.approx(2.0, abs=0.01)
    node.proposals.close()
    with pytest.raises(GorillaError):
        await old
    assert node.proposals.pending == 0


@on_virtual_time
async def test_draining_with_nothing_pending_is_over_at_once():
    node = Node()

    assert await node.proposals.drain(timeout_s=1.0) == 0
    assert node.proposals.is_draining


@on_virtual_time
async def test_an_outcome_that_comes_from_within_the_offer_is_taken():
    node = Node()
    node.consensus.fate = Fate.DROP
    offer = node.consensus.offer

    def answer_at_once(number: int, batch: bytes) -> bool:
        taken = offer(number, batch)
        for command_number, _ in node.consensus.offered[-1].commands:
            node.proposals.resolve(command_number, NotFound())
        return taken

    node.consensus.offer = answer_at_once

    assert await submit(node, acquire("db")) == NotFound()
    assert node.proposals._offers == {}
