"""Proposals against an honest in-memory consensus, on virtual time."""

import asyncio

import pytest

from gorilla.domain.commands import Acquire, Release
from gorilla.domain.outcomes import Granted, Held, Outcome
from gorilla.service.errors import (
    NoLeaderError,
    OutcomeUnknownError,
    OverloadedError,
)
from gorilla.service.proposals import BATCH_BYTES_MAX
from tests.support.service import Fate, Node, member, on_virtual_time, turns


def acquire(lock: str, holder: str = "ann", metadata: bytes = b"[]") -> Acquire:
    return Acquire(lock, holder, 3_600_000, f"secret-{lock}-{holder}", metadata)


def submit(node: Node, command: Acquire | Release, within_s: float = 5.0) -> asyncio.Task[Outcome]:
    return asyncio.ensure_future(node.proposals.submit(command, node.loop.time() + within_s))


def applied(node: Node) -> list[int]:
    """Return the fencing tokens of every new grant: one for each command that had an effect."""
    return list(range(1, node.replica.table.fencing_counter + 1))


@on_virtual_time
async def test_a_command_is_applied_and_its_outcome_comes_back():
    node = Node()

    outcome = await submit(node, acquire("db"))

    assert isinstance(outcome, Granted)
    assert outcome.lease.lock == "db"
    assert node.proposals.pending == 0


@on_virtual_time
async def test_commands_of_one_turn_travel_in_one_batch_numbered_in_order():
    node = Node()

    outcomes = await asyncio.gather(*(submit(node, acquire(f"lock-{n}")) for n in range(5)))

    assert all(isinstance(outcome, Granted) for outcome in outcomes)
    assert [[number for number, _ in batch.commands] for batch in node.consensus.offered] == [
        [1, 2, 3, 4, 5]
    ]


@on_virtual_time
async def test_a_batch_confirms_every_number_resolved_before_it():
    node = Node()
    await submit(node, acquire("one"))
    await submit(node, acquire("two"))

    await submit(node, acquire("three"))

    assert [batch.confirmed for batch in node.consensus.offered] == [0, 1, 2]
    assert node.replica.table.unconfirmed(node.proposals.origin) == 1


@on_virtual_time
async def test_an_unresolved_number_is_not_confirmed_by_later_ones():
    node = Node()
    node.consensus.fates.extend([Fate.DROP])
    lost = submit(node, acquire("one"))
    await turns()
    await submit(node, acquire("two"))

    await submit(node, acquire("three"))

    assert [batch.confirmed for batch in node.consensus.offered] == [0, 0, 0]
    assert isinstance(await lost, Granted)


@on_virtual_time
async def test_only_batches_before_the_first_outcome_open_the_origin():
    node = Node()
    node.consensus.fates.append(Fate.DROP)
    lost = submit(node, acquire("one"))
    await turns()

    await submit(node, acquire("two"))
    await submit(node, acquire("three"))

    assert [batch.opens for batch in node.consensus.offered] == [True, True, False]
    assert isinstance(await lost, Granted)


@on_virtual_time
async def test_a_turn_with_more_bytes_than_a_batch_takes_several():
    node = Node()
    metadata = b'["' + b"x" * 4_000 + b'"]'
    count = 2 * BATCH_BYTES_MAX // len(metadata)

    outcomes = await asyncio.gather(
        *(submit(node, acquire(f"lock-{n}", metadata=metadata)) for n in range(count))
    )

    assert all(isinstance(outcome, Granted) for outcome in outcomes)
    numbers = [number for batch in node.consensus.offered for number, _ in batch.commands]
    assert numbers == list(range(1, count + 1))
    assert 2 < len(node.consensus.offered) <= 4


@on_virtual_time
async def test_a_turn_with_more_commands_than_a_batch_takes_several():
    node = Node()

    await asyncio.gather(*(submit(node, Release(f"lock-{n}", "none")) for n in range(5_000)))

    assert sum(len(batch.commands) for batch in node.consensus.offered) == 5_000
    assert len(node.consensus.offered) > 1


