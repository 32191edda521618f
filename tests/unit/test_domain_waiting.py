"""Queueing for a lock: who comes next, who leaves, and who is told."""

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import (
    SHARED,
    Acquire,
    AcquireAll,
    Claim,
    Leave,
    ReleaseAll,
    Renew,
    TakeBack,
)
from gorilla.domain.events import Acquired, Left, LeftEvent, QueuedEvent
from gorilla.domain.limits import CLAIM_MS_MAX, WAITER_ORIGIN_IDLE_MS_MAX
from gorilla.domain.links import Link
from gorilla.domain.outcomes import (
    Clash,
    Deadlock,
    Gone,
    Granted,
    GrantedAll,
    Held,
    Mismatch,
    Queued,
    Reserved,
    Turn,
)
from tests.support.domain import Caller, batch, entry, reloaded
from tests.support.line import Line, let_go, ready, wants, wants_all


@pytest.fixture
def line() -> Line:
    return Line()


def test_who_waits_is_served_in_order_and_told_alone(line: Line):
    assert isinstance(line.ask(wants("ann")), Granted)
    positions = [line.ask(wants(who)) for who in ("bob", "cay", "dan")]
    assert [outcome.position for outcome in positions] == [1, 2, 3]

    for holder, following in (("ann", "bob"), ("bob", "cay"), ("cay", "dan")):
        assert ready(line.do(let_go(holder))) == [f"s-{following}-db"]
        granted = line.claim(f"s-{following}-db")
        assert isinstance(granted, Granted)
        assert (granted.lease.holder, granted.remaining_ms) == (following, 10_000)


def test_nobody_overtakes_a_lock_that_is_free_but_waited_for(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.do(let_go("ann"))

    assert line.ask(wants("eve", wait_ms=0)) == Reserved("db", "bob")
    assert line.ask(wants("eve")).position == 2


def test_a_lease_that_runs_out_wakes_the_next(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))

    applied = line.do(wants("cay"), after_ms=11_000)

    # Three node processes were not heard of for eleven seconds; this one spoke just now.
    assert ready(applied) == ["s-bob-db"]


