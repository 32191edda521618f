"""Cases of the API: sessions."""

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api import Answered
from tests.support.api_caller import (
    TIMESTAMP,
    Caller,
    case,
    expect_bad_fields,
    expect_problem,
    seconds_between,
)

SESSIONS = "/api/v1/sessions"
FIELDS = {
    "id", "number", "owner", "ttl", "metadata", "createdAt", "updatedAt", "expireAt", "remaining",
}  # fmt: skip


async def opened(caller: Caller, **fields: object) -> Answered:
    answered = await caller.ask("POST", SESSIONS, json={"owner": "anna", "ttl": 60, **fields})
    assert answered.status == 201, answered
    return answered


@case
async def a_session_begins_is_kept_alive_and_ends(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    begun = (await opened(caller, metadata="host-a")).json
    path = f"{SESSIONS}/{begun['id']}"
    kept = await caller.ask("PUT", path)
    kept_with_body = await caller.ask("PUT", path, json={})
    shown = await caller.ask("GET", path)
    ended = await caller.ask("DELETE", path)

    assert set(begun) == FIELDS
    assert len(begun["id"]) >= 22  # 128 random bits or more
    assert (begun["owner"], begun["ttl"], begun["metadata"]) == ("anna", 60, ["host-a"])
    assert 55 < begun["remaining"] <= 60
    assert all(TIMESTAMP.fullmatch(begun[name]) for name in ("createdAt", "expireAt"))
    assert 58 <= seconds_between(begun["updatedAt"], begun["expireAt"]) <= 61
    for answered in (kept, kept_with_body):
        assert answered.status == 200
        assert set(answered.json) == FIELDS
        assert answered.json["number"] == begun["number"]
    assert set(shown.json) == FIELDS | {"locks", "waits"}
    assert (shown.json["locks"], shown.json["waits"]) == ([], [])
    assert (ended.status, ended.content) == (204, b"")
    for method in ("PUT", "GET", "DELETE"):
        problem = expect_problem(await caller.ask(method, path), ProblemCode.SESSION_NOT_FOUND)
        assert "begin a new one" in problem["detail"]


@case
async def numbers_of_sessions_differ_and_too_long_a_ttl_is_lowered(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    first, second = (await opened(caller)).json, (await opened(caller, ttl=1e300)).json

    assert second["number"] > first["number"]
    assert second["id"] != first["id"]
    assert second["ttl"] <= 10 * 365 * 24 * 3600
    for one in (first, second):
        assert (await caller.ask("DELETE", f"{SESSIONS}/{one['id']}")).status == 204


@case
async def bad_fields_of_a_session_are_named_at_once(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    answered = await caller.ask("POST", SESSIONS, json={})
    expect_bad_fields(answered, "owner", "ttl")
    body = {"owner": "", "ttl": 0, "metadata": "x" * 5_000, "color": "red"}
    answered = await caller.ask("POST", SESSIONS, json=body, headers={"Idempotency-Key": "x" * 256})
    expect_bad_fields(answered, "owner", "ttl", "metadata", "Idempotency-Key", "color")
    begun = (await opened(caller)).json
    answered = await caller.ask("PUT", f"{SESSIONS}/{begun['id']}", json={"ttl": 5})
    expect_bad_fields(answered, "ttl")
    for wrong in ("nonsense", "x" * 300, "%C3%BC", "."):
        for method in ("GET", "PUT", "DELETE"):
            answered = await caller.ask(method, f"{SESSIONS}/{wrong}")
            expect_problem(answered, ProblemCode.SESSION_NOT_FOUND)
    for method in ("GET", "PUT", "DELETE"):
        expect_bad_fields(await caller.ask(method, f"{SESSIONS}/a%0Ab"), "session")


@case
async def a_session_that_nobody_keeps_runs_out(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    begun = (await opened(caller, ttl=0.05)).json
    # Nothing tells when it is over but asking.
    for _ in range(2_000):
        answered = await caller.ask("GET", f"{SESSIONS}/{begun['id']}")
        if answered.status != 200:
            break

    expect_problem(answered, ProblemCode.SESSION_NOT_FOUND)
