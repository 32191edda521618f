"""Whether a wait would never end because everybody in its way waits, in the end, for the waiter.

A reduction of the wait graph, as Holt described it for reusable resources (Some deadlock
properties of computer systems, 1972): whoever waits for nothing lets go of all it has some day;
whoever can then be served does so too, and so on. Those who are left over wait for each other for
ever. That is exact for locks held alone, shared and counted, and for several at once, where the
search for a plain cycle is not: one of three holders that waits blocks nobody for good.
"""

from bisect import bisect_left
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

import msgspec

from gorilla.domain.commands import SHARED
from gorilla.domain.links import Link
from gorilla.domain.outcomes import Lease
from gorilla.domain.waiters import EXCLUSIVE, Party, Waiter, Waiters, is_blocked

Holders = Callable[[str], tuple[Lease, ...]]
"""The leases of a lock."""

Most = Callable[[str], int]
"""How many may hold a lock at once, whatever is asked for."""

_HOLDS: Final = 0
"""Stands for the ticket of one that holds a lock: smaller than any."""


class SearchTooLargeError(Exception):
    """More waiters and holders would have to be looked at than the bound allows."""


class WaitGraph(msgspec.Struct, frozen=True):
    """Who holds and who waits, as the search sees it."""

    waiters: Waiters
    holders: Holders
    most: Most

    def cycle(self, party: Party, steps_max: int) -> tuple[Link, ...] | None:
        """Return a cycle through ``party``, if one of its waits can't end; None when all can.

        Args:
            party: Who just began to wait; without its last wait there was no deadlock.
            steps_max: How many waiters and holders to look at.

        Raises:
            SearchTooLargeError: They were not enough.

        """
        return _Search(self, steps_max).cycle(party)


