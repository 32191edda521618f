"""Policies: which one rules, what it lowers, refuses and holds back, and from when on."""

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import (
    SHARED,
    Acquire,
    Claim,
    DropPolicy,
    EndSession,
    OpenSession,
    Policy,
    Release,
    Renew,
    RenewAll,
    SetPolicy,
)
from gorilla.domain.events import Expired, Left
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import (
    Cooling,
    Done,
    Full,
    Granted,
    Held,
    NotFound,
    PolicyRefused,
    Queued,
    Rule,
)
from gorilla.domain.table import LockTable
from tests.support.domain import reloaded
from tests.support.line import Line, let_go, ready, wants, wants_all

WAIT_MS = 60_000


@pytest.fixture
def line() -> Line:
    return Line()


def ruled(line: Line, prefix: str, **rules) -> None:
    assert line.ask(SetPolicy(Policy(prefix, **rules))) == Done()


def restart(line: Line) -> None:
    line.caller.table = reloaded(line.table)


@pytest.mark.parametrize(
    ("lock", "kept_ms"),
    [("a", 4_000), ("a/", 3_000), ("a/b", 2_000), ("a/bc", 2_000), ("a/c", 3_000), ("b", 9_000)],
)
def test_of_the_policies_whose_prefix_fits_the_longest_rules_alone(
    line: Line, lock: str, kept_ms: int
):
    ruled(line, "", ttl_ms_max=9_000)
    ruled(line, "a", ttl_ms_max=4_000)
    ruled(line, "a/b", ttl_ms_max=2_000)
    ruled(line, "a/", ttl_ms_max=3_000)

    assert line.ask(wants("ann", lock)).remaining_ms == kept_ms


def test_a_policy_without_rules_frees_its_prefix_from_a_shorter_one(line: Line):
    ruled(line, "a", ttl_ms_max=4_000, owners=("bob",))
    ruled(line, "a/b")

    assert line.ask(wants("ann", "a/b")).remaining_ms == 10_000
    assert line.ask(wants("ann", "a/c")) == PolicyRefused("a", Rule.OWNERS)


def test_setting_a_policy_twice_changes_nothing_and_dropping_needs_one(line: Line):
    ruled(line, "a", ttl_ms_max=4_000)

    assert line.ask(SetPolicy(Policy("a", ttl_ms_max=4_000))) == Done(changed=False)
    assert line.ask(DropPolicy("a/b")) == NotFound()
    assert line.ask(DropPolicy("a")) == Done()
    assert line.ask(DropPolicy("a")) == NotFound()


def test_one_policy_too_many_is_refused_and_one_that_is_there_can_be_replaced():
    line = Line(LockTable(bounds=Bounds(policies=2)))
    ruled(line, "a")
    ruled(line, "b")

    assert line.ask(SetPolicy(Policy("c"))) == Full("policies_max")
    assert line.ask(SetPolicy(Policy("b", gap_ms=1))) == Done()


def test_what_is_held_stays_as_it_was_granted_until_it_is_renewed(line: Line):
    line.ask(wants("ann"))
    ruled(line, "db", ttl_ms_max=2_000, owners=("bob",))

    assert line.table.lease("db").expires_at_ms > 10_000
    renewed = line.ask(Renew("db", "s-ann-db", "new", 60_000), after_ms=9_000)

    assert renewed.remaining_ms == 2_000


def test_from_its_grant_on_no_lease_lasts_longer_than_its_lifetime(line: Line):
    ruled(line, "db", lifetime_ms_max=15_000)
    line.ask(wants("ann"))

    first = line.ask(Renew("db", "s-ann-db", "s2", 10_000), after_ms=4_000)
    second = line.ask(Renew("db", "s2", "s3", 10_000), after_ms=4_000)

    assert first.remaining_ms == 10_000
    assert 6_990 < second.remaining_ms <= 7_010
    # What was promised is never taken back: the rest stays as it is.
    third = line.ask(Renew("db", "s3", "s4", 10_000), after_ms=1_000)
    assert 5_990 < third.remaining_ms <= 6_010
    assert line.ask(Renew("db", "s4", "s5", 10_000), after_ms=6_100) == NotFound()


@pytest.mark.parametrize("is_group", [False, True])
def test_what_may_last_for_no_whole_millisecond_more_is_not_extended(line: Line, is_group: bool):
    # A ttl of 0 would say that it lasts as long as its session.
    ruled(line, "db", lifetime_ms_max=5_000)
    line.ask(wants_all("ann", "db") if is_group else wants("ann"))
    lease = line.table.lease("db")
    secret = lease.group or lease.secret
    extend = RenewAll(secret, "s2", 10_000) if is_group else Renew("db", secret, "s2", 10_000)

    applied = line.do(extend, after_ms=lease.expires_at_ms - line.now_ms - 1)

    assert applied.outcomes[0][2] == NotFound()
    assert not applied.events
    assert line.table.lease("db") == lease
    assert [type(event) for event in line.do(let_go("bob"), after_ms=1).events] == [Expired]


