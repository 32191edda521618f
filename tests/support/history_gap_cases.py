"""What every ``History`` must do about what it missed; see ``history_cases``."""

from msgspec.structs import replace

from gorilla.service.history_folding import fold, seen
from gorilla.service.history_records import Beginning, Claim, EndedBy, Gap, History, Question
from tests.support.history_cases import CASES, ONE, at, begun, case, found, holds
from tests.support.history_events import EventMaker, HistoryNode

__all__ = ["CASES"]


@case
async def after_a_gap_holds_are_compared_with_what_is_held(history: History) -> None:
    maker = EventMaker()
    gone = maker.acquired("gone")
    kept = maker.acquired("kept")
    await begun(history, maker.made)
    maker.released(gone)  # 3: lost
    fresh = maker.acquired("fresh", reason="new")  # 4: lost
    gap = Gap(first_number=3, last_number=4, from_ms=at(2), to_ms=at(5))
    maker.extended(fresh)  # 5
    node = HistoryNode(maker)

    skipped = await history.skip(ONE, gap)
    listed = await history.open_holds("c1", 0, 10)
    rest = await history.open_holds("c1", gone, 10)
    await history.settle(ONE, lost=[gone], now_ms=at(5))
    await history.settle(ONE, seen=tuple(map(seen, node.leases("", 10))))
    done = await history.settle(ONE, is_done=True)
    await history.append(ONE, 4, fold(maker.made[4:]))
    late = await history.settle(ONE, lost=[kept], now_ms=at(5))

    assert (skipped.number, skipped.unsettled_ms) == (4, at(2))
    assert listed == [(gone, "gone"), (kept, "kept")]
    assert rest == [(kept, "kept")]
    assert (done.unsettled_ms, done.hold_count) == (None, 3)
    assert late.number == 5
    rows = {hold.resource: hold for hold in await holds(history)}
    assert (rows["gone"].ended_by, rows["gone"].ended_ms) == (EndedBy.UNKNOWN, at(5))
    assert rows["gone"].last_seen_ms == at(2)
    assert rows["kept"].ended_by is None, "nothing is settled twice"
    assert (rows["fresh"].granted_ms, rows["fresh"].reason) == (at(4), "new")
    assert (rows["fresh"].extensions, rows["fresh"].until_ms) == (None, at(5) + 60_000)


@case
async def the_event_of_an_end_is_written_over_an_unknown_one(history: History) -> None:
    maker = EventMaker()
    token = maker.acquired("db")
    await begun(history, maker.made)
    maker.extended(token)  # 2: lost
    await history.skip(ONE, Gap(first_number=2, last_number=2, from_ms=at(1), to_ms=at(3)))
    maker.expired(token)  # 3

    await history.settle(ONE, lost=[token], now_ms=at(3))
    await history.append(ONE, 2, fold(maker.made[2:]))

    [hold] = await holds(history)
    assert (hold.ended_by, hold.ended_ms, hold.held_ms) == (EndedBy.EXPIRED, at(3), 20)
    assert hold.last_seen_ms is None


@case
async def how_often_a_hold_was_extended_is_not_known_once_events_were_missed(
    history: History,
) -> None:
    maker = EventMaker()
    kept = maker.acquired("kept")
    gone = maker.acquired("gone")
    maker.extended(kept)
    maker.extended(gone)
    await begun(history, maker.made)
    maker.extended(kept, 90_000)  # 5: lost
    await history.skip(ONE, Gap(first_number=5, last_number=5, from_ms=at(4), to_ms=at(6)))
    maker.released(gone)  # 6

    [lease] = HistoryNode(maker).leases("", 10)
    lease = replace(lease, expires_wall_ms=at(5) + 90_000)

    await history.settle(ONE, lost=[gone], now_ms=at(6))
    await history.settle(ONE, seen=[seen(lease)])
    await history.settle(ONE, is_done=True)
    before = {hold.resource: hold for hold in await holds(history)}
    maker.extended(kept, 70_000)  # 7
    await history.append(ONE, 5, fold(maker.made[5:]))

    rows = {hold.resource: hold for hold in await holds(history)}
    assert (before["kept"].extensions, before["kept"].until_ms) == (None, at(5) + 90_000)
    assert (rows["kept"].extensions, rows["kept"].until_ms) == (None, at(7) + 70_000)
    assert (rows["gone"].extensions, rows["gone"].ended_by) == (None, EndedBy.RELEASED)


