"""``GET /api/v1/history`` on a real socket, over a history in memory."""

import asyncio
from typing import Any

import pytest

from gorilla.domain.events import Left
from gorilla.service.history_reading import WAITING_MAX, HistoryService
from gorilla.service.history_records import Claim, Gap, Question
from gorilla.wire.problems import ProblemCode
from gorilla.wire.times import timestamp
from tests.support.api import running_api
from tests.support.api_caller import expect_bad_fields, expect_problem
from tests.support.history import MemoryHistory
from tests.support.history_api import history_of, running_past
from tests.support.history_events import WALL_MS, EventMaker
from tests.support.service import Node, turns

NIGHTLY = "/api/v1/locks/nightly-report"
SHOWN = timestamp(WALL_MS)
assert SHOWN == "2023-11-14T22:13:20"


async def acquire(past: Any, owner: str = "worker-1", **fields: Any) -> dict[str, Any]:
    body = {"owner": owner, "timeout": 30, **fields}
    answered = await past.api.ask("POST", NIGHTLY, json=body)
    assert answered.status == 200, answered
    lock: dict[str, Any] = answered.json
    return lock


async def test_a_hold_is_told_from_its_grant_to_its_end_and_without_its_token() -> None:
    async with running_past() as past:
        lock = await acquire(past)
        path = f"{NIGHTLY}/{lock['token']}"
        extended = await past.api.ask("PUT", path, json={"timeout": 60})
        token = extended.json["token"]
        await past.write()
        held = await past.entries("?resource=nightly-report")
        await past.api.ask("DELETE", f"{NIGHTLY}/{token}")
        await past.write()
        answered = await past.ask("?resource=nightly-report")

    [entry] = answered.json["entries"]
    assert entry == {
        "kind": "hold",
        "resource": "nightly-report",
        "owner": "worker-1",
        "fencingToken": lock["id"],
        "clusterId": "cluster",
        "grantedAt": lock["createdAt"],
        "grantedAtMs": entry["grantedAtMs"],
        "mode": "exclusive",
        "extensions": 1,
        "expireAt": extended.json["expireAt"],
        "endedAt": timestamp(entry["endedAtMs"]),
        "endedAtMs": entry["endedAtMs"],
        "endedBy": "released",
        "held": entry["held"],
    }
    assert (held[0]["endedAt"], held[0]["endedAtMs"], held[0]["endedBy"]) == (None, None, None)
    for secret in (lock["token"], token):
        assert secret not in answered.content.decode()


async def test_who_held_it_at_an_instant_is_answered_also_for_now() -> None:
    async with running_past() as past:
        maker = EventMaker()
        first = maker.acquired("nightly-report", "worker-1")
        maker.released(first)
        maker.acquired("nightly-report", "worker-2")
        await past.fill(maker.made)

        async def owners(at: str) -> list[str]:
            query = f"?resource=nightly-report&at={at}"
            return [entry["owner"] for entry in await past.entries(query)]

        assert await owners(f"{SHOWN}.005") == []
        assert await owners(f"{SHOWN}.010Z") == ["worker-1"]
        assert await owners("2023-11-14T23:13:20.015+01:00") == ["worker-1"]
        assert await owners("2023-11-14T23:13:20.015%2B01:00") == ["worker-1"]
        assert await owners(f"{SHOWN}.025") == []
        assert await owners("2025-01-01T00:00:00") == ["worker-2"]


async def test_every_filter_narrows_the_answer() -> None:
    async with running_past() as past:
        maker = EventMaker()
        maker.forced(maker.acquired("app/a", "anna", slots=5, reason="migration"))
        maker.acquired("app/b", "bert", slots=0)
        maker.left("app/a", "bert", Left.HUNG_UP, waited_ms=1_500)
        await past.fill(maker.made)

        async def names(query: str) -> list[str]:
            return [entry["resource"] for entry in await past.entries(query)]

        [forced] = await past.entries("?ended=forced")
        [open_one] = await past.entries("?ended=no")
        [wait] = await past.entries("?kind=wait")
        assert (forced["endReason"], forced["forcedBy"]) == ("stuck", "operator")
        assert (forced["limit"], forced["reason"], forced["held"]) == (5, "migration", 0.01)
        assert (open_one["mode"], open_one["resource"]) == ("shared", "app/b")
        assert (wait["why"], wait["waited"], wait["owner"]) == ("hung_up", 1.5, "bert")
        assert await names("?prefix=app/") == ["app/b", "app/a"]
        assert await names("?prefix=app/&owner=anna") == ["app/a"]
        assert await names("?resource=app%2Fb") == ["app/b"]
        assert await names("?ended=yes") == ["app/a"]
        assert await names(f"?to={SHOWN}.010") == ["app/a"]
        assert await names(f"?from={SHOWN}.025") == ["app/b"]
        assert await names("?kind=wait&owner=anna") == []


async def test_pages_are_followed_by_their_cursors_to_the_end() -> None:
    async with running_past() as past:
        maker = EventMaker()
        maker.many(5)
        await past.fill(maker.made)
        seen: list[int] = []
        query = "?limit=2"
        while query:
            page = (await past.ask(query)).json
            seen += [entry["fencingToken"] for entry in page["entries"]]
            query = f"?limit=2&cursor={page['cursor']}" if page["cursor"] else ""

    assert seen == [5, 4, 3, 2, 1]


