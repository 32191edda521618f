"""Writes the history: who held what, when, why it ended, and who waited in vain.

It is kept in PostgreSQL out of the event log, beside the locks and never on their way. Every node
runs a writer and only the leader's writes. With the database down nothing else changes: the events
wait in the log, and are written when it is back.
"""

import asyncio
import logging
import secrets
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final, Literal, Protocol

import msgspec

from gorilla.domain.events import Event
from gorilla.domain.limits import FENCING_EPOCH
from gorilla.domain.outcomes import Lease
from gorilla.service.history_folding import fold, seen
from gorilla.service.history_records import Beginning, Claim, Gap, History, HistoryState, Retention
from gorilla.service.ports import Clock, EventSource
from gorilla.service.snapshots import ArchiveError, StorageUnavailableError

BATCH_MAX: Final = 1_000
"""Events written at once, in one transaction."""

GATHER_S: Final = 0.5
"""How long the first event of a batch waits for more."""

LOOK_S: Final = 1.0
"""How often a writer looks whether its node leads."""

STEP_S_MAX: Final = 40.0
"""How long one step may take: it waits for the database about that long."""

FLUSH_S_MAX: Final = 2.0
"""How long a node that stops goes on writing; the next leader writes the rest."""

PRESSING_PART: Final = 4
"""While the next event to write is in the oldest of so many parts of the log, and forgotten soon,
events come before the look through the holds."""

SETTLE_MAX: Final = 1_000
"""Holds looked through at once after a gap."""

PRUNE_MAX: Final = 2_000
"""Rows deleted at once."""

PRUNE_EVERY_S: Final = 300.0
RETRY_S_MIN: Final = 0.5
RETRY_S_MAX: Final = 30.0

log = logging.getLogger(__name__)
_jitter = secrets.SystemRandom().random


class HistorySource(Protocol):
    """What the writer sees of its node, beside the events. None of it may block."""

    def cluster_id(self) -> str:
        """Return the cluster's id; empty while it has not been formed."""
        ...

    def leading_term(self) -> int | None:
        """Return the term that this node leads; None when it does not, or has not caught up."""
        ...

    def fencing_counter(self) -> int:
        """Return the largest fencing token ever given."""
        ...

    def leases(self, after: str, limit: int) -> Sequence[Lease]:
        """Return about ``limit`` leases of locks whose names come after ``after``, in order."""
        ...

    def lease(self, resource: str, fencing_token: int) -> Lease | None:
        """Return the lease of that number; None when it is held no more."""
        ...

    def stamped_wall_ms(self) -> int:
        """Return the wall time of the last applied entry, as its leader stamped it."""
        ...


class HistoryHealth(msgspec.Struct, frozen=True, kw_only=True):
    """How this node's writer does. ``failing_since`` not None is the alarm."""

    configured: bool
    last_number: int | None = None
    """The last event that is in the history; None while this node does not lead."""
    behind: int | None = None
    """Events that are not in it yet; None likewise."""
    failing_since: datetime | None = None
    last_error: str | None = None
    written_total: int = 0
    """Events that this node wrote."""
    failed_total: int = 0
    gaps_total: int = 0
    """Gaps that this node had to record."""