def test_of_several_at_once_those_that_may_last_are_extended(line: Line):
    ruled(line, "db", lifetime_ms_max=5_000)
    line.ask(wants_all("ann", "db", "other"))
    lease = line.table.lease("db")

    after_ms = lease.expires_at_ms - line.now_ms - 1
    renewed = line.ask(RenewAll(lease.group, "s2", 10_000), after_ms=after_ms)

    assert [one.lock for one in renewed.leases] == ["other"]
    assert renewed.remaining_ms == 10_000


def test_asked_for_again_in_its_last_millisecond_a_lease_stays_as_it_is(line: Line):
    ruled(line, "db", lifetime_ms_max=5_000)
    line.ask(wants("ann"))
    lease = line.table.lease("db")

    applied = line.do(wants("ann"), after_ms=lease.expires_at_ms - line.now_ms - 1)

    assert applied.outcomes[0][2].remaining_ms == 0
    assert not applied.events
    assert line.table.lease("db").ttl_ms == lease.ttl_ms


def test_a_lease_as_long_as_its_session_lasts_no_longer_than_its_lifetime_either(line: Line):
    ruled(line, "db", lifetime_ms_max=5_000)
    line.ask(OpenSession("one", "ann", 60_000))

    granted = line.ask(Acquire("db", "ann", 0, "s1", session="one"))

    assert granted.remaining_ms == 5_000
    again = line.ask(Acquire("db", "ann", 0, "s1", session="one"), after_ms=2_000)
    assert 2_990 < again.remaining_ms <= 3_005


def test_a_wait_is_lowered_to_the_shortest_that_the_policies_of_its_locks_allow(line: Line):
    ruled(line, "a", wait_ms_max=3_000)
    ruled(line, "b", wait_ms_max=2_000)
    line.ask(wants("ann", "b"))
    line.ask(wants_all("bob", "a", "b"))

    assert line.table.waiters.get(line.tickets["g-bob"]).until_ms == line.now_ms + 2_000
    left = line.do(wants("cay", "z"), after_ms=2_000)
    assert [turn.left for turn in left.turns] == [Left.TIMEOUT]


@pytest.mark.parametrize(
    ("owner", "may"), [("ann", True), ("anna", False), ("bo", True), ("bob", True), ("cay", False)]
)
def test_owners_are_named_in_full_or_by_how_they_begin(line: Line, owner: str, may: bool):
    ruled(line, "db", owners=("ann", "bo*"))

    outcome = line.ask(wants(owner))

    assert isinstance(outcome, Granted) if may else outcome == PolicyRefused("db", Rule.OWNERS)


def test_of_several_at_once_each_must_be_allowed(line: Line):
    ruled(line, "b", owners=("bob",))

    assert line.ask(wants_all("ann", "a", "b")) == PolicyRefused("b", Rule.OWNERS)
    assert line.table.held == 0


def test_no_more_share_a_lock_than_a_policy_allows_and_a_larger_limit_is_refused(line: Line):
    ruled(line, "s", holders_max=2)
    assert isinstance(line.ask(wants("ann", "s", SHARED, 0)), Granted)
    assert isinstance(line.ask(wants("bob", "s", SHARED, 0)), Granted)

    assert isinstance(line.ask(wants("cay", "s", SHARED, 0)), Held)
    assert line.ask(wants("cay", "s2", 3)) == PolicyRefused("s", Rule.HOLDERS, 2)
    assert isinstance(line.ask(wants("cay", "s2", 2)), Granted)


def test_fewer_holders_end_no_lease_and_let_nobody_in_until_there_is_room(line: Line):
    for holder in ("ann", "bob"):
        line.ask(wants(holder, "s", SHARED))
    ruled(line, "s", holders_max=1)
    restart(line)
    assert len(line.table.leases("s", "", 9)) == 2

    line.ask(wants("cay", "s", SHARED))
    assert ready(line.do(let_go("ann", "s"))) == []
    assert ready(line.do(let_go("bob", "s"))) == ["s-cay-s"]


@pytest.mark.parametrize("how", [DropPolicy("s"), SetPolicy(Policy("s", holders_max=3))])
def test_who_waited_for_a_policy_alone_comes_in_when_it_allows_more(line: Line, how):
    ruled(line, "s", holders_max=1)
    for holder in ("ann", "bob", "cay"):
        line.ask(wants(holder, "s", SHARED))
    restart(line)

    assert ready(line.do(how)) == ["s-bob-s", "s-cay-s"]


def test_a_turn_that_a_policy_made_meanwhile_forbids_ends_the_wait(line: Line):
    line.ask(wants("ann"))
    line.ask(wants("bob"))
    line.ask(wants("cay"))
    line.do(let_go("ann"))
    ruled(line, "db", owners=("cay",))

    applied = line.do(Claim(line.tickets["s-bob-db"], "s-bob-db"))

    assert applied.outcomes[0][2] == PolicyRefused("db", Rule.OWNERS)
    assert [(turn.secret, turn.left) for turn in applied.turns] == [
        ("s-bob-db", Left.REFUSED),
        ("s-cay-db", None),
    ]


