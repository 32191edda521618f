"""Events for the history, and a node that has applied them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Extended,
    Forced,
    Left,
    LeftEvent,
    MembersChanged,
    QueuedEvent,
    ReleaseAsked,
    ReleasedEvent,
)
from gorilla.domain.outcomes import Lease

WALL_MS = 1_700_000_000_000


class EventMaker:
    """Makes events as a lock table does; each takes 10 ms."""

    def __init__(self, number: int = 0) -> None:
        self.made: list[Event] = []
        self.number = number
        self.tokens = 0
        self.held: dict[int, Acquired] = {}

    def acquired(self, lock: str = "a", holder: str = "anna", **fields: Any) -> int:
        self.tokens += 1
        given = {"ttl_ms": 30_000, **fields}
        event = Acquired(*self._head(lock, holder), self.tokens, **given)
        self.held[self.tokens] = event
        self.made.append(event)
        return self.tokens

    def extended(self, token: int, ttl_ms: int = 60_000) -> None:
        self.made.append(Extended(*self._of(token), ttl_ms))

    def released(self, token: int, session: int = 0) -> None:
        self.made.append(ReleasedEvent(*self._ended(token), session))

    def expired(self, token: int, session: int = 0) -> None:
        self.made.append(Expired(*self._ended(token), session))

    def forced(self, token: int, reason: str = "stuck", by: str = "operator") -> None:
        self.made.append(Forced(*self._ended(token), reason, by))

    def left(
        self, lock: str = "a", holder: str = "bert", why: Left = Left.TIMEOUT, waited_ms: int = 7
    ) -> None:
        self.made.append(LeftEvent(*self._head(lock, holder), 99, waited_ms, why))

    def others(self) -> None:
        """Events that no row is made of."""
        self.made.append(QueuedEvent(*self._head("a", "bert"), 99, 1, 1, 100, ("anna",)))
        self.made.append(ReleaseAsked(*self._head("a", "anna"), 1, "bert", "please"))
        self.number += 1
        self.made.append(MembersChanged(self.number, *self._times(), ("n1", "n2")))

    def many(self, count: int) -> None:
        """Make ``count`` grants, each released at once."""
        for at in range(count):
            self.released(self.acquired(f"lock-{at % 7}", f"owner-{at % 5}"))

    def _head(self, lock: str, holder: str) -> tuple[int, int, int, str, str]:
        self.number += 1
        return (self.number, *self._times(), lock, holder)

    def _times(self) -> tuple[int, int]:
        return self.number * 10, WALL_MS + self.number * 10

    def _of(self, token: int) -> tuple[Any, ...]:
        begun = self.held[token]
        return (*self._head(begun.lock, begun.holder), token)

    def _ended(self, token: int) -> tuple[Any, ...]:
        begun = self.held[token]
        fields = self._of(token)
        del self.held[token]
        return (*fields, fields[1] - begun.now_ms)


class HistoryNode:
    """A node whose events a test makes: meets ``EventSource`` and ``HistorySource``.

    Attributes:
        term: The term that it leads; None: it does not.
        seen: How many of the maker's events it has applied; None: all.
        kept: How many events its log keeps.

    """

    def __init__(self, maker: EventMaker | None = None, cluster: str = "c1") -> None:
        self.maker = maker or EventMaker()
        self.cluster = cluster
        self.term: int | None = 1
        self.seen: int | None = None
        self.kept = 10_000
        self.counter = 0
        self._waiting: list[asyncio.Future[None]] = []
        self.base = self.maker.number - len(self.maker.made)

    @property
    def applied(self) -> list[Event]:
        return self.maker.made if self.seen is None else self.maker.made[: self.seen]

    # EventSource

    @property
    def first_number(self) -> int:
        return self.last_number + 1 - min(self.kept, len(self.applied))

    @property
    def last_number(self) -> int:
        return self.base + len(self.applied)

    def after(self, number: int, limit: int) -> Sequence[Event]:
        start = max(number + 1, self.first_number) - self.base - 1
        return self.applied[start : start + limit]

    def wakeup(self) -> asyncio.Future[None]:
        if not self._waiting or self._waiting[-1].done():
            self._waiting.append(asyncio.get_running_loop().create_future())
        return self._waiting[-1]

    def wake(self) -> None:
        """Tell those who wait that there is an event."""
        for waiting in self._waiting:
            if not waiting.done():
                waiting.set_result(None)

    # HistorySource

    def cluster_id(self) -> str:
        return self.cluster

    def leading_term(self) -> int | None:
        return self.term

    def fencing_counter(self) -> int:
        return self.counter + self.maker.tokens

    def leases(self, after: str, limit: int) -> Sequence[Lease]:
        found = [self._lease(event) for event in self._held().values()]
        found.sort(key=lambda lease: (lease.lock, lease.fencing_token))
        return [lease for lease in found if lease.lock > after][:limit]

    def lease(self, resource: str, fencing_token: int) -> Lease | None:
        event = self._held().get(fencing_token)
        return None if event is None or event.lock != resource else self._lease(event)

    def stamped_wall_ms(self) -> int:
        return self.applied[-1].wall_ms if self.applied else WALL_MS

    def _held(self) -> dict[int, Acquired]:
        held: dict[int, Acquired] = {}
        for event in self.applied:
            if isinstance(event, Acquired):
                held[event.fencing_token] = event
            elif isinstance(event, ReleasedEvent | Expired | Forced):
                held.pop(event.fencing_token, None)
        return held

    @staticmethod
    def _lease(event: Acquired) -> Lease:
        return Lease(
            event.lock,
            event.holder,
            "secret",
            event.fencing_token,
            event.ttl_ms,
            event.now_ms + event.ttl_ms,
            b"[]",
            event.wall_ms,
            event.wall_ms,
            event.wall_ms + event.ttl_ms,
            slots=event.slots,
            session=event.session,
            waited_ms=event.waited_ms,
            reason=event.reason,
        )
