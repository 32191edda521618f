"""Holds of both faces of the client while the way to real nodes fails.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``.
"""

import asyncio
from typing import Any

import pytest

from gorilla.client import LockLost, LossReason, OutcomeUnknown, Unavailable, transport
from gorilla.client.clock import now_s
from tests.support.client_e2e import (
    Place,
    Program,
    cluster,
    eventually,
    extended,
    face,
    new_name,
    place,
    program,
    running_program,
)
from tests.support.client_e2e_lines import State

__all__ = ["cluster", "face", "place", "program"]
pytestmark = pytest.mark.e2e

LEASE_S = 3.0
"""Long enough that a failover, on a busy machine too, is over before two thirds of it are."""


async def test_a_release_is_done_though_an_extension_gets_no_answer(place: Place, face: str):
    lock = new_name()
    async with running_program(face, place, attempt_s=1.5) as program:
        held = await program.do(program.client.lock(lock, timeout=60).acquire)
        place.lines.set(State.SILENT, program.node)
        held._hold.sent_s -= 30
        held.nudge()
        await eventually(lambda: held._extension._unanswered is not None, "it is being extended")

        await program.do(held.release)

        assert await place.owners(lock) == []


async def test_a_lock_outlives_a_partition_from_the_node_of_its_client(
    program: Program, place: Place
):
    lock = new_name()
    async with program.block(program.client.lock(lock, timeout=LEASE_S)) as held:
        number = held.fencing_token
        place.lines.set(State.SILENT, program.node)

        await extended(held, 2)
        async with program.block(program.client.lock(new_name(), timeout=LEASE_S)) as second:
            assert second.fencing_token > number

        assert held.fencing_token == number
    assert await place.owners(lock) == []


async def test_a_client_that_is_cut_off_loses_its_lock_before_anybody_else_can_have_it(
    program: Program, place: Place
):
    lock, told = new_name(), []

    def on_lost(error: LockLost) -> None:
        told.append((error, now_s()))

    with pytest.raises(LockLost) as end:
        async with program.block(program.client.lock(lock, timeout=2, on_lost=on_lost)) as held:
            number, until_s = held.fencing_token, now_s() + held.remaining()
            async with running_program("async", place, endpoints=[place.nodes.url("n1")]) as other:
                taking = other.start(other.client.lock(lock, timeout=LEASE_S, wait=20).acquire)
                await place.until_waiting(lock)
                place.lines.set(State.SILENT)
                next_one = await taking
                taken_s = now_s()

                assert [error.reason for error, _ in told] == [LossReason.EXPIRED]
                assert until_s <= told[0][1] < taken_s
                assert next_one.fencing_token > number
                for touch in (held.check, held.remaining, lambda: held.fencing_token):
                    with pytest.raises(LockLost):
                        touch()
                place.lines.set(State.OPEN)
                with pytest.raises(LockLost):
                    await program.do(held.release)
                assert await place.owners(lock) == [next_one.owner]
                await other.do(next_one.release)
    assert [error for error, _ in told] == [end.value]


async def test_a_client_that_reaches_no_node_says_in_time_what_is_known(place: Place, face: str):
    async with running_program(face, place, deadline_s=1.0, attempt_s=0.4) as program:
        place.lines.set(State.DEAD)
        began_s = now_s()
        with pytest.raises(Unavailable):
            await program.do(program.client.lock(new_name(), timeout=2).acquire)
        assert now_s() - began_s < 2.5

        place.lines.set(State.SILENT)
        began_s = now_s()
        with pytest.raises(OutcomeUnknown):
            await program.do(program.client.lock(new_name(), timeout=2).acquire)
        assert now_s() - began_s < 2.5


async def test_a_lock_outlives_a_short_time_without_any_node(program: Program, place: Place):
    lock = new_name()
    async with program.block(program.client.lock(lock, timeout=LEASE_S)) as held:
        await extended(held)
        place.lines.set(State.DEAD)
        acquired = program.start(program.client.lock(new_name(), timeout=LEASE_S).acquire)
        await asyncio.sleep(LEASE_S / 3)
        place.lines.set(State.OPEN)

        await extended(held)
        await program.do((await acquired).release)


async def test_the_body_of_an_async_block_is_cancelled_when_its_lock_is_lost(place: Place):
    lock = new_name()
    async with running_program("async", place) as program:

        async def job() -> None:
            async with program.client.lock(lock, timeout=1, cancel_on_lost=True):
                await asyncio.sleep(60)

        task = program.start(job)
        await eventually(program.client._registered.all, "it is held")
        place.lines.set(State.SILENT)
        began_s = now_s()
        with pytest.raises(LockLost) as end:
            await task
        assert end.value.reason is LossReason.EXPIRED
        # Its end tries to leave nothing behind, for a moment.
        assert now_s() - began_s < 1 + 6.0


