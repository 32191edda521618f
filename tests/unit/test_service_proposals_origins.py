"""Proposals of an origin that the table has forgotten."""

import asyncio

from gorilla.domain.commands import Acquire, Batch, Release
from gorilla.domain.limits import ORIGIN_IDLE_MS_MAX, Bounds
from gorilla.domain.outcomes import Granted, Outcome, Released
from gorilla.domain.table import LockTable
from gorilla.service.errors import (
    OutcomeUnknownError,
)
from tests.support.service import Fate, Node, on_virtual_time, turns


def acquire(lock: str, holder: str = "ann", metadata: bytes = b"[]") -> Acquire:
    return Acquire(lock, holder, 3_600_000, f"secret-{lock}-{holder}", metadata)


def submit(node: Node, command: Acquire | Release, within_s: float = 5.0) -> asyncio.Task[Outcome]:
    return asyncio.ensure_future(node.proposals.submit(command, node.loop.time() + within_s))


def applied(node: Node) -> list[int]:
    """Return the fencing tokens of every new grant: one for each command that had an effect."""
    return list(range(1, node.replica.table.fencing_counter + 1))


def _forgetful() -> LockTable:
    return LockTable(bounds=Bounds(origins=1))


def _let_a_stranger_propose(node: Node) -> None:
    """Have another origin take the place of the node's in a forgetful table."""
    node.consensus.write(Batch("stranger", 0, True, ((1, Release("other", "none")),)))


@on_virtual_time
async def test_after_a_long_silence_the_origin_opens_anew_and_commands_work():
    node = Node()
    await submit(node, acquire("db"))
    await asyncio.sleep(2 * ORIGIN_IDLE_MS_MAX / 1_000)

    outcome = await submit(node, Release("db", "secret-db-ann"))

    assert isinstance(outcome, Released)
    assert [batch.opens for batch in node.consensus.offered] == [True, True]


@on_virtual_time
async def test_a_command_that_met_a_forgotten_origin_is_proposed_again_under_a_fresh_number():
    node = Node(table=_forgetful())
    await submit(node, acquire("db"))
    _let_a_stranger_propose(node)

    outcome = await submit(node, Release("db", "secret-db-ann"))

    assert isinstance(outcome, Released)
    assert node.proposals.counts.forgotten == 1
    assert [
        (batch.opens, batch.confirmed, batch.commands[0][0]) for batch in node.consensus.offered
    ] == [(True, 0, 1), (False, 1, 2), (True, 2, 3)]


@on_virtual_time
async def test_a_command_offered_twice_to_a_table_that_forgot_its_origin_is_unknown():
    node = Node(table=_forgetful())
    await submit(node, acquire("db"))
    node.consensus.fates.append(Fate.DROP)
    doubtful = submit(node, Release("db", "secret-db-ann"))
    await turns()
    _let_a_stranger_propose(node)

    await asyncio.wait([doubtful])

    assert isinstance(doubtful.exception(), OutcomeUnknownError)


@on_virtual_time
async def test_a_late_copy_from_before_the_origin_was_forgotten_is_not_applied_again():
    node = Node(table=_forgetful())
    await submit(node, acquire("zero"))
    node.consensus.fates.append(Fate.DELAY)
    granted = await submit(node, acquire("db"))
    await submit(node, Release("db", "secret-db-ann"))
    _let_a_stranger_propose(node)
    await submit(node, Release("nothing", "none"))

    node.consensus.deliver_delayed()
    await turns()

    assert isinstance(granted, Granted)
    assert node.replica.table.lease("db") is None
    assert applied(node) == [1, 2]
