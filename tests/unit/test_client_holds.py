"""Holds of the client, against the real API in memory and on virtual time.

They run on the face for asyncio; both faces are the same logic (``gorilla.client.ending``).
"""

import asyncio
from typing import Any

import pytest

from gorilla.client.calls import Call
from gorilla.client.errors import (
    AlreadyHeld,
    Deadlock,
    LockHeld,
    LockLost,
    LossReason,
    NotFound,
    OutcomeUnknown,
    Unavailable,
    WaitTimeout,
)
from tests.support.client_memory import Fate, client, force, holders, tasks
from tests.support.service import on_virtual_time


def extends(call: Call[Any]) -> bool:
    return call.method == "PUT"


@on_virtual_time
async def test_a_lock_is_extended_in_the_background_until_its_block_ends():
    one = client()
    async with one.lock("db", timeout=30) as held:
        number = held.fencing_token
        await asyncio.sleep(200)
        assert held.fencing_token == number
        assert holders(one) == [held.owner]
        assert 19 < held.remaining() <= 30
        first, last = one.io.sent[0], one.io.sent[-1]
        assert (first.method, last.method) == ("POST", "PUT")
        assert len(one.io.sent) in {20, 21}

    assert holders(one) == []
    assert tasks() == set()
    with pytest.raises(LockLost) as after:
        held.check()
    assert after.value.reason is LossReason.RELEASED
    assert held.lost is None


@on_virtual_time
async def test_remaining_counts_from_when_the_request_was_sent():
    one = client()
    held = await one.lock("db", timeout=30, extend=False).acquire()
    await asyncio.sleep(12)
    assert held.remaining() == pytest.approx(18)
    await held.extend()
    assert held.remaining() == pytest.approx(30)
    await held.extend(timeout=60)
    assert held.remaining() == pytest.approx(60)
    await held.release()
    await held.release()
    assert holders(one) == []


@on_virtual_time
async def test_a_forced_lock_is_told_once_and_never_silent():
    one = client()
    told = []
    with pytest.raises(LockLost) as end:
        async with one.lock("db", timeout=30, on_lost=told.append) as held:
            await force(one)
            await asyncio.sleep(31)
            assert [error.reason for error in told] == [LossReason.NOT_FOUND]
            assert held.lost is told[0]
            for touch in (held.check, held.remaining, lambda: held.fencing_token):
                with pytest.raises(LockLost):
                    touch()
            for call in (held.extend, held.status, held.release):
                with pytest.raises(LockLost):
                    await call()

    assert end.value is told[0]
    assert isinstance(end.value.__cause__, NotFound)
    assert len(told) == 1
    assert tasks() == set()


@on_virtual_time
async def test_what_can_not_be_extended_is_lost_before_anybody_else_gets_it():
    one = client()
    told: list[tuple[LockLost, float, list[str]]] = []
    loop = asyncio.get_running_loop()

    def on_lost(error: LockLost) -> None:
        told.append((error, loop.time(), holders(one)))

    began_s = loop.time()
    with pytest.raises(LockLost) as end:
        async with one.lock("db", timeout=30, on_lost=on_lost) as held:
            owner = held.owner
            await asyncio.sleep(15)
            one.io.fate = lambda _call: Fate.SILENT
            await asyncio.sleep(60)

    [(error, at_s, then_held)] = told
    assert error is end.value
    assert error.reason is LossReason.EXPIRED
    assert isinstance(error.__cause__, Unavailable | OutcomeUnknown)
    # It was last extended after 10 s.
    assert at_s - began_s == pytest.approx(40, abs=0.1)
    assert then_held == [owner], "the cluster counts from later on"


@pytest.mark.parametrize("fate", [Fate.NOT_SENT, Fate.LOST, Fate.UNANSWERED])
@on_virtual_time
async def test_an_extension_without_an_answer_is_asked_again_and_loses_nothing(fate: Fate):
    one = client()
    async with one.lock("db", timeout=30) as held:
        number = held.fencing_token
        left = [5]

        def sometimes(call: Call[Any]) -> Fate:
            if extends(call) and left[0]:
                left[0] -= 1
                return fate
            return Fate.SERVED

        one.io.fate = sometimes
        await asyncio.sleep(100)
        assert left == [0]
        assert held.fencing_token == number
        asked = [call.key for call in one.io.sent if extends(call)]
        assert len(set(asked[:6])) == 1, "one extension, one key"
    assert holders(one) == []


@on_virtual_time
async def test_an_explicit_extension_that_was_cut_off_does_not_lose_the_token():
    one = client()
    held = await one.lock("db", timeout=30, extend=False).acquire()
    one.io.fate = lambda call: Fate.LATE if extends(call) else Fate.SERVED
    with pytest.raises(OutcomeUnknown):
        await held.extend()
    one.io.fate = lambda _call: Fate.SERVED

    await held.release()

    assert holders(one) == []


@on_virtual_time
async def test_a_refusal_to_shorten_it_that_is_given_again_later_adds_no_time():
    one = client()
    held = await one.lock("db", timeout=30, extend=False).acquire()
    one.io.fate = lambda call: Fate.UNANSWERED if extends(call) else Fate.SERVED
    with pytest.raises(OutcomeUnknown):
        await held.extend(timeout=5)
    one.io.fate = lambda _call: Fate.SERVED
    await asyncio.sleep(10)

    left_s = (await held.status()).timeout
    assert 0 < held.remaining() <= left_s
    assert left_s < 6
    await held.release()


@on_virtual_time
async def test_a_grant_that_was_waited_for_lasts_its_whole_timeout():
    one = client()
    first = await one.lock("db", timeout=100, owner="first").acquire()
    second = asyncio.ensure_future(one.lock("db", timeout=30, wait=60).acquire())
    await asyncio.sleep(40)
    await first.release()
    held = await second

    assert held.remaining() == pytest.approx(30, abs=0.1)
    assert [call.method for call in one.io.sent][-1] == "GET"
    await held.release()


