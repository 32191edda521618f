"""Waiting, modes, several at once, deadlocks, retries: as any node must answer."""

import asyncio

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api_caller import Caller, case, expect_problem


async def _queued(caller: Caller, lock: str, owners: int) -> None:
    """Wait until so many queue for ``lock``."""
    async with asyncio.timeout(5):
        while True:
            seen = (await caller.ask("GET", _path(caller, lock))).json
            if len(seen["waiters"]) == owners:
                return


def _path(caller: Caller, lock: str, *more: str) -> str:
    return "/".join(("/api/v1/locks", f"{caller.resource}-{lock}", *more))


@case
async def who_waits_gets_the_lock_when_it_is_released(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "w")
    held = (await caller.ask("POST", path, json={"owner": "ann", "timeout": 30})).json
    waits = asyncio.ensure_future(
        caller.ask(
            "POST", path, json={"owner": "bob", "timeout": 30, "wait": 10, "reason": "report"}
        )
    )
    await _queued(caller, "w", 1)

    seen = (await caller.ask("GET", path)).json
    assert [(w["owner"], w["position"], w["reason"]) for w in seen["waiters"]] == [
        ("bob", 1, "report")
    ]
    why = (await caller.ask("GET", f"{path}/explain?owner=bob")).json
    assert (why["position"], why["ahead"], why["holders"][0]["owner"]) == (1, 0, "ann")
    refused = await caller.ask("POST", path, json={"owner": "eve", "timeout": 30})
    expect_problem(refused, ProblemCode.LOCK_HELD)
    assert refused.json["explain"]["ahead"] == 1

    assert (await caller.ask("DELETE", f"{path}/{held['token']}")).status == 204
    answered = await waits
    assert answered.status == 200
    assert answered.json["timeout"] == 30
    assert answered.json["id"] > held["id"]
    assert (await caller.ask("DELETE", f"{path}/{answered.json['token']}")).status == 204


@case
async def a_wait_that_runs_out_is_a_conflict(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "t")
    held = (await caller.ask("POST", path, json={"owner": "ann", "timeout": 30})).json

    answered = await caller.ask("POST", path, json={"owner": "bob", "timeout": 30, "wait": 0.2})

    expect_problem(answered, ProblemCode.WAIT_TIMEOUT)
    assert answered.json["explain"]["holders"][0]["owner"] == "ann"
    assert answered.json["place"] == {"position": 1}
    assert (await caller.ask("GET", path)).json["waiters"] == []
    assert (await caller.ask("DELETE", f"{path}/{held['token']}")).status == 204


@case
async def a_place_is_kept_for_the_next_request_of_its_owner(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "p")
    held = (await caller.ask("POST", path, json={"owner": "ann", "timeout": 30})).json
    bob = {"owner": "bob", "timeout": 30, "wait": 0.2, "keepPlace": 5}

    ended = await caller.ask("POST", path, json=bob)
    expect_problem(ended, ProblemCode.WAIT_TIMEOUT)
    place = ended.json["place"]
    assert (place["position"], 4 < place["keptFor"] <= 5) == (1, True)
    assert len(place["keptUntil"]) == len("2026-01-02T03:04:05")
    assert (ended.json["explain"]["position"], ended.json["explain"]["ahead"]) == (1, 0)
    assert "kept for" in ended.json["detail"]
    cay = asyncio.ensure_future(
        caller.ask("POST", path, json={"owner": "cay", "timeout": 30, "wait": 10})
    )
    await _queued(caller, "p", 2)

    ended = await caller.ask("POST", path, json=bob)
    assert ended.json["waited"] >= 0.4
    seen = (await caller.ask("GET", path)).json
    assert [(w["owner"], w["position"]) for w in seen["waiters"]] == [("bob", 1), ("cay", 2)]
    assert (await caller.ask("DELETE", f"{path}/{held['token']}")).status == 204
    granted = await caller.ask("POST", path, json=bob)
    assert (granted.status, granted.json["owner"]) == (200, "bob")
    assert (await caller.ask("DELETE", f"{path}/{granted.json['token']}")).status == 204
    last = await cay
    assert (await caller.ask("DELETE", f"{path}/{last.json['token']}")).status == 204