class _Search:
    def __init__(self, graph: WaitGraph, steps_max: int) -> None:
        self._graph = graph
        self._steps_left = steps_max
        self._waits: dict[Party, list[Waiter]] = {}
        """Everybody within reach who waits."""
        self._touching: dict[Party, dict[str, None]] = {}
        """Locks that a party holds or queues for, of those within reach."""
        self._lines: dict[str, list[_Place]] = {}
        self._looked: dict[tuple[str, bool], int] = {}
        """How far each line was looked at: for all in it, and for those who want it alone."""

    def cycle(self, start: Party) -> tuple[Link, ...] | None:
        stuck = self._reduced(self._within_reach(start))
        return self._shortest(start, stuck) if start in stuck else None

    def _step(self, places: int = 1) -> None:
        self._steps_left -= places
        if self._steps_left < 0:
            raise SearchTooLargeError

    def _within_reach(self, start: Party) -> dict[str, None]:
        """Collect everybody whom ``start`` waits for, directly or not; return their locks."""
        locks: dict[str, None] = {}
        unseen = deque([start])
        self._waits[start] = self._graph.waiters.of_party(start)
        while unseen:
            for waiter in self._waits[unseen.popleft()]:
                for lock in waiter.locks:
                    if lock in locks:
                        continue
                    locks[lock] = None
                    for party in self._parties_at(lock):
                        self._touching.setdefault(party, {})[lock] = None
                        if party in self._waits:
                            continue
                        waits = self._graph.waiters.of_party(party)
                        if waits:
                            self._waits[party] = waits
                            unseen.append(party)
        return locks

    def _parties_at(self, lock: str) -> Iterator[Party]:
        for lease in self._graph.holders(lock):
            self._step()
            yield (lease.holder, lease.session)
        for waiter in self._graph.waiters.queue(lock).values():
            self._step()
            yield waiter.party

    def _reduced(self, locks: dict[str, None]) -> dict[Party, None]:
        """Return those who wait for ever."""
        stuck = dict.fromkeys(self._waits)
        open_waits = {party: len(waits) for party, waits in self._waits.items()}
        missing = {
            waiter.ticket: len(waiter.locks) for waits in self._waits.values() for waiter in waits
        }
        served: set[tuple[int, str]] = set()
        unseen = deque(locks)
        queued = set(locks)
        while unseen:
            lock = unseen.popleft()
            for waiter in self._servable(lock, stuck):
                if (waiter.ticket, lock) in served:
                    continue
                served.add((waiter.ticket, lock))
                missing[waiter.ticket] -= 1
                open_waits[waiter.party] -= not missing[waiter.ticket]
                if open_waits[waiter.party]:
                    continue
                del stuck[waiter.party]
                for other in self._touching[waiter.party]:
                    if other not in queued:
                        queued.add(other)
                        unseen.append(other)
            # Whoever stopped being stuck meanwhile queues here for its own turn, and holds nothing
            # of it: those ahead are none the better for that, and those behind were seen since.
            queued.discard(lock)
        return stuck

    def _servable(self, lock: str, stuck: Mapping[Party, None]) -> Iterator[Waiter]:
        """Yield the waiters of ``lock`` that get it once all but ``stuck`` have let go.

        Who is taken out of ``stuck`` after it was yielded is in nobody's way any more.
        """
        most = self._graph.most(lock)
        before, alone = 0, False
        for lease in self._graph.holders(lock):
            self._step()
            if (lease.holder, lease.session) in stuck:
                before += 1
                alone = alone or lease.slots == EXCLUSIVE
        for waiter in self._graph.waiters.queue(lock).values():
            self._step()
            if waiter.party not in stuck:
                continue
            if not is_blocked(waiter.slots, before, most, before_alone=alone):
                yield waiter
            if waiter.party in stuck:
                before += 1
                alone = alone or waiter.slots == EXCLUSIVE

    def _shortest(self, start: Party, stuck: Mapping[Party, None]) -> tuple[Link, ...] | None:
        """Return the shortest way round from the last wait of ``start`` among those who are stuck.

        None when there is none: it waits for others who were stuck before it came, or it was so
        itself. No wait leads there, but a policy does that allows fewer holders than there are.
        """
        came_by: dict[Party, tuple[Party, Link]] = {}
        unseen = deque([(start, self._waits[start][-1:])])
        while unseen:
            party, waits = unseen.popleft()
            for blocker, link in self._blockers(waits, stuck):
                if blocker in came_by:
                    continue
                came_by[blocker] = (party, link)
                if blocker == start:
                    return self._way(start, came_by)
                unseen.append((blocker, self._waits[blocker]))
        return None

    def _way(self, start: Party, came_by: Mapping[Party, tuple[Party, Link]]) -> tuple[Link, ...]:
        party, link = came_by[start]
        links = [link]
        while party != start:
            party, link = came_by[party]
            links.append(link)
        return tuple(reversed(links))

    def _blockers(
        self, waits: Sequence[Waiter], stuck: Mapping[Party, None]
    ) -> Iterator[tuple[Party, Link]]:
        """Yield who of ``stuck`` keeps a party's ``waits`` from their locks, and at which.

        Whom an earlier call yielded at the same lock is not yielded there again, or once more to
        one whom only those keep from it that want it for themselves: so all calls together cost
        what is looked at twice.
        """
        for waiter in waits:
            for lock in waiter.locks:
                line, most = self._line(lock, stuck), self._graph.most(lock)
                before = bisect_left(line, waiter.ticket, key=lambda place: place.ticket)
                if not is_blocked(waiter.slots, before, most, before_alone=line[before].alone):
                    continue
                by_all = waiter.slots != SHARED or before >= most
                key = (lock, by_all)
                for at in range(self._looked.get(key, 0), before):
                    self._step()
                    self._looked[key] = at + 1
                    other = line[at]
                    if by_all or other.slots == EXCLUSIVE:
                        holds = other.ticket == _HOLDS
                        yield other.party, Link(waiter.holder, lock, other.party[0], holds)

    def _line(self, lock: str, stuck: Mapping[Party, None]) -> list["_Place"]:
        """Return who of ``stuck`` holds a lock, and who queues for it, in order."""
        line = self._lines.get(lock)
        if line is None:
            line = self._lines[lock] = []
            holders, queue = self._graph.holders(lock), self._graph.waiters.queue(lock)
            places = [(_HOLDS, (each.holder, each.session), each.slots) for each in holders]
            places += [(each.ticket, each.party, each.slots) for each in queue.values()]
            self._step(len(places))
            alone = False
            for ticket, party, slots in places:
                if party in stuck:
                    line.append(_Place(ticket, party, slots, alone))
                    alone = alone or slots == EXCLUSIVE
        return line


class _Place(msgspec.Struct, frozen=True, gc=False):
    ticket: int
    """``_HOLDS`` of one that holds the lock."""
    party: Party
    slots: int
    alone: bool
    """Whether one before it has the lock, or wants it, for itself."""