class HistoryWriter:
    """Brings the history up to date while this node leads.

    Each step is one short transaction that applies only if the history is where this node thinks
    it is. So an event is applied once, whatever happens to nodes, connections and commits: who is
    wrong learns where the history is, and goes on from there.

    Args:
        history: None when none is configured: the writer then does nothing.
        events: This node's event log.
        source: The rest of the node.
        clock: For the time of an alarm.
        jitter: Returns a number from 0 to 1, so that nodes don't ask again all at once.

    """

    def __init__(  # noqa: PLR0913 - everything it needs is an input
        self,
        history: History | None,
        events: EventSource,
        source: HistorySource,
        clock: Clock,
        *,
        keep: Retention,
        batch_max: int = BATCH_MAX,
        jitter: Callable[[], float] = _jitter,
    ) -> None:
        self._history = history
        self._events = events
        self._source = source
        self._clock = clock
        self._keep = keep
        self._batch_max = batch_max
        self._jitter = jitter
        self._state: HistoryState | None = None
        self._is_sure = False
        self._settling: _Settling | None = None
        self._prune_at_s = 0.0
        self._failures = 0
        self._failing_since: datetime | None = None
        self._last_error: str | None = None
        self._written_total = 0
        self._failed_total = 0
        self._gaps_total = 0

    async def run(self, stop: asyncio.Event) -> None:
        """Keep the history up to date until ``stop`` is set, then write what is there."""
        if self._history is None:
            return
        working = asyncio.create_task(self._work(stop))
        try:
            await stop.wait()
            await asyncio.wait((working,), timeout=FLUSH_S_MAX)
        finally:
            working.cancel()

    async def _work(self, stop: asyncio.Event) -> None:
        stopped = asyncio.create_task(stop.wait())
        try:
            while not stop.is_set():
                if not await self.attempt():
                    await self._pause(stopped)
            while await self.attempt() or (self._is_sure and self.health().behind):
                continue
        finally:
            stopped.cancel()

    async def attempt(self) -> bool:
        """Do one step; what goes wrong is recorded (:meth:`health`) and tried again later.

        Returns:
            Whether there is more to do at once.

        """
        try:
            async with asyncio.timeout(STEP_S_MAX):
                has_more = await self.step()
        except TimeoutError:
            self._failed(StorageUnavailableError(f"no answer within {STEP_S_MAX:.0f} s"))
        except ArchiveError as error:
            self._failed(error)
        except Exception as error:
            # A bug here must not end the loop: it is an alarm like any other, and tried again.
            log.exception("history step failed")
            self._failed(error)
        else:
            return has_more
        return False

    async def step(self) -> bool:
        """Do the next thing that is to do, if this node leads; return whether there is more.

        Raises:
            ArchiveError: The database did not do it, or nobody knows whether it did.

        """
        term, history = self._source.leading_term(), self._history
        if history is None or term is None or not self._source.cluster_id():
            self._stand_by()
            return False
        claim, state = Claim(self._source.cluster_id(), term), self._state
        # Until the database has answered, nothing is known for certain.
        is_sure, self._is_sure = self._is_sure, False
        if state is None or not is_sure:
            state = await self._opened(history, claim)
        elif self._events.last_number < state.number:
            log.debug("this node has yet to apply what is in the history already")
        elif self._events.first_number > state.number + 1:
            state = await self._skip(history, claim, state)
        elif state.unsettled_ms is not None and not self._is_pressed(state):
            state = await self._settle(history, claim)
        else:
            state = await self._append(history, claim, state)
        self._succeeded()
        self._state, self._is_sure = state, state.term <= term
        if not self._is_sure:
            # A later leader writes already; this node will hear of it.
            return False
        return await self._prune(history, claim) or self._has_more(state)

    def health(self) -> HistoryHealth:
        """Look at how it goes; cheap, asks nobody."""
        state = self._state
        return HistoryHealth(
            configured=self._history is not None,
            last_number=None if state is None else state.number,
            behind=None if state is None else max(0, self._events.last_number - state.number),
            failing_since=self._failing_since,
            last_error=self._last_error,
            written_total=self._written_total,
            failed_total=self._failed_total,
            gaps_total=self._gaps_total,
        )

    def _has_more(self, state: HistoryState) -> bool:
        """Whether the next step is to come at once, rather than after a while."""
        waiting = self._events.last_number - state.number
        return (
            waiting >= self._batch_max
            or state.unsettled_ms is not None
            or (waiting > 0 and self._events.first_number > state.number + 1)
        )

    def _is_pressed(self, state: HistoryState) -> bool:
        """Whether the next event to write is among the oldest ones of the log."""
        oldest = self._events.first_number
        kept = self._events.last_number + 1 - oldest
        return state.number + 1 - oldest < kept // PRESSING_PART

    async def _opened(self, history: History, claim: Claim) -> HistoryState:
        """Find where the history is, or begin it with the oldest event that is there."""
        state = await history.state(claim.cluster_id)
        if state is not None:
            return state
        counter = self._source.fencing_counter()
        number = self._events.first_number - 1
        beginning = Beginning(
            number=number,
            at_ms=self._first_ms(),
            is_whole=number == 0,
            fencing_floor=counter - counter % FENCING_EPOCH,
        )
        return await history.begin(claim, beginning)

    async def _append(self, history: History, claim: Claim, state: HistoryState) -> HistoryState:
        events = self._events.after(state.number, self._batch_max)
        return await self._add(history, claim, state, events) if events else state

    async def _add(
        self, history: History, claim: Claim, state: HistoryState, events: Sequence[Event]
    ) -> HistoryState:
        after = await history.append(claim, state.number, fold(events))
        if after.number == events[-1].number and after.term == claim.term:
            self._written_total += len(events)
        return after

    async def _skip(self, history: History, claim: Claim, state: HistoryState) -> HistoryState:
        """Record that events were forgotten here before they were written, and write the next."""
        # Taken now: by the time that the gap is recorded, the first of them are forgotten too.
        events = self._events.after(state.number, self._batch_max)
        gap = Gap(
            first_number=state.number + 1,
            last_number=self._events.first_number - 1,
            from_ms=state.at_ms,
            to_ms=max(self._first_ms(), state.at_ms),
        )
        # A hold that was looked at already may have ended in this gap.
        self._settling = None
        after = await history.skip(claim, gap)
        if after.number != gap.last_number or after.term != claim.term:
            return after
        self._gaps_total += 1
        log.warning(
            "the history lacks the events %d to %d: the database was away for too long",
            gap.first_number,
            gap.last_number,
        )
        return await self._add(history, claim, after, events) if events else after

    async def _settle(self, history: History, claim: Claim) -> HistoryState:
        """Compare some more of the history's holds with those of the lock table."""
        at = self._settling
        if at is None or at.claim != claim:
            self._settling = _Settling(claim)
            # Whatever an earlier leader does comes before this, or not at all.
            return await history.settle(claim)
        if not at.is_past_open:
            return await self._settle_open(history, at)
        leases = self._source.leases(at.name, SETTLE_MAX)
        if leases:
            state = await history.settle(claim, seen=tuple(map(seen, leases)))
            at.name = leases[-1].lock
            return state
        self._settling = None
        return await history.settle(claim, is_done=True)

    async def _settle_open(self, history: History, at: "_Settling") -> HistoryState:
        """Look through some holds that have not ended in the history, whether they have in fact."""
        holds = await history.open_holds(at.claim.cluster_id, at.token, SETTLE_MAX)
        leases = [(token, self._source.lease(name, token)) for token, name in holds]
        held = [seen(lease) for _, lease in leases if lease is not None]
        lost = [token for token, lease in leases if lease is None]
        now_ms = self._source.stamped_wall_ms()
        state = await history.settle(at.claim, seen=held, lost=lost, now_ms=now_ms)
        at.token = holds[-1][0] if holds else at.token
        at.is_past_open = len(holds) < SETTLE_MAX
        return state

    async def _prune(self, history: History, claim: Claim) -> bool:
        """Delete some of what is beyond the bounds, if it is time; return whether there is more."""
        now_s = self._clock.monotonic()
        if now_s < self._prune_at_s:
            return False
        has_more = await history.prune(claim, self._keep, PRUNE_MAX) >= PRUNE_MAX
        if not has_more:
            self._prune_at_s = now_s + PRUNE_EVERY_S
        return has_more

    def _first_ms(self) -> int:
        """Return the wall time of the oldest event that is there, or of the last entry."""
        events = self._events.after(self._events.first_number - 1, 1)
        return events[0].wall_ms if events else self._source.stamped_wall_ms()

    async def _pause(self, stopped: "asyncio.Task[Literal[True]]") -> None:
        """Wait for the next thing to do."""
        if self._failures:
            await asyncio.wait((stopped,), timeout=self.retry_s())
        elif (state := self._state) is None or not self._is_sure:
            await asyncio.wait((stopped,), timeout=LOOK_S)
        else:
            if self._events.last_number <= state.number:
                waited = (stopped, self._events.wakeup())
                await asyncio.wait(waited, timeout=LOOK_S, return_when=asyncio.FIRST_COMPLETED)
            if self._events.last_number > state.number and not self._has_more(state):
                await asyncio.wait((stopped,), timeout=GATHER_S)

    def retry_s(self) -> float:
        """Return how long to wait after a failure (seconds)."""
        backoff_s = min(RETRY_S_MAX, RETRY_S_MIN * 2.0 ** min(max(0, self._failures - 1), 16))
        return backoff_s * (0.5 + self._jitter() / 2)

    def _stand_by(self) -> None:
        self._state, self._is_sure, self._settling = None, False, None
        self._failures = 0
        self._failing_since = None
        self._last_error = None

    def _succeeded(self) -> None:
        if self._failing_since is not None:
            log.info("the history is written again after %d failures", self._failures)
        self._failures = 0
        self._failing_since = None
        self._last_error = None

    def _failed(self, error: BaseException) -> None:
        self._failures += 1
        self._failed_total += 1
        said = str(error).splitlines()
        self._last_error = said[0] if said else type(error).__name__
        if self._failing_since is None:
            now_ms = self._clock.wall_ms()
            self._failing_since = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=now_ms)
            log.warning("the history can't be written, locks go on: %s", self._last_error)


class _Settling(msgspec.Struct):
    """How far the holds have been looked through after a gap."""

    claim: Claim
    token: int = 0
    is_past_open: bool = False
    name: str = ""
