"""Safe retries: one effect and one answer for each idempotency key, also for one that waits."""

import pytest

from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    Claim,
    Command,
    KeepSession,
    Leave,
    Once,
    OpenSession,
    Plain,
    Policy,
    Release,
    Renew,
    SetPolicy,
)
from gorilla.domain.events import Left
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import (
    Full,
    Gone,
    Granted,
    Held,
    KeyConflict,
    NotFound,
    PolicyRefused,
    Queued,
    Released,
    Replayed,
    SessionAlive,
    SessionNotFound,
    TimedOut,
    Turn,
)
from gorilla.domain.table import LockTable
from tests.support.domain import Caller, pulse, reloaded

KEPT_MS = 10_000
BOUNDS = Bounds(keys=3, key_kept_ms=KEPT_MS, waiter_origin_idle_ms=10_000_000, locks=20)
NOTHING = Release("none", "none")


class Asking:
    """A table with little room for keys, and a caller whose clock goes on by itself."""

    def __init__(self) -> None:
        self.caller = Caller(LockTable(bounds=BOUNDS))
        self.now_ms = 0
        self.turns: list[Turn] = []

    @property
    def table(self) -> LockTable:
        return self.caller.table

    @property
    def keys(self) -> list[str]:
        """Return what is remembered, the oldest first."""
        return [record.key for record in self.table.freeze().keys]

    def ask(self, command: Command, after_ms: int = 1):
        self.now_ms += after_ms
        applied = self.caller.at(self.now_ms, command)
        self.turns += applied.turns
        assert len(self.keys) <= BOUNDS.keys
        ((_, _, outcome),) = applied.outcomes
        return outcome

    def once(self, key: str, command: Plain, after_ms: int = 1, of: bytes = b"request"):
        return self.ask(Once(key, of, command), after_ms)

    def wait(self, key: str, holder: str = "bob", wait_ms: int = 3_600_000):
        return self.once(key, wants(holder, wait_ms=wait_ms))

    def claim(self, ticket: int, holder: str = "bob"):
        return self.ask(Claim(ticket, f"s-{holder}"))

    def fill(self) -> None:
        for n in range(BOUNDS.keys):
            assert self.once(f"other-{n}", NOTHING) == NotFound()


@pytest.fixture
def asking() -> Asking:
    return Asking()


def wants(holder: str, lock: str = "db", wait_ms: int = 0, ttl_ms: int = 3_600_000) -> Acquire:
    return Acquire(lock, holder, ttl_ms, f"s-{holder}", wait_ms=wait_ms)


def test_an_answer_given_again_says_what_is_left_of_it_now(asking: Asking):
    several = AcquireAll(("x", "y"), "ann", 8_000, "g")
    asking.once("one", wants("ann", ttl_ms=5_000))
    asking.once("all", several)
    asking.once("alive", OpenSession("mine", "ann", 60_000))

    one = asking.once("one", wants("ann", ttl_ms=5_000), after_ms=2_000)
    every = asking.once("all", several)
    alive = asking.once("alive", OpenSession("mine", "ann", 60_000))

    assert 2_990 <= one.outcome.remaining_ms <= 3_005
    assert 5_990 <= every.outcome.remaining_ms <= 6_005
    assert isinstance(alive.outcome, SessionAlive)
    assert 57_990 <= alive.outcome.remaining_ms <= 58_060
    asking.ask(Release("x", "g.0"))
    assert asking.once("all", several).outcome.remaining_ms == 0


def test_a_renewal_under_a_key_is_not_made_twice(asking: Asking):
    asking.ask(wants("ann"))
    renewed = asking.once("k", Renew("db", "s-ann", "new", 7_200_000))

    again = asking.once("k", Renew("db", "s-ann", "newer", 7_200_000))

    assert again.outcome.lease == renewed.lease
    assert asking.ask(Release("db", "new")) == Released(1)


def test_refusals_are_answers_that_are_given_again_too(asking: Asking):
    asking.ask(wants("ann"))
    refused = asking.once("k", wants("bob"))
    assert isinstance(refused, Held)
    asking.ask(Release("db", "s-ann"))

    assert asking.once("k", wants("bob")) == Replayed(refused)
    assert asking.once("m", KeepSession("none")) == SessionNotFound()
    assert asking.once("m", KeepSession("none")) == Replayed(SessionNotFound())


def test_what_was_refused_for_want_of_room_may_be_tried_again_under_its_key(asking: Asking):
    for n in range(BOUNDS.locks):
        asking.ask(wants("ann", f"lock-{n}"))
    assert asking.once("k", wants("bob")) == Full("locks_max")
    assert asking.keys == []
    asking.ask(Release("lock-0", "s-ann"))

    assert isinstance(asking.once("k", wants("bob")), Granted)


def test_no_key_is_forgotten_for_another_and_what_needs_no_room_is_answered(asking: Asking):
    asking.fill()

    assert asking.once("k", wants("ann")) == Full("idempotency_keys_max")
    assert asking.once("other-0", NOTHING) == Replayed(NotFound())
    assert asking.once("other-1", wants("ann"), of=b"another") == KeyConflict()
    assert asking.table.held == 0


