"""Every call of the client, with both faces, against a real served API."""

import re
from datetime import UTC, datetime
from urllib.parse import parse_qs, urlsplit

import msgspec
import pytest
from msgspec import UNSET

from gorilla.client import errors
from gorilla.client.calls import (
    Call,
    cluster,
    events,
    groups,
    history,
    locks,
    machines,
    policies,
    sessions,
)
from gorilla.domain.limits import Bounds
from gorilla.domain.table import LockTable
from gorilla.wire.asking import AcquireAllBody, AcquireBody
from tests.support.api import Snapshots, changeable_api, running_api
from tests.support.faces import FACES, face_of
from tests.support.history_api import running_past
from tests.support.local_cluster import free_ports
from tests.support.membership import MemoryMembership
from tests.support.service import Node

NAMES = ["a", "a/b", "..", ".", "ü ä", "%2F", "a?b#c&d=e+f", "x" * 255, "'\"\\", "日本", "a;b"]


@pytest.fixture(params=FACES)
def kind(request) -> str:
    return request.param


# Every operation has a call


def calls() -> dict[str, Call]:
    one, two = AcquireBody(owner="o", timeout=3), AcquireAllBody(resources=("a",), owner="o")
    change = {"dry_run": True, "force": True, "timeout": 5}
    when = datetime(2025, 5, 4, 10, 11, 12, tzinfo=UTC)
    past = {
        "resource": "a",
        "owner": "o",
        "prefix": "a",
        "at": when,
        "since": "2025-05-04T10:11:12",
        "until": when,
        "ended": "no",
        "kind": "wait",
    }
    return {
        "acquireLock": locks.acquire("a/b", one),
        "acquireLocks": groups.acquire(two),
        "extendLock": locks.extend("a", "t", 3, "o"),
        "releaseLock": locks.release("a", "t"),
        "getLock": locks.status("a", "t"),
        "listLocks": locks.page(prefix="a", owner="o", limit=7, cursor="c", stale=True),
        "showLock": locks.show("a", stale=True),
        "explainLock": locks.explain("a", "o", stale=True),
        "forceRelease": locks.force("a", "why", "who"),
        "requestRelease": locks.request_release("a", "o", "why"),
        "checkFencingToken": locks.check_fencing("a", 7, stale=True),
        "extendGroup": groups.extend("g", 3, "o"),
        "releaseGroup": groups.release("g"),
        "openSession": sessions.open("o", 3, ["x"]),
        "keepSession": sessions.keep("s"),
        "showSession": sessions.show("s"),
        "endSession": sessions.end("s"),
        "listPolicies": policies.listed("a", stale=True),
        "setPolicy": policies.put("a", {"max_timeout": 3, "owners": ["o"]}),
        "dropPolicy": policies.drop(""),
        "watchEvents": events.watch("a", "o", ["acquired"], 7),
        "listHistory": history.page(past, 7, "1.2"),
        "getCluster": cluster.status(),
        "addMember": cluster.add("n4", "h:1", "h:2", "n3", change),
        "removeMember": cluster.remove("n4", change),
        "moveMember": cluster.move("n4", "h:1", "h:2", change),
        "transferLeadership": cluster.transfer("n2", change),
        "drainMember": cluster.drain("n2", change, draining=True),
        "undrainMember": cluster.drain("n2", change, draining=False),
        "listSnapshots": cluster.snapshots(7),
        "takeSnapshot": cluster.take_snapshot(),
        "getHealth": machines.health(),
        "getReadiness": machines.ready(verbose=True, leader=True),
        "getMetrics": machines.metrics(),
    }


FOR_PEOPLE = {"getApiDocument", "getDocsPage", "getDashboard"}


async def test_every_operation_of_the_api_has_a_call_that_fits_its_document():
    async with changeable_api() as api:
        document = (await api.ask("GET", "/openapi.json")).json
    operations = {
        operation["operationId"]: (method.upper(), path, operation)
        for path, item in document["paths"].items()
        for method, operation in item.items()
        if isinstance(operation, dict) and "operationId" in operation
    }
    made = calls()

    assert set(made) == set(operations) - FOR_PEOPLE
    for name, call in made.items():
        method, template, operation = operations[name]
        parts = urlsplit(call.path)
        assert call.method == method, name
        assert re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), parts.path), name
        declared = {p["name"] for p in operation.get("parameters", ()) if p.get("in") == "query"}
        assert set(parse_qs(parts.query, keep_blank_values=True)) <= declared, name
        takes_key = any(p.get("name") == "Idempotency-Key" for p in operation.get("parameters", ()))
        assert (call.key is not None) == takes_key, name
        assert ("requestBody" in operation) >= (call.body is not None), name


