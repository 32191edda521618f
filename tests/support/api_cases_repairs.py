"""Cases of the API: making others let go, asking them to, and checking fencing tokens."""

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api_caller import (
    TIMESTAMP,
    Caller,
    case,
    expect_bad_fields,
    expect_lock,
    expect_problem,
)


@case
async def a_holder_is_made_to_let_go(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()

    forced = await caller.ask("DELETE", caller.path() + "?reason=stuck+since+2&by=carla")

    assert forced.status == 200
    assert forced.json == {
        "resource": caller.resource,
        "released": [{"owner": "anna", "fencingToken": lock["id"]}],
    }
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.extend(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.held(owner="bert"))["id"] > lock["id"]


@case
async def the_reason_of_a_forced_release_may_be_in_a_body(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    await caller.held()
    body = {"reason": "host-a is gone", "by": "carla"}

    assert (await caller.ask("DELETE", caller.path(), json=body)).status == 200
    again = await caller.ask("DELETE", caller.path(), json=body)
    expect_problem(again, ProblemCode.LOCK_NOT_FOUND)
    expect_bad_fields(await caller.ask("DELETE", caller.path()), "reason")
    both = await caller.ask("DELETE", caller.path() + "?reason=a", json={"reason": "b"})
    expect_bad_fields(both, "reason")
    bad = await caller.ask("DELETE", caller.path() + "?by=&color=red", json={"reason": ""})
    expect_bad_fields(bad, "reason", "by", "color")


@case
async def a_holder_sees_that_it_is_asked_to_let_go(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    path = caller.path() + "/request-release"
    body = {"owner": "bert", "reason": "a deployment waits"}
    free = await caller.ask("POST", path, json=body)
    lock = await caller.held()
    asked = await caller.ask("POST", path, json=body)
    status = (await caller.status(lock["token"])).json
    extended = (await caller.extend(lock["token"])).json
    shown = (await caller.ask("GET", caller.path())).json["holders"][0]

    expect_problem(free, ProblemCode.LOCK_NOT_FOUND)
    assert (asked.status, asked.json) == (200, {"holders": ["anna"]})
    for seen in (status, extended, shown):
        wish = dict(seen["releaseRequested"])
        assert TIMESTAMP.fullmatch(wish.pop("at"))
        assert wish == {"by": "bert", "reason": "a deployment waits"}
    expect_bad_fields(await caller.ask("POST", path, json={}), "owner")
    bad = await caller.ask("POST", path, json={"owner": "", "reason": "", "x": 1})
    expect_bad_fields(bad, "owner", "reason", "x")


@case
async def a_fencing_token_is_checked(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    path = f"/api/v1/fencing/{caller.resource}"

    async def check(number: int) -> tuple[bool, bool, int | None]:
        answered = await caller.ask("POST", path, json={"fencingToken": number})
        assert answered.status == 200
        assert answered.json["resource"] == caller.resource
        assert answered.json["fencingToken"] == number
        return answered.json["current"], answered.json["held"], answered.json["largest"]

    assert await check(1) == (False, False, None)
    lock = await caller.held()
    number = lock["fencingToken"]
    assert await check(number) == (True, True, number)
    assert await check(number + 1) == (False, True, number)
    await caller.release(lock["token"])
    assert await check(number) == (False, False, number)
    stale = await caller.ask("POST", f"{path}?consistency=stale", json={"fencingToken": number})
    assert int(stale.headers["x-gorilla-age-ms"]) >= 0
    for bad in (0, -1, 1.5, "1", None, True, 1 << 53):
        answered = await caller.ask("POST", path, json={"fencingToken": bad})
        expect_bad_fields(answered, "fencingToken")
    expect_bad_fields(await caller.ask("POST", f"{path}?x=1", json={}), "x", "fencingToken")
    # It changes nothing, so it may carry any key.
    headers = {"Idempotency-Key": "a"}
    for number in (1, 2):
        answered = await caller.ask("POST", path, json={"fencingToken": number}, headers=headers)
        assert answered.status == 200


@case
async def a_forced_release_is_repeated_safely_under_a_key(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    options = {"headers": {"Idempotency-Key": f"force {caller.resource}"}}
    path = caller.path() + "?reason=stuck"
    first = await caller.ask("DELETE", path, **options)
    theirs = await caller.held(owner="bert")
    second = await caller.ask("DELETE", path, **options)

    assert first.json == second.json
    assert first.json["released"][0]["fencingToken"] == lock["id"]
    assert "idempotency-replayed" not in first.headers
    assert second.headers["idempotency-replayed"] == "true"
    expect_lock(await caller.status(theirs["token"]))
    other = await caller.ask("DELETE", caller.path() + "?reason=other", **options)
    expect_problem(other, ProblemCode.IDEMPOTENCY_CONFLICT)


@case
async def a_key_is_refused_where_it_would_promise_nothing(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    answered = await caller.ask("POST", "/api/v1/snapshots", headers={"Idempotency-Key": "a"})
    expect_bad_fields(answered, "Idempotency-Key")
    assert (await caller.ask("GET", caller.path(), headers={"Idempotency-Key": "a"})).status == 200
    for bad in ("", "x" * 256, "a\tb", "ü"):
        path = caller.path() + "/request-release"
        answered = await caller.ask(
            "POST", path, json={"owner": "a"}, headers={"Idempotency-Key": bad}
        )
        expect_bad_fields(answered, "Idempotency-Key")
