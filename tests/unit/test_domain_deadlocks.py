"""Refusing the waits that could never end, and no other: against a reference that plays it out.

The reference shares nothing with the search of the table. It lets time go by in the kindest way:
whoever waits for nothing lets go, whoever may have what it waits for gets it, until nothing moves.
``GORILLA_TEST_EXAMPLES=5000`` has it look at more than a run of all tests does.
"""

import itertools
import os
from dataclasses import dataclass, field

import pytest
from hypothesis import given, settings, strategies as st

from gorilla.domain.commands import (
    SHARED,
    Acquire,
    AcquireAll,
    Claim,
    EndSession,
    Leave,
    OpenSession,
    Policy,
    Release,
    SetPolicy,
)
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Deadlock, Full, Granted, GrantedAll, Queued
from gorilla.domain.table import LockTable
from gorilla.domain.waiters import Waiter, Waiters
from tests.support.domain import Caller

EXAMPLES = int(os.environ.get("GORILLA_TEST_EXAMPLES", "300"))

LOCKS = {"a": 1, "b": 1, "c": 1, "p": 2, "q": 2, "r": 3}
"""Slots of each; those with one are shared, too."""

PARTIES = [("ann", ""), ("ann", "ann-1"), ("bob", ""), ("cay", "cay-1"), ("dan", ""), ("eve", "")]

Party = tuple[str, int]


@dataclass
class Wait:
    ticket: int
    party: Party
    locks: tuple[str, ...]
    slots: int


@dataclass
class Plain:
    """Who holds and who waits, as a list of each."""

    holds: list[tuple[Party, str, int]] = field(default_factory=list)
    waits: list[Wait] = field(default_factory=list)

    def may_have(self, wait: Wait, lock: str) -> bool:
        before = [slots for _, held, slots in self.holds if held == lock]
        before += [
            each.slots for each in self.waits if lock in each.locks and each.ticket < wait.ticket
        ]
        if wait.slots == SHARED:
            return all(slots == SHARED for slots in before)
        return len(before) < wait.slots

    def stuck(self) -> set[Party]:
        """Let everybody go on for as long as anybody can; return who never could."""
        rest = Plain(list(self.holds), list(self.waits))
        moved = True
        while moved:
            waiting = {wait.party for wait in rest.waits}
            free = [hold for hold in rest.holds if hold[0] not in waiting]
            rest.holds = [hold for hold in rest.holds if hold[0] in waiting]
            served = [
                wait for wait in rest.waits if all(rest.may_have(wait, x) for x in wait.locks)
            ]
            for wait in served[:1]:
                rest.waits.remove(wait)
                rest.holds += [(wait.party, lock, wait.slots) for lock in wait.locks]
            moved = bool(free or served)
        return {wait.party for wait in rest.waits}


def plain(table: LockTable) -> Plain:
    held = [
        ((lease.holder, lease.session), lease.lock, lease.slots)
        for lease in table.leases("", "", 1_000)
    ]
    waits = {
        ticket: Wait(ticket, waiter.party, waiter.locks, waiter.slots)
        for lock in LOCKS
        for ticket, waiter in table.waiters.queue(lock).items()
    }
    return Plain(held, [waits[ticket] for ticket in sorted(waits)])


def is_true(state: Plain, cycle: Deadlock) -> bool:
    """Return whether every link of a cycle stands in ``state``, and it goes round."""
    links = cycle.cycle
    for link, following in zip(links, (*links[1:], links[0]), strict=True):
        waits = [x for x in state.waits if x.party[0] == link.waiter and link.lock in x.locks]
        if link.holds:
            in_the_way = any(
                party[0] == link.holder and lock == link.lock and (slots or wait.slots)
                for party, lock, slots in state.holds
                for wait in waits
            )
        else:
            in_the_way = any(
                ahead.party[0] == link.holder
                and link.lock in ahead.locks
                and ahead.ticket < wait.ticket
                and (ahead.slots or wait.slots)
                for ahead in state.waits
                for wait in waits
            )
        if not in_the_way or link.holder != following.waiter:
            return False
    return True


