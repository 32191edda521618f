"""What the history consists of, and the port of where it is kept.

One row a *hold*, from its grant to its end, and one row a *wait* that ended without a grant. They
are made of the events of the lock table, whose numbers have no holes: the number of the last event
that is in it, the *cursor*, is all that the history needs to know to go on.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from gorilla.domain.events import Left


class EndedBy(StrEnum):
    """How a hold ended."""

    RELEASED = "released"
    EXPIRED = "expired"
    FORCED = "forced"
    SESSION = "session"
    """The session that it lived in was ended, or ran out."""
    UNKNOWN = "unknown"
    """Within a gap of the history, so nobody saw how and when."""


class HoldChange(msgspec.Struct, kw_only=True):
    """What some events, one after the other, did to one hold. Times are wall time, for display."""

    fencing_token: int
    resource: str
    owner: str
    granted_ms: int
    """When it was granted; where the grant is not known, the earliest time that it was held."""
    is_grant_known: bool
    """Whether the fields of the grant are known: the next four, and ``granted_ms`` exactly."""
    slots: int | None = None
    """As in the command: 1 exclusive, 0 shared, above 1 counted."""
    session: int | None = None
    """0: none."""
    waited_ms: int | None = None
    reason: str | None = None
    until_ms: int | None = None
    """When it ends by itself, as of the last of the events; None: with its session."""
    extensions: int = 0
    """How many of the events extended it."""
    ended_ms: int | None = None
    """None: it has not ended."""
    ended_by: EndedBy | None = None
    end_reason: str | None = None
    forced_by: str | None = None
    held_ms: int | None = None
    """How long it was held, in cluster time."""


class WaitEnd(msgspec.Struct, frozen=True, kw_only=True):
    """A wait that ended without a grant."""

    number: int
    """Of the event that says so."""
    resource: str
    owner: str
    ticket: int
    began_ms: int
    ended_ms: int
    waited_ms: int
    why: Left


class Changes(msgspec.Struct, frozen=True, kw_only=True):
    """What a run of events without a hole did to the history."""

    last_number: int
    last_ms: int
    """Wall time of the last event."""
    count: int
    """How many events."""
    holds: tuple[HoldChange, ...]
    """At most one of each fencing token."""
    waits: tuple[WaitEnd, ...]


class Claim(msgspec.Struct, frozen=True):
    """Who writes: the leader of a term. It can't write once a later leader has."""

    cluster_id: str
    term: int


class HistoryState(msgspec.Struct, frozen=True, kw_only=True):
    """How far the history of a cluster is."""

    number: int
    """The last event that is in it, or in a gap."""
    at_ms: int
    """Wall time of that event."""
    term: int
    """Of the leader that wrote last."""
    began_number: int
    """The first event that it could have."""
    began_ms: int | None
    """When it began; None: with the cluster's first event."""
    predecessor: str | None = None
    """The cluster that this one was restored from, if the database knows it."""
    unsettled_ms: int | None = None
    """Wall time of the last event before a gap that the holds have not been looked through for.

    Until they are, later events may be added, and holds be shown that ended in the gap."""
    hold_count: int = 0
    wait_count: int = 0


class Beginning(msgspec.Struct, frozen=True, kw_only=True):
    """Where the history of a cluster begins."""

    number: int
    """The event before the first one that is there."""
    at_ms: int
    is_whole: bool
    """Whether nothing happened before it."""
    fencing_floor: int
    """The number that the cluster's fencing counter started from in a restore; 0: none."""


class Gap(msgspec.Struct, frozen=True, kw_only=True):
    """Events that are not in the history, because they were forgotten before it could be written.

    Times are the wall times of the last event before it and the first one after it.
    """

    first_number: int
    last_number: int
    from_ms: int
    to_ms: int


class Kind(StrEnum):
    """What is asked for."""

    HOLD = "hold"
    WAIT = "wait"


class Question(msgspec.Struct, frozen=True, kw_only=True):
    """What to look for. Times are wall time (milliseconds); the answer's newest comes first."""

    kind: Kind = Kind.HOLD
    resource: str | None = None
    owner: str | None = None
    prefix: str = ""
    from_ms: int | None = None
    """Only what lasted until then, or longer."""
    to_ms: int | None = None
    """Only what began by then."""
    at_ms: int | None = None
    """Only what was going on at that instant: it had begun, and had not ended."""
    is_ended: bool | None = None
    ended_by: EndedBy | None = None
    limit: int = 100
    before: tuple[int, int] | None = None
    """Only what comes after this place: :meth:`HeldOnce.place` or :meth:`WaitedOnce.place`."""