async def test_the_answer_says_how_far_it_is_complete() -> None:
    async with running_past() as past:
        before = (await past.ask()).json
        await acquire(past)
        await past.write()
        written = (await past.ask()).json
        # For longer: asked for again in the same millisecond, nothing would happen.
        await acquire(past, timeout=60)
        behind = (await past.ask()).json

    assert (before["entries"], before["completeUpTo"], before["since"]) == ([], None, None)
    assert (written["completeUpTo"]["event"], written["completeUpTo"]["behind"]) == (1, 0)
    assert (behind["completeUpTo"]["event"], behind["completeUpTo"]["behind"]) == (1, 1)
    assert written["completeUpTo"]["at"] == timestamp(written["completeUpTo"]["atMs"])
    assert written["gaps"] == []


async def test_a_gap_is_told_and_an_end_in_it_is_no_certain_answer() -> None:
    async with running_past() as past:
        maker = EventMaker()
        lost = maker.acquired("nightly-report")
        await past.fill(maker.made)
        claim = Claim("cluster", 0)
        gap = Gap(first_number=2, last_number=9, from_ms=WALL_MS + 10, to_ms=WALL_MS + 5_000)
        await past.history.skip(claim, gap)
        await past.history.settle(claim, lost=[lost], now_ms=WALL_MS + 5_000, is_done=True)
        within = (await past.ask("?resource=nightly-report&at=2023-11-14T22:13:22")).json
        sure = (await past.ask(f"?at={SHOWN}.010")).json
        after = (await past.ask("?from=2023-11-14T22:13:26")).json

    assert within["gaps"] == [
        {"from": SHOWN, "to": "2023-11-14T22:13:25", "fromEvent": 2, "toEvent": 9}
    ]
    [entry] = within["entries"]
    assert (entry["endedBy"], entry["uncertain"]) == ("unknown", True)
    assert (entry["lastSeenAt"], entry["endedAt"]) == (SHOWN, "2023-11-14T22:13:25")
    assert "uncertain" not in sure["entries"][0]
    assert (after["entries"], after["gaps"]) == ([], [])


async def test_every_bad_field_is_named_at_once() -> None:
    async with running_past() as past:
        answered = await past.ask(
            "?from=yesterday&to=03:12&ended=maybe&kind=x&resource=&prefix=%00&at=now&limit=0"
            "&cursor=c&unknown=1"
        )
        twice = await past.ask("?owner=a&owner=b")
        backwards = await past.ask("?from=2025-05-04T10:11:13&to=2025-05-04T10:11:12&owner=")

    expect_bad_fields(
        answered,
        *("from", "to", "ended", "kind", "resource", "prefix", "at", "limit", "cursor", "unknown"),
    )
    expect_bad_fields(twice, "owner")
    expect_bad_fields(backwards, "owner", "from")


async def test_without_a_database_the_answer_says_what_to_set() -> None:
    async with running_api() as api:
        answered = await api.ask("GET", "/api/v1/history")
        bad = await api.ask("GET", "/api/v1/history?at=now")

    problem = expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)
    assert "GORILLA_DATABASE_URL" in problem["detail"]
    expect_bad_fields(bad, "at")


async def test_while_the_database_is_down_the_history_is_not_there_and_locks_are() -> None:
    async with running_past() as past:
        past.history.down = "database db/locks refuses the connection"
        answered = await past.ask()
        lock = await acquire(past)

    problem = expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)
    assert "refuses the connection" in problem["detail"]
    assert problem["title"] == "Database unavailable"
    assert int(answered.headers["retry-after"]) >= 1
    assert lock["owner"] == "worker-1"


async def test_a_database_that_does_not_answer_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gorilla.service.history_reading.ANSWER_S_MAX", 0.05)
    async with running_past() as past:
        past.history.find = hang  # type: ignore[method-assign]
        answers = await asyncio.gather(*(past.ask() for _ in range(5)))

    for answered in answers:
        problem = expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)
        assert "a question about one resource" in problem["detail"]


async def test_when_too_many_ask_at_once_the_rest_is_refused() -> None:
    async with running_past() as past:
        past.history.find = hang  # type: ignore[method-assign]
        _, service = history_of(past.api.node, past.history)
        asking = [asyncio.create_task(service.ask(Question())) for _ in range(WAITING_MAX)]
        await turns()
        try:
            async with running_api(past.api.node, history=service) as api:
                answered = await api.ask("GET", "/api/v1/history")
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    expect_problem(answered, ProblemCode.OVERLOADED)


async def test_a_history_that_is_switched_off_says_so() -> None:
    node = Node()
    service = HistoryService(None, node.event_log, _no_source(node), why_none="it is off")
    async with running_api(node, history=service) as api:
        answered = await api.ask("GET", "/api/v1/history")

    assert "it is off" in expect_problem(answered, ProblemCode.ARCHIVE_UNAVAILABLE)["detail"]


def _no_source(node: Node) -> Any:
    return history_of(node, MemoryHistory())[0]._source


async def hang(*_: Any) -> Any:
    await asyncio.Event().wait()
