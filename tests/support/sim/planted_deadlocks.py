"""Bugs to plant in the search for deadlocks."""

from contextlib import AbstractContextManager
from typing import Any

from gorilla.domain.book import Book
from gorilla.domain.deadlocks import WaitGraph
from gorilla.domain.links import Link
from tests.support.sim.patching import replaced


def deadlocks_not_looked_for() -> AbstractContextManager[None]:
    """Let everybody wait, also for each other."""
    return replaced(Book, is_waited_for=lambda _self, _party: False)


def every_circle_refused() -> AbstractContextManager[None]:
    """Take anybody for stuck who is waited for by whoever holds what it waits for."""

    def cycle(self: Any, party: Any, steps_max: int) -> tuple[Link, ...] | None:
        waiter = self.waiters.of_party(party)[-1]
        for lock in waiter.locks:
            for lease in self.holders(lock):
                for other in self.waiters.of_party((lease.holder, lease.session)):
                    for theirs in other.locks:
                        if any(one.holder == party[0] for one in self.holders(theirs)):
                            first = Link(party[0], lock, lease.holder, holds=True)
                            return (first, Link(lease.holder, theirs, party[0], holds=True))
        return original(self, party, steps_max)

    original = WaitGraph.cycle
    return replaced(WaitGraph, cycle=cycle)


def only_holders_looked_at() -> AbstractContextManager[None]:
    """Miss every circle that goes through somebody who is ahead in a queue."""

    def cycle(self: Any, party: Any, steps_max: int) -> tuple[Link, ...] | None:
        found: tuple[Link, ...] | None = original(self, party, steps_max)
        return found if found and all(link.holds for link in found) else None

    original = WaitGraph.cycle
    return replaced(WaitGraph, cycle=cycle)