class HeldOnce(msgspec.Struct, frozen=True, kw_only=True):
    """A hold, as the history has it; the fields are those of :class:`HoldChange`."""

    cluster_id: str
    fencing_token: int
    resource: str
    owner: str
    granted_ms: int
    is_grant_known: bool
    slots: int | None
    session: int | None
    waited_ms: int | None
    reason: str | None
    until_ms: int | None
    extensions: int | None
    """None: not known, because some may have been missed."""
    ended_ms: int | None
    """Where the end is unknown: the latest that it can be."""
    ended_by: EndedBy | None
    end_reason: str | None
    forced_by: str | None
    held_ms: int | None
    last_seen_ms: int | None = None
    """Where the end is unknown: the latest time at which it is known to have been held."""

    def place(self) -> tuple[int, int]:
        """Return its place in the order of the history: the newest has the largest."""
        return self.granted_ms, self.fencing_token


class WaitedOnce(msgspec.Struct, frozen=True, kw_only=True):
    """A wait that ended without a grant, as the history has it."""

    cluster_id: str
    number: int
    resource: str
    owner: str
    ticket: int
    began_ms: int
    ended_ms: int
    waited_ms: int
    why: Left

    def place(self) -> tuple[int, int]:
        """Return its place in the order of the history: the newest has the largest."""
        return self.began_ms, self.number


class Found(msgspec.Struct, frozen=True, kw_only=True):
    """What was found, and what is to be known of it."""

    state: HistoryState | None
    """Read before the rows, so they are complete up to it; None: nothing was ever written."""
    entries: tuple[HeldOnce, ...] | tuple[WaitedOnce, ...]
    has_more: bool
    gaps: tuple[Gap, ...]
    """Those of the time that was asked for, the latest first, at most ``GAPS_MAX``."""
    began_ms: int | None
    """When the history of this cluster, or the earliest that it was restored from, began."""


GAPS_MAX = 100
"""Gaps that one answer tells of."""


class Retention(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept. What has not ended stays in any case."""

    days: float
    rows: int
    """Holds and waits together, of one cluster."""


class History(Protocol):
    """Where the history is kept. Every method is bounded in time and raises ``ArchiveError``.

    Calls may come from every node at once, also from one that does not know yet that it leads no
    more. Each method that writes does all or nothing, and nothing when a later leader has written:
    what it returns says how far the history is, whoever brought it there.
    """

    async def state(self, cluster_id: str) -> HistoryState | None:
        """Return how far the history of a cluster is; None when it has not begun."""
        ...

    async def begin(self, claim: Claim, beginning: Beginning) -> HistoryState:
        """Begin the history of a cluster, unless it has begun.

        One that is not whole is *unsettled*: what is held must be looked through.
        """
        ...

    async def append(self, claim: Claim, after: int, changes: Changes) -> HistoryState:
        """Apply changes, if ``after`` is the last event that is in the history: so, each once."""
        ...

    async def skip(self, claim: Claim, gap: Gap) -> HistoryState:
        """Record a gap that begins right after the last event; the history is unsettled then."""
        ...

    async def open_holds(
        self, cluster_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        """Return fencing token and resource of holds that have not ended, in order of tokens.

        Args:
            cluster_id: Whose.
            after: Only larger tokens.
            limit: How many at most.

        """
        ...

    async def settle(
        self,
        claim: Claim,
        *,
        seen: Sequence[HoldChange] = (),
        lost: Sequence[int] = (),
        now_ms: int = 0,
        is_done: bool = False,
    ) -> HistoryState:
        """Set right what a gap left, little by little.

        Args:
            claim: Who writes. The first call keeps every earlier leader out.
            seen: What is held now. How often that was extended, nobody knows any more.
            lost: Tokens that are held no more; where no end is known, it is unknown.
            now_ms: Wall time of the look, the latest at which those can have ended.
            is_done: Whether this was all.

        """
        ...

    async def prune(self, claim: Claim, keep: Retention, rows_max: int) -> int:
        """Delete at most ``rows_max`` of the oldest rows that are beyond ``keep``.

        Rows of clusters that have written nothing for so long go as well.

        Returns:
            How many were deleted; fewer than ``rows_max``: no more are to be.

        """
        ...

    async def find(self, cluster_id: str, question: Question) -> Found:
        """Look something up, in the history of a cluster and of those it was restored from."""
        ...
