"""Cases of the API: acquire, release, status, extend."""

from typing import Any
from urllib.parse import quote

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api_caller import (
    LOCK_FIELDS,
    TIMESTAMP,
    Caller,
    case,
    expect_lock,
    expect_problem,
    seconds_between,
)


@case
async def acquire_answers_with_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata=["build", {"number": 7}], timeout=30)

    assert lock["owner"] == "anna"
    assert lock["resource"] == caller.resource
    assert lock["metadata"] == ["build", {"number": 7}]
    assert isinstance(lock["id"], int)
    assert len(lock["token"]) >= 22  # 128 random bits or more
    assert 0 < lock["timeout"] <= 30
    assert lock["createdAt"] == lock["updatedAt"]
    assert 28 <= seconds_between(lock["createdAt"], lock["expireAt"]) <= 31


@case
async def acquire_of_a_held_lock_is_refused_with_its_holder(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()

    answered = await caller.acquire({"owner": "bert", "timeout": 1})

    problem = expect_problem(answered, ProblemCode.LOCK_HELD)
    holder = problem["holder"]
    assert set(holder) == {"owner", "expireAt", "fencingToken"}
    assert holder["owner"] == "anna"
    assert holder["fencingToken"] == lock["id"]
    assert TIMESTAMP.fullmatch(holder["expireAt"])
    assert 0 < problem["retryAfter"] <= 30
    assert lock["token"].encode() not in answered.content


@case
async def acquire_by_the_holder_gives_the_same_lock_until_the_later_expiry(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    first = await caller.held(timeout=30)
    shorter = await caller.held(timeout=1)
    longer = await caller.held(timeout=600)

    assert {lock["id"] for lock in (first, shorter, longer)} == {first["id"]}
    assert {lock["token"] for lock in (first, shorter, longer)} == {first["token"]}
    assert shorter["timeout"] > 20
    assert longer["timeout"] > 590
    assert longer["createdAt"] == first["createdAt"]


@case
async def ids_grow_with_every_grant(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    ids = []
    for _ in range(4):
        lock = await caller.held()
        ids.append(lock["id"])
        await caller.release(lock["token"])

    assert ids == sorted(set(ids))


@case
async def metadata_becomes_a_list(session: aiohttp.ClientSession, base_url: str) -> None:
    given: list[tuple[Any, Any]] = [
        ([], []),
        ([1, [2.5, None]], [1, [2.5, None]]),
        ("text", ["text"]),
        ({"a": "ü"}, [{"a": "ü"}]),
        (7, [7]),
        (None, [None]),
        (False, [False]),
    ]
    for value, expected in given:
        assert (await Caller(session, base_url).held(metadata=value))["metadata"] == expected
    assert (await Caller(session, base_url).held())["metadata"] == []


@case
async def timeouts_are_numbers_or_strings_of_them(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    for given, least, most in [
        ("30", 29, 30),
        ("1.5", 0.5, 1.5),
        ("2e1", 19, 20),
        (30.0, 29, 30),
        (2.25, 1.2, 2.25),
    ]:
        lock = await Caller(session, base_url).held(timeout=given)
        assert least < lock["timeout"] <= most


@case
async def too_long_a_timeout_is_lowered(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=1e300)

    assert lock["timeout"] <= 10 * 365 * 24 * 3600
    assert (await caller.release(lock["token"])).status == 204


@case
async def release_frees_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()

    answered = await caller.release(lock["token"])

    assert answered.status == 204
    assert answered.content == b""
    assert "content-length" not in answered.headers
    assert "content-type" not in answered.headers
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.release(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.extend(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.held(owner="bert"))["id"] > lock["id"]


@case
async def a_token_of_another_resource_is_not_found(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller, other = Caller(session, base_url), Caller(session, base_url)
    token = (await other.held())["token"]
    await caller.held()
    for wrong in (token, "nonsense", "x" * 300, "ü", "", ".", ".."):
        for method in ("GET", "DELETE"):
            answered = await caller.ask(method, caller.path() + "/" + quote(wrong, safe=""))
            expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)
        answered = await caller.ask(
            "PUT", caller.path() + "/" + quote(wrong, safe=""), json={"timeout": 1}
        )
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)


@case
async def status_shows_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata={"a": 1})
    shown = expect_lock(await caller.status(lock["token"]))

    assert 0 < shown["timeout"] <= lock["timeout"]
    moving = {"timeout", "expireAt"}
    assert {name: shown[name] for name in LOCK_FIELDS - moving} == {
        name: lock[name] for name in LOCK_FIELDS - moving
    }
    assert abs(seconds_between(lock["expireAt"], shown["expireAt"])) <= 2


@case
async def an_expired_lock_is_gone(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=0.05)
    # Nothing tells when it is over but asking: bert keeps asking until he has it.
    for _ in range(2_000):
        answered = await caller.acquire({"owner": "bert", "timeout": 30})
        if answered.status == 200:
            break
        expect_problem(answered, ProblemCode.LOCK_HELD)

    assert expect_lock(answered)["id"] > lock["id"]
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.extend(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.release(lock["token"]), ProblemCode.LOCK_NOT_FOUND)


@case
async def extend_gives_a_new_token_and_kills_the_old(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata=["m"])

    extended = expect_lock(await caller.extend(lock["token"], {"timeout": 90, "owner": "anna"}))

    assert extended["token"] != lock["token"]
    assert 80 < extended["timeout"] <= 90
    for same in ("id", "createdAt", "owner", "resource", "metadata"):
        assert extended[same] == lock[same]
    for answered in (
        await caller.status(lock["token"]),
        await caller.extend(lock["token"]),
        await caller.release(lock["token"]),
    ):
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.release(extended["token"])).status == 204


@case
async def extend_refuses_another_owner(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    answered = await caller.extend(lock["token"], {"timeout": 60, "owner": "bert"})
    expect_problem(answered, ProblemCode.NOT_OWNER)
    assert expect_lock(await caller.extend(lock["token"], {"timeout": 60, "owner": None}))


@case
async def extend_refuses_to_shorten(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=30)
    problem = expect_problem(
        await caller.extend(lock["token"], {"timeout": 5}), ProblemCode.TIMEOUT_TOO_SHORT
    )
    assert 5 < problem["remaining"] <= 30
    assert expect_lock(await caller.status(lock["token"]))