async def test_an_extension_whose_answer_is_lost_loses_nothing(place: Place, face: str):
    async with running_program(face, place, attempt_s=1.0) as program:
        lock = new_name()
        held = await program.do(program.client.lock(lock, timeout=LEASE_S, extend=False).acquire)
        before, node = held.token, program.node
        place.lines.set(State.MUTE, node)

        await program.do(held.extend)

        assert place.lines[node].answers_held > 0
        assert held.token != before
        await program.do(held.extend)
        await program.do(held.release)
        assert await place.owners(lock) == []


async def test_a_grant_whose_answer_is_lost_is_the_one_that_is_held(place: Place, face: str):
    async with running_program(face, place, attempt_s=1.0) as program:
        lock = new_name()
        await program.talks_to("n1")
        place.lines.set(State.MUTE, "n1")

        held = await program.do(program.client.lock(lock, timeout=60, extend=False).acquire)

        assert place.lines["n1"].answers_held > 0
        assert [one["fencingToken"] for one in (await place.look(lock))["holders"]] == [
            held.fencing_token
        ]
        # Counted from the request that was answered, the second one; so it may be too short only.
        assert 50 < held.remaining() <= 60
        await program.do(held.release)
        assert await place.owners(lock) == []


async def test_a_request_that_comes_late_does_not_end_the_wait_of_its_own_call(
    program: Program, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "PROBE_EVERY_S", 0.3)
    monkeypatch.setattr(transport, "PROBE_AGAIN_S", 0.1)
    monkeypatch.setattr(transport, "PROBE_S", 0.3)
    lock = new_name()
    async with running_program("async", place, endpoints=[place.nodes.url("n2")]) as other:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        await program.talks_to("n1")
        place.lines.set(State.SILENT, "n1")
        waits = program.start(program.client.lock(lock, timeout=60, wait=30).acquire)
        await place.until_waiting(lock)

        # Now the first attempt, which was given up, arrives: it stands in the place of the second.
        place.lines.set(State.OPEN, "n1")
        await asyncio.sleep(1)
        await place.until_waiting(lock)
        assert not waits.done()

        await other.do(first.release)
        held = await waits
        assert await place.owners(lock) == [held.owner]
        await program.do(held.release)


async def test_a_request_of_an_earlier_call_does_not_end_a_later_wait(face: str, place: Place):
    lock = new_name()
    async with (
        running_program("async", place, endpoints=[place.nodes.url("n2")]) as other,
        running_program(face, place, deadline_s=1.0, attempt_s=1.0) as program,
    ):
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        await program.talks_to("n1")
        place.lines.set(State.SILENT)

        async def one_after_the_other() -> Any:
            """By one task, or thread, and so for one owner."""
            with pytest.raises(OutcomeUnknown):
                await program.do(program.client.lock(lock, timeout=60, wait=0.5).acquire)
            place.lines.set(State.OPEN, "n3")
            await program.talks_to("n3")
            return await program.do(program.client.lock(lock, timeout=60, wait=8).acquire)

        waits = asyncio.create_task(one_after_the_other())
        await place.until_waiting(lock)

        place.lines.set(State.OPEN)
        await asyncio.sleep(1)
        assert not waits.done()

        await other.do(first.release)
        await program.do((await waits).release)


async def test_a_release_that_comes_late_does_not_end_a_later_hold(face: str, place: Place):
    lock = new_name()
    async with running_program(face, place, deadline_s=1.0, attempt_s=1.0) as program:
        await program.talks_to("n1")
        held = await program.do(program.client.lock(lock, timeout=60).acquire)
        number = held.fencing_token
        place.lines.set(State.SILENT)
        with pytest.raises(OutcomeUnknown):
            await program.do(held.release)
        assert await place.owners(lock) == [held.owner]
        place.lines.set(State.OPEN, "n3")
        await program.talks_to("n3")

        again = await program.do(program.client.lock(lock, timeout=60).acquire)
        assert again.owner == held.owner
        assert again.fencing_token > number
        place.lines.set(State.OPEN)
        await asyncio.sleep(1)

        assert await place.owners(lock) == [again.owner]
        await program.do(again.extend)
        await program.do(again.release)
