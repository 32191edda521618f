"""A guard remembers fencing tokens: against a plain model, with threads, and on an event loop.

Planted by hand, each of these was caught here:

1.  a smaller token is let in, or an equal one refused;
2.  what is forgotten raises no floor, or lowers it, or the floor counts for remembered resources;
3.  the resource forgotten is the one used last instead of the one used longest ago, or use does
    not count as such;
4.  the bound is off by one;
5.  a newer holder begins while an older one acts, or an older one while a newer one waits;
6.  a block that ends wakes nobody, or wakes before the last block of its token has ended;
7.  a wait that is given up leaves something behind.
"""

import asyncio
import itertools
import pickle
import random
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given, settings, strategies as st

from gorilla.client.errors import GorillaError
from gorilla.client.fencing import FencingGuard, OlderHolderActing, StaleFencingToken
from tests.support.service import on_virtual_time

RESOURCES = "abcdef"
WITHIN_S = 20.0


class Model:
    """Remembers everything for ever, and when a resource was granted and used."""

    def __init__(self) -> None:
        self.largest: dict[str, int] = {}
        self.granted_at: dict[int, int] = {}
        self.used: list[str] = []

    def others_since(self, resource: str, token: int) -> int:
        """How many other resources were used since this holder's grant, or since it came by."""
        since = self.granted_at[token]
        if self.largest.get(resource) == token:
            last = len(self.used) - 1 - self.used[::-1].index(resource)
            since = max(since, last)
        return len(set(self.used[since:]) - {resource})


@given(
    bound=st.integers(1, 4),
    steps=st.lists(st.tuples(st.sampled_from(RESOURCES), st.integers(0, 4)), max_size=80),
)
@settings(max_examples=300, deadline=None)
def test_nothing_older_gets_in_and_who_holds_a_lock_is_refused_only_when_many_others_came(
    bound: int, steps: list[tuple[str, int]]
):
    guard, model = FencingGuard(resources_max=bound), Model()
    grants: dict[str, list[int]] = {name: [] for name in RESOURCES}
    numbers = itertools.count(1)

    for resource, age in steps:
        if age == 0 or age > len(grants[resource]):
            token = next(numbers)
            grants[resource].append(token)
            model.granted_at[token] = len(model.used)
            continue
        token = grants[resource][-age]
        least, floor = guard.least(resource), guard.floor
        admitted = guard.try_admit(resource, token)

        assert admitted == (token >= least)
        if token < model.largest.get(resource, 0):
            assert not admitted
        elif age == 1 and model.others_since(resource, token) < bound:
            assert admitted
        if admitted:
            model.largest[resource] = token
            model.used.append(resource)
        assert guard.largest == max(model.largest.values(), default=0)
        assert len(guard) == min(bound, len(model.largest))
        assert floor <= guard.floor <= guard.largest


def test_a_refusal_says_what_was_refused_and_what_would_be_admitted():
    guard = FencingGuard()
    guard.admit("orders/42", 7)

    with pytest.raises(StaleFencingToken, match="fencing token 6 for 'orders/42'") as refused:
        guard.admit("orders/42", 6)

    assert isinstance(refused.value, GorillaError)
    assert (refused.value.resource, refused.value.token, refused.value.largest) == (
        "orders/42", 6, 7,
    )  # fmt: skip
    assert guard.least("orders/42") == 7
    guard.admit("orders/42", 7)
    guard.admit("orders/43", 6)


def test_what_is_forgotten_becomes_the_floor_of_all_that_is_not_remembered():
    guard = FencingGuard(resources_max=2)
    for resource, token in [("a", 10), ("b", 3), ("c", 14)]:
        guard.admit(resource, token)

    assert (guard.floor, len(guard)) == (10, 2)
    assert not guard.try_admit("a", 9)
    assert not guard.try_admit("d", 9)
    guard.admit("b", 3)
    guard.admit("a", 10)


