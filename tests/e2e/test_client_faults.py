"""Holds of both faces of the client through faults of real nodes.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``.
"""

import asyncio

import pytest

from gorilla.client import LockLost, LossReason, transport
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

__all__ = ["cluster", "face", "place", "program"]
pytestmark = pytest.mark.e2e

LEASE_S = 3.0
"""Long enough that a failover, on a busy machine too, is over before two thirds of it are."""


async def test_a_lock_outlives_the_node_that_its_client_talks_to(program: Program, place: Place):
    lock, another = new_name(), new_name()
    async with program.block(program.client.lock(lock, timeout=LEASE_S)) as held:
        number = held.fencing_token
        await place.kill(program.node)

        await extended(held, 2)
        async with program.block(program.client.lock(another, timeout=LEASE_S)) as second:
            await program.do(second.extend)
        await program.do(held.extend, timeout=LEASE_S + 1)

        assert held.fencing_token == number
        assert await place.owners(lock) == [held.owner]
    assert await place.owners(lock) == await place.owners(another) == []


async def test_a_lock_outlives_the_leader(program: Program, place: Place):
    lock = new_name()
    leader = await place.leader()
    async with program.block(program.client.lock(lock, timeout=LEASE_S)) as held:
        number = held.fencing_token
        await place.kill(leader)

        acquired = program.start(program.client.lock(new_name(), timeout=LEASE_S).acquire)
        await extended(held, 2)
        await program.do((await acquired).release)

        assert held.fencing_token == number
    assert await place.owners(lock) == []


async def test_a_client_that_was_idle_passes_by_a_node_that_is_stopped(
    program: Program, place: Place
):
    await program.do((await program.do(program.client.lock("a", timeout=2).acquire)).release)
    began_s = now_s()
    place.pause(program.node)

    held = await program.do(program.client.lock(new_name(), timeout=LEASE_S).acquire)

    # One attempt at the stopped node, and a failover if it led.
    assert now_s() - began_s < 2.0 + 4.0
    await program.do(held.release)


async def test_a_lock_is_extended_elsewhere_while_its_node_is_stopped(
    program: Program, place: Place
):
    lock = new_name()
    async with program.block(program.client.lock(lock, timeout=LEASE_S)) as held:
        number = held.fencing_token
        place.pause(program.node)

        await extended(held, 2)

        place.resume()
        assert held.fencing_token == number
        assert await place.owners(lock) == [held.owner]
    assert await place.owners(lock) == []


async def test_whoever_waits_at_a_node_that_is_stopped_keeps_its_place_at_another_one(
    program: Program, place: Place, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(transport, "PROBE_EVERY_S", 0.3)
    monkeypatch.setattr(transport, "PROBE_AGAIN_S", 0.1)
    monkeypatch.setattr(transport, "PROBE_S", 0.5)
    lock, leader = new_name(), await place.leader()
    at, elsewhere = place.others(leader)
    async with running_program("async", place, endpoints=[place.lines[elsewhere].url]) as other:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        await program.talks_to(at)
        waits = program.start(program.client.lock(lock, timeout=LEASE_S, wait=30).acquire)
        await place.until_waiting(lock)
        behind = other.start(other.client.lock(lock, timeout=LEASE_S, wait=30).acquire)
        await place.until_waiting(lock, 2)

        place.pause(at)
        await eventually(lambda: program.node != at, "the client looks elsewhere")
        await asyncio.sleep(0.5)
        await other.do(first.release)

        held = await waits
        assert not behind.done()
        assert await place.owners(lock) == [held.owner]
        await program.do(held.release)
        await other.do((await behind).release)


async def test_whoever_waits_at_a_node_that_is_killed_keeps_its_place_at_another_one(
    program: Program, place: Place
):
    lock, leader = new_name(), await place.leader()
    at, elsewhere = place.others(leader)
    async with running_program("async", place, endpoints=[place.lines[elsewhere].url]) as other:
        first = await other.do(other.client.lock(lock, timeout=60).acquire)
        await program.talks_to(at)
        waits = program.start(program.client.lock(lock, timeout=LEASE_S, wait=30).acquire)
        await place.until_waiting(lock)
        behind = other.start(other.client.lock(lock, timeout=LEASE_S, wait=30).acquire)
        await place.until_waiting(lock, 2)

        await place.kill(at)
        await eventually(lambda: program.node != at, "the client looks elsewhere")
        await asyncio.sleep(0.3)
        await other.do(first.release)

        held = await waits
        assert not behind.done()
        await program.do(held.release)
        await other.do((await behind).release)


async def test_without_a_majority_a_lock_is_lost_and_later_there_are_locks_again(
    program: Program, place: Place
):
    lock, told = new_name(), []
    client = program.client
    with pytest.raises(LockLost) as end:
        async with program.block(client.lock(lock, timeout=2, on_lost=told.append)) as held:
            number = held.fencing_token
            await place.kill(*place.others(await place.leader()))
            waits = program.start(client.lock(lock, timeout=LEASE_S, wait=None).acquire)
            await eventually(lambda: held.lost is not None, "it is lost")
            await eventually(lambda: told, "that is told")
            assert held.lost.reason is LossReason.EXPIRED
            assert not waits.done()
            place.nodes.start()
            await place.nodes.until_ready()

    assert told == [end.value]
    again = await waits
    assert again.fencing_token > number
    await program.do(again.release)
