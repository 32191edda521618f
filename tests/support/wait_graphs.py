"""Owners who want, wait and let go, against a reference that plays out what could still happen.

The reference shares nothing with the deadlock search of the table. It lets time go by in the
kindest way: whoever waits for nothing lets go, whoever may have what it waits for gets it, until
nothing moves.
"""

import math
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from gorilla.domain.commands import SHARED, Acquire, AcquireAll, Claim, Leave, OpenSession, Release
from gorilla.domain.outcomes import Deadlock, Granted, GrantedAll, Queued
from gorilla.domain.table import LockTable
from tests.support.domain import Caller

LOCKS = {"a": 1, "b": 1, "c": 1, "d": 1, "p": 2, "q": 2, "r": 3}
"""Slots of each; those with one are shared, too."""

PARTIES = [("ann", ""), ("ann", "ann-1"), ("bob", ""), ("cay", "cay-1"), ("dan", ""), ("eve", "")]

Party = tuple[str, int]

Step = tuple[Any, ...]
"""Name of a method of :class:`Crowd`, and what it is called with."""


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
    most: dict[str, int] = field(default_factory=dict)
    """How many a policy lets hold a lock, where one does."""

    def may_have(self, wait: Wait, lock: str) -> bool:
        before = [slots for _, held, slots in self.holds if held == lock]
        before += [
            each.slots for each in self.waits if lock in each.locks and each.ticket < wait.ticket
        ]
        if len(before) >= self.most.get(lock, math.inf):
            return False
        if wait.slots == SHARED:
            return all(slots == SHARED for slots in before)
        return len(before) < wait.slots

    def stuck(self) -> set[Party]:
        """Return who never can go on."""
        return {wait.party for wait in self.in_the_end().waits}

    def in_the_end(self) -> "Plain":
        """Let everybody go on for as long as anybody can; return what is left."""
        rest = Plain(list(self.holds), list(self.waits), self.most)
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
        return rest

    def in_the_way(self, wait: Wait, lock: str) -> list[Party]:
        """Return who has a lock, or comes before, in a way that ``wait`` can't stand beside."""
        there = [(party, slots) for party, held, slots in self.holds if held == lock]
        there += [
            (each.party, each.slots)
            for each in self.waits
            if lock in each.locks and each.ticket < wait.ticket
        ]
        return [party for party, slots in there if self.conflict(lock, slots, wait.slots)]

    def conflict(self, lock: str, slots: int, others: int) -> bool:
        """Return whether two may be in each other's way: sharers only where a policy counts."""
        return bool(slots or others or lock in self.most)

    def waiting_for(self, party: Party) -> set[Party]:
        """Return who waits for ``party``, or for one who does, though perhaps not in vain."""
        found: set[Party] = set()
        grows = True
        while grows:
            before = len(found)
            for wait in self.waits:
                for lock in wait.locks:
                    if not ({party} | found).isdisjoint(self.in_the_way(wait, lock)):
                        found.add(wait.party)
            grows = len(found) > before
        return found


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
    """Return whether every link of a cycle stands in ``state``, keeps out, and it goes round."""
    links, rest = cycle.cycle, state.in_the_end()
    for link, following in zip(links, (*links[1:], links[0]), strict=True):
        waits = [x for x in state.waits if x.party[0] == link.waiter and link.lock in x.locks]
        if link.holds:
            in_the_way = any(
                party[0] == link.holder
                and lock == link.lock
                and state.conflict(lock, slots, wait.slots)
                for party, lock, slots in state.holds
                for wait in waits
            )
        else:
            in_the_way = any(
                ahead.party[0] == link.holder
                and link.lock in ahead.locks
                and ahead.ticket < wait.ticket
                and state.conflict(link.lock, ahead.slots, wait.slots)
                for ahead in state.waits
                for wait in waits
            )
        keeps_out = any(
            not rest.may_have(wait, link.lock)
            and link.holder in [holder for holder, _ in rest.in_the_way(wait, link.lock)]
            for wait in rest.waits
            if wait.party[0] == link.waiter and link.lock in wait.locks
        )
        if not (in_the_way and keeps_out) or link.holder != following.waiter:
            return False
    return True


