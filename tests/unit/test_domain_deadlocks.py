"""Refusing the waits that could never end, and no other: against a reference that plays it out.

``GORILLA_TEST_EXAMPLES=5000`` has it look at more than a run of all tests does.
"""

import itertools
import os
import random
from collections import Counter

import pytest

from gorilla.domain.commands import (
    SHARED,
    Acquire,
    AcquireAll,
    EndSession,
    OpenSession,
    Policy,
    Release,
    SetPolicy,
)
from gorilla.domain.limits import Bounds
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Deadlock, Full, Queued
from gorilla.domain.table import LockTable
from gorilla.domain.waiters import Waiter, Waiters
from tests.support.domain import Caller
from tests.support.wait_graphs import played, steps

EXAMPLES = int(os.environ.get("GORILLA_TEST_EXAMPLES", "300"))

SEEN = {
    "refused": 1 / 2,
    "near miss": 1 / 3,
    "circle of 2": 1 / 3,
    "circle of 3": 1 / 5,
    "circle of 4": 1 / 50,
    "shared": 1 / 10,
    "counted": 1 / 10,
    "several at once": 1 / 10,
    "ahead in a queue": 1 / 10,
}
"""In what part of the examples each has to happen at least; in fewer, little would be tested."""


def test_a_wait_is_refused_when_it_could_never_end_and_only_then():
    seen: Counter[str] = Counter()

    for seed in range(EXAMPLES):
        taken = list(steps(random.Random(seed)))
        try:
            seen.update(played(taken).seen)
        except AssertionError as error:
            error.add_note(f"seed {seed}: {taken}")
            raise

    thin = {what: seen[what] for what, part in SEEN.items() if seen[what] < part * EXAMPLES}
    assert thin == {}, f"of {EXAMPLES} examples: {seen}"


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
    for bound in (2 * queued + 50, 5 * queued):
        asking = Asking(Bounds(deadlock_steps=bound))
        asking.all(wants("ann", "a"), wants("bob", "b"))
        asking.all(*(wants(f"w{n}", "a") for n in range(queued)))
        asking.all(wants("bob", "a"))
        given[bound] = asking.all(wants("ann", "b"))
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

    asking.all(wants("bob", "a"))
    graph = asking.caller.table._book.graph
    monkeypatch.setattr(Waiters, "of_party", counting)

    assert graph.cycle(("bob", 0), 10 * waits) is None
    assert looked.count(("ann", 0)) == 1


@pytest.mark.parametrize("queued", [100, 1_000])
def test_a_long_queue_is_looked_at_about_twice(queued: int):
    asking = Asking(Bounds(deadlock_steps=2 * queued + 20))
    asking.all(wants("ann", "a"), wants("eve", "b"), wants("cay", "b"))
    asking.all(*(wants(f"w{n}", "a") for n in range(queued)))

    assert isinstance(asking.all(wants("eve", "a")), Queued)


def test_the_way_round_past_a_long_queue_is_found_by_looking_once():
    queued = 1_000
    asking = Asking(Bounds(deadlock_steps=5 * queued))
    asking.all(*(wants(f"k{n}", f"of-k{n}") for n in range(5)))
    asking.all(*(wants(f"k{n}", f"of-k{n + 1}") for n in range(4)))
    asking.all(*(wants(f"w{n}", "of-k0") for n in range(queued)))

    outcome = asking.all(wants("k4", "of-k0"))

    assert isinstance(outcome, Deadlock)
    assert len(outcome.cycle) == 5


def test_sharers_whom_a_policy_lets_in_one_by_one_wait_for_each_other_like_any():
    asking = Asking()
    asking.all(SetPolicy(Policy("s", holders_max=1)), wants("cay", "s", SHARED), wants("ann", "b"))
    asking.all(wants("ann", "s", SHARED))

    outcome = asking.all(wants("cay", "b"))

    assert outcome == Deadlock(
        (Link("cay", "b", "ann", holds=True), Link("ann", "s", "cay", holds=True))
    )


def test_one_that_a_policy_made_wait_for_ever_may_wait_for_something_else():
    asking = Asking()
    asking.all(wants("ann", "s", 2), wants("cay", "s", 2), wants("bob", "x"), wants("bob", "s", 2))
    asking.all(wants("ann", "x"), SetPolicy(Policy("s", holders_max=1)), wants("dan", "y"))

    # Bob waits for ann and ann for bob; the wait for dan ends when dan lets go.
    assert isinstance(asking.all(wants("bob", "y")), Queued)


def test_a_lock_that_one_of_its_holders_will_let_go_of_is_no_part_of_the_circle():
    asking = Asking()
    asking.all(wants("ann", "x"), wants("bob", "p", 2), wants("cay", "p", 2))
    asking.all(wants("bob", "q", 2), wants("eve", "q", 2), wants("bob", "x"), wants("eve", "x"))

    outcome = asking.all(AcquireAll(("p", "q"), "ann", 600_000, "g", slots=2, wait_ms=60_000))

    assert outcome == Deadlock(
        (Link("ann", "q", "bob", holds=True), Link("bob", "x", "ann", holds=True))
    )
