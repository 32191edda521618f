"""Many holds at once and one after the other: never two of one lock, and nothing is left of them.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``. `make
test-client-hunt` and `make test-client-soak` run the same for longer.
"""

import asyncio
from pathlib import Path

import pytest
import uvloop

from gorilla.client import AsyncClient, LockHeld
from tests.support.client_e2e import Place, cluster, eventually, extended, face, new_name, place
from tests.support.client_e2e_hunt import Certain, falling, hunt, overlaps
from tests.support.client_e2e_soak import FACES, leaks

__all__ = ["cluster", "face", "place"]
pytestmark = pytest.mark.e2e

HUNT_S = 12.0
CYCLES = 300


async def test_no_lock_is_held_twice_whatever_fails(place: Place, tmp_path: Path):
    found = await hunt(place, tmp_path, HUNT_S, seed=5)

    print(f"\n{found.holds} holds; ends {dict(found.ends)}; faults {dict(found.faults)}")
    assert found.wrong == []
    assert found.holds > 10
    assert {one.actor.split("-")[0] for spans in found.spans.values() for one in spans} == {
        "blocking",
        "async",
    }
    assert any(found.admitted.values())


def test_a_double_hold_and_an_old_number_would_be_found():
    one = Certain("anna", 1, 10.0, 12.0)
    two = Certain("bert", 2, 11.0, 11.5)
    later = Certain("carla", 2, 12.5, 13.0)

    assert len(list(overlaps("db", [two, one], 1))) == 1
    assert list(overlaps("db", [one, two], 2)) == list(overlaps("db", [one, later], 1)) == []
    assert len(list(overlaps("db", [one, two, Certain("d", 3, 11.1, 14.0)], 2))) == 1
    assert len(list(falling("db", [one, two, later]))) == 1
    assert list(falling("db", [one, two])) == []


async def test_hundreds_of_holds_leave_nothing_in_the_process(face: str, place: Place):
    urls = [place.nodes.url(name) for name in place.names]

    _, warm, end = await asyncio.to_thread(FACES[face], urls, CYCLES)

    print(f"\n{warm}\n{end}")
    assert leaks(warm, end) == []


@pytest.mark.parametrize("loop", [asyncio.new_event_loop, uvloop.new_event_loop])
async def test_the_async_client_works_on_either_event_loop(loop: object, place: Place):
    lock, urls = new_name(), place.urls

    async def run() -> None:
        assert type(asyncio.get_running_loop()).__module__.startswith(loop.__module__[:6])
        async with AsyncClient(*urls) as client:
            events = client.events(prefix=lock)
            first = asyncio.ensure_future(anext(events))
            async with client.lock(lock, timeout=1) as held:
                await extended(held)
                refused = asyncio.ensure_future(client.lock(lock, timeout=1).acquire())
                with pytest.raises(LockHeld):
                    await refused
                waits = asyncio.ensure_future(client.lock(lock, timeout=9, wait=9).acquire())
                await place.until_waiting(lock)
                waits.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await waits
                await eventually(first.done, "an event")
            several = [lock, f"{lock}-b"]
            # Who was cancelled may have the lock for a moment, to let it go.
            async with client.session(ttl=9) as one, one.locks(several, wait=9) as both:
                assert len(both.fencing_tokens) == 2
            await events.close()
        assert asyncio.all_tasks() == {asyncio.current_task()}

    def in_a_thread() -> None:
        with asyncio.Runner(loop_factory=loop) as runner:
            runner.run(run())

    await asyncio.to_thread(in_a_thread)
    assert await place.owners(lock) == []
