"""The replicated state while it is worked on: what the rules change, and how it hangs together.

The rules are in ``acquiring``, ``holding`` and ``keeping``; whatever they decide they do by the
methods here, which keep every index true and record every event.
"""

from collections import deque
from collections.abc import Iterable

from msgspec.structs import replace

from gorilla.domain import limits, timers
from gorilla.domain.commands import Policy
from gorilla.domain.deadlocks import WaitGraph
from gorilla.domain.events import Event, Expired, Forced, Left, LeftEvent, ReleasedEvent
from gorilla.domain.expiry_index import ExpiryIndex
from gorilla.domain.key_memory import KeyMemory
from gorilla.domain.lease_clock import remaining_ms
from gorilla.domain.limits import Bounds
from gorilla.domain.lock_records import LockRecords
from gorilla.domain.outcomes import Full, Lease, Recovering, Session, TimedOut, Turn
from gorilla.domain.policies import Policies
from gorilla.domain.sessions import Sessions
from gorilla.domain.snapshot_format import FrozenTable
from gorilla.domain.timers import Timers
from gorilla.domain.waiters import Party, Waiter, Waiters, first_in_line


class Book:
    """The state and its indexes. Attributes are as in :class:`~gorilla.domain.table.LockTable`."""

    def __init__(self, frozen: FrozenTable, bounds: Bounds) -> None:
        """Continue from ``frozen``, which is not used again."""
        marks = frozen.marks
        self.bounds = bounds
        self.term = marks.term
        self.now_ms = marks.now_ms
        self.wall_ms = 0
        self.fencing_counter = marks.fencing_counter
        self.event_counter = marks.event_counter
        self.hold_until_ms = marks.hold_until_ms
        self.members_index = marks.members_index
        self.members = marks.members
        self.session_counter = marks.session_counter
        in_order = [frozen.records[name] for name in frozen.names]
        self.records = LockRecords(bounds, in_order, frozen.fencing_tokens)
        self.expiry = ExpiryIndex()
        self.waiters = Waiters()
        self.sessions = Sessions(frozen.sessions)
        self.policies = Policies(frozen.policies)
        self.keys = KeyMemory(bounds, frozen.keys)
        self.cooling = dict(frozen.cooling)
        self.timers = Timers()
        self.groups: dict[str, dict[int, str]] = {}
        """Locks by fencing token of what each group's secret proves."""
        self.events: list[Event] = []
        self.recent_events: deque[Event] = deque(frozen.events, maxlen=bounds.events)
        self.turns: list[Turn] = []
        self._contended: dict[Party, int] = {}
        """Who holds how many locks that somebody queues for."""
        self._touched: dict[str, None] = {}
        self._take_over(frozen.waiters)

    def _take_over(self, waiters: Iterable[Waiter]) -> None:
        for lock in self.records.names():
            for lease in self.records.holders(lock):
                self._index(lease)
        for waiter in waiters:
            self.enqueue(waiter)
        for session in self.sessions.copy_sessions():
            self.timers.set((timers.SESSION, session.number), session.expires_at_ms)
        for lock, until_ms in self.cooling.items():
            self.timers.set((timers.COOLING, lock), until_ms)

    # Time

    def ends_ms(self, lease: Lease) -> int:
        """Return the cluster time at which ``lease`` is gone: by itself, or with its session."""
        if not lease.session:
            return lease.expires_at_ms
        return min(lease.expires_at_ms, self.sessions.numbered(lease.session).expires_at_ms)

    def remaining_ms(self, lease: Lease) -> int:
        """Return how long its holder may count on ``lease``."""
        return remaining_ms(self.now_ms, self.ends_ms(lease))

    def most(self, lock: str) -> int:
        """Return how many may hold ``lock`` at once, whatever is asked for."""
        if not self.policies:
            return self.bounds.slots
        return self.policies.of(lock).holders_max or self.bounds.slots

    def is_cooling(self, lock: str) -> bool:
        """Return whether it is too early for the next grant of ``lock``."""
        return bool(self.cooling) and self.cooling.get(lock, 0) > self.now_ms

    def refusal(self, grants: int = 1) -> Recovering | Full | None:
        """Return why so many new grants can't be made at all, or None."""
        if self.now_ms < self.hold_until_ms:
            return Recovering(self.hold_until_ms - self.now_ms)
        if self.records.held + grants > self.bounds.locks:
            return Full("locks_max")
        if self.fencing_counter + grants > self.bounds.fencing_token:
            return Full("fencing_token_max")
        return None

    # Leases

    def begin(self, lease: Lease) -> None:
        """Let ``lease`` begin."""
        self.records.grant(lease)
        self._index(lease)
        if self.waiters and self.waiters.queue(lease.lock):
            self._contend(lease, 1)

    def replace(self, old: Lease, lease: Lease) -> None:
        """Let ``lease`` stand for ``old``: the same grant, lock, holder and session."""
        if old.expires_at_ms != limits.NEVER_MS:
            self.expiry.remove(old)
        if lease.expires_at_ms != limits.NEVER_MS:
            self.expiry.add(lease)
        if old.group != lease.group:
            self._leave_group(old)
            self._join_group(lease)
        self.records.replace(lease)

    def end(self, lease: Lease) -> None:
        """Let ``lease`` end; its lock looks for the next in line when :meth:`wake` comes."""
        if lease.expires_at_ms != limits.NEVER_MS:
            self.expiry.remove(lease)
        self.forget(lease)

    def forget(self, lease: Lease) -> None:
        """Do as :meth:`end` for a lease that the expiry index gave up."""
        self.records.end(lease)
        if lease.session:
            self.sessions.detach(lease)
        if lease.group:
            self._leave_group(lease)
        if self.waiters and self.waiters.queue(lease.lock):
            self._contend(lease, -1)
            self._touched[lease.lock] = None

    def grouped(self, secret: str) -> list[Lease]:
        """Return the leases that ``secret`` proves together, in order of their tokens."""
        members = self.groups.get(secret, {})
        found = []
        for token, lock in sorted(members.items()):
            found += [lease for lease in self.records.holders(lock) if lease.fencing_token == token]
        return found

    def _index(self, lease: Lease) -> None:
        if lease.expires_at_ms != limits.NEVER_MS:
            self.expiry.add(lease)
        if lease.session:
            self.sessions.attach(lease)
        if lease.group:
            self._join_group(lease)

    def _join_group(self, lease: Lease) -> None:
        self.groups.setdefault(lease.group, {})[lease.fencing_token] = lease.lock

    def _leave_group(self, lease: Lease) -> None:
        members = self.groups[lease.group]
        del members[lease.fencing_token]
        if not members:
            del self.groups[lease.group]

    # Waiters

    @property
    def graph(self) -> WaitGraph:
        """Who holds and who waits."""
        return WaitGraph(self.waiters, self.records.holders, self.most)

    def is_waited_for(self, party: Party) -> bool:
        """Return whether anybody waits for ``party``: only then can its wait close a cycle."""
        return party in self._contended or any(
            self.waiters.is_ahead(waiter) for waiter in self.waiters.of_party(party)
        )

    def enqueue(self, waiter: Waiter) -> None:
        """Let ``waiter`` queue, last."""
        for lock in waiter.locks:
            if not self.waiters.queue(lock):
                for lease in self.records.holders(lock):
                    self._contend(lease, 1)
        self.waiters.add(waiter)
        self.timers.set((timers.WAIT, waiter.ticket), waiter.due_ms)

    def update(self, waiter: Waiter) -> None:
        """Let ``waiter`` stand where the one of its ticket stood."""
        self.waiters.replace(waiter)
        self.timers.set((timers.WAIT, waiter.ticket), waiter.due_ms)

    def dequeue(self, waiter: Waiter) -> None:
        """Take ``waiter`` out of its queues; those behind it may be next."""
        self.waiters.remove(waiter)
        self.timers.discard((timers.WAIT, waiter.ticket))
        for lock in waiter.locks:
            if self.waiters.queue(lock):
                self._touched[lock] = None
            else:
                for lease in self.records.holders(lock):
                    self._contend(lease, -1)

    def leave(self, waiter: Waiter, why: Left) -> None:
        """Let ``waiter`` go without what it waited for, and tell its node."""
        self.dequeue(waiter)
        waited_ms = self.now_ms - waiter.since_ms
        for lock in waiter.locks:
            self.record(LeftEvent(*self.number(lock, waiter.holder), waiter.ticket, waited_ms, why))
        if waiter.key:
            if why is Left.TIMEOUT:
                outcome = TimedOut(waited_ms)
                self.keys.settle(
                    waiter.key, waiter.fingerprint, waiter.ticket, outcome, self.now_ms
                )
            else:
                self.keys.forget_wait(waiter.key, waiter.ticket)
        self.turns.append(Turn(waiter.origin, waiter.ticket, waiter.secret, why))

    def touch(self, lock: str) -> None:
        """Look for the next in line at ``lock`` when :meth:`wake` comes."""
        if self.waiters.queue(lock):
            self._touched[lock] = None

    def wake(self) -> None:
        """Tell those whose turn has come, and nobody else."""
        while self._touched:
            locks, self._touched = self._touched, {}
            for lock in locks:
                if not self.is_cooling(lock):
                    self._wake(lock)

    def _wake(self, lock: str) -> None:
        holders, queue = self.records.holders(lock), self.waiters.queue(lock)
        ready = [
            waiter
            for waiter in first_in_line(holders, queue, self.most(lock))
            if not waiter.claim_by_ms and self.is_next(waiter, known=lock)
        ]
        for waiter in ready:
            self.give_turn(waiter)

    def is_next(self, waiter: Waiter, known: str | None = None) -> bool:
        """Return whether nothing keeps ``waiter`` from any of its locks (``known``: from it)."""
        for lock in waiter.locks:
            if lock == known:
                continue
            if self.is_cooling(lock):
                return False
            line = first_in_line(
                self.records.holders(lock), self.waiters.queue(lock), self.most(lock)
            )
            if all(first.ticket != waiter.ticket for first in line):
                return False
        return True

    def give_turn(self, waiter: Waiter) -> None:
        """Reserve what ``waiter`` waits for until it is claimed, and tell its node."""
        self.update(replace(waiter, claim_by_ms=self.now_ms + self.bounds.claim_ms))
        self.turns.append(Turn(waiter.origin, waiter.ticket, waiter.secret, None))

    def _contend(self, lease: Lease, by: int) -> None:
        party = (lease.holder, lease.session)
        count = self._contended.get(party, 0) + by
        if count:
            self._contended[party] = count
        else:
            del self._contended[party]

    # Sessions, policies

    def end_session(self, session: Session, left: Left, *, expired: bool) -> int:
        """End ``session`` with all that lives in it; return how many leases that were."""
        self.timers.discard((timers.SESSION, session.number))
        for waiter in self.waiters.of_party((session.holder, session.number)):
            self.leave(waiter, left)
        ended = 0
        for token, lock in self.sessions.leases(session.number):
            for lease in self.records.holders(lock):
                if lease.fencing_token == token:
                    self.end(lease)
                    self.record_end(lease, expired=expired, session=session.number)
                    ended += 1
        self.sessions.remove(session)
        return ended

    def rule(self, policy: Policy | None, prefix: str) -> None:
        """Let ``policy`` rule ``prefix`` (None: nothing of its own)."""
        if policy is None:
            self.policies.drop(prefix)
        else:
            self.policies.set(policy)
        # Who waits there may be next.
        for lock in self.waiters.queued_locks(prefix):
            self.touch(lock)

    # Events

    def number(self, lock: str, holder: str) -> tuple[int, int, int, str, str]:
        """Number an event, and return the fields that all events of locks begin with."""
        self.event_counter += 1
        return (self.event_counter, self.now_ms, self.wall_ms, lock, holder)

    def record(self, event: Event) -> None:
        """Take note of an event."""
        self.events.append(event)

    def record_end(self, lease: Lease, *, expired: bool, session: int = 0) -> None:
        """Take note that ``lease`` ended: ran out, or was let go."""
        fields = (*self.number(lease.lock, lease.holder), lease.fencing_token)
        held_ms = self.now_ms - lease.granted_ms
        kind = Expired if expired else ReleasedEvent
        self.record(kind(*fields, held_ms, session))

    def record_forced(self, lease: Lease, reason: str, by: str) -> None:
        """Take note that an operator ended ``lease``."""
        fields = (*self.number(lease.lock, lease.holder), lease.fencing_token)
        self.record(Forced(*fields, self.now_ms - lease.granted_ms, reason, by))

    def take_events(self) -> list[Event]:
        """Return the events since they were last taken."""
        events, self.events = self.events, []
        self.recent_events.extend(events)
        return events

    def take_turns(self) -> list[Turn]:
        """Return what became of waits since it was last taken."""
        turns, self.turns = self.turns, []
        return turns
