"""What every ``History`` must do: the one in memory and the one in PostgreSQL alike."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from gorilla.domain.events import Event, Left
from gorilla.service.history_folding import fold
from gorilla.service.history_records import (
    Beginning,
    Claim,
    EndedBy,
    Found,
    Gap,
    HeldOnce,
    History,
    Kind,
    Question,
    Retention,
)
from tests.support.history_events import WALL_MS, EventMaker

ONE = Claim("c1", 1)
TWO = Claim("c1", 2)
WHOLE = Beginning(number=0, at_ms=WALL_MS, is_whole=True, fencing_floor=0)

Case = Callable[[History], Awaitable[None]]
CASES: list[Case] = []


def case(function: Case) -> Case:
    CASES.append(function)
    return function


async def begun(history: History, events: Sequence[Event] = ()) -> None:
    """Begin with the first event, and write these."""
    await history.begin(ONE, WHOLE)
    if events:
        await history.append(ONE, 0, fold(events))


async def found(history: History, **question: Any) -> Found:
    return await history.find("c1", Question(**question))


async def holds(history: History, **question: Any) -> list[HeldOnce]:
    entries = (await found(history, **question)).entries
    assert all(isinstance(one, HeldOnce) for one in entries)
    return list(entries)  # type: ignore[arg-type] # just asserted


def at(number: int) -> int:
    """Wall time of an event."""
    return WALL_MS + number * 10


@case
async def a_hold_is_one_row_from_its_grant_to_its_end(history: History) -> None:
    maker = EventMaker()
    token = maker.acquired("db", "anna", slots=3, session=4, waited_ms=250, reason="backup")
    maker.extended(token)
    maker.extended(token, 90_000)
    maker.released(token)
    await begun(history, maker.made)

    [hold] = await holds(history)

    assert (hold.resource, hold.owner, hold.fencing_token) == ("db", "anna", token)
    assert (hold.granted_ms, hold.ended_ms, hold.held_ms) == (at(1), at(4), 30)
    assert (hold.slots, hold.session, hold.waited_ms, hold.reason) == (3, 4, 250, "backup")
    assert (hold.until_ms, hold.extensions) == (at(3) + 90_000, 2)
    assert (hold.ended_by, hold.end_reason, hold.forced_by) == (EndedBy.RELEASED, None, None)


@case
async def events_of_one_hold_may_come_one_by_one(history: History) -> None:
    together, apart = EventMaker(), EventMaker()
    for maker in (together, apart):
        token = maker.acquired("db", reason="x")
        maker.extended(token)
        maker.left("db")
        maker.forced(token, "stuck for hours", "olga")
    await begun(history, together.made)
    expected = await holds(history)
    await history.begin(Claim("c2", 1), WHOLE)
    for event in apart.made:
        await history.append(Claim("c2", 1), event.number - 1, fold([event]))

    got = (await history.find("c2", Question())).entries

    assert [(one.cluster_id, "") for one in got] == [("c2", "")]
    assert [_without_cluster(one) for one in got] == [_without_cluster(one) for one in expected]
    assert (expected[0].end_reason, expected[0].forced_by) == ("stuck for hours", "olga")


def _without_cluster(row: Any) -> tuple[object, ...]:
    return tuple(getattr(row, name) for name in row.__struct_fields__ if name != "cluster_id")


@case
async def every_way_to_end_is_told_apart(history: History) -> None:
    maker = EventMaker()
    tokens = [maker.acquired(f"lock-{n}", session=n % 2) for n in range(6)]
    maker.released(tokens[0])
    maker.expired(tokens[1])
    maker.forced(tokens[2])
    maker.released(tokens[3], session=1)
    maker.expired(tokens[4], session=1)
    await begun(history, maker.made)

    ends = [(hold.ended_by, hold.end_reason) for hold in reversed(await holds(history))]

    assert ends == [
        ("released", None),
        ("expired", None),
        ("forced", "stuck"),
        ("session", "its session was ended"),
        ("session", "its session ran out"),
        (None, None),
    ]


@case
async def a_wait_that_ended_without_a_grant_is_a_row(history: History) -> None:
    maker = EventMaker()
    maker.others()
    maker.left("db", "bert", Left.HUNG_UP, waited_ms=15)
    await begun(history, maker.made)

    answer = await found(history, kind=Kind.WAIT)

    [wait] = answer.entries
    assert (wait.resource, wait.owner, wait.why, wait.ticket) == ("db", "bert", Left.HUNG_UP, 99)
    assert (wait.began_ms, wait.ended_ms, wait.waited_ms) == (at(4) - 15, at(4), 15)
    assert answer.state.number == 4
    assert (answer.state.hold_count, answer.state.wait_count) == (0, 1)
    assert await holds(history) == []


@case
async def events_are_applied_only_right_after_the_last_one(history: History) -> None:
    maker = EventMaker()
    maker.many(3)
    await begun(history, maker.made[:2])

    again = await history.append(ONE, 0, fold(maker.made[:2]))
    overlapping = await history.append(ONE, 1, fold(maker.made[1:4]))
    ahead = await history.append(ONE, 4, fold(maker.made[4:]))
    right = await history.append(ONE, 2, fold(maker.made[2:]))

    assert [state.number for state in (again, overlapping, ahead, right)] == [2, 2, 2, 6]
    assert right.hold_count == 3
    assert right == await history.state("c1")


@case
async def a_leader_of_an_earlier_term_writes_nothing_once_a_later_one_has(history: History) -> None:
    maker = EventMaker()
    maker.many(2)
    await begun(history, maker.made[:2])
    await history.append(ONE, 2, fold(maker.made[2:3]))
    gap = Gap(first_number=4, last_number=9, from_ms=at(3), to_ms=at(9))
    later = await history.skip(TWO, gap)

    late = await history.append(ONE, 9, fold(maker.made[3:]))
    skipped = await history.skip(ONE, Gap(first_number=10, last_number=12, from_ms=0, to_ms=1))
    seen_late = fold([_grant_of_token_3()]).holds
    settled = await history.settle(ONE, seen=seen_late, lost=[2], now_ms=at(9), is_done=True)

    assert late == skipped == settled == later == await history.state("c1")
    assert await history.prune(ONE, Retention(days=30, rows=1), 10) == 0
    assert [hold.ended_by for hold in await holds(history)] == [None, EndedBy.RELEASED]
    assert (await found(history)).gaps == (gap,)


def _grant_of_token_3() -> Event:
    maker = EventMaker()
    maker.tokens = 2
    maker.acquired("seen by a leader of the past")
    return maker.made[0]


@case
async def racing_writers_apply_each_event_once(history: History) -> None:
    maker = EventMaker()
    maker.many(40)
    await begun(history)

    async def write(step: int) -> None:
        number = 0
        while number < len(maker.made):
            events = maker.made[number : number + step]
            number = (await history.append(ONE, number, fold(events))).number

    await asyncio.gather(*(write(step) for step in (3, 5, 7, 80)))

    rows = await holds(history, limit=100)
    assert [row.fencing_token for row in rows] == list(range(40, 0, -1))
    assert (await history.state("c1")).hold_count == 40


@case
async def beginning_twice_is_beginning_once(history: History) -> None:
    first = await history.begin(ONE, WHOLE)
    late = Beginning(number=70, at_ms=at(70), is_whole=False, fencing_floor=0)

    second = await history.begin(TWO, late)

    assert (first.number, first.began_ms, first.unsettled_ms) == (0, None, None)
    assert (second.number, second.began_ms) == (0, None)
    assert await history.state("nobody's") is None
    assert (await history.find("nobody's", Question())).state is None


@case
async def who_held_it_at_an_instant(history: History) -> None:
    maker = EventMaker()
    first = maker.acquired("db", "anna")
    maker.acquired("other", "carl")
    maker.released(first)
    maker.acquired("db", "bert")
    await begun(history, maker.made)

    async def owners(at_ms: int) -> list[str]:
        return [hold.owner for hold in await holds(history, resource="db", at_ms=at_ms)]

    assert await owners(at(1) - 1) == []
    assert await owners(at(1)) == ["anna"]
    assert await owners(at(3) - 1) == ["anna"]
    assert await owners(at(3)) == []
    assert await owners(at(4)) == await owners(at(4_000)) == ["bert"]
    assert [hold.owner for hold in await holds(history, at_ms=at(2))] == ["carl", "anna"]


@case
async def holds_are_found_by_what_is_known_of_them(history: History) -> None:
    maker = EventMaker()
    one = maker.acquired("app/a", "anna")
    maker.released(maker.acquired("app/b", "bert"))
    maker.expired(maker.acquired("db_%", "anna"))
    maker.acquired("db", "carl")
    await begun(history, maker.made)

    async def tokens(**question: Any) -> list[int]:
        return [hold.fencing_token for hold in await holds(history, **question)]

    assert await tokens() == [4, 3, 2, one]
    assert await tokens(resource="db") == [4]
    assert await tokens(owner="anna") == [3, one]
    assert await tokens(prefix="app/") == [2, one]
    assert await tokens(prefix="db_%") == [3]
    assert await tokens(is_ended=False) == [4, one]
    assert await tokens(is_ended=True) == [3, 2]
    assert await tokens(ended_by=EndedBy.EXPIRED) == [3]
    assert await tokens(from_ms=at(4), to_ms=at(5)) == [3, one]
    assert await tokens(to_ms=at(2)) == [2, one]
    assert await tokens(from_ms=at(6)) == [4, one]


@case
async def pages_go_from_the_newest_to_the_oldest_and_new_rows_do_not_move_them(
    history: History,
) -> None:
    maker = EventMaker()
    maker.many(7)
    await begun(history, maker.made)
    tokens: list[int] = []
    before: tuple[int, int] | None = None
    has_more = True

    while has_more:
        page = await found(history, limit=3, before=before)
        tokens += [hold.place()[1] for hold in page.entries]
        before, has_more = page.entries[-1].place(), page.has_more
        number = len(maker.made)
        maker.many(1)
        await history.append(ONE, number, fold(maker.made[number:]))

    assert tokens == [7, 6, 5, 4, 3, 2, 1]


@case
async def too_many_rows_go_oldest_first_and_what_is_held_stays(history: History) -> None:
    maker = EventMaker()
    held = maker.acquired("held for long")
    maker.many(6)
    await begun(history, maker.made)
    keep = Retention(days=36_500, rows=4)

    first = await history.prune(ONE, keep, 2)
    second = await history.prune(ONE, keep, 2)
    third = await history.prune(ONE, keep, 2)

    assert (first, second, third) == (2, 1, 0)
    assert [hold.fencing_token for hold in await holds(history)] == [7, 6, 5, held]
    assert (await history.state("c1")).hold_count == 4


@case
async def any_name_that_a_lock_may_have_can_be_kept(history: History) -> None:
    names = ["ü/%2F", 'quo"te\\u0000', "\ud7ff\U0001f98d", "a:b $1 %(x)s ::", "nul\0nul"]
    maker = EventMaker()
    for name in names:
        maker.forced(maker.acquired(name, name, reason=name), name, name)
    await begun(history, maker.made)

    rows = list(reversed(await holds(history)))

    expected = [*names[:-1], "nul\ufffdnul"]
    assert [row.resource for row in rows] == expected
    assert [row.forced_by for row in rows] == expected
    assert [one.resource for one in await holds(history, resource=names[1])] == [names[1]]
