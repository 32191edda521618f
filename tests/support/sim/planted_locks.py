"""Bugs to plant in the lock table and the service, from here, never in the product."""

from collections.abc import Iterable
from contextlib import AbstractContextManager
from typing import Any

from gorilla.domain import granting, holding, keeping, limits
from gorilla.domain.commands import Batch
from gorilla.domain.lock_records import LockRecord
from gorilla.domain.outcomes import Outcome
from gorilla.domain.table import LockTable
from gorilla.service import proposals
from gorilla.service.errors import NoLeaderError
from gorilla.service.replica import LockReplica
from gorilla.service.time import ClusterClock
from tests.support.sim.patching import both, replaced


def double_apply() -> AbstractContextManager[None]:
    """Forget what an origin's commands gave, so that one offered again is done again."""

    def apply_batch(self: Any, batch: Batch, outcomes: list[tuple[str, int, Outcome]]) -> None:
        for number, command in batch.commands:
            outcomes.append((batch.origin, number, self._execute(command, batch.origin)))

    return replaced(LockTable, _apply_batch=apply_batch)


def fencing_lost_at_snapshot() -> AbstractContextManager[None]:
    """Take the counter, after a snapshot is loaded, from the leases that are left."""

    def load(
        cls: Any, chunks: Iterable[bytes], bounds: Any = limits.BOUNDS, **more: Any
    ) -> LockTable:
        loaded: LockTable = original(cls, chunks, bounds, **more)
        left = [lease.fencing_token for lease in loaded.leases()]
        loaded._book.fencing_counter = max(left, default=0)
        return loaded

    original = LockTable.load.__func__  # type: ignore[attr-defined]  # a classmethod has one
    return replaced(LockTable, load=classmethod(load))


def expiry_by_wall_clock() -> AbstractContextManager[None]:
    """Let cluster time follow the leader's wall clock."""

    def now_ms(self: Any) -> int:
        if not hasattr(self, "wall_start_ms") or self._base_ms != self.wall_base_ms:
            self.wall_base_ms, self.wall_start_ms = self._base_ms, self._clock.wall_ms()
        moved_ms = self._clock.wall_ms() - self.wall_start_ms
        self._shown_ms = max(self._shown_ms, self._base_ms + moved_ms)
        return int(self._shown_ms)

    return replaced(ClusterClock, now_ms=now_ms)


def early_expiry() -> AbstractContextManager[None]:
    """End leases a little before their time."""

    def deadline_ms(now_ms: int, ttl_ms: int) -> int:
        return now_ms + ttl_ms * 9 // 10

    return both(
        both(
            replaced(granting, deadline_ms=deadline_ms), replaced(holding, deadline_ms=deadline_ms)
        ),
        replaced(keeping, deadline_ms=deadline_ms),
    )


def any_token_works() -> AbstractContextManager[None]:
    """Take every token of a lock for its holder's."""
    return replaced(LockRecord, lease_with=lambda self, _secret: self.holders[0])


def time_jumps_at_election() -> AbstractContextManager[None]:
    """Let a new leader's cluster time jump ahead of what the state has."""

    def lead(self: Any, term: int) -> None:
        original(self, term)
        self._running.start(self.table.now_ms + 1_500)

    original = LockReplica.lead
    return replaced(LockReplica, lead=lead)


def unknown_told_as_undone() -> AbstractContextManager[None]:
    """Tell a caller that nothing was done when nobody knows."""

    def unknown(waited_s: float) -> NoLeaderError:
        return NoLeaderError(f"nothing was done in {waited_s} s")

    return replaced(proposals, OutcomeUnknownError=unknown)
