"""Cases of the API: waiting for locks, deadlocks, and why a lock can't be had."""

import asyncio
from typing import Any

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api import Answered
from tests.support.api_caller import (
    LOCK_FIELDS,
    TIMESTAMP,
    Caller,
    case,
    expect_bad_fields,
    expect_lock,
    expect_problem,
)

WAIT_S = 20
TIME_S_MAX = 15


async def queue(caller: Caller, length: int, resource: str | None = None) -> list[dict[str, Any]]:
    """Wait until so many queue for a lock; return them."""
    async with asyncio.timeout(TIME_S_MAX):
        while True:
            shown = await caller.ask("GET", caller.path(resource=resource))
            waiters: list[dict[str, Any]] = shown.json["waiters"]
            if len(waiters) == length:
                return waiters


def waiting(
    caller: Caller, owner: str, resource: str | None = None, **fields: Any
) -> asyncio.Task[Answered]:
    body = {"owner": owner, "timeout": 30, "wait": WAIT_S, **fields}
    return asyncio.ensure_future(caller.acquire(body, resource))


@case
async def a_lock_is_waited_for_first_come_first_served(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    first = waiting(caller, "bert", reason="a fix")
    await queue(caller, 1)
    second = waiting(caller, "carla")
    waiters = await queue(caller, 2)
    await caller.release(lock["token"])
    theirs = (await first).json
    left = await queue(caller, 1)
    await caller.release(theirs["token"])
    last = (await second).json

    assert [(one["owner"], one["position"]) for one in waiters] == [("bert", 1), ("carla", 2)]
    assert waiters[0]["reason"] == "a fix"
    assert all(TIMESTAMP.fullmatch(one["since"]) for one in waiters)
    assert [(one["owner"], one["position"]) for one in left] == [("carla", 1)]
    assert set(theirs) == LOCK_FIELDS | {"waited", "reason"}
    assert theirs["owner"] == "bert"
    assert theirs["waited"] > 0
    assert 25 < theirs["timeout"] <= 30
    assert lock["id"] < theirs["id"] < last["id"]
    assert (await caller.release(last["token"])).status == 204


@case
async def a_wait_that_is_over_says_who_has_the_lock(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    answered = await caller.acquire({"owner": "bert", "timeout": 30, "wait": 0.05})

    problem = expect_problem(answered, ProblemCode.WAIT_TIMEOUT)
    assert problem["waited"] >= 0.05
    assert (problem["holder"]["owner"], problem["holder"]["fencingToken"]) == ("anna", lock["id"])
    assert problem["explain"]["owner"] == "bert"
    assert lock["token"].encode() not in answered.content
    assert await queue(caller, 0) == []


@case
async def who_hangs_up_leaves_the_queue(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    async with aiohttp.ClientSession() as impatient:
        gone = Caller(impatient, base_url)
        gone.resource = caller.resource
        hanging = waiting(gone, "bert")
        await queue(caller, 1)
        hanging.cancel()
    await queue(caller, 0)
    await caller.release(lock["token"])

    assert (await caller.held(owner="carla"))["id"] > lock["id"]


@case
async def who_asks_again_keeps_the_place(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    first = waiting(caller, "bert")
    await queue(caller, 1)
    behind = waiting(caller, "carla")
    await queue(caller, 2)
    again = waiting(caller, "bert")
    expect_problem(await first, ProblemCode.WAIT_REPLACED)
    await caller.release(lock["token"])
    theirs = expect_waited(await again)
    await caller.release(theirs["token"])

    assert expect_waited(await behind)["id"] > theirs["id"]


def expect_waited(answered: Answered) -> dict[str, Any]:
    assert answered.status == 200, answered
    lock: dict[str, Any] = answered.json
    assert lock["waited"] > 0
    return lock


@case
async def nobody_overtakes_the_queue(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = (await caller.acquire({"owner": "anna", "timeout": 30, "mode": "shared"})).json
    alone = waiting(caller, "bert")
    await queue(caller, 1)
    refused = await caller.acquire({"owner": "carla", "timeout": 30, "mode": "shared"})
    await caller.release(lock["token"])
    await caller.release(expect_waited(await alone)["token"])

    problem = expect_problem(refused, ProblemCode.LOCK_HELD)
    assert problem["reservedFor"] == "bert"


@case
async def a_wait_that_would_close_a_circle_is_refused_at_once(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    left, right = caller.resource + "-left", caller.resource + "-right"
    await caller.held(resource=left, owner="anna")
    theirs = await caller.held(resource=right, owner="bert")
    anna = waiting(caller, "anna", right)
    await queue(caller, 1, right)
    refused = await caller.acquire({"owner": "bert", "timeout": 30, "wait": WAIT_S}, left)
    await caller.release(theirs["token"], right)

    problem = expect_problem(refused, ProblemCode.DEADLOCK)
    assert problem["cycle"] == [
        {"owner": "bert", "waitsFor": left, "heldBy": "anna", "holds": True},
        {"owner": "anna", "waitsFor": right, "heldBy": "bert", "holds": True},
    ]
    assert all(word in problem["detail"] for word in ("anna", "bert", left, right))
    expect_waited(await anna)


@case
async def why_a_lock_cant_be_had_is_explained(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    other = caller.resource + "-other"
    path = caller.path() + "/explain"
    free = (await caller.ask("GET", path)).json
    await caller.held(resource=other, owner="carla")
    body = {"owner": "anna", "timeout": 30, "reason": "nightly run"}
    lock = (await caller.acquire(body)).json
    anna = waiting(caller, "anna", other)
    await queue(caller, 1, other)
    bert = waiting(caller, "bert")
    await queue(caller, 1)
    answered = await caller.ask("GET", path + "?owner=bert")
    newcomer = (await caller.ask("GET", path + "?owner=dora&consistency=stale")).json
    await caller.ask("DELETE", caller.path(resource=other) + "?reason=test")
    await caller.ask("DELETE", caller.path() + "?reason=test")
    expect_waited(await anna)
    expect_waited(await bert)

    assert (free["held"], free["owner"], free["holders"]) == (False, None, [])
    shown = answered.json
    assert (shown["held"], shown["owner"], shown["position"], shown["ahead"]) == (
        True, "bert", 1, 0,
    )  # fmt: skip
    assert (newcomer["position"], newcomer["ahead"]) == (None, 1)
    (holder,) = shown["holders"]
    assert (holder["owner"], holder["reason"]) == ("anna", "nightly run")
    assert holder["fencingToken"] == lock["id"]
    assert holder["waitsFor"] == [
        {"owner": "anna", "waitsFor": other, "heldBy": "carla", "holds": True}
    ]
    assert all(word in shown["sentence"] for word in ("anna", caller.resource))
    assert lock["token"].encode() not in answered.content
    expect_bad_fields(await caller.ask("GET", path + "?owner=&x=1"), "owner", "x")


@case
async def a_refused_request_is_explained_at_once(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    await caller.held()
    refused = await caller.acquire({"owner": "bert", "timeout": 1})

    explained = expect_problem(refused, ProblemCode.LOCK_HELD)["explain"]
    assert (explained["resource"], explained["owner"]) == (caller.resource, "bert")
    assert [holder["owner"] for holder in explained["holders"]] == ["anna"]


@case
async def a_wait_of_nothing_asks_once(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    await caller.held()
    for nothing in (0, 0.0, "0", "0.0"):
        answered = await caller.acquire({"owner": "bert", "timeout": 1, "wait": nothing})
        expect_problem(answered, ProblemCode.LOCK_HELD)
    lock = expect_lock(
        await caller.acquire({"owner": "bert", "timeout": 1, "wait": 5}, caller.resource + "-free")
    )
    assert "waited" not in lock


@case
async def bad_fields_of_a_request_for_locks_are_named_at_once(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    body = {
        "owner": "", "timeout": 0, "metadata": "x" * 5_000, "wait": -1, "mode": "x", "limit": 0,
        "session": "", "reason": "", "color": "red",
    }  # fmt: skip
    names = ("owner", "session", "timeout", "metadata", "mode", "limit", "wait", "reason")
    answered = await caller.acquire(body, headers={"Idempotency-Key": ""})
    expect_bad_fields(answered, *names, "Idempotency-Key", "color")
    answered = await caller.ask("POST", "/api/v1/locks", json={**body, "resources": []})
    expect_bad_fields(answered, "resources", *names, "color")
    expect_bad_fields(
        await caller.ask("POST", "/api/v1/locks", json={}), "resources", "owner", "timeout"
    )
    sharing = {"owner": "anna", "timeout": 1, "mode": "shared", "limit": 2}
    expect_bad_fields(await caller.acquire(sharing), "limit")


@case
async def an_owner_in_its_own_way_is_told_so(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    other = caller.resource + "-other"
    await caller.held(resource=other)
    both = {"resources": [caller.resource, other], "owner": "bert", "timeout": 9, "wait": WAIT_S}
    several = asyncio.ensure_future(caller.ask("POST", "/api/v1/locks", json=both))
    await queue(caller, 1)
    alone = await caller.acquire({"owner": "bert", "timeout": 30})
    several.cancel()

    problem = expect_problem(alone, ProblemCode.LOCK_HELD)
    assert "itself queued for" in problem["detail"]
    assert problem["reservedFor"] == "bert"
    assert "holder" not in problem
