"""Cases of the API: modes and limits, several locks at once, locks in sessions, safe retries."""

from typing import Any

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api import Answered
from tests.support.api_caller import (
    LOCK_FIELDS,
    Caller,
    case,
    expect_lock,
    expect_problem,
)
from tests.support.api_cases_sessions import SESSIONS, opened

GROUPS = "/api/v1/groups"


def shown(answered: Answered, *more: str) -> dict[str, Any]:
    assert answered.status == 200, answered
    lock: dict[str, Any] = answered.json
    assert set(lock) == LOCK_FIELDS | set(more)
    return lock


@case
async def sharers_hold_a_lock_together(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    body = {"timeout": 30, "mode": "shared"}
    locks = [
        shown(await caller.acquire({"owner": owner, **body}), "mode") for owner in ("anna", "bert")
    ]
    state = (await caller.ask("GET", caller.path())).json
    alone = await caller.acquire({"owner": "carla", "timeout": 30})
    upgrade = await caller.acquire({"owner": "anna", "timeout": 30})

    assert [lock["mode"] for lock in locks] == ["shared", "shared"]
    assert locks[0]["id"] < locks[1]["id"]
    assert (state["mode"], state["held"]) == ("shared", True)
    assert [holder["owner"] for holder in state["holders"]] == ["anna", "bert"]
    expect_problem(alone, ProblemCode.LOCK_HELD)
    conflict = expect_problem(upgrade, ProblemCode.MODE_CONFLICT)["conflict"]
    assert conflict == {"resource": caller.resource, "why": "upgrade", "mode": "shared"}
    for lock in locks:
        assert (await caller.release(lock["token"])).status == 204
    mine = await caller.held()
    downgrade = await caller.acquire({"owner": "anna", **body})
    conflict = expect_problem(downgrade, ProblemCode.MODE_CONFLICT)["conflict"]
    assert (conflict["why"], conflict["mode"], conflict["limit"]) == ("downgrade", "exclusive", 1)
    assert (await caller.release(mine["token"])).status == 204


@case
async def so_many_hold_a_counted_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    body = {"timeout": 30, "limit": 2}
    for owner in ("anna", "bert"):
        assert shown(await caller.acquire({"owner": owner, **body}), "limit")["limit"] == 2
    state = (await caller.ask("GET", caller.path())).json
    full = await caller.acquire({"owner": "carla", **body})
    other = await caller.acquire({"owner": "carla", "timeout": 30, "limit": 3})

    assert (state["mode"], state["limit"], len(state["holders"])) == ("exclusive", 2, 2)
    expect_problem(full, ProblemCode.LOCK_HELD)
    problem = expect_problem(other, ProblemCode.MODE_CONFLICT)
    assert problem["conflict"] == {
        "resource": caller.resource, "why": "slots", "mode": "exclusive", "limit": 2,
    }  # fmt: skip
    assert "limit of 2" in problem["detail"]


@case
async def several_locks_are_given_at_once_or_not_at_all(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    names = [f"{caller.resource}/{name}" for name in ("c", "a", "b")]
    body = {"resources": names, "owner": "anna", "timeout": 30, "metadata": [1]}
    answered = await caller.ask("POST", "/api/v1/locks", json=body)
    given = answered.json
    again = (await caller.ask("POST", "/api/v1/locks", json=body)).json
    theirs = {"resources": [names[0] + "-free", names[1]], "owner": "bert", "timeout": 30}
    refused = await caller.ask("POST", "/api/v1/locks", json=theirs)
    partly = {"resources": [names[0], names[0] + "-free"], "owner": "anna", "timeout": 30}
    conflict = await caller.ask("POST", "/api/v1/locks", json=partly)
    free = (await caller.ask("GET", caller.path(resource=names[0] + "-free"))).json

    assert answered.status == 200
    assert set(given) == {"locks", "group"}
    assert [lock["resource"] for lock in given["locks"]] == names
    assert all(set(lock) == LOCK_FIELDS for lock in given["locks"])
    assert len({lock["token"] for lock in given["locks"]} | {given["group"]}) == 4
    assert again["group"] == given["group"]
    problem = expect_problem(refused, ProblemCode.LOCK_HELD)
    assert (problem["resource"], problem["holder"]["owner"]) == (names[1], "anna")
    assert problem["explain"]["resource"] == names[1]
    why = expect_problem(conflict, ProblemCode.MODE_CONFLICT)["conflict"]["why"]
    assert why == "partly_held"
    assert free["held"] is False


@case
async def what_was_given_at_once_is_extended_and_released_at_once(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    names = [f"{caller.resource}/{name}" for name in ("b", "a")]
    body = {"resources": names, "owner": "anna", "timeout": 30}
    given = (await caller.ask("POST", "/api/v1/locks", json=body)).json
    old = f"{GROUPS}/{given['group']}"
    not_theirs = await caller.ask("PUT", old, json={"timeout": 60, "owner": "bert"})
    too_short = await caller.ask("PUT", old, json={"timeout": 1})
    extended = (await caller.ask("PUT", old, json={"timeout": 60})).json
    new = f"{GROUPS}/{extended['group']}"
    dead = [
        await caller.ask("DELETE", old),
        await caller.status(given["locks"][0]["token"], names[0]),
    ]
    alone = await caller.release(extended["locks"][0]["token"], names[0])
    rest = (await caller.ask("PUT", new, json={"timeout": 90})).json
    released = await caller.ask("DELETE", f"{GROUPS}/{rest['group']}")
    twice = await caller.ask("DELETE", f"{GROUPS}/{rest['group']}")

    expect_problem(not_theirs, ProblemCode.NOT_OWNER)
    expect_problem(too_short, ProblemCode.TIMEOUT_TOO_SHORT)
    assert [lock["id"] for lock in extended["locks"]] == [lock["id"] for lock in given["locks"]]
    assert all(55 < lock["timeout"] <= 60 for lock in extended["locks"])
    for answered in dead:
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)
    assert alone.status == 204
    assert [lock["resource"] for lock in rest["locks"]] == names[1:]
    assert (released.status, released.content) == (204, b"")
    expect_problem(twice, ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.ask("GET", caller.path(resource=names[1]))).json["held"] is False
    for wrong in ("nonsense", "x" * 300):
        answered = await caller.ask("PUT", f"{GROUPS}/{wrong}", json={"timeout": 1})
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)


@case
async def a_lock_lives_as_long_as_its_session(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    begun = (await opened(caller)).json
    path = f"{SESSIONS}/{begun['id']}"
    body = {"owner": "anna", "session": begun["id"], "reason": "shard 1"}
    lock = shown(await caller.acquire(body), "session", "reason")
    shorter = shown(
        await caller.acquire({**body, "timeout": 5}, caller.resource + "-short"),
        "session", "reason",
    )  # fmt: skip
    other = await caller.acquire({"owner": "anna", "timeout": 30})
    not_theirs = await caller.acquire({**body, "owner": "bert"})
    state = (await caller.ask("GET", path)).json
    ended = await caller.ask("DELETE", path)
    late = await caller.acquire(body)

    assert lock["session"] == begun["number"]
    assert 50 < lock["timeout"] <= 60, lock
    assert 0 < shorter["timeout"] <= 5
    # The same owner outside of the session is somebody else.
    expect_problem(other, ProblemCode.LOCK_HELD)
    assert "session" in expect_problem(not_theirs, ProblemCode.NOT_OWNER)["detail"]
    assert [held["resource"] for held in state["locks"]] == [
        caller.resource, caller.resource + "-short",
    ]  # fmt: skip
    assert "token" not in state["locks"][0]
    assert ended.status == 204
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(late, ProblemCode.SESSION_NOT_FOUND)


@case
async def a_request_under_a_key_is_done_once(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    key = {"headers": {"Idempotency-Key": f"acquire {caller.resource}"}}
    body = {"owner": "anna", "timeout": 30}
    first = await caller.acquire(body, **key)
    await caller.release(first.json["token"])
    theirs = await caller.held(owner="bert")
    replayed = await caller.acquire({"timeout": 30, "owner": "anna"}, **key)
    conflict = await caller.acquire({**body, "timeout": 31}, **key)
    elsewhere = await caller.acquire(body, caller.resource + "-other", **key)

    assert "idempotency-replayed" not in first.headers
    assert replayed.headers["idempotency-replayed"] == "true"
    again = expect_lock(replayed)
    assert (again["token"], again["id"]) == (first.json["token"], first.json["id"])
    assert again["timeout"] == 0
    for answered in (conflict, elsewhere):
        expect_problem(answered, ProblemCode.IDEMPOTENCY_CONFLICT)
    expect_lock(await caller.status(theirs["token"]))


@case
async def a_refusal_under_a_key_is_given_again(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    key = {"headers": {"Idempotency-Key": f"refused {caller.resource}"}}
    lock = await caller.held()
    first = await caller.acquire({"owner": "bert", "timeout": 30}, **key)
    await caller.release(lock["token"])
    again = await caller.acquire({"owner": "bert", "timeout": 30}, **key)

    expect_problem(first, ProblemCode.LOCK_HELD)
    assert expect_problem(again, ProblemCode.LOCK_HELD)["holder"]["owner"] == "anna"
    assert again.headers["idempotency-replayed"] == "true"
    assert (await caller.held(owner="bert"))["id"] > lock["id"]


@case
async def an_extension_whose_answer_was_lost_is_asked_for_again(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    key = {"headers": {"Idempotency-Key": f"extend {caller.resource}"}}
    first = await caller.extend(lock["token"], {"timeout": 60}, **key)
    again = await caller.extend(lock["token"], {"timeout": 60}, **key)
    release = {"headers": {"Idempotency-Key": f"release {caller.resource}"}}
    path = caller.path(first.json["token"])
    gone = [await caller.ask("DELETE", path, **release) for _ in range(2)]

    assert again.json["token"] == first.json["token"] != lock["token"]
    assert 50 < again.json["timeout"] <= 60
    assert again.headers["idempotency-replayed"] == "true"
    assert [answered.status for answered in gone] == [204, 204]
    assert gone[1].headers["idempotency-replayed"] == "true"


@case
async def several_locks_and_sessions_are_asked_for_under_a_key(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    key = {"headers": {"Idempotency-Key": f"several {caller.resource}"}}
    body = {"resources": [caller.resource], "owner": "anna", "timeout": 30}
    given = [await caller.ask("POST", "/api/v1/locks", json=body, **key) for _ in range(2)]
    key = {"headers": {"Idempotency-Key": f"session {caller.resource}"}}
    begun = {"owner": "anna", "ttl": 30}
    sessions = [await caller.ask("POST", SESSIONS, json=begun, **key) for _ in range(2)]

    assert given[0].json["group"] == given[1].json["group"]
    assert given[1].headers["idempotency-replayed"] == "true"
    assert [answered.status for answered in sessions] == [201, 201]
    assert sessions[0].json["id"] == sessions[1].json["id"]
    assert sessions[1].headers["idempotency-replayed"] == "true"
    await caller.ask("DELETE", f"{SESSIONS}/{sessions[0].json['id']}")
    over = await caller.ask("POST", SESSIONS, json=begun, **key)
    assert (over.status, over.json["remaining"]) == (201, 0)
