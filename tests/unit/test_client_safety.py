"""Whatever becomes of its requests, a client never believes that it holds what another one has.

Several programs take the same lock again and again, each over a way of its own on which attempts
are not sent, lost, answered to nobody, silent or late. Bugs that were planted to see the test fail:
counting from the answer instead of from the request; taking a replayed timeout as a new one;
keeping a lock after its time.
"""

import asyncio
import random

import pytest
from hypothesis import given, settings, strategies as st

from gorilla.client.errors import GorillaError, LockLost
from gorilla.client.locks_async import AsyncHeldLock
from tests.support.client_memory import Fate, MemoryClient
from tests.support.service import Node, on_virtual_time

FATES = [Fate.NOT_SENT, Fate.LOST, Fate.UNANSWERED, Fate.SILENT, Fate.SLOW, Fate.LATE]


class Way:
    """A way to the cluster that is good and bad by turns."""

    def __init__(self, seed: int, share: float) -> None:
        self._rng = random.Random(seed)
        self._share = share

    def fate(self, _call: object) -> Fate:
        return self._rng.choice(FATES) if self._rng.random() < self._share else Fate.SERVED


def is_sure(held: AsyncHeldLock) -> bool:
    try:
        held.check()
    except LockLost:
        return False
    return True


class Holders:
    """Who believes to hold the lock: at no moment two."""

    def __init__(self) -> None:
        self.now: dict[int, AsyncHeldLock] = {}
        self.count = 0
        self.lost = 0
        self.numbers: list[int] = []

    async def watch(self, every_s: float) -> None:
        while True:
            self.check()
            await asyncio.sleep(every_s)

    def check(self) -> None:
        sure = [held for held in self.now.values() if is_sure(held)]
        assert len(sure) <= 1, sure


async def program(
    number: int, one: MemoryClient, holders: Holders, rng: random.Random, timeout_s: float
) -> None:
    for _ in range(6):
        try:
            async with one.lock("db", timeout=timeout_s, wait=5 * timeout_s) as held:
                holders.now[number] = held
                holders.count += 1
                holders.numbers.append(held.fencing_token)
                for _ in range(rng.randrange(1, 8)):
                    holders.check()
                    await asyncio.sleep(rng.uniform(0, timeout_s))
                    held.check()
        except LockLost:
            holders.lost += 1
        except GorillaError:
            await asyncio.sleep(rng.uniform(0, timeout_s))
        finally:
            holders.now.pop(number, None)


@settings(max_examples=60, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    share=st.floats(0, 0.9),
    timeout_s=st.sampled_from([0.5, 3.0, 30.0]),
)
@on_virtual_time
async def test_no_two_programs_believe_that_they_hold_it(seed: int, share: float, timeout_s: float):
    node, holders = Node(), Holders()
    clients = []
    for number in range(3):
        one = MemoryClient(node, deadline_s=2 * timeout_s, attempt_s=timeout_s / 2)
        one.io.fate = Way(seed + number, share).fate
        clients.append(one)

    watching = asyncio.create_task(holders.watch(timeout_s / 20))
    async with asyncio.TaskGroup() as running:
        for number, one in enumerate(clients):
            rng = random.Random(seed - number)
            running.create_task(program(number, one, holders, rng, timeout_s))

    watching.cancel()
    with pytest.raises(asyncio.CancelledError):
        await watching
    assert holders.numbers == sorted(holders.numbers)
    # Late requests, and errands of those who gave up, have a bound.
    await asyncio.sleep(5)
    assert asyncio.all_tasks() == {asyncio.current_task()}
    if share == 0:
        assert holders.lost == 0
    # Nothing stays: what nobody extends ends within its timeout.
    await asyncio.sleep(timeout_s + 1)
    assert node.replica.table.holders("db") == ()