class Crowd:
    """Owners, some with sessions, that want, wait and let go; each outcome is judged."""

    def __init__(self) -> None:
        self.caller = Caller(LockTable())
        self.now_ms = 0
        self.asked = 0
        self.numbers = {"": 0}
        self.deadlocks = 0
        for holder, session in PARTIES:
            if session:
                alive = self.ask(OpenSession(session, holder, 3_600_000))
                self.numbers[session] = alive.session.number

    @property
    def table(self) -> LockTable:
        return self.caller.table

    def ask(self, command):
        self.now_ms += 1
        return self.caller.ask(self.now_ms, command)

    def want(self, party: int, several: list[str], shared: bool) -> None:
        holder, session = PARTIES[party]
        locks = tuple(lock for lock in several if LOCKS[lock] == LOCKS[several[0]])
        slots = SHARED if shared and LOCKS[locks[0]] == 1 else LOCKS[locks[0]]
        self.asked += 1
        rest = (holder, 3_600_000, f"s{self.asked}", b"[]", slots, 3_600_000, session)
        command = Acquire(locks[0], *rest) if len(locks) == 1 else AcquireAll(locks, *rest)

        outcome = self.ask(command)

        state = plain(self.table)
        assert state.stuck() == set()
        if isinstance(outcome, Deadlock):
            self.deadlocks += 1
            party_asking = (holder, self.numbers[session])
            state.waits.append(Wait(1 << 50, party_asking, locks, slots))
            assert party_asking in state.stuck()
            assert outcome.cycle[0].waiter == holder
            assert is_true(state, outcome)

    def let_go(self, which: int) -> None:
        leases = self.table.leases("", "", 1_000)
        if leases:
            lease = leases[which % len(leases)]
            self.ask(Release(lease.lock, lease.secret))

    def go_on(self, which: int) -> None:
        """Have one whose turn has come take it."""
        waits = {x.ticket: x for lock in LOCKS for x in self.table.waiters.queue(lock).values()}
        ready = [waits[ticket] for ticket in sorted(waits) if waits[ticket].claim_by_ms]
        if ready:
            waiter = ready[which % len(ready)]
            outcome = self.ask(Claim(waiter.ticket, waiter.secret))
            assert isinstance(outcome, Granted | GrantedAll)
            assert plain(self.table).stuck() == set()

    def hang_up(self, which: int) -> None:
        waits = plain(self.table).waits
        if waits:
            wait = waits[which % len(waits)]
            waiter = self.table.waiters.get(wait.ticket)
            assert waiter is not None
            self.ask(Leave(waiter.ticket, waiter.secret))


def steps() -> st.SearchStrategy[tuple]:
    several = st.lists(st.sampled_from(list(LOCKS)), min_size=1, max_size=3, unique=True)
    want = st.tuples(
        st.just("want"), st.integers(0, len(PARTIES) - 1), several, st.sampled_from([False, True])
    )
    which = st.integers(0, 11)
    return st.one_of(
        want,
        want,
        want,
        st.tuples(st.sampled_from(["let_go", "go_on", "go_on", "hang_up"]), which),
    )


@settings(max_examples=EXAMPLES, deadline=None)
@given(st.lists(steps(), min_size=8, max_size=50))
def test_a_wait_is_refused_when_it_could_never_end_and_only_then(taken: list[tuple]):
    crowd = Crowd()
    for name, *drawn in taken:
        getattr(crowd, name)(*drawn)


def wants(holder: str, lock: str, slots: int = 1, session: str = "") -> Acquire:
    return Acquire(
        lock, holder, 600_000, f"{holder}-{lock}", b"[]", slots, wait_ms=60_000, session=session
    )


class Asking:
    def __init__(self, bounds: Bounds | None = None) -> None:
        self.caller = Caller(LockTable(bounds=bounds or Bounds()))

    def all(self, *commands):
        return [self.caller.ask(1, command) for command in commands][-1]


def test_of_a_long_way_round_every_step_is_named():
    asking = Asking()
    names = [f"w{n}" for n in range(20)]
    asking.all(*(wants(name, f"of-{name}") for name in names))
    asking.all(*(wants(one, f"of-{next_}") for one, next_ in itertools.pairwise(names)))

    outcome = asking.all(wants(names[-1], f"of-{names[0]}"))

    assert isinstance(outcome, Deadlock)
    assert [link.waiter for link in outcome.cycle] == [names[-1], *names[:-1]]
    assert all(link.holds for link in outcome.cycle)