@case
async def it_is_not_known_either_where_later_events_come_before_the_look(history: History) -> None:
    maker = EventMaker()
    old = maker.acquired("old")
    await begun(history, maker.made)
    maker.extended(old)  # 2: lost
    await history.skip(ONE, Gap(first_number=2, last_number=2, from_ms=at(1), to_ms=at(3)))
    maker.released(old)  # 3
    new = maker.acquired("new")
    maker.extended(new)
    maker.released(new)

    state = await history.append(ONE, 2, fold(maker.made[2:]))

    assert (state.number, state.unsettled_ms) == (6, at(1))
    rows = {hold.resource: hold for hold in await holds(history)}
    assert (rows["old"].extensions, rows["old"].ended_by) == (None, EndedBy.RELEASED)
    assert (rows["new"].extensions, rows["new"].ended_by) == (1, EndedBy.RELEASED)


@case
async def what_is_seen_of_a_hold_whose_grant_was_missed_tells_of_the_grant(
    history: History,
) -> None:
    maker = EventMaker()
    maker.acquired("db", slots=3, session=2, waited_ms=5, reason="mine")
    maker.extended(1)
    beginning = Beginning(number=1, at_ms=at(1), is_whole=False, fencing_floor=0)
    await history.begin(ONE, beginning)
    await history.append(ONE, 1, fold(maker.made[1:]))
    [lease] = HistoryNode(maker).leases("", 10)

    await history.settle(ONE, seen=[seen(lease)])

    [row] = await holds(history)
    assert (row.granted_ms, row.is_grant_known, row.extensions) == (at(1), True, None)
    assert (row.slots, row.session, row.waited_ms, row.reason) == (3, 2, 5, "mine")
    assert (await history.state("c1")).hold_count == 1


@case
async def where_clocks_differ_an_end_is_the_same_one_by_one_and_at_once(history: History) -> None:
    maker = EventMaker()
    token = maker.acquired("db")
    maker.extended(token)
    maker.released(token)
    slow = replace(maker.made[2], wall_ms=at(2) - 5_000)
    for cluster, runs in (("c1", [[maker.made[1], slow]]), ("c2", [[maker.made[1]], [slow]])):
        claim = Claim(cluster, 1)
        await history.begin(claim, Beginning(number=1, at_ms=0, is_whole=False, fencing_floor=0))
        for run in runs:
            await history.append(claim, run[0].number - 1, fold(run))

    rows = [(await history.find(cluster, Question())).entries[0] for cluster in ("c1", "c2")]

    ended = {(row.granted_ms, row.ended_ms) for row in rows}
    assert ended == {(at(2) - 5_020, at(2) - 5_000)}


@case
async def where_clocks_differ_nothing_ends_before_it_was_seen_last(history: History) -> None:
    maker = EventMaker()
    gone = maker.acquired("gone")
    await begun(history, maker.made)
    maker.released(gone)  # 2: lost
    await history.skip(ONE, Gap(first_number=2, last_number=2, from_ms=at(500), to_ms=at(500)))

    await history.settle(ONE, lost=[gone], now_ms=at(3))

    [row] = await holds(history)
    assert (row.last_seen_ms, row.ended_ms) == (at(500), at(500))


@case
async def a_hold_whose_grant_was_missed_is_known_from_its_end(history: History) -> None:
    maker = EventMaker()
    token = maker.acquired("db", reason="secret wish")
    maker.extended(token)
    maker.released(token)
    beginning = Beginning(number=1, at_ms=at(1), is_whole=False, fencing_floor=0)
    await history.begin(ONE, beginning)

    await history.append(ONE, 1, fold(maker.made[1:2]))
    [before] = await holds(history)
    await history.append(ONE, 2, fold(maker.made[2:]))
    [after] = await holds(history)

    assert (before.granted_ms, before.is_grant_known) == (at(2), False)
    assert (after.granted_ms, after.is_grant_known) == (at(1), False)
    assert (after.reason, after.slots, after.extensions) == (None, None, None)
    assert (after.ended_by, after.ended_ms) == (EndedBy.RELEASED, at(3))


@case
async def a_gap_is_told_where_it_touches_the_time_asked_for(history: History) -> None:
    await begun(history)
    gaps = [
        Gap(first_number=1, last_number=9, from_ms=at(0), to_ms=at(10)),
        Gap(first_number=10, last_number=20, from_ms=at(15), to_ms=at(21)),
    ]
    for gap in gaps:
        await history.skip(ONE, gap)
    again = await history.skip(ONE, gaps[1])

    async def told(**question: int) -> list[int]:
        return [gap.first_number for gap in (await found(history, **question)).gaps]

    assert again.number == 20
    assert await told() == [10, 1]
    assert await told(at_ms=at(12)) == []
    assert await told(at_ms=at(15)) == [10]
    assert await told(from_ms=at(10), to_ms=at(12)) == [1]
    assert await told(from_ms=at(22)) == []
