"""Long waits in slices: what each request says, when the last one ends, what older nodes do."""

import asyncio
import random
from typing import Any

import msgspec
import pytest

from gorilla.client import errors, slices
from gorilla.client.asking import Asker
from gorilla.client.blocking import run_now
from gorilla.client.calls import groups, locks
from gorilla.client.endpoints import PLACES_SPARED_S, Endpoints
from gorilla.client.errands import Errands
from gorilla.client.settings import ClientSettings
from gorilla.client.taking import Wanted, take
from gorilla.wire.asking import AcquireAllBody, AcquireBody
from gorilla.wire.bodies import LockBody
from gorilla.wire.problems import ProblemCode as Code
from tests.support.client_memory import MemoryClient
from tests.support.scripted import ScriptedIo, Step, lost, ok, problem, refused
from tests.support.service import Node, on_virtual_time, turns

LOCK = (
    b'{"id":7,"owner":"o","resource":"a","token":"t","timeout":30,"metadata":[],"createdAt":'
    b'"2025-05-04T10:11:12","updatedAt":"2025-05-04T10:11:12","expireAt":"2025-05-04T10:11:42",'
    b'"fencingToken":7}'
)
NODES = ("http://a:4000", "http://b:4000")
OVER = problem(Code.WAIT_TIMEOUT, waited=45)
UNKNOWN_FIELD = problem(
    Code.INVALID_REQUEST, errors=[{"field": "keepPlace", "message": "is not a known field"}]
)


def asker_of(io: ScriptedIo, **settings: float) -> Asker:
    known = ClientSettings(endpoints=NODES, **settings)
    return Asker(io, Endpoints(NODES, random.Random(7)), known)


def taken(io: ScriptedIo, wait_s: float | None, owner: str | None = None, **more: float) -> None:
    wanted = Wanted(resources=("a",), timeout_s=30, wait_s=wait_s, owner=owner)
    run_now(take(asker_of(io, **more), Errands(), wanted, owner or "made-here"))


def called(io: ScriptedIo, wait_s: float, key: str | None = None, **more: Any) -> LockBody:
    body = AcquireBody(owner="o", timeout=30, wait=wait_s, **more)
    return run_now(slices.acquire(asker_of(io), lambda b, k: locks.acquire("a", b, k), body, key))


def asks(io: ScriptedIo) -> list[tuple[float, float]]:
    """Return the wait and the kept place of each request for a lock."""
    bodies = [
        msgspec.json.decode(one.call.body) for one in io.attempts if one.call.method == "POST"
    ]
    return [(body.get("wait", 0), body.get("keepPlace", 0)) for body in bodies]


@pytest.mark.parametrize("ask", [taken, called])
def test_a_long_wait_is_asked_for_in_slices_and_the_last_one_ends_with_it(ask):
    io = ScriptedIo([Step(OVER, 45.0), Step(OVER, 45.0), Step(OVER, 10.0)])

    with pytest.raises(errors.WaitTimeout):
        ask(io, 100.0)

    assert asks(io) == [(45.0, 5), (45.0, 5), (10.0, 0)]
    assert io.now_s() == 1_100.0
    assert len({one.call.key for one in io.attempts}) == 3
    assert [one.timeout_s for one in io.attempts][-1] == 16.0


@pytest.mark.parametrize("ask", [taken, called])
def test_a_short_wait_is_one_request_that_keeps_nothing(ask):
    io = ScriptedIo([ok(LOCK)])

    ask(io, 45.0)

    assert asks(io) == [(45.0, 0)]


def test_who_does_not_wait_says_nothing_of_waits():
    io = ScriptedIo([ok(LOCK)])

    taken(io, 0.0)
    called(io, 0.0)

    assert [msgspec.json.decode(one.call.body) for one in io.attempts] == [
        {"owner": "made-here", "timeout": 30},
        {"owner": "o", "timeout": 30},
    ]


def test_as_long_as_it_takes_is_slice_after_slice():
    io = ScriptedIo([Step(OVER, 45.0)] * 100 + [ok(LOCK)])

    taken(io, None)

    assert set(asks(io)) == {(45.0, 5)}


