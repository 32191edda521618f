"""Blocks of one lock: entered and left by the same thread or task, and by another one."""

from collections.abc import AsyncIterator, Iterator

import pytest

from gorilla.client import AsyncClient, Client
from gorilla.client.entered import Entered


def test_each_leaves_what_it_entered_last():
    entered: Entered[str] = Entered()
    for actor, held in ((1, "a"), (2, "b"), (1, "c")):
        entered.push(actor, held)

    assert [entered.pop(actor) for actor in (1, 2, 1)] == ["c", "b", "a"]


def test_a_block_may_be_left_elsewhere_when_it_is_the_only_one():
    entered: Entered[str] = Entered()
    entered.push(1, "a")

    assert entered.pop(2) == "a"
    with pytest.raises(RuntimeError):
        entered.pop(2)


def test_nobody_leaves_a_block_that_may_be_somebody_elses():
    entered: Entered[str] = Entered()
    entered.push(1, "a")
    entered.push(2, "b")

    with pytest.raises(RuntimeError, match=r"use acquire\(\) and release\(\)"):
        entered.pop(3)
    assert (entered.pop(1), entered.pop(2)) == ("a", "b")


def numbers() -> Iterator[int]:
    yield 1


async def numbers_later() -> AsyncIterator[int]:
    yield 1


async def one_later() -> int:
    return 1


def test_what_would_run_after_its_block_is_not_decorated():
    with Client("http://127.0.0.1:1") as client:
        lock = client.lock("a", timeout=3)
        for function in (numbers, numbers_later):
            with pytest.raises(TypeError, match="generator function"):
                lock(function)
        with pytest.raises(TypeError, match="use a lock of an AsyncClient"):
            lock(one_later)

    for function in (numbers, numbers_later, len):
        with pytest.raises(TypeError, match="no coroutine function"):
            AsyncClient("http://127.0.0.1:1").lock("a", timeout=3)(function)