@case
async def a_kept_place_that_nobody_comes_back_to_passes_the_lock_on(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "n")
    held = (await caller.ask("POST", path, json={"owner": "ann", "timeout": 30})).json
    bob = {"owner": "bob", "timeout": 30, "wait": 0.2, "keepPlace": "0.5"}
    expect_problem(await caller.ask("POST", path, json=bob), ProblemCode.WAIT_TIMEOUT)
    assert (await caller.ask("DELETE", f"{path}/{held['token']}")).status == 204

    granted = await caller.ask("POST", path, json={"owner": "cay", "timeout": 30, "wait": 10})

    assert granted.status == 200
    assert granted.json.get("waited", 0) < 1.5
    assert (await caller.ask("DELETE", f"{path}/{granted.json['token']}")).status == 204


@case
async def several_at_once_keep_their_place(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    names = [f"{caller.resource}-{n}" for n in ("u", "v")]
    path = _path(caller, "v")
    held = (await caller.ask("POST", path, json={"owner": "ann", "timeout": 30})).json
    bob = {"resources": names, "owner": "bob", "timeout": 30, "wait": 0.2, "keepPlace": 5}
    ended = await caller.ask("POST", "/api/v1/locks", json=bob)
    expect_problem(ended, ProblemCode.WAIT_TIMEOUT)
    assert ended.json["place"]["position"] == 1
    refused = await caller.ask("POST", _path(caller, "u"), json={"owner": "eve", "timeout": 30})
    assert refused.json["reservedFor"] == "bob"
    assert (await caller.ask("DELETE", f"{path}/{held['token']}")).status == 204

    granted = await caller.ask("POST", "/api/v1/locks", json=bob)

    assert granted.status == 200
    assert (await caller.ask("DELETE", f"/api/v1/groups/{granted.json['group']}")).status == 204


@case
async def a_kept_place_has_bounds(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    body = {"owner": "ann", "timeout": 30}
    for more in ({"wait": 1, "keepPlace": 5.1}, {"wait": 1, "keepPlace": -1}, {"keepPlace": 1}):
        refused = await caller.ask("POST", _path(caller, "b"), json={**body, **more})
        expect_problem(refused, ProblemCode.INVALID_REQUEST)
        assert [error["field"] for error in refused.json["errors"]] == ["keepPlace"]


@case
async def sharers_hold_together_and_limits_are_kept(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    shared = _path(caller, "s")
    for owner in ("ann", "bob"):
        body = {"owner": owner, "timeout": 30, "mode": "shared"}
        answered = await caller.ask("POST", shared, json=body)
        assert (answered.status, answered.json["mode"]) == (200, "shared")
    expect_problem(
        await caller.ask("POST", shared, json={"owner": "cay", "timeout": 30}),
        ProblemCode.LOCK_HELD,
    )
    expect_problem(
        await caller.ask("POST", shared, json={"owner": "ann", "timeout": 30}),
        ProblemCode.MODE_CONFLICT,
    )
    counted = _path(caller, "c")
    for owner in ("ann", "bob"):
        body = {"owner": owner, "timeout": 30, "limit": 2}
        assert (await caller.ask("POST", counted, json=body)).status == 200
    expect_problem(
        await caller.ask("POST", counted, json={"owner": "cay", "timeout": 30, "limit": 2}),
        ProblemCode.LOCK_HELD,
    )
    expect_problem(
        await caller.ask("POST", counted, json={"owner": "cay", "timeout": 30, "limit": 3}),
        ProblemCode.MODE_CONFLICT,
    )
    seen = (await caller.ask("GET", counted)).json
    assert (seen["limit"], len(seen["holders"])) == (2, 2)


@case
async def several_are_all_or_none_and_let_go_together(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    names = [f"{caller.resource}-{n}" for n in ("x", "y")]
    body = {"resources": names, "owner": "ann", "timeout": 30}
    granted = await caller.ask("POST", "/api/v1/locks", json=body)
    assert granted.status == 200
    assert [lock["resource"] for lock in granted.json["locks"]] == names

    refused = await caller.ask(
        "POST",
        "/api/v1/locks",
        json={"resources": [*names, f"{names[0]}-z"], "owner": "bob", "timeout": 9},
    )
    expect_problem(refused, ProblemCode.LOCK_HELD)
    assert not (await caller.ask("GET", f"/api/v1/locks/{names[0]}-z")).json["held"]
    extended = await caller.ask(
        "PUT", f"/api/v1/groups/{granted.json['group']}", json={"timeout": 60}
    )
    assert extended.status == 200
    assert (await caller.ask("DELETE", f"/api/v1/groups/{granted.json['group']}")).status == 404
    assert (await caller.ask("DELETE", f"/api/v1/groups/{extended.json['group']}")).status == 204
    assert not (await caller.ask("GET", f"/api/v1/locks/{names[1]}")).json["held"]


@case
async def a_deadlock_is_refused_and_explained(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    a, b = _path(caller, "a"), _path(caller, "b")
    for path, owner in ((a, "ann"), (b, "bob")):
        assert (await caller.ask("POST", path, json={"owner": owner, "timeout": 30})).status == 200
    waits = asyncio.ensure_future(
        caller.ask("POST", b, json={"owner": "ann", "timeout": 30, "wait": 10})
    )
    await _queued(caller, "b", 1)

    refused = await caller.ask("POST", a, json={"owner": "bob", "timeout": 30, "wait": 10})

    expect_problem(refused, ProblemCode.DEADLOCK)
    assert [(link["owner"], link["heldBy"]) for link in refused.json["cycle"]] == [
        ("bob", "ann"),
        ("ann", "bob"),
    ]
    forced = await caller.ask("DELETE", b, json={"reason": "test of a deadlock"})
    assert forced.status == 200
    assert (await waits).status == 200


@case
async def a_session_holds_and_lets_go(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "q")
    opened = (await caller.ask("POST", "/api/v1/sessions", json={"owner": "ann", "ttl": 20})).json
    body = {"owner": "ann", "session": opened["id"]}
    granted = await caller.ask("POST", path, json=body)
    assert (granted.status, granted.json["session"]) == (200, opened["number"])

    of_other = await caller.ask("POST", _path(caller, "r"), json={**body, "owner": "bob"})
    expect_problem(of_other, ProblemCode.NOT_OWNER)
    assert (await caller.ask("PUT", f"/api/v1/sessions/{opened['id']}")).status == 200
    assert (await caller.ask("DELETE", f"/api/v1/sessions/{opened['id']}")).status == 204

    assert not (await caller.ask("GET", path)).json["held"]
    lost = await caller.ask("PUT", f"/api/v1/sessions/{opened['id']}")
    expect_problem(lost, ProblemCode.SESSION_NOT_FOUND)


@case
async def a_key_gives_its_first_answer_again(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    path = _path(caller, "k")
    headers = {"Idempotency-Key": f"key-{caller.resource}"}
    body = {"owner": "ann", "timeout": 30}
    first = await caller.ask("POST", path, json=body, headers=headers)
    assert first.status == 200
    assert (await caller.ask("DELETE", f"{path}/{first.json['token']}")).status == 204

    again = await caller.ask("POST", path, json=body, headers=headers)

    assert (again.status, again.json["token"]) == (200, first.json["token"])
    assert again.headers["idempotency-replayed"] == "true"
    assert again.json["timeout"] == 0
    assert not (await caller.ask("GET", path)).json["held"]
    other = await caller.ask("POST", path, json={**body, "owner": "bob"}, headers=headers)
    expect_problem(other, ProblemCode.IDEMPOTENCY_CONFLICT)