def test_a_turn_that_fewer_holders_take_back_is_waited_for_in_the_same_place(line: Line):
    for holder in ("ann", "bob", "cay"):
        line.ask(wants(holder, "s", 2))
    line.do(let_go("ann", "s"))
    ruled(line, "s", holders_max=1)

    assert line.claim("s-cay-s") == Queued(line.tickets["s-cay-s"], 1)
    # One who asks for two slots is refused by the policy in the end, as any newcomer would be.
    line.do(let_go("bob", "s"))
    assert line.claim("s-cay-s") == PolicyRefused("s", Rule.HOLDERS, 1)


def test_between_two_grants_of_a_lock_there_is_at_least_the_gap(line: Line):
    ruled(line, "db", gap_ms=3_000)
    first = line.ask(wants("ann"))
    line.do(let_go("ann"))

    assert line.ask(wants("bob", wait_ms=0)) == Cooling("db", 2_998)
    assert isinstance(line.ask(wants("bob")), Queued)
    restart(line)
    assert ready(line.do(wants("eve", "z"), after_ms=2_996)) == []
    assert ready(line.do(wants("fay", "z"))) == ["s-bob-db"]
    granted = line.claim("s-bob-db")
    assert granted.lease.granted_ms - first.lease.granted_ms >= 3_000


def test_the_owner_of_a_lock_is_told_of_it_again_while_it_cools_down(line: Line):
    ruled(line, "db", gap_ms=3_000)
    line.ask(wants("ann"))

    again = line.ask(wants("ann"))

    assert (type(again), again.is_new) == (Granted, False)


def test_several_at_once_wait_for_each_lock_that_cools_down(line: Line):
    ruled(line, "b", gap_ms=3_000)
    line.ask(wants("ann", "a"))
    line.ask(wants("ann", "b"))
    line.do(let_go("ann", "b"))
    line.ask(wants_all("bob", "a", "b"))

    assert ready(line.do(let_go("ann", "a"))) == []
    assert ready(line.do(wants("eve", "z"), after_ms=3_000)) == ["g-bob"]


def test_a_gap_goes_on_when_its_policy_is_dropped(line: Line):
    ruled(line, "db", gap_ms=3_000)
    line.ask(wants("ann"))
    line.do(let_go("ann"))
    line.ask(DropPolicy("db"))

    assert isinstance(line.ask(wants("bob", wait_ms=0)), Cooling)
    assert isinstance(line.ask(wants("bob", wait_ms=0), after_ms=3_000), Granted)


def test_sharers_come_in_one_after_the_other_where_there_is_a_gap(line: Line):
    line.ask(wants("ann", "s"))
    for holder in ("bob", "cay"):
        line.ask(wants(holder, "s", SHARED))
    ruled(line, "s", gap_ms=2_000)

    assert ready(line.do(let_go("ann", "s"))) == ["s-bob-s", "s-cay-s"]
    assert isinstance(line.claim("s-bob-s"), Granted)
    assert line.claim("s-cay-s") == Queued(line.tickets["s-cay-s"], 1)
    assert ready(line.do(wants("eve", "z"), after_ms=2_000)) == ["s-cay-s"]
    assert isinstance(line.claim("s-cay-s"), Granted)


@pytest.mark.parametrize("rule", ["gap", "holders"])
def test_who_asks_at_once_for_a_turn_that_a_policy_holds_back_is_told_why_and_keeps_its_place(
    line: Line, rule: str
):
    line.ask(wants("ann", "s"))
    for holder in ("bob", "cay"):
        line.ask(wants(holder, "s", SHARED))
    if rule == "gap":
        ruled(line, "s", gap_ms=2_000)
    line.do(let_go("ann", "s"))
    line.claim("s-bob-s")
    if rule == "holders":
        ruled(line, "s", holders_max=1)
    ticket = line.tickets["s-cay-s"]

    told = line.ask(replace(wants("cay", "s", SHARED, wait_ms=0), secret="new"))

    assert isinstance(told, Cooling if rule == "gap" else Held)
    assert line.table.wait(ticket, "s-cay-s") is not None
    if rule == "holders":
        line.do(let_go("bob", "s"))
    else:
        line.do(wants("eve", "z"), after_ms=2_000)
    assert isinstance(line.claim("s-cay-s"), Granted)


def test_a_policy_rules_locks_of_sessions_and_several_at_once_alike(line: Line):
    ruled(line, "", ttl_ms_max=2_000)
    line.ask(OpenSession("one", "ann", 60_000))

    inside = line.ask(replace(wants("ann", "a"), session="one"))
    several = line.ask(wants_all("bob", "b", "c"))

    assert inside.remaining_ms == several.remaining_ms == 2_000
    line.ask(EndSession("one"))
    assert line.ask(Release("a", "s-ann-a")) == NotFound()