# Locks


async def test_a_lock_is_acquired_looked_at_extended_and_released(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        lock = await face(
            lambda c: c.acquire("job", owner="anna", timeout=10, metadata={"n": 1}, reason="r")
        )
        assert (lock.resource, lock.owner, lock.fencing_token) == ("job", "anna", 1)
        assert 9 < lock.timeout <= 10
        assert msgspec.json.decode(lock.metadata) == [{"n": 1}]
        assert (lock.reason, lock.limit) == ("r", UNSET)
        extended = await face(lambda c: c.extend("job", lock.token, 20, "anna"))
        assert extended.token != lock.token
        status = await face(lambda c: c.status("job", extended.token))
        assert 19 < status.timeout <= 20
        with pytest.raises(errors.LockNotFound):
            await face(lambda c: c.status("job", lock.token))
        with pytest.raises(errors.NotOwner):
            await face(lambda c: c.extend("job", extended.token, 20, "bert"))
        with pytest.raises(errors.TimeoutTooShort) as caught:
            await face(lambda c: c.extend("job", extended.token, 1))
        assert caught.value.remaining_s > 19
        assert await face(lambda c: c.release("job", extended.token)) is None
        with pytest.raises(errors.LockNotFound):
            await face(lambda c: c.release("job", extended.token))


@pytest.mark.parametrize("name", NAMES)
async def test_any_name_is_a_name(kind, name):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        lock = await face(lambda c: c.acquire(name, owner=name, timeout=10))

        assert (lock.resource, lock.owner) == (name, name)
        assert (await face(lambda c: c.show(name))).holders[0].owner == name
        assert [one.resource for one in await face.each(lambda c: c.list_locks(prefix=name))] == [
            name
        ]
        assert (await face(lambda c: c.explain(name, "o"))).held
        assert (await face(lambda c: c.check_fencing(name, 1))).current
        await face(lambda c: c.release(name, lock.token))


async def test_who_is_in_the_way_is_told(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        await face(lambda c: c.acquire("job", owner="anna", timeout=10))

        with pytest.raises(errors.LockHeld) as held:
            await face(lambda c: c.acquire("job", owner="bert", timeout=10))
        with pytest.raises(errors.WaitTimeout) as waited:
            await face(lambda c: c.acquire("job", owner="bert", timeout=10, wait=0.2))
        with pytest.raises(errors.ModeConflict) as conflict:
            await face(lambda c: c.acquire("job", owner="bert", timeout=10, limit=3))

    assert held.value.holder.owner == "anna"
    assert 0 < held.value.retry_after_s <= 10
    assert "anna" in held.value.explain.sentence
    assert waited.value.waited_s >= 0.2
    assert conflict.value.conflict.why == "slots"


async def test_what_can_not_be_is_told_for_every_field(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        with pytest.raises(errors.InvalidRequest) as caught:
            await face(lambda c: c.acquire("", owner="", timeout=0))
        with pytest.raises(ValueError, match="wait: must be seconds"):
            await face(lambda c: c.acquire("a", owner="o", timeout=3, wait=float("nan")))
        with pytest.raises(TypeError, match="unheard_of"):
            await face(lambda c: c.acquire("a", owner="o", timeout=3, unheard_of=1))

    assert {one.field for one in caught.value.errors} == {"resource", "owner", "timeout"}


async def test_a_key_of_the_callers_own_is_known_again(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        ask = {"owner": "anna", "timeout": 10, "idempotency_key": "mine"}
        first = await face(lambda c: c.acquire("job", **ask))
        await face(lambda c: c.release("job", first.token))
        again = await face(lambda c: c.acquire("job", **ask))
        with pytest.raises(errors.IdempotencyConflict):
            await face(lambda c: c.acquire("other", **ask))

    assert (again.token, again.timeout) == (first.token, 0)


async def test_a_table_that_remembers_no_more_keys_still_serves(kind):
    node = Node(table=LockTable(bounds=Bounds(keys=2)))
    async with running_api(node) as api, face_of(kind, api.base_url) as face:
        for _ in range(3):
            lock = await face(lambda c: c.acquire("job", owner="anna", timeout=10))
            await face(lambda c, k=lock: c.release("job", k.token))
        with pytest.raises(errors.QuotaExceeded) as caught:
            ask = {"owner": "anna", "timeout": 10, "idempotency_key": "mine"}
            await face(lambda c: c.acquire("job", **ask))

        assert node.replica.table.key_count == 2
    assert caught.value.bound == "idempotency_keys_max"


async def test_several_locks_are_held_as_one(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        group = await face(lambda c: c.acquire_all(["b", "a"], owner="anna", timeout=10))
        assert [lock.resource for lock in group.locks] == ["b", "a"]
        longer = await face(lambda c: c.extend_group(group.group, 20))
        assert await face(lambda c: c.release_group(longer.group)) is None
        with pytest.raises(errors.LockNotFound):
            await face(lambda c: c.release_group(longer.group))


async def test_all_pages_of_a_list_are_followed(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        for number in range(7):
            await face(lambda c, n=number: c.acquire(f"l{n}", owner=f"o{n % 2}", timeout=10))

        everything = await face.each(lambda c: c.list_locks(page=3, stale=True))
        some = await face.each(lambda c: c.list_locks("l", "o1", page=2))
        first = await face.each(lambda c: c.list_locks(page=2), count=1)
        none = await face.each(lambda c: c.list_locks("nothing"))

    assert [lock.resource for lock in everything] == [f"l{n}" for n in range(7)]
    assert [lock.resource for lock in some] == ["l1", "l3", "l5"]
    assert [lock.resource for lock in first] == ["l0"]
    assert none == []


async def test_holders_are_asked_to_let_go_and_made_to(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        lock = await face(lambda c: c.acquire("job", owner="anna", timeout=10))
        asked = await face(lambda c: c.request_release("job", "bert", "a deployment"))
        status = await face(lambda c: c.status("job", lock.token))
        forced = await face(lambda c: c.force_release("job", "stuck", by="oncall"))
        with pytest.raises(errors.LockNotFound):
            await face(lambda c: c.force_release("job", "again"))
        checked = await face(lambda c: c.check_fencing("job", lock.fencing_token))

    assert asked.holders == ("anna",)
    assert (status.release_requested.by, status.release_requested.reason) == (
        "bert",
        "a deployment",
    )
    assert [one.owner for one in forced.released] == ["anna"]
    assert (checked.current, checked.held, checked.largest) == (False, False, 1)


# What is found under names of its own


async def test_sessions_are_begun_kept_shown_and_ended(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        session = await face(lambda c: c.sessions.open(10, "anna", metadata=["x"]))
        await face(lambda c: c.acquire("job", owner="anna", session=session.id))
        shown = await face(lambda c: c.sessions.show(session.id))
        kept = await face(lambda c: c.sessions.keep(session.id))
        assert await face(lambda c: c.sessions.end(session.id)) is None
        with pytest.raises(errors.SessionNotFound):
            await face(lambda c: c.sessions.keep(session.id))

    assert [lock.resource for lock in shown.locks] == ["job"]
    assert 9 < kept.remaining <= 10


async def test_policies_are_set_listed_and_dropped(kind):
    async with running_api() as api, face_of(kind, api.base_url) as face:
        rules = {"max_timeout": 5, "max_holders": 2, "owners": ["anna", "deploy-*"]}
        policy = await face(lambda c: c.policies.set("p/", **rules))
        with pytest.raises(errors.Forbidden) as forbidden:
            await face(lambda c: c.acquire("p/1", owner="bert", timeout=3))
        with pytest.raises(errors.PolicyRefused) as refused:
            await face(lambda c: c.acquire("p/1", owner="anna", timeout=3, limit=3))
        listed = await face(lambda c: c.policies.list("p/1", stale=True))
        assert await face(lambda c: c.policies.drop("p/")) is None
        with pytest.raises(errors.NotFound):
            await face(lambda c: c.policies.drop("p/"))
        everywhere = await face(lambda c: c.policies.set("", min_gap=1))

    assert (policy.max_timeout, policy.owners) == (5, ("anna", "deploy-*"))
    assert forbidden.value.policy.rule == "owners"
    assert refused.value.policy.allowed == 2
    assert listed.policies == (policy,)
    assert everywhere.prefix == ""


async def test_the_cluster_is_looked_at_and_changed(kind):
    membership = MemoryMembership()
    async with changeable_api(membership) as api, face_of(kind, api.base_url) as face:
        assert (await face(lambda c: c.cluster.status())).role == "leader"
        added = await face(lambda c: c.cluster.add("n4", "h:1", "h:2", replaces="n3", timeout=7))
        dry = await face(lambda c: c.cluster.remove("n4", dry_run=True, force=True))
        await face(lambda c: c.cluster.move("n4", peer="h:3"))
        await face(lambda c: c.cluster.transfer())
        await face(lambda c: c.cluster.transfer("n1"))
        await face(lambda c: c.cluster.drain("n2"))
        await face(lambda c: c.cluster.undrain("n2"))
        with pytest.raises(errors.MemberNotFound):
            await face(lambda c: c.cluster.remove("n9"))
        with pytest.raises(errors.ChangeRefused) as refused:
            await face(lambda c: c.cluster.add("n4", "h:8", "h:9"))
        with pytest.raises(TypeError, match="hurry"):
            await face(lambda c: c.cluster.drain("n2", hurry=True))

    assert (added.done, dry.done) == (True, False)
    assert [member.name for member in added.members] == ["n1", "n2", "n4"]
    assert refused.value.reason == "exists"
    assert [type(one[0]).__name__ for one in membership.asked[:4]] == [
        "AddMember", "RemoveMember", "MoveMember", "TransferLeadership",
    ]  # fmt: skip


async def test_snapshots_are_taken_and_listed(kind):
    async with running_api(snapshots=Snapshots()) as api, face_of(kind, api.base_url) as face:
        taken = await face(lambda c: c.snapshots.take())
        await face(lambda c: c.snapshots.take(api.base_url))
        listed = await face(lambda c: c.snapshots.list(limit=1))

    assert taken.id == 1
    assert [one.id for one in listed.snapshots] == [2]


async def test_the_history_is_told_page_by_page(kind):
    async with running_past() as past, face_of(kind, past.api.base_url) as face:
        for number in range(5):
            lock = await face(lambda c, n=number: c.acquire(f"l{n}", owner="anna", timeout=10))
            await face(lambda c, k=lock: c.release(k.resource, k.token))
        await past.write()

        entries = await face.each(lambda c: c.history(page=2, owner="anna", ended="released"))
        body = await face(
            lambda c: c.history_page(limit=3, prefix="l", since="2000-01-01T00:00:00")
        )
        with pytest.raises(ValueError, match="since: a datetime must have a time zone"):
            await face.each(lambda c: c.history(since=datetime(2025, 1, 1)))  # noqa: DTZ001
        with pytest.raises(TypeError, match="colour"):
            await face.each(lambda c: c.history(colour="red"))

    assert sorted(entry.resource for entry in entries) == [f"l{n}" for n in range(5)]
    assert len(body.entries) == 3
    assert body.complete_up_to is not None
    assert body.cursor is not None


async def test_a_history_without_a_database_is_told_at_once(kind):
    async with running_api() as api, face_of(kind, api.base_url, deadline_s=60.0) as face:
        with pytest.raises(errors.Unavailable, match="no database is configured") as caught:
            await face.each(lambda c: c.history())

    assert caught.value.code == "archive_unavailable"


# One node


async def test_a_node_says_whether_it_is_fit(kind):
    async with running_api() as api:
        nobody = f"http://127.0.0.1:{free_ports(1)[0]}"
        async with face_of(kind, nobody) as face:
            assert (await face(lambda c: c.health(api.base_url))).status == "ok"
            ready = await face(lambda c: c.ready(api.base_url, leader=True))
            assert {check.name for check in ready.checks} >= {"leader_known", "caught_up"}
            metrics = await face(lambda c: c.metrics(api.base_url))
            assert "# HELP" in metrics or metrics == ""
            assert (await face(lambda c: c.cluster.status(api.base_url))).node == "gorilla-1"
            assert (await face(lambda c: c.show("a", endpoint=api.base_url))).held is False

            api.node.consensus.lose_leader()
            with pytest.raises(errors.Unavailable) as caught:
                await face(lambda c: c.ready(api.base_url))
            with pytest.raises(errors.Unavailable, match="connection refused"):
                await face(lambda c: c.health(nobody))
            with pytest.raises(ValueError, match="endpoints: 'nowhere' must be a URL"):
                await face(lambda c: c.health("nowhere"))

    assert caught.value.code == "no_quorum"
    assert {check.name for check in caught.value.problem.checks if not check.ok}
    assert caught.value.attempts == 1