def test_a_claim_counts_the_timeout_from_itself(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.do(let_go("ann"), after_ms=3_000)

    granted = line.claim("s-bob-db")

    assert isinstance(granted, Granted)
    assert granted.lease.granted_ms == line.now_ms
    assert granted.lease.waited_ms == line.now_ms - 2


def test_a_turn_that_nobody_claims_passes_on(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.ask(wants("cay"))
    line.do(let_go("ann"))
    other = Caller(line.table, "another")

    other.at(line.now_ms + 1, wants("eve", lock="else"))
    applied = line.caller.at(line.now_ms + CLAIM_MS_MAX)

    assert [turn.left for turn in applied.turns] == [Left.UNCLAIMED, None]
    assert line.claim("s-bob-db") == Gone()


def test_a_waiter_of_a_lost_node_leaves_and_delays_nobody(line: Line):
    line.ask(wants("ann"))
    lost = Caller(line.table, "lost")
    lost.at(line.now_ms, wants("bob"))
    line.ask(wants("cay"))

    line.caller.at(line.now_ms + 3_000)
    applied = line.caller.at(line.now_ms + WAITER_ORIGIN_IDLE_MS_MAX)

    assert [(turn.origin, turn.left) for turn in applied.turns] == [("lost", Left.NODE_LOST)]
    assert [waiter.holder for waiter in line.table.waiters.queue("db").values()] == ["cay"]


def test_who_hangs_up_leaves_at_once(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.ask(wants("cay"))

    applied = line.do(Leave(line.tickets["s-bob-db"], "s-bob-db"))

    (event,) = applied.events
    assert isinstance(event, LeftEvent)
    assert (event.holder, event.why) == ("bob", Left.HUNG_UP)
    assert ready(line.do(let_go("ann"))) == ["s-cay-db"]


def test_a_wait_ends_when_it_was_to_end(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob", wait_ms=500))

    assert line.table.next_expiry_ms() == line.now_ms + 500
    applied = line.do(wants("cay"), after_ms=500)

    assert [turn.left for turn in applied.turns] == [Left.TIMEOUT]


def test_an_owner_that_asks_again_keeps_its_place_and_the_older_call_is_told(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.ask(wants("cay"))
    elsewhere = Caller(line.table, "elsewhere")

    again = Acquire("db", "bob", 20_000, "newer", wait_ms=60_000)
    applied = elsewhere.at(line.now_ms, again)

    assert applied.turns == [Turn("caller", line.tickets["s-bob-db"], "s-bob-db", Left.REPLACED)]
    assert applied.outcomes[0][2] == Queued(line.tickets["s-bob-db"], 1)
    assert ready(line.do(let_go("ann"))) == ["newer"]


def test_sharers_hold_together_and_a_waiting_exclusive_stops_newcomers(line: Line):
    assert isinstance(line.ask(wants("ann", slots=SHARED)), Granted)
    assert isinstance(line.ask(wants("bob", slots=SHARED)), Granted)
    assert line.ask(wants("cay")).position == 1
    assert isinstance(line.ask(wants("dan", slots=SHARED, wait_ms=0)), Reserved)
    assert line.ask(wants("dan", slots=SHARED)).position == 2
    assert line.ask(wants("eve", slots=SHARED)).position == 3

    assert ready(line.do(let_go("ann"))) == []
    assert ready(line.do(let_go("bob"))) == ["s-cay-db"]
    line.claim("s-cay-db")
    assert ready(line.do(let_go("cay"))) == ["s-dan-db", "s-eve-db"]
    assert isinstance(line.claim("s-eve-db"), Granted)
    assert isinstance(line.claim("s-dan-db"), Granted)


def test_a_semaphore_admits_so_many(line: Line):
    for who in ("ann", "bob", "cay"):
        assert isinstance(line.ask(wants(who, slots=3)), Granted)
    assert isinstance(line.ask(wants("dan", slots=3, wait_ms=0)), Held)
    assert line.ask(wants("dan", slots=3)).position == 1
    assert line.ask(wants("eve", slots=2)) == Mismatch("db", Clash.SLOTS, 3)

    assert ready(line.do(let_go("bob"))) == ["s-dan-db"]


@pytest.mark.parametrize(
    ("first", "then", "why"),
    [(SHARED, 1, Clash.UPGRADE), (1, SHARED, Clash.DOWNGRADE), (3, 4, Clash.SLOTS)],
)
def test_a_holder_cannot_change_its_mode(line: Line, first: int, then: int, why: Clash):
    line.ask(wants("ann", slots=first))

    assert line.ask(wants("ann", slots=then)) == Mismatch("db", why, first)


def test_several_are_granted_all_or_none(line: Line):
    line.ask(wants("ann", "b"))
    assert isinstance(line.ask(wants_all("bob", "a", "b", wait_ms=0)), Held)
    assert line.table.held == 1

    line.ask(wants_all("bob", "a", "b"))
    assert line.ask(wants("cay", "a", wait_ms=0)) == Reserved("a", "bob")
    assert ready(line.do(let_go("ann", "b"))) == ["g-bob"]
    granted = line.claim("g-bob")

    assert isinstance(granted, GrantedAll)
    assert [(lease.lock, lease.secret) for lease in granted.leases] == [
        ("a", "g-bob.0"),
        ("b", "g-bob.1"),
    ]


def test_several_in_opposite_order_never_block_each_other(line: Line):
    line.ask(wants("eve", "a"))
    line.ask(wants_all("ann", "a", "b"))
    line.ask(wants_all("bob", "b", "a"))

    assert ready(line.do(let_go("eve", "a"))) == ["g-ann"]


def test_holding_some_of_several_is_refused(line: Line):
    line.ask(wants("ann", "a"))

    assert line.ask(wants_all("ann", "a", "b")) == Mismatch("a", Clash.PARTLY_HELD, 1)


def test_holding_several_that_were_not_given_at_once_is_refused(line: Line):
    for lock in ("a", "b"):
        line.ask(wants("ann", lock))
    line.ask(wants_all("bob", "c", "d"))
    line.ask(replace(wants_all("bob", "e"), secret="g-other"))

    assert line.ask(wants_all("ann", "a", "b")) == Mismatch("a", Clash.HELD_APART, 1)
    assert line.ask(wants_all("bob", "c", "e")) == Mismatch("c", Clash.HELD_APART, 1)
    assert line.ask(wants_all("bob", "c")) == Mismatch("c", Clash.HELD_APART, 1)
    assert isinstance(line.ask(wants_all("bob", "c", "d")), GrantedAll)


def test_the_wait_that_closes_a_cycle_is_refused_and_the_cycle_named(line: Line):
    line.ask(wants("ann", "a"))
    line.ask(wants("bob", "b"))
    line.ask(wants("ann", "b"))

    outcome = line.ask(wants("bob", "a"))

    assert outcome == Deadlock(
        (Link("bob", "a", "ann", holds=True), Link("ann", "b", "bob", holds=True))
    )
    assert len(line.table.waiters) == 1


def test_a_cycle_through_a_place_in_a_queue_is_found(line: Line):
    line.ask(wants("ann", "b"))
    line.ask(wants_all("bob", "a", "b"))

    outcome = line.ask(wants("ann", "a"))

    assert outcome == Deadlock(
        (Link("ann", "a", "bob", holds=False), Link("bob", "b", "ann", holds=True))
    )


def test_one_of_several_holders_that_waits_is_no_deadlock(line: Line):
    line.ask(wants("ann", "a"))
    line.ask(wants("bob", "s", slots=2))
    line.ask(wants("cay", "s", slots=2))
    line.ask(wants("bob", "a"))

    # Cay may let go, so ann gets a slot whatever bob does.
    assert isinstance(line.ask(wants("ann", "s", slots=2)), Queued)
    assert isinstance(line.ask(wants("cay", "a")), Deadlock)


def test_a_snapshot_keeps_the_queue(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.ask(wants("cay"))
    copy = reloaded(line.table)
    assert copy.digest() == line.table.digest()

    first = line.do(let_go("ann"))
    same = batch((line.caller.asked, let_go("ann")), origin="caller")
    assert first.turns == copy.apply(entry(line.now_ms, same)).turns
    assert ready(first) == ["s-bob-db"]


def test_queueing_and_granting_are_events(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("cay", "other"))
    line.ask(wants("ann", "other"))
    queued = line.do(wants("bob"))
    line.tickets["s-bob-db"] = queued.outcomes[0][2].ticket
    line.do(let_go("ann"))
    applied = line.do(Claim(line.tickets["s-bob-db"], "s-bob-db"))

    (event,) = queued.events
    assert isinstance(event, QueuedEvent)
    assert (event.ticket, event.position, event.blocked_by) == (event.number, 1, ("ann",))
    assert event.held is not None
    assert (event.held.holder, event.held.until_wall_ms - event.held.since_wall_ms) == (
        "ann", 10_000,
    )  # fmt: skip
    assert event.chain == (Link("ann", "other", "cay", holds=True),)
    (granted,) = applied.events
    assert isinstance(granted, Acquired)
    assert (granted.holder, granted.waited_ms, granted.ticket) == ("bob", 2, event.ticket)


def test_waiters_of_two_lost_nodes_leave_in_the_same_order_after_a_snapshot(line: Line):
    line.ask(wants("ann"))
    first, second = Caller(line.table, "n2"), Caller(line.table, "n1")
    ticket = first.at(line.now_ms, wants("bob")).outcomes[0][2].ticket
    second.at(line.now_ms, wants("cay"))
    first.at(line.now_ms, wants("dan"))
    first.at(line.now_ms, Leave(ticket, "s-bob-db"))
    copy = reloaded(line.table)

    late = entry(line.now_ms + WAITER_ORIGIN_IDLE_MS_MAX)

    assert copy.apply(late).events == line.table.apply(late).events
    assert copy.digest() == line.table.digest()


def test_two_groups_under_one_secret_end_together_and_break_nothing(line: Line):
    for holder in ("ann", "bob"):
        line.ask(AcquireAll(("a",), holder, 10_000, "same", slots=SHARED))

    line.do(ReleaseAll("same"))

    assert line.table.held == 0


@pytest.mark.parametrize("then", ["nothing", "told again", "told again and extended"])
def test_what_was_granted_to_one_who_had_gone_stays_when_its_owner_was_told_of_it(
    line: Line, then: str
):
    line.ask(wants("ann"))
    line.ask(wants_all("bob", "x", "y"))
    if then != "nothing":
        line.ask(wants("ann"), after_ms=0)
        line.ask(wants_all("bob", "x", "y"), after_ms=0)
    if then == "told again and extended":
        line.ask(Renew("x", "g-bob.0", "new", 20_000))

    copy = Caller(reloaded(line.table), "n2")
    for command in (TakeBack("db", "s-ann-db"), TakeBack("", "g-bob"), TakeBack("db", "other")):
        line.do(command)
        copy.at(line.now_ms, command)

    assert line.table.held == copy.table.held == (0 if then == "nothing" else 3)
