"""Two replicas of the lock table and the plain model, side by side through the same entries."""

from collections import Counter
from typing import Any

import msgspec

from gorilla.domain.commands import SHARED, Entry
from gorilla.domain.events import Acquired, Event, Expired, Forced, ReleasedEvent
from gorilla.domain.expiry_index import ExpiryIndex
from gorilla.domain.lock_names import LockNames
from gorilla.domain.outcomes import Lease
from gorilla.domain.table import LockTable
from gorilla.domain.timers import Timers
from tests.support.domain import over_the_wire, reloaded
from tests.support.queue_model import Model, gist, told
from tests.support.queue_state import BOUNDS


class Replicas:
    """What is compared after each entry; ``seen`` counts what happened."""

    def __init__(self) -> None:
        self.model = Model()
        self.table = LockTable(bounds=BOUNDS)
        self.restarting = LockTable(bounds=BOUNDS)
        self.events = self.largest = 0
        self.live: dict[int, tuple[str, str]] = {}
        """Lock and holder by fencing token, as the events tell it."""
        self.seen: Counter[str] = Counter()

    def restart(self) -> None:
        self.restarting = reloaded(self.restarting)

    def apply(self, of: Entry) -> None:
        expected = self.model.apply(of)
        applied = self.table.apply(of)

        given = [gist(outcome) for _, _, outcome in applied.outcomes]
        assert given == expected
        assert [told(event) for event in applied.events] == self.model.events
        turns = [(turn.origin, turn.ticket, turn.secret, turn.left) for turn in applied.turns]
        assert sorted(turns, key=str) == sorted(self.model.turns, key=str)
        assert self.restarting.apply(over_the_wire(of)) == applied
        assert self.restarting.digest() == self.table.digest()
        self.follow(applied.events)
        self.check_state()
        self.check_rules()
        check_indexes(self.table)
        self.seen.update(name for name, _, _ in given)
        self.seen.update(f"left: {turn.left or 'turn'}" for turn in applied.turns)

    def follow(self, events: list[Event]) -> None:
        """Hold by the events alone: each is numbered, each grant and each end told once."""
        for event in events:
            self.events += 1
            assert event.number == self.events
            if isinstance(event, Acquired):
                assert event.fencing_token > self.largest
                self.largest = event.fencing_token
                self.live[event.fencing_token] = (event.lock, event.holder)
            elif isinstance(event, ReleasedEvent | Expired | Forced):
                assert self.live.pop(event.fencing_token) == (event.lock, event.holder)
        leases = self.table.leases("", "", 1_000)
        assert self.live == {each.fencing_token: (each.lock, each.holder) for each in leases}

    def check_state(self) -> None:
        """Compare what there is with what the model says there is."""
        frozen, model = self.table.freeze(), self.model
        leases = [lease for record in frozen.records.values() for lease in record.holders]
        assert sorted(map(_lease, leases)) == sorted(
            (h.token, h.lock, *h.party, h.secret, h.ends_ms, h.slots, h.group, h.is_known)
            for h in model.holds
        )
        assert list(map(_wait, frozen.waiters)) == list(map(_wait, model.waits))
        assert [(s.id, s.number, s.holder, s.expires_at_ms) for s in frozen.sessions] == [
            (s.id, s.number, s.holder, s.ends_ms) for s in model.sessions
        ]
        assert {p.prefix: p for p in frozen.policies} == {p.prefix: p for p in model.policies}
        assert dict(frozen.cooling) == model.cooling
        kept = {k.key for k in model.keys if model.now_ms - k.at_ms <= BOUNDS.key_kept_ms}
        there = {k.key for k in frozen.keys if model.now_ms - k.at_ms <= BOUNDS.key_kept_ms}
        assert there == kept
        assert self.table.next_expiry_ms() == model.next_ms()

    def check_rules(self) -> None:
        """Check what must hold of any state, whatever the model says."""
        book, frozen = self.table._book, self.table.freeze()
        for record in frozen.records.values():
            slots = [lease.slots for lease in record.holders]
            assert len(slots) == 1 or SHARED in slots or 1 not in slots
            assert set(slots) == {SHARED} or len(slots) <= slots[0]
            assert len({(each.holder, each.session) for each in record.holders}) == len(slots)
            assert len(slots) <= BOUNDS.slots
        for waiter in frozen.waiters:
            assert waiter.claim_by_ms or not book.is_next(waiter)
        queues = [book.waiters.queue(lock) for lock in book.waiters.queued_locks()]
        assert all(list(queue) == sorted(queue) for queue in queues)
        numbers = {0, *(session.number for session in frozen.sessions)}
        assert {lease.session for lease in self.table.leases("", "", 1_000)} <= numbers
        assert {waiter.session for waiter in frozen.waiters} <= numbers
        assert book.records.held <= BOUNDS.locks
        assert len(frozen.waiters) <= BOUNDS.waiters
        assert max(map(len, queues), default=0) <= BOUNDS.waiters_per_lock
        assert len(frozen.sessions) <= BOUNDS.sessions
        assert all(book.sessions.lease_count(n) <= BOUNDS.session_leases for n in numbers)
        assert len(frozen.keys) <= BOUNDS.keys
        assert len(frozen.policies) <= BOUNDS.policies
        assert len(frozen.events) <= BOUNDS.events
        assert len(frozen.fencing_tokens) <= BOUNDS.remembered_fencing_tokens


def _wait(w: Any) -> tuple[object, ...]:
    """Return what a wait of the table, or of the model, has that can be compared."""
    return (
        w.ticket,
        w.origin,
        w.locks,
        *w.party,
        w.slots,
        w.since_ms,
        w.until_ms,
        w.claim_by_ms,
        w.key,
    )


def _lease(lease: Lease) -> tuple[Any, ...]:
    return (
        lease.fencing_token,
        lease.lock,
        lease.holder,
        lease.session,
        lease.secret,
        lease.expires_at_ms,
        lease.slots,
        lease.group,
        lease.is_known,
    )


def check_indexes(table: LockTable) -> None:
    """Check that everything beside the state is what a reload would make of the state."""
    assert walked(table._book) == walked(reloaded(table)._book)


def walked(thing: Any) -> Any:
    """Return all that there is below ``thing``, without what is only left to be swept up."""
    if isinstance(thing, Timers):
        return thing._due_ms
    if isinstance(thing, ExpiryIndex):
        return [bucket.leases for _, bucket in sorted(thing._buckets.items())]
    if isinstance(thing, LockNames):
        return thing.ordered()
    if isinstance(thing, msgspec.Struct) or not type(thing).__module__.startswith("gorilla."):
        return thing
    # The wall time of an entry is gone with it.
    return {name: walked(value) for name, value in vars(thing).items() if name != "wall_ms"}