@on_virtual_time
async def test_a_lost_offer_is_made_again_after_a_second_under_the_same_number():
    node = Node()
    node.consensus.fates.append(Fate.DROP)
    started_s = node.loop.time()

    outcome = await submit(node, acquire("db"))

    assert isinstance(outcome, Granted)
    assert node.loop.time() - started_s == pytest.approx(1.0, abs=0.01)
    first, second = node.consensus.offered
    assert first.commands == second.commands


@on_virtual_time
async def test_silence_doubles_the_pause_between_offers():
    node = Node()
    node.consensus.fate = Fate.DROP
    task = submit(node, acquire("db"), within_s=14.5)
    offered_at_s = []
    started_s, seen = node.loop.time(), 0
    while not task.done():
        await asyncio.sleep(0.01)
        if len(node.consensus.offered) > seen:
            seen = len(node.consensus.offered)
            offered_at_s.append(round(node.loop.time() - started_s, 1))

    assert offered_at_s == [0.0, 1.0, 3.0, 7.0, 11.0]
    assert isinstance(task.exception(), OutcomeUnknownError)


@on_virtual_time
async def test_a_duplicate_that_arrives_after_the_release_grants_nothing():
    node = Node()
    node.consensus.fates.append(Fate.DUPLICATE)
    outcome = await submit(node, acquire("db"))
    await submit(node, Release("db", "secret-db-ann"))

    node.consensus.deliver_delayed()
    await turns()

    assert isinstance(outcome, Granted)
    assert applied(node) == [1]
    assert node.replica.table.lease("db") is None


@on_virtual_time
async def test_an_outcome_missed_while_a_snapshot_was_installed_is_asked_for_again():
    node = Node()
    node.is_deaf = True
    task = submit(node, acquire("db"))
    await turns()
    node.is_deaf = False

    outcome = await task

    assert isinstance(outcome, Granted)
    assert outcome.is_new
    assert applied(node) == [1]


@on_virtual_time
async def test_a_delayed_copy_that_arrives_after_the_second_one_is_not_applied_again():
    node = Node()
    node.consensus.fates.append(Fate.DELAY)
    first = await submit(node, acquire("db", "ann"))
    await submit(node, Release("db", "secret-db-ann"))

    node.consensus.deliver_delayed()
    await turns()

    assert isinstance(first, Granted)
    assert node.replica.table.lease("db") is None
    assert applied(node) == [1]


@on_virtual_time
async def test_a_refused_offer_is_made_again_and_applied_once():
    node = Node()
    node.consensus.fates.extend([Fate.REFUSE, Fate.REFUSE])
    started_s = node.loop.time()

    outcome = await submit(node, acquire("db"))

    assert isinstance(outcome, Granted)
    assert applied(node) == [1]
    assert node.loop.time() - started_s == pytest.approx(0.1, abs=0.01)


@on_virtual_time
async def test_a_new_leader_is_offered_what_the_old_one_had_at_once():
    node = Node()
    node.consensus.fates.append(Fate.DROP)
    task = submit(node, acquire("db"))
    await turns()
    started_s = node.loop.time()

    node.consensus.elect(member("gorilla-2"))
    outcome = await task

    assert isinstance(outcome, Granted)
    assert node.loop.time() == pytest.approx(started_s, abs=0.001)


@on_virtual_time
async def test_the_same_leadership_is_not_offered_anything_twice_by_a_poke():
    node = Node()
    node.consensus.fates.append(Fate.DROP)
    task = submit(node, acquire("db"))
    await turns()

    node.proposals.poke()
    await turns()

    assert len(node.consensus.offered) == 1
    assert isinstance(await task, Granted)


@on_virtual_time
async def test_a_command_waits_for_a_leader_that_comes_within_the_grace():
    node = Node(elected=False)
    task = submit(node, acquire("db"))
    await asyncio.sleep(1.9)

    node.consensus.elect()
    outcome = await task

    assert isinstance(outcome, Granted)


@on_virtual_time
async def test_a_leader_found_without_a_poke_gets_the_queue_within_the_retry_pause():
    node = Node(elected=False)
    task = submit(node, acquire("db"))
    await asyncio.sleep(1.0)
    node.consensus.on_change = lambda: None
    started_s = node.loop.time()

    node.consensus.elect()
    await task

    assert node.loop.time() - started_s <= 0.051


