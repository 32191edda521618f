"""Cases of the API: policies, and how they change what is granted."""

from typing import Any
from urllib.parse import quote

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api import Answered
from tests.support.api_caller import (
    Caller,
    case,
    expect_bad_fields,
    expect_lock,
    expect_problem,
)

POLICIES = "/api/v1/policies"


async def ruled(caller: Caller, prefix: str, **rules: Any) -> Answered:
    answered = await caller.ask("PUT", f"{POLICIES}?prefix={quote(prefix, safe='')}", json=rules)
    assert answered.status == 200, answered
    return answered


async def dropped(caller: Caller, prefix: str) -> Answered:
    return await caller.ask("DELETE", f"{POLICIES}?prefix={quote(prefix, safe='')}")


async def ruling(caller: Caller, resource: str) -> list[dict[str, Any]]:
    answered = await caller.ask("GET", f"{POLICIES}?resource={quote(resource, safe='')}")
    assert answered.status == 200
    policies: list[dict[str, Any]] = answered.json["policies"]
    return policies


@case
async def the_longest_prefix_rules_a_lock_alone(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    short, long = f"{caller.resource}/ü", f"{caller.resource}/ü/deploy"
    rules = {
        "maxTimeout": 60, "maxLifetime": 3600, "maxWait": 1.5, "maxHolders": 2, "minGap": 0.25,
        "owners": ["deploy-*", "anna"],
    }  # fmt: skip
    set_short = await ruled(caller, short, maxTimeout="90")
    set_long = await ruled(caller, long, **rules)

    assert set_short.json == {"prefix": short, "maxTimeout": 90}
    assert set_long.json == {"prefix": long, **rules}
    assert await ruling(caller, f"{long}/x") == [set_long.json]
    assert await ruling(caller, f"{short}/x") == [set_short.json]
    assert await ruling(caller, caller.resource) == []
    listed = (await caller.ask("GET", POLICIES)).json["policies"]
    mine = [policy for policy in listed if policy["prefix"].startswith(caller.resource)]
    assert mine == [set_short.json, set_long.json]

    assert (await dropped(caller, long)).status == 204
    assert await ruling(caller, f"{long}/x") == [set_short.json]
    assert (await dropped(caller, short)).status == 204
    again = expect_problem(await dropped(caller, short), ProblemCode.NOT_FOUND)
    assert short in again["detail"]
    assert await ruling(caller, f"{long}/x") == []


@case
async def a_policy_lowers_timeouts_and_lists_owners(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    await ruled(caller, caller.resource, maxTimeout=5, owners=["an*"])
    lock = await caller.held(timeout=60)
    refused = await caller.acquire({"owner": "bert", "timeout": 5}, caller.resource + "-free")
    await dropped(caller, caller.resource)

    assert 0 < lock["timeout"] <= 5
    problem = expect_problem(refused, ProblemCode.FORBIDDEN)
    assert problem["policy"] == {"prefix": caller.resource, "rule": "owners"}
    expect_lock(await caller.acquire({"owner": "bert", "timeout": 5}, caller.resource + "-free"))


@case
async def a_lock_that_was_just_granted_cools_down(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    await ruled(caller, caller.resource, minGap=30)
    lock = await caller.held()
    await caller.release(lock["token"])
    refused = await caller.acquire({"owner": "bert", "timeout": 5})
    await dropped(caller, caller.resource)

    problem = expect_problem(refused, ProblemCode.COOLING_DOWN)
    assert 0 < problem["retryAfter"] <= 30


@case
async def bad_policies_are_refused(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    bad = {
        "maxTimeout": 0, "maxLifetime": "x", "maxWait": -1, "maxHolders": 1025, "minGap": None,
        "owners": [], "colour": 1,
    }  # fmt: skip
    answered = await caller.ask("PUT", f"{POLICIES}?prefix=a%0Ab&color=red", json=bad)
    expect_bad_fields(
        answered,
        "prefix", "color", "maxTimeout", "maxLifetime", "maxWait", "maxHolders", "minGap",
        "owners", "colour",
    )  # fmt: skip
    for owners in ("anna", ["x" * 256], [""], [7], ["a"] * 65, {"a": 1}):
        path = f"{POLICIES}?prefix={caller.resource}"
        expect_bad_fields(await caller.ask("PUT", path, json={"owners": owners}), "owners")
    for method in ("PUT", "DELETE"):
        options = {"json": {}} if method == "PUT" else {}
        expect_bad_fields(await caller.ask(method, POLICIES, **options), "prefix")
    expect_bad_fields(await caller.ask("GET", f"{POLICIES}?resource="), "resource")


@case
async def a_policy_without_rules_frees_its_prefix_from_shorter_ones(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    await ruled(caller, caller.resource, maxTimeout=5)
    await ruled(caller, f"{caller.resource}/free")
    lock = await caller.held(resource=f"{caller.resource}/free/x", timeout=60)
    await dropped(caller, caller.resource)
    await dropped(caller, f"{caller.resource}/free")

    assert lock["timeout"] > 50


@case
async def each_of_several_locks_lasts_as_long_as_its_own_policy_says(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    short, long = f"{caller.resource}/short", f"{caller.resource}/long"
    await ruled(caller, short, maxTimeout=20)
    body = {"resources": [short, long], "owner": "anna", "timeout": 100}
    answered = await caller.ask("POST", "/api/v1/locks", json=body)
    await dropped(caller, short)

    assert answered.status == 200, answered
    first, second = (lock["timeout"] for lock in answered.json["locks"])
    assert 19 < first <= 20
    assert 99 < second <= 100
