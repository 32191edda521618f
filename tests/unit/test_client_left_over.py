"""What an owner that the client made has left over in the cluster stands in nobody's way."""

import asyncio
import contextlib
from typing import Any

import pytest

from gorilla.client.errands import DOUBTS_MAX, NUMBERS_MAX, Doubts, Numbers
from gorilla.client.errors import ModeConflict, OutcomeUnknown
from tests.support.client_memory import Fate, MemoryClient, client, holders, tasks
from tests.support.service import on_virtual_time


async def leave(one: MemoryClient, wanted: Any) -> int:
    """Hold something, and release it so that nobody knows whether it is."""
    held = await wanted.acquire()
    number: int = held.fencing_token
    one.io.fate = lambda _call: Fate.SILENT
    with pytest.raises(OutcomeUnknown):
        await held.release()
    one.io.fate = lambda _call: Fate.SERVED
    return number


@on_virtual_time
async def test_one_of_several_that_is_left_over_is_had_with_the_others():
    one = client()
    number = await leave(one, one.lock("a", timeout=600))
    assert len(holders(one, "a")) == 1

    async with one.locks(["a", "b"], timeout=30) as both:
        assert both.fencing_tokens["a"] > number
        assert holders(one, "a") == holders(one, "b") == [both.owner]

    assert holders(one, "a") == holders(one, "b") == []
    assert tasks() == set()


@on_virtual_time
async def test_several_that_are_left_over_are_had_again_one_by_one_or_otherwise():
    one = client()
    await leave(one, one.locks(["a", "b", "c"], timeout=600))

    async with one.locks(["c", "b"], timeout=30) as two:
        assert set(two.fencing_tokens) == {"b", "c"}
        async with one.lock("a", timeout=30) as last:
            assert last.fencing_token > 0
    assert holders(one, "a") == holders(one, "b") == holders(one, "c") == []


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ({"mode": "shared"}, {}),
        ({}, {"mode": "shared"}),
        ({"limit": 3}, {"limit": 3, "wait": 1}),
    ],
)
@on_virtual_time
async def test_what_is_left_over_in_another_mode_is_no_conflict(
    before: dict[str, Any], after: dict[str, Any]
):
    one = client()
    number = await leave(one, one.lock("a", timeout=600, **before))

    async with one.lock("a", timeout=30, **after) as held:
        assert held.fencing_token > number
        assert holders(one, "a") == [held.owner]
    assert holders(one, "a") == []


@on_virtual_time
async def test_an_owner_that_the_program_named_is_told_of_the_conflict():
    """It may be held by another program under that name."""
    one = client()
    await leave(one, one.lock("a", timeout=600, owner="anna"))
    with pytest.raises(ModeConflict):
        await one.lock("a", timeout=30, owner="anna", mode="shared").acquire()
    assert holders(one, "a") == ["anna"]


@on_virtual_time
async def test_what_others_hold_in_another_way_is_a_conflict_still():
    one = client()
    async with one.lock("a", timeout=60, limit=2):
        with pytest.raises(ModeConflict):
            await asyncio.ensure_future(one.lock("a", timeout=60, limit=3).acquire())


def test_what_is_remembered_of_old_holds_is_bounded():
    numbers, doubts = Numbers(), Doubts()
    for number in range(1, NUMBERS_MAX + 101):
        numbers.note(f"lock-{number}", "anna", number)
        with contextlib.suppress(ValueError), doubts.unless_definite(lambda n=number: [f"s{n}"]):
            raise ValueError

    last = NUMBERS_MAX + 100
    assert numbers.is_old(f"lock-{last}", "anna", last)
    assert not numbers.is_old(f"lock-{last}", "bert", last)
    assert not numbers.is_old(f"lock-{last}", "anna", last + 1)
    assert not numbers.is_old("lock-1", "anna", 1), "forgotten"
    assert len(numbers._last) == NUMBERS_MAX
    assert f"s{last}" in doubts
    assert len(doubts._secrets) == DOUBTS_MAX