def test_the_length_of_a_slice_can_be_set():
    io = ScriptedIo([Step(OVER, 1.0), ok(LOCK)])

    taken(io, 3.0, wait_slice_s=1.0)

    assert asks(io) == [(1.0, 5), (1.0, 5)]
    assert ClientSettings.from_environment({"GORILLA_WAIT_SLICE": "20"}).wait_slice_s == 20
    with pytest.raises(ValueError, match="wait_slice_s"):
        ClientSettings(wait_slice_s=0)


def test_several_locks_are_waited_for_in_slices_too():
    group = b'{"group":"g","locks":[' + LOCK + b"]}"
    io = ScriptedIo([Step(OVER, 45.0), ok(group)])
    body = AcquireAllBody(resources=("a",), owner="o", timeout=30, wait=60)

    given = run_now(slices.acquire(asker_of(io), groups.acquire, body, None))

    assert given.group == "g"
    assert asks(io) == [(45.0, 5), (15.0, 0)]


def test_who_chose_the_key_or_says_what_becomes_of_the_place_asks_once():
    io = ScriptedIo([OVER])
    with pytest.raises(errors.WaitTimeout):
        called(io, 100.0, key="mine")
    with pytest.raises(errors.WaitTimeout):
        called(io, 100.0, keep_place=2)

    assert asks(io) == [(100.0, 0), (100.0, 2)]


@pytest.mark.parametrize("ask", [taken, called])
def test_a_node_of_an_earlier_release_is_asked_as_before(ask):
    io = ScriptedIo([UNKNOWN_FIELD, Step(OVER, 300.0), UNKNOWN_FIELD, Step(OVER, 99.0)])

    with pytest.raises(errors.WaitTimeout):
        ask(io, 399.0)

    waits = [(round(wait_s, 1), kept) for wait_s, kept in asks(io)]
    assert waits == [(45.0, 5), (300.0, 0), (45.0, 5), (99.0, 0)]


def test_that_a_node_keeps_no_places_is_remembered_for_a_while():
    io = ScriptedIo([UNKNOWN_FIELD, ok(LOCK)])
    asker = asker_of(io)

    def ask() -> None:
        wanted = Wanted(resources=("a",), timeout_s=30, wait_s=100.0)
        run_now(take(asker, Errands(), wanted, f"owner-{len(io.attempts)}"))

    ask()
    ask()
    io.pass_time(PLACES_SPARED_S)
    ask()

    assert [kept for _, kept in asks(io)] == [5, 0, 0, 5]


def test_what_else_is_wrong_with_a_request_is_told():
    io = ScriptedIo([problem(Code.INVALID_REQUEST, errors=[{"field": "owner", "message": "no"}])])

    with pytest.raises(errors.InvalidRequest):
        taken(io, 100.0)

    assert len(io.attempts) == 1


def test_a_cluster_that_lets_nobody_wait_for_so_long_sets_the_length_of_slices():
    io = ScriptedIo([Step(OVER, 10.0)] * 9 + [Step(OVER, 5.0)])

    with pytest.raises(errors.WaitTimeout):
        taken(io, 95.0)

    assert asks(io)[0] == (45.0, 5)
    assert asks(io)[1:] == [(10.0, 5)] * 8 + [(5.0, 0)]
    assert io.now_s() == 1_095.0


def test_slices_are_never_longer_than_the_setting_whatever_a_node_without_places_allows():
    io = ScriptedIo([UNKNOWN_FIELD, Step(OVER, 60.0), Step(OVER, 45.0), ok(LOCK)])

    taken(io, 600.0)

    assert [wait_s for wait_s, kept in asks(io) if kept] == [45.0, 45.0, 45.0]


def test_an_answer_that_comes_at_once_makes_no_flood_of_slices():
    io = ScriptedIo([OVER, Step(OVER, 1.0), ok(LOCK)])

    taken(io, 600.0)

    assert asks(io) == [(45.0, 5), (1.0, 5), (1.0, 5)]