def test_keys_are_in_a_snapshot(asking: Asking):
    asking.once("k", wants("ann"))
    ticket = asking.wait("w").ticket
    asking.caller.table = reloaded(asking.table)

    assert asking.keys == ["k", "w"]
    assert isinstance(asking.once("k", wants("ann")), Replayed)
    assert asking.wait("w") == Queued(ticket, 1)


def test_a_wait_asked_again_keeps_its_place_and_the_call_before_is_told(asking: Asking):
    asking.ask(wants("ann"))
    queued = asking.wait("k")
    asking.ask(wants("cay", wait_ms=9_000))

    again = asking.once("k", Acquire("db", "bob", 3_600_000, "s-again", wait_ms=3_600_000))

    assert again == Queued(queued.ticket, 1)
    assert asking.turns == [Turn("caller", queued.ticket, "s-bob", Left.REPLACED)]
    assert asking.claim(queued.ticket) == Gone()


def test_what_a_wait_came_to_is_the_answer_of_its_key(asking: Asking):
    asking.ask(wants("ann"))
    served = asking.wait("served").ticket
    asking.wait("late", "cay", 2_000)
    asking.ask(Release("db", "s-ann"))
    granted = asking.claim(served)
    pulse(asking.table, asking.now_ms + 3_000)

    again = asking.wait("served")
    assert (again.outcome.lease, again.outcome.is_new) == (granted.lease, True)
    assert asking.wait("late", "cay", 2_000) == Replayed(TimedOut(3_002))


def test_who_hung_up_may_ask_again_under_its_key_and_comes_last(asking: Asking):
    asking.ask(wants("ann"))
    first = asking.wait("k")
    asking.ask(wants("cay", wait_ms=9_000))
    asking.ask(Leave(first.ticket, "s-bob"))
    assert asking.keys == []

    again = asking.wait("k")

    assert again.position == 2
    assert again.ticket != first.ticket


def test_a_request_in_the_place_of_a_wait_under_another_key_has_the_place_alone(asking: Asking):
    asking.ask(wants("ann"))
    first = asking.wait("k")

    assert asking.wait("m").ticket == first.ticket
    assert asking.keys == ["k", "m"]
    assert asking.wait("k") == Replayed(TimedOut(1))
    assert asking.table.wait(first.ticket, "s-bob") is not None


@pytest.mark.parametrize("key", ["m", ""])
def test_a_late_copy_of_a_request_whose_place_another_one_took_is_granted_nothing(
    asking: Asking, key: str
):
    asking.ask(wants("ann"))
    asking.wait("k")
    again = wants("bob", wait_ms=3_600_000)
    queued = asking.once(key, again) if key else asking.ask(again)
    asking.ask(Release("db", "s-ann"))
    asking.claim(queued.ticket)
    asking.ask(Release("db", "s-bob"))

    late = asking.wait("k")

    assert isinstance(late, Replayed)
    assert isinstance(late.outcome, TimedOut)
    assert asking.table.lease("db") is None


def test_what_a_wait_came_to_is_kept_anew_where_there_is_room(asking: Asking):
    asking.ask(wants("ann"))
    asking.wait("k", wait_ms=2 * KEPT_MS)
    asking.once("other", NOTHING, after_ms=KEPT_MS + 1)
    assert asking.keys == ["other"]

    asking.ask(NOTHING, after_ms=KEPT_MS)

    assert asking.keys == ["other", "k"]
    assert isinstance(asking.wait("k", wait_ms=2 * KEPT_MS), Replayed)


def test_what_is_over_makes_room_for_what_a_wait_came_to(asking: Asking):
    asking.ask(wants("ann"))
    queued = asking.wait("k", wait_ms=10 * KEPT_MS)
    asking.ask(NOTHING, after_ms=KEPT_MS + 1)
    asking.fill()
    asking.ask(Release("db", "s-ann"), after_ms=KEPT_MS + 10)

    asking.claim(queued.ticket)

    assert asking.keys == ["k"]


def test_a_claim_under_a_key_leaves_the_room_to_what_was_waited_for(asking: Asking):
    asking.ask(wants("ann"))
    queued = asking.wait("k")
    asking.once("other", NOTHING, after_ms=KEPT_MS + 1)
    asking.once("another", NOTHING)
    asking.ask(Release("db", "s-ann"))

    assert isinstance(asking.once("claim", Claim(queued.ticket, "s-bob")), Granted)

    assert asking.keys == ["other", "another", "k"]


def test_a_wait_that_is_refused_when_it_is_asked_again_is_over(asking: Asking):
    asking.ask(wants("ann"))
    queued = asking.wait("k")
    asking.ask(SetPolicy(Policy("db", owners=("ann",))))

    refused = asking.wait("k")

    assert isinstance(refused, PolicyRefused)
    assert asking.turns == [Turn("caller", queued.ticket, "s-bob", Left.REPLACED)]
    assert asking.wait("k") == Replayed(refused)
    assert asking.claim(queued.ticket) == Gone()