def test_two_sessions_of_an_owner_are_two():
    asking = Asking()
    asking.all(OpenSession("one", "ann", 600_000), OpenSession("two", "ann", 600_000))
    asking.all(wants("ann", "a", session="one"), wants("bob", "b"), wants("bob", "a"))

    assert isinstance(asking.all(wants("ann", "b", session="two")), Queued)
    asking.all(EndSession("two"))
    assert isinstance(asking.all(wants("ann", "b", session="one")), Deadlock)


def test_who_joins_others_that_a_policy_made_wait_for_each_other_waits_behind_them():
    asking = Asking()
    asking.all(wants("ann", "s", 2), wants("cay", "s", 2), wants("bob", "x"), wants("bob", "s", 2))
    asking.all(wants("ann", "x"), SetPolicy(Policy("s", holders_max=1)))
    asking.all(Release("s", "cay-s"), wants("dan", "y"), wants("eve", "y"))

    # Bob waits for ann and ann for bob; dan, for whom eve waits, is no part of that.
    assert isinstance(asking.all(wants("dan", "x")), Queued)


def test_what_is_too_large_to_look_at_is_refused_by_name():
    asking = Asking(Bounds(deadlock_steps=20))
    asking.all(wants("ann", "a"), wants("eve", "b"), wants("cay", "b"))
    asking.all(*(wants(f"w{n}", "a") for n in range(30)))

    assert asking.all(wants("eve", "a")) == Full("deadlock_steps_max")
    assert len(asking.caller.table.waiters.queue("a")) == 30
    # Nobody waits for this one, so there is nothing to look at.
    assert isinstance(asking.all(wants("fay", "a")), Queued)


def test_the_search_for_the_way_round_counts_as_well():
    queued, given = 1_000, {}
    for steps in (2 * queued + 50, 5 * queued):
        asking = Asking(Bounds(deadlock_steps=steps))
        asking.all(wants("ann", "a"), wants("bob", "b"))
        asking.all(*(wants(f"w{n}", "a") for n in range(queued)))
        asking.all(wants("bob", "a"))
        given[steps] = asking.all(wants("ann", "b"))
        assert len(asking.caller.table.waiters.queue("b")) == 0

    # Bob is found to wait for ann, and not any more which way.
    assert given[2 * queued + 50] == Full("deadlock_steps_max")
    assert isinstance(given[5 * queued], Deadlock)


def test_an_owner_of_many_waits_is_looked_at_once(monkeypatch: pytest.MonkeyPatch):
    asking, waits = Asking(), 200
    asking.all(wants("ann", "a"), wants("bob", "b"))
    asking.all(*(wants("eve", f"of-{n}") for n in range(waits)))
    asking.all(*(wants("ann", f"of-{n}") for n in range(waits)))
    looked: list[tuple[str, int]] = []
    of_party = Waiters.of_party

    def counting(waiters: Waiters, party: tuple[str, int]) -> list[Waiter]:
        looked.append(party)
        return of_party(waiters, party)

    asking.all(wants("cay", "b"))
    monkeypatch.setattr(Waiters, "of_party", counting)

    assert isinstance(asking.all(wants("bob", "a")), Queued)
    assert looked.count(("ann", 0)) == 1


@pytest.mark.parametrize("queued", [100, 1_000])
def test_a_long_queue_is_looked_at_about_twice(queued: int):
    asking = Asking(Bounds(deadlock_steps=2 * queued + 20))
    asking.all(wants("ann", "a"), wants("eve", "b"), wants("cay", "b"))
    asking.all(*(wants(f"w{n}", "a") for n in range(queued)))

    assert isinstance(asking.all(wants("eve", "a")), Queued)


def test_the_way_round_past_a_long_queue_is_found_by_looking_once(monkeypatch: pytest.MonkeyPatch):
    asking = Asking()
    asking.all(*(wants(f"k{n}", f"of-k{n}") for n in range(5)))
    asking.all(*(wants(f"k{n}", f"of-k{n + 1}") for n in range(4)))
    queued = 1_000
    asking.all(*(wants(f"w{n}", "of-k0") for n in range(queued)))
    compared = 0

    def counting(slots: int, others: int) -> bool:
        nonlocal compared
        compared += 1
        return bool(slots or others)

    monkeypatch.setattr("gorilla.domain.deadlocks._conflict", counting)

    outcome = asking.all(wants("k4", "of-k0"))

    assert isinstance(outcome, Deadlock)
    assert len(outcome.cycle) == 5
    assert compared < 2 * queued
