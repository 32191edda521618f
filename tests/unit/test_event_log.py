"""The ring of the latest events: bounds, resuming, what a snapshot does to it, waking up."""

import asyncio

import pytest
from hypothesis import given, strategies as st

from gorilla.domain.events import Acquired, Extended
from gorilla.domain.limits import Bounds
from gorilla.domain.table import LockTable
from gorilla.service.event_log import EventLog
from gorilla.service.replica import LockReplica
from tests.support.replicas import OURS, HandClock, Stand, acquire
from tests.support.service import on_virtual_time, turns

MANY = 10_000


def leading():
    stand = Stand()
    stand.replica.lead(1)
    return stand


def acquire_many(stand, count, first=1):
    for number in range(first, first + count):
        stand.propose(acquire(f"lock-{number}"), first=number)


def replica_of(table):
    return LockReplica(HandClock(), lambda *_: None, lambda _: None, OURS, table)


def state_of(stand, remembered):
    """A state as a snapshot would bring it, which remembers but so many events."""
    frozen = stand.replica.freeze()
    kept = frozen.events[-remembered:] if remembered else []
    frozen.events[:] = kept
    return LockTable(frozen, Bounds(events=max(1, remembered)))


def numbers(log, after=0, limit=MANY):
    return [event.number for event in log.after(after, limit)]


def test_a_node_without_events_has_none_and_the_first_is_number_one():
    log = EventLog(Stand().replica)

    assert (log.first_number, log.last_number, log.bytes_kept) == (1, 0, 0)
    assert list(log.after(0, MANY)) == []


def test_events_come_in_order_and_a_reader_takes_as_many_as_it_wants():
    stand = leading()
    log = EventLog(stand.replica)
    acquire_many(stand, 5)

    assert numbers(log) == [1, 2, 3, 4, 5]
    assert numbers(log, after=2) == [3, 4, 5]
    assert numbers(log, after=1, limit=2) == [2, 3]
    assert numbers(log, after=5) == []
    assert numbers(log, after=999) == []
    assert all(isinstance(event, Acquired) for event in log.after(0, MANY))


def test_what_happened_before_the_log_was_made_is_in_it_as_far_as_the_state_remembers():
    stand = leading()
    acquire_many(stand, 3)

    assert numbers(EventLog(stand.replica)) == [1, 2, 3]
    assert numbers(EventLog(replica_of(state_of(stand, 2)))) == [2, 3]


def test_the_oldest_events_make_room_and_readers_begin_where_the_history_does():
    stand = leading()
    log = EventLog(stand.replica, events_max=4)
    acquire_many(stand, 11)

    assert (log.first_number, log.last_number) == (8, 11)
    assert numbers(log) == [8, 9, 10, 11]
    assert numbers(log, after=9) == [10, 11]
    assert numbers(log, after=3, limit=2) == [8, 9]


def test_long_texts_make_room_sooner_and_the_newest_event_always_stays():
    stand = leading()
    one_kept = EventLog(stand.replica, bytes_max=1)
    few_kept = EventLog(stand.replica, bytes_max=5_000)
    acquire_many(stand, 20)

    assert numbers(one_kept) == [20]
    assert 1 < len(numbers(few_kept)) < 20
    assert few_kept.bytes_kept <= 5_000
    stand.propose(acquire("x" * 50), first=21)
    assert numbers(few_kept)[-1] == 21
    assert few_kept.bytes_kept <= 5_000


def test_a_snapshot_that_reaches_back_far_enough_leaves_no_hole():
    ahead, behind = leading(), leading()
    acquire_many(ahead, 6)
    acquire_many(behind, 4)
    log = EventLog(behind.replica)
    behind.replica.follow()

    behind.replica.adopt(9, state_of(ahead, 2))

    assert numbers(log) == [1, 2, 3, 4, 5, 6]
    assert numbers(log, after=4) == numbers(EventLog(ahead.replica), after=4)


def test_a_snapshot_that_does_not_reach_back_begins_a_new_history():
    ahead, behind = leading(), leading()
    acquire_many(ahead, 9)
    acquire_many(behind, 4)
    log = EventLog(behind.replica)
    behind.replica.follow()

    behind.replica.adopt(12, state_of(ahead, 3))

    assert (log.first_number, log.last_number) == (7, 9)
    assert numbers(log) == [7, 8, 9]


def test_a_snapshot_without_events_leaves_an_empty_history_at_its_number():
    ahead, behind = leading(), leading()
    acquire_many(ahead, 9)
    log = EventLog(behind.replica)
    behind.replica.follow()

    behind.replica.adopt(12, state_of(ahead, 0))
    behind.replica.lead(2)

    assert (log.first_number, log.last_number, log.bytes_kept) == (10, 9, 0)
    behind.index = 12
    behind.propose(acquire("next"), first=50)
    assert numbers(log) == [10]


def test_a_snapshot_of_where_the_node_stands_changes_nothing():
    stand = leading()
    acquire_many(stand, 5)
    log = EventLog(stand.replica)
    stand.replica.follow()

    stand.replica.adopt(5, state_of(stand, 1))

    assert numbers(log) == [1, 2, 3, 4, 5]


@on_virtual_time
async def test_those_who_wait_are_woken_together_by_the_first_event_after_they_began():
    stand = leading()
    log = EventLog(stand.replica)
    acquire_many(stand, 2)
    first, second = log.wakeup(), log.wakeup()
    await turns()
    assert not first.done()

    acquire_many(stand, 3, first=3)

    assert first is second
    assert first.done()
    assert not log.wakeup().done()


@on_virtual_time
async def test_a_snapshot_with_events_wakes_those_who_wait():
    ahead, behind = leading(), leading()
    acquire_many(ahead, 9)
    log = EventLog(behind.replica)
    behind.replica.follow()
    for remembered in (0, 4):
        waiting = log.wakeup()

        behind.replica.adopt(12, state_of(ahead, remembered))

        assert waiting.done() == (remembered == 0), "the second brings nothing new"


@on_virtual_time
async def test_somebody_who_cancels_what_all_wait_for_harms_only_those_who_waited_then():
    stand = leading()
    log = EventLog(stand.replica)
    log.wakeup().cancel()

    again = log.wakeup()
    acquire_many(stand, 1)

    assert await asyncio.wait_for(again, 1) is None


def renewals(first, count):
    return [Extended(n, n, n, f"lock-{n}", "ann", 1, 1_000) for n in range(first, first + count)]


class Told:
    """A replica that tells what a test wants."""

    def __init__(self):
        self.table = LockTable()

    def watch(self, watcher, adopted):
        self.watcher = watcher


@pytest.mark.parametrize("events_max", [1, 2, 7, 64])
@given(st.lists(st.integers(1, 20), max_size=30), st.data())
def test_whatever_the_size_readers_see_the_end_of_what_was_told(events_max, counts, data):
    told = Told()
    log = EventLog(told, events_max=events_max)
    everything = []
    for index, count in enumerate(counts):
        news = renewals(len(everything) + 1, count)
        everything += news
        told.watcher(index, news)
        number = data.draw(st.integers(0, len(everything) + 2))
        limit = data.draw(st.integers(0, 80))

        kept = everything[-events_max:]
        assert list(log.after(number, limit)) == [e for e in kept if e.number > number][:limit]
        assert (log.first_number, log.last_number) == (kept[0].number, kept[-1].number)