def test_what_is_used_stays_remembered_and_what_is_idle_is_forgotten_first():
    guard = FencingGuard(resources_max=3)
    for resource, token in [("a", 1), ("b", 2), ("c", 3), ("a", 1), ("d", 4), ("e", 5)]:
        guard.admit(resource, token)

    assert guard.floor == 3
    guard.admit("a", 1)
    assert not guard.try_admit("b", 2)


def test_a_guard_that_begins_with_a_floor_refuses_what_a_guard_before_it_would_have():
    before = FencingGuard()
    before.admit("a", 7)
    before.admit("b", 9)

    after = FencingGuard(floor=before.largest)

    assert not after.try_admit("a", 6)
    assert not after.try_admit("a", 7), "it was refused wrongly, which is safe"
    assert after.try_admit("b", 9)


@pytest.mark.parametrize(
    ("resource", "token", "error"),
    [("a", "7", TypeError), ("a", True, TypeError), ("a", 1.0, TypeError), (b"a", 1, TypeError),
     ("a", 0, ValueError), ("a", -1, ValueError)],
)  # fmt: skip
def test_what_is_no_fencing_token_is_not_compared_with_one(resource, token, error):
    guard = FencingGuard()

    for call in (guard.admit, guard.try_admit, guard.admitting):
        with pytest.raises(error):
            call(resource, token)

    assert len(guard) == 0


@pytest.mark.parametrize("settings", [{"floor": -1}, {"resources_max": 0}])
def test_a_guard_without_memory_or_below_nothing_is_not_made(settings):
    with pytest.raises(ValueError, match="floor must not be negative"):
        FencingGuard(**settings)


def test_a_guard_is_not_copied_into_another_process():
    with pytest.raises(TypeError, match="share no memory"):
        pickle.dumps(FencingGuard())


@pytest.mark.parametrize("error", [StaleFencingToken("a", 1, 2), OlderHolderActing("a", 2, 0.5)])
def test_a_refusal_can_be_told_to_another_process(error):
    told = pickle.loads(pickle.dumps(error))

    assert (type(told), str(told), vars(told)) == (type(error), str(error), vars(error))


class Blocks:
    """Who acts on what, as the blocks themselves see it."""

    def __init__(self) -> None:
        self.acted: dict[str, list[int]] = {}
        self.acting: dict[str, list[int]] = {}
        self.overlaps = 0

    def begin(self, resource: str, token: int) -> None:
        inside = self.acting.setdefault(resource, [])
        inside.append(token)
        self.overlaps += len(set(inside)) > 1
        self.acted.setdefault(resource, []).append(token)

    def end(self, resource: str, token: int) -> None:
        self.overlaps += len(set(self.acting[resource])) > 1
        self.acting[resource].remove(token)


def test_threads_act_in_the_order_of_their_grants_and_never_two_holders_at_once():
    guard, blocks, numbers = FencingGuard(resources_max=2), Blocks(), itertools.count(1)
    turn = threading.Lock()

    def live(seed: int) -> int:
        rng, refused = random.Random(seed), 0
        held = dict.fromkeys("abc", 1)
        for _ in range(400):
            resource = rng.choice("abc")
            if rng.random() < 0.3:
                held[resource] = next(numbers)
            try:
                with guard.admitting(resource, held[resource], wait=WITHIN_S):
                    with turn:
                        blocks.begin(resource, held[resource])
                    with turn:
                        blocks.end(resource, held[resource])
            except StaleFencingToken:
                refused += 1
        return refused

    interval_s = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(8) as pool:
            refused = sum(pool.map(live, range(8)))
    finally:
        sys.setswitchinterval(interval_s)

    assert blocks.overlaps == 0
    assert all(acted == sorted(acted) for acted in blocks.acted.values())
    assert sum(map(len, blocks.acted.values())) + refused == 8 * 400
    assert refused > 100


def test_a_newer_holder_in_another_thread_begins_when_the_older_one_has_left():
    guard, entered, began = FencingGuard(), threading.Event(), []

    def newer() -> None:
        entered.set()
        with guard.admitting("a", 2, wait=WITHIN_S):
            began.append(2)

    with guard.admitting("a", 1):
        thread = threading.Thread(target=newer)
        thread.start()
        assert entered.wait(WITHIN_S)
        while guard.least("a") < 2:
            pass
        assert not guard.try_admit("a", 1), "who came first is refused from now on"
        assert began == []
    thread.join(WITHIN_S)

    assert began == [2]


