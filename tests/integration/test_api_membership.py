"""Changes of the cluster over a real socket, on a roster in memory."""

import asyncio
from typing import Any

import pytest

from gorilla.service.errors import NoLeaderError, OutcomeUnknownError
from gorilla.service.ports import (
    AddMember,
    Change,
    DrainMember,
    MoveMember,
    RemoveMember,
    TransferLeadership,
)
from gorilla.wire.problems import ProblemCode
from tests.support.api import changeable_api, running_api
from tests.support.api_caller import expect_bad_fields, expect_problem
from tests.support.membership import MemoryMembership

MEMBERS = "/api/v1/cluster/members"
LEADER = "/api/v1/cluster/leader"
NEW = {"name": "n4", "peer": "10.0.0.7:4100", "http": "10.0.0.7:4000"}

CALLS: list[tuple[str, str, Any, Change]] = [
    ("POST", MEMBERS, NEW, AddMember(**NEW)),
    ("POST", MEMBERS, {**NEW, "replaces": "n3"}, AddMember(**NEW, replaces="n3")),
    ("POST", MEMBERS, {**NEW, "replaces": None}, AddMember(**NEW)),
    ("DELETE", f"{MEMBERS}/n3", None, RemoveMember(member="n3")),
    ("DELETE", f"{MEMBERS}/id%2D3", None, RemoveMember(member="id-3")),
    ("PUT", f"{MEMBERS}/n3", {"peer": "a:1"}, MoveMember(member="n3", peer="a:1")),
    ("PUT", f"{MEMBERS}/n3", {"http": "[::1]:1"}, MoveMember(member="n3", http="[::1]:1")),
    ("POST", LEADER, None, TransferLeadership()),
    ("POST", LEADER, {}, TransferLeadership()),
    ("POST", LEADER, {"to": None}, TransferLeadership()),
    ("POST", LEADER, {"to": "n2"}, TransferLeadership(to="n2")),
    ("POST", f"{MEMBERS}/n2/drain", None, DrainMember(member="n2", draining=True)),
    ("DELETE", f"{MEMBERS}/n2/drain", None, DrainMember(member="n2", draining=False)),
]


def _options(body: Any) -> dict[str, Any]:
    return {} if body is None else {"json": body}


@pytest.mark.parametrize(("method", "path", "body", "change"), CALLS)
async def test_each_call_asks_for_its_change_and_tells_what_became_of_it(
    method: str, path: str, body: Any, change: Change
) -> None:
    membership = MemoryMembership()
    async with changeable_api(membership) as api:
        answered = await api.ask(method, path, **_options(body))

    assert answered.status == 200
    assert set(answered.json) == {"done", "steps", "members", "quorum", "tolerates"}
    assert answered.json["done"]
    assert answered.json["steps"]
    assert [asked[0] for asked in membership.asked] == [change]


async def test_the_report_shows_the_members_by_name_and_what_they_can_bear() -> None:
    async with changeable_api(MemoryMembership(count=4)) as api:
        grown = (await api.ask("POST", MEMBERS, json={**NEW, "name": "a5"})).json

    assert [member["name"] for member in grown["members"]] == ["a5", "n1", "n2", "n3", "n4"]
    assert grown["members"][0] == {
        "id": "id-of-a5",
        "name": "a5",
        "http": "10.0.0.7:4000",
        "peer": "10.0.0.7:4100",
    }
    assert (grown["quorum"], grown["tolerates"]) == (3, 2)


@pytest.mark.parametrize(("method", "path", "body", "change"), CALLS)
async def test_every_call_takes_dry_run_force_and_timeout(
    method: str, path: str, body: Any, change: Change
) -> None:
    membership = MemoryMembership()
    members = dict(membership.members)
    async with changeable_api(membership) as api:
        plain = await api.ask(method, f"{path}?dry_run=true", **_options(body))
        asked = asyncio.get_running_loop().time()
        await api.ask(method, f"{path}?timeout=120&force=true&dry_run=true", **_options(body))

    assert not plain.json["done"]
    assert membership.members == members
    (_, force, dry_run, _), (_, forced, _, deadline_s) = membership.asked
    assert (force, dry_run, forced) == (False, True, True)
    assert 120 <= deadline_s - asked <= 130
    assert change == membership.asked[0][0]


@pytest.mark.parametrize(("method", "path", "body", "_change"), CALLS)
@pytest.mark.parametrize(
    ("query", "fields"),
    [
        ("dry_run=1&force=&timeout=301", ("dry_run", "force", "timeout")),
        ("timeout=0", ("timeout",)),
        ("dry-run=true", ("dry-run",)),
        ("force=true&force=true", ("force",)),
    ],
)
async def test_a_query_that_is_not_understood_changes_nothing(
    method: str, path: str, body: Any, _change: Change, query: str, fields: tuple[str, ...]
) -> None:
    membership = MemoryMembership()
    async with changeable_api(membership) as api:
        answered = await api.ask(method, f"{path}?{query}", **_options(body))

    expect_bad_fields(answered, *fields)
    assert not membership.asked


@pytest.mark.parametrize(
    ("method", "path", "body", "fields"),
    [
        ("POST", MEMBERS, {}, ("name", "peer", "http")),
        (
            "POST",
            f"{MEMBERS}?force=x",
            {"name": "-", "peer": "a", "http": 1, "replaces": "", "port": 1},
            ("force", "name", "peer", "http", "replaces", "port"),
        ),
        ("PUT", f"{MEMBERS}/n1", {}, ("peer",)),
        ("PUT", f"{MEMBERS}/%00?timeout=x", {"peer": None}, ("id", "timeout", "peer")),
        ("DELETE", f"{MEMBERS}/%00?force=x", None, ("id", "force")),
        ("POST", f"{MEMBERS}//drain", None, ("id",)),
        ("POST", LEADER, {"to": 1, "from": 2}, ("to", "from")),
    ],
)
async def test_every_bad_field_is_named_at_once(
    method: str, path: str, body: Any, fields: tuple[str, ...]
) -> None:
    membership = MemoryMembership()
    async with changeable_api(membership) as api:
        answered = await api.ask(method, path, **_options(body))

    expect_bad_fields(answered, *fields)
    assert not membership.asked


async def test_a_refusal_says_why_to_machines_and_what_to_do_to_people() -> None:
    async with changeable_api() as api:
        taken = await api.ask("POST", MEMBERS, json={**NEW, "name": "n1"})
        unknown = await api.ask("DELETE", f"{MEMBERS}/n9")

    problem = expect_problem(taken, ProblemCode.CHANGE_REFUSED)
    assert problem["reason"] == "exists"
    assert "n1 has that name" in problem["detail"]
    assert "n9" in expect_problem(unknown, ProblemCode.MEMBER_NOT_FOUND)["detail"]


@pytest.mark.parametrize(
    ("failure", "code"),
    [
        (NoLeaderError("no leader"), ProblemCode.NO_QUORUM),
        (OutcomeUnknownError(30.0), ProblemCode.OUTCOME_UNKNOWN),
    ],
)
async def test_without_an_answer_of_the_leader_nobody_is_told_that_it_was_done(
    failure: Exception, code: ProblemCode
) -> None:
    membership = MemoryMembership()
    membership.failure = failure
    async with changeable_api(membership) as api:
        answered = await api.ask("DELETE", f"{MEMBERS}/n3")

    expect_problem(answered, code)


async def test_a_cluster_that_cant_be_changed_has_no_such_calls() -> None:
    async with running_api() as api:
        for method, path, body, _ in CALLS:
            expect_problem(await api.ask(method, path, **_options(body)), ProblemCode.NOT_FOUND)