@pytest.mark.parametrize("ask", [taken, called])
@pytest.mark.parametrize(("wait_s", "lost_s"), [(45.05, 0.0), (60.0, 14.9), (60.0, 20.0)])
def test_a_wait_that_is_over_with_a_slice_gives_its_place_up(ask, wait_s: float, lost_s: float):
    io = ScriptedIo([Step(lost(), lost_s), Step(OVER, 45.0), Step(OVER, 0.05)])

    with pytest.raises(errors.WaitTimeout):
        ask(io, wait_s)

    assert [kept for _, kept in asks(io)] == [5, 5, 0]
    assert asks(io)[-1][0] <= slices.WAITED_S


def test_a_wait_that_a_late_attempt_of_an_earlier_slice_took_over_is_asked_for_again():
    replaced = problem(Code.WAIT_REPLACED)
    io = ScriptedIo([lost(), Step(OVER, 45.0), replaced, ok(LOCK)])

    taken(io, 200.0, owner="bob")

    with pytest.raises(errors.WaitReplaced):
        taken(ScriptedIo([Step(OVER, 45.0), replaced]), 200.0, owner="bob")


def test_an_outage_in_the_middle_of_a_long_wait_is_outlived():
    io = ScriptedIo([Step(OVER, 45.0), *[Step(refused(), 1.0)] * 70, ok(LOCK)])

    taken(io, 3_600.0)

    assert 1_100 < io.now_s() < 1_200


def test_an_outage_ends_a_short_wait_and_one_that_is_longer_than_any_request_was():
    for wait_s, least_s in ((20.0, 34.0), (3_600.0, 310.0)):
        io = ScriptedIo([refused()])
        with pytest.raises(errors.Unavailable):
            taken(io, wait_s)
        assert least_s < io.now_s() - 1_000.0 < least_s + 10.0


@on_virtual_time
async def test_the_order_is_kept_over_many_slices():
    node = Node()
    order: list[int] = []

    async def program(number: int) -> None:
        one = MemoryClient(node, wait_slice_s=1.0 + number / 7)
        async with one.lock("db", timeout=30, wait=600):
            order.append(number)
            await asyncio.sleep(20)

    running = []
    for number in range(6):
        running.append(asyncio.create_task(program(number)))
        await turns(20)
    await asyncio.gather(*running)

    assert order == list(range(6))


@on_virtual_time
async def test_a_long_wait_in_a_session_and_for_several_locks_keeps_its_place():
    node = Node()
    order: list[str] = []
    held = await node.locks.acquire(lock="b", holder="ann", ttl_ms=1_000_000)

    async def several() -> None:
        one = MemoryClient(node)
        async with one.session(20) as session, session.locks(["a", "b"], wait=None):
            order.append("several")

    async def single() -> None:
        async with MemoryClient(node).lock("b", timeout=30, wait=1_000):
            order.append("single")

    running = [asyncio.create_task(several())]
    await turns(30)
    running.append(asyncio.create_task(single()))
    await asyncio.sleep(200)
    await node.locks.release("b", held.lease.secret)
    await asyncio.gather(*running)

    assert order == ["several", "single"]


@on_virtual_time
async def test_a_wait_that_ends_in_vain_ends_in_time_and_leaves_nothing():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=1_000_000)
    started_s = node.loop.time()

    with pytest.raises(errors.WaitTimeout) as caught:
        async with MemoryClient(node).lock("db", timeout=30, wait=100):
            pass

    assert node.loop.time() - started_s == pytest.approx(100, abs=0.1)
    assert caught.value.waited_s == pytest.approx(100, abs=0.1)
    assert caught.value.place.position == 1
    assert len(node.replica.table.waiters) == 0


@pytest.mark.parametrize("after_s", [20.0, 45.0, 45.0001, 60.0])
@on_virtual_time
async def test_who_is_cancelled_leaves_no_place_behind(after_s: float):
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=1_000_000)
    call = asyncio.ensure_future(MemoryClient(node).lock("db", timeout=30, wait=100).acquire())
    await asyncio.sleep(after_s)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    await asyncio.sleep(5.1)

    assert call.cancelled()
    assert len(node.replica.table.waiters) == 0