@on_virtual_time
async def test_without_an_answer_to_that_the_time_of_the_wait_is_taken_off():
    one = client()
    first = await one.lock("db", timeout=100, owner="first").acquire()
    second = asyncio.ensure_future(one.lock("db", timeout=60, wait=60).acquire())
    await asyncio.sleep(20)
    one.io.fate = lambda call: Fate.NOT_SENT if call.method == "GET" else Fate.SERVED
    await first.release()
    held = await second

    assert 0 < held.remaining() <= 40
    await held.release()


@on_virtual_time
async def test_a_lock_is_not_held_beyond_its_maximum_lifetime():
    one = client()
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    with pytest.raises(LockLost) as end:
        async with one.lock("db", timeout=10, max_lifetime=25):
            await asyncio.sleep(60)

    assert end.value.reason is LossReason.LIFETIME
    assert holders(one) == []
    assert loop.time() - began_s == pytest.approx(60, abs=1)
    extensions = [call for call in one.io.sent if extends(call)]
    assert extensions[-1].body is not None
    assert len(extensions) < 8


@on_virtual_time
async def test_the_body_is_cancelled_when_that_is_asked_for():
    one = client()
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    async def job() -> None:
        async with one.lock("db", timeout=30, cancel_on_lost=True):
            await asyncio.sleep(1_000)

    task = asyncio.ensure_future(job())
    await asyncio.sleep(5)
    await force(one)
    with pytest.raises(LockLost):
        await task
    assert loop.time() - began_s < 11


@on_virtual_time
async def test_a_cancellation_from_elsewhere_stays_one():
    one = client()

    async def job() -> None:
        async with one.lock("db", timeout=30, cancel_on_lost=True):
            await asyncio.sleep(1_000)

    task = asyncio.ensure_future(job())
    await asyncio.sleep(5)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert holders(one) == []
    assert tasks() == set()


@on_virtual_time
async def test_an_error_of_the_body_is_kept_and_told_of_the_loss():
    one = client()
    with pytest.raises(ZeroDivisionError) as end:
        async with one.lock("db", timeout=30):
            await force(one)
            await asyncio.sleep(31)
            raise ZeroDivisionError
    [note] = end.value.__notes__
    assert "'db'" in note
    assert "not held any more" in note


@on_virtual_time
async def test_a_lock_that_was_lost_unnoticed_is_told_at_the_end_of_its_block():
    one = client()
    with pytest.raises(LockLost) as end:
        async with one.lock("db", timeout=30):
            await force(one)
    assert end.value.reason is LossReason.NOT_FOUND


@on_virtual_time
async def test_a_release_that_can_not_be_made_is_no_error_of_the_body(
    caplog: pytest.LogCaptureFixture,
):
    one = client(deadline_s=2.0)
    async with one.lock("db", timeout=30):
        one.io.fate = lambda _call: Fate.NOT_SENT
    assert "could not be released" in caplog.text

    one.io.fate = lambda _call: Fate.SERVED
    held = await one.lock("db", timeout=30).acquire()
    one.io.fate = lambda _call: Fate.NOT_SENT
    with pytest.raises(Unavailable):
        await held.release()
    assert tasks() == set()


@on_virtual_time
async def test_one_task_does_not_get_its_own_lock_twice_and_another_has_to_wait():
    one = client()
    async with one.lock("db", timeout=30):
        with pytest.raises(AlreadyHeld):
            await one.lock("db", timeout=30).acquire()
        with pytest.raises(LockHeld) as refused:
            await asyncio.ensure_future(one.lock("db", timeout=30).acquire())
        assert refused.value.holder is not None
    await (await one.lock("db", timeout=30).acquire()).release()


@on_virtual_time
async def test_tasks_that_wait_for_each_other_are_told_of_the_deadlock():
    one = client()
    ready = asyncio.Barrier(2)

    async def job(first: str, second: str) -> str:
        async with one.lock(first, timeout=30):
            await ready.wait()
            try:
                async with one.lock(second, timeout=30, wait=20):
                    return "both"
            except Deadlock as error:
                return f"circle of {len(error.cycle)}"

    ends = await asyncio.gather(job("a", "b"), job("b", "a"))
    assert sorted(ends) == ["both", "circle of 2"]


@on_virtual_time
async def test_a_wait_in_vain_and_one_without_end():
    one = client()
    async with one.lock("db", timeout=30):

        async def waits(wait: float | None) -> float:
            async with one.lock("db", timeout=30, wait=wait) as held:
                return held.remaining()

        with pytest.raises(WaitTimeout):
            await asyncio.ensure_future(waits(5))
        endless = asyncio.ensure_future(waits(None))
        await asyncio.sleep(1_000)
    assert await endless == pytest.approx(30, abs=0.5)


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "timeout"),
        ({"timeout": 0}, "timeout"),
        ({"timeout": float("nan")}, "timeout"),
        ({"timeout": 1, "wait": -1}, "wait"),
        ({"timeout": 1, "wait": float("inf")}, "wait"),
        ({"timeout": 1, "mode": "both"}, "mode"),
        ({"timeout": 1, "max_lifetime": -3}, "max_lifetime"),
    ],
)
@on_virtual_time
async def test_what_can_not_be_is_refused_by_name(options: dict[str, Any], field: str):
    with pytest.raises(ValueError, match=f"^{field}:"):
        client().lock("db", **options)


@on_virtual_time
async def test_an_option_that_is_none_is_refused():
    with pytest.raises(TypeError, match="no such option of a lock: ttl"):
        client().lock("db", ttl=3)  # type: ignore[call-arg]