class Crowd:
    """Owners, some with sessions, that want, wait and let go; each outcome is judged."""

    def __init__(self) -> None:
        self.caller = Caller(LockTable())
        self.now_ms = 0
        self.asked = 0
        self.numbers = {"": 0}
        self.seen: set[str] = set()
        """What this example had in it."""
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
        asking = (holder, self.numbers[session])
        locks = tuple(lock for lock in several if LOCKS[lock] == LOCKS[several[0]])
        slots = SHARED if shared and LOCKS[locks[0]] == 1 else LOCKS[locks[0]]
        self.asked += 1
        rest = (holder, 3_600_000, f"s{self.asked}", b"[]", slots, 3_600_000, session)
        command = Acquire(locks[0], *rest) if len(locks) == 1 else AcquireAll(locks, *rest)

        outcome = self.ask(command)

        state = plain(self.table)
        assert state.stuck() == set()
        if isinstance(outcome, Deadlock):
            state.waits.append(Wait(1 << 50, asking, locks, slots))
            assert asking in state.stuck()
            assert outcome.cycle[0].waiter == holder
            assert is_true(state, outcome)
            self.note(outcome, state)
        elif isinstance(outcome, Queued) and asking in state.waiting_for(asking):
            self.seen.add("near miss")

    def note(self, refused: Deadlock, state: Plain) -> None:
        """Note what the circle goes through."""
        self.seen |= {"refused", f"circle of {min(len(refused.cycle), 4)}"}
        for link in refused.cycle:
            if LOCKS[link.lock] > 1:
                self.seen.add("counted")
            if (link.lock, SHARED) in [(lock, slots) for _, lock, slots in state.holds]:
                self.seen.add("shared")
            if not link.holds:
                self.seen.add("ahead in a queue")
            if any(w.party[0] == link.waiter and len(w.locks) > 1 for w in state.waits):
                self.seen.add("several at once")

    def close(self, which: int, several: list[str], shared: bool) -> None:
        """Have one want what somebody holds who waits for it: that may close a circle."""
        state = plain(self.table)
        found = [
            (n, lock)
            for n, (holder, session) in enumerate(PARTIES)
            for others in [state.waiting_for((holder, self.numbers[session]))]
            for lock in sorted({held for party, held, _ in state.holds if party in others})
        ]
        if found:
            party, lock = found[which % len(found)]
            self.want(party, [lock, *(other for other in several if other != lock)], shared)

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


def steps(chance: random.Random) -> Iterator[Step]:
    """Yield what happens: everybody takes something, and then they get in each other's way."""
    parties, locks = range(len(PARTIES)), list(LOCKS)
    if chance.random() < 1 / 3:
        yield from _chain(chance)
    else:
        for party in parties:
            yield ("want", party, chance.sample(locks, 1), chance.random() < 1 / 3)
    for _ in range(chance.randrange(10, 60)):
        several = chance.sample(locks, chance.choice([1, 1, 2, 3]))
        shared, which = chance.random() < 1 / 3, chance.randrange(1_000)
        yield chance.choice(
            [
                *[("want", chance.choice(parties), several, shared)] * 4,
                *[("close", which, several[1:], shared)] * 3,
                *[("go_on", which)] * 3,
                ("let_go", which),
                ("hang_up", which),
            ]
        )


def _chain(chance: random.Random) -> Iterator[Step]:
    """Yield how one waits for the next, and the last for nobody yet."""
    parties = chance.sample(range(len(PARTIES)), 4)
    locks = [lock for lock, slots in LOCKS.items() if slots == 1]
    shared = [chance.random() < 1 / 4 for _ in parties]
    for party, lock, shares in zip(parties, locks, shared, strict=True):
        yield ("want", party, [lock], shares)
    for party, lock, shares in zip(parties, locks[1:], shared[1:], strict=False):
        yield ("want", party, [lock], not shares and chance.random() < 1 / 2)


def played(taken: list[Step]) -> Crowd:
    crowd = Crowd()
    for name, *drawn in taken:
        getattr(crowd, name)(*drawn)
    return crowd