@on_virtual_time
async def test_a_command_offered_again_stands_before_later_ones_in_its_batch():
    node = Node()
    node.consensus.fate = Fate.DROP
    early = submit(node, acquire("db", "ann"))
    await turns()
    node.consensus.fate = Fate.DELIVER
    node.consensus.lose_leader()
    late = submit(node, acquire("db", "bob"))
    await turns()

    node.consensus.elect(member("gorilla-2"))

    assert isinstance(await early, Granted)
    assert isinstance(await late, Held)


# What callers are told


async def _failure(node: Node, within_s: float = 5.0) -> tuple[type[BaseException] | None, float]:
    started_s = node.loop.time()
    task = submit(node, acquire("db"), within_s)
    await asyncio.wait([task])
    error = task.exception()
    return (None if error is None else type(error)), round(node.loop.time() - started_s, 1)


@pytest.mark.parametrize(
    ("fates", "then", "expected", "after_s"),
    [
        pytest.param([], Fate.DROP, OutcomeUnknownError, 5.0, id="lost every time"),
        pytest.param([], Fate.DELAY, OutcomeUnknownError, 5.0, id="on its way"),
        pytest.param([], Fate.REFUSE, OverloadedError, 5.0, id="refused every time"),
        pytest.param([Fate.DROP], Fate.REFUSE, OutcomeUnknownError, 5.0, id="lost, then refused"),
        pytest.param([Fate.REFUSE], Fate.DROP, OutcomeUnknownError, 5.0, id="refused, then lost"),
        pytest.param([Fate.REFUSE] * 9, Fate.DELIVER, None, 0.5, id="refused, then taken"),
    ],
)
@on_virtual_time
async def test_a_failure_is_definite_only_when_no_copy_can_be_about(fates, then, expected, after_s):
    node = Node()
    node.consensus.fates.extend(fates)
    node.consensus.fate = then

    failure, waited_s = await _failure(node)

    assert failure is expected
    assert waited_s == pytest.approx(after_s, abs=0.11)


@on_virtual_time
async def test_without_a_leader_the_failure_is_definite_after_the_grace():
    node = Node(elected=False)

    failure, waited_s = await _failure(node)

    assert failure is NoLeaderError
    assert waited_s == 2.0


@on_virtual_time
async def test_without_a_leader_a_short_deadline_comes_before_the_grace():
    node = Node(elected=False)

    failure, waited_s = await _failure(node, within_s=0.5)

    assert failure is NoLeaderError
    assert waited_s == 0.5


@on_virtual_time
async def test_a_command_that_was_sent_once_stays_unknown_when_the_leader_goes():
    node = Node()
    node.consensus.fate = Fate.DROP
    task = submit(node, acquire("db"))
    await turns()

    node.consensus.lose_leader()
    await asyncio.wait([task])

    assert isinstance(task.exception(), OutcomeUnknownError)


@on_virtual_time
async def test_a_definite_failure_leaves_nothing_that_a_later_leader_applies():
    node = Node(elected=False)
    failure, _ = await _failure(node)

    node.consensus.elect()
    await submit(node, Release("other", "none"))

    assert failure is NoLeaderError
    assert applied(node) == []


@on_virtual_time
async def test_a_number_given_up_as_unknown_is_dead_once_a_later_batch_is_applied():
    node = Node()
    await submit(node, acquire("first"))
    node.consensus.fate = Fate.DELAY
    failure, _ = await _failure(node)
    node.consensus.fate = Fate.DELIVER
    await submit(node, acquire("last"))

    node.consensus.deliver_delayed()
    await turns()

    assert failure is OutcomeUnknownError
    assert node.replica.table.lease("db") is None
    assert applied(node) == [1, 2]


@on_virtual_time
async def test_copies_of_a_number_given_up_are_applied_at_most_once():
    node = Node()
    node.consensus.fate = Fate.DELAY
    failure, _ = await _failure(node)
    copies = len(node.consensus.offered)

    node.consensus.deliver_delayed()
    await turns()

    assert failure is OutcomeUnknownError
    assert copies > 1
    assert applied(node) == [1]