def test_a_holder_does_not_wait_for_an_older_one_longer_than_it_wants_to():
    guard = FencingGuard()

    with guard.admitting("a", 1):
        with (
            pytest.raises(OlderHolderActing, match=r"older than fencing token 2 .*'a'.*0\.01 s"),
            guard.admitting("a", 2, wait=0.01),
        ):
            pytest.fail("it began")
        with guard.admitting("b", 3, wait=0):
            assert not guard.try_admit("a", 1)
    with guard.admitting("a", 2, wait=0), guard.admitting("a", 2, wait=0):
        assert guard.least("a") == 2


@on_virtual_time
async def test_on_an_event_loop_the_older_holder_ends_its_block_while_the_newer_one_waits():
    guard, told = FencingGuard(), []

    async def act(token: int, for_s: float) -> None:
        async with guard.admitting("a", token):
            told.append(f"{token} begins")
            await asyncio.sleep(for_s)
            told.append(f"{token} ends")

    older = [asyncio.create_task(act(1, 3)), asyncio.create_task(act(1, 5))]
    await asyncio.sleep(1)
    newer = asyncio.create_task(act(2, 1))
    await asyncio.sleep(1)
    with pytest.raises(StaleFencingToken):
        await act(1, 1)
    await asyncio.gather(*older, newer)

    assert told == ["1 begins", "1 begins", "1 ends", "1 ends", "2 begins", "2 ends"]


@on_virtual_time
async def test_who_waited_is_refused_when_a_still_newer_holder_came_meanwhile():
    guard = FencingGuard()

    async def act(token: int) -> int:
        async with guard.admitting("a", token):
            return token

    async with guard.admitting("a", 1):
        middle, newest = asyncio.create_task(act(2)), asyncio.create_task(act(3))
        await asyncio.sleep(1)

    with pytest.raises(StaleFencingToken):
        await middle
    assert await newest == 3


@on_virtual_time
async def test_a_wait_on_an_event_loop_ends_in_time_or_when_it_is_cancelled():
    guard = FencingGuard()

    async def act(token: int, wait_s: float) -> None:
        async with guard.admitting("a", token, wait=wait_s):
            pytest.fail("it began")

    loop = asyncio.get_running_loop()
    async with guard.admitting("a", 1):
        cancelled = asyncio.create_task(act(2, 100))
        began_s = loop.time()
        with pytest.raises(OlderHolderActing):
            await act(2, 7)
        assert loop.time() - began_s == pytest.approx(7)
        cancelled.cancel()
        with pytest.raises(asyncio.CancelledError):
            await cancelled
        assert guard._memory._acting["a"].waiting == []

    assert guard._memory._acting == {}


async def test_a_thread_and_an_event_loop_wait_for_each_other():
    guard, told = FencingGuard(), []

    def in_a_thread() -> None:
        with guard.admitting("a", 2, wait=WITHIN_S):
            told.append(2)
            loop.call_soon_threadsafe(begun.set)
            assert go_on.wait(WITHIN_S)

    loop = asyncio.get_running_loop()
    begun, go_on = asyncio.Event(), threading.Event()
    async with guard.admitting("a", 1):
        thread = loop.run_in_executor(None, in_a_thread)
        async with asyncio.timeout(WITHIN_S):
            while guard.least("a") < 2:
                await asyncio.sleep(0)
        told.append(1)
    async with asyncio.timeout(WITHIN_S):
        await begun.wait()
    newest = asyncio.create_task(_told(guard, 3, told))
    async with asyncio.timeout(WITHIN_S):
        while guard.least("a") < 3:
            await asyncio.sleep(0)
    go_on.set()
    await thread
    await newest

    assert told == [1, 2, 3]


async def _told(guard: FencingGuard, token: int, told: list[int]) -> None:
    async with guard.admitting("a", token, wait=WITHIN_S):
        told.append(token)
