"""The history of one node: what writes it, what answers from it, and what both see of the node."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from gorilla.config import ClusterConfig
from gorilla.domain.outcomes import Lease
from gorilla.service.history import HistoryWriter
from gorilla.service.history_reading import NOT_CONFIGURED, SWITCHED_OFF, HistoryService
from gorilla.service.history_records import Retention
from gorilla.service.ports import Clock, Consensus, EventSource, Role
from gorilla.service.replica import LockReplica

if TYPE_CHECKING:
    from gorilla.storage.history import PostgresHistory


class ReplicaHistorySource:
    """Reads the replica, and asks consensus who leads (a ``service.history.HistorySource``)."""

    def __init__(self, consensus: Consensus, replica: LockReplica) -> None:
        """Read these."""
        self._consensus = consensus
        self._replica = replica

    def cluster_id(self) -> str:
        """Return the cluster's id; empty while it has not been formed."""
        return self._consensus.view().cluster_id

    def leading_term(self) -> int | None:
        """Return the term that this node leads; None when it does not, or has not caught up."""
        view = self._consensus.view()
        return view.term if view.role is Role.LEADER and view.caught_up else None

    def fencing_counter(self) -> int:
        """Return the largest fencing token ever given."""
        return self._replica.table.fencing_counter

    def leases(self, after: str, limit: int) -> Sequence[Lease]:
        """Return about ``limit`` leases of locks whose names come after ``after``, in order."""
        return self._replica.table.leases(after=after, limit=limit)

    def lease(self, resource: str, fencing_token: int) -> Lease | None:
        """Return the lease of that number; None when it is held no more."""
        holders = self._replica.table.holders(resource)
        return next((one for one in holders if one.fencing_token == fencing_token), None)

    def stamped_wall_ms(self) -> int:
        """Return the wall time of the last applied entry, as its leader stamped it."""
        table = self._replica.table
        return max(0, table.now_ms + table.wall_offset_ms)


class NodeHistory(msgspec.Struct, frozen=True):
    """The history as one node has it."""

    writer: HistoryWriter
    service: HistoryService
    store: "PostgresHistory | None"

    async def close(self) -> None:
        """Close the connections to the database."""
        if self.store is not None:
            await self.store.close()


def build_history(
    config: ClusterConfig,
    consensus: Consensus,
    replica: LockReplica,
    events: EventSource,
    clock: Clock,
) -> NodeHistory:
    """Build the history that ``config`` wants; without a database it does nothing."""
    store = _store(config)
    source = ReplicaHistorySource(consensus, replica)
    keep = Retention(days=config.history.keep_days, rows=config.history.keep_rows)
    why_none = NOT_CONFIGURED if config.history.enabled else SWITCHED_OFF
    return NodeHistory(
        writer=HistoryWriter(store, events, source, clock, keep=keep),
        service=HistoryService(store, events, source, why_none=why_none),
        store=store,
    )


def _store(config: ClusterConfig) -> "PostgresHistory | None":
    if not config.database.url or not config.history.enabled:
        return None
    # Only here: SQLAlchemy is half of what a node takes to start.
    from gorilla.storage.history import PostgresHistory  # noqa: PLC0415

    return PostgresHistory(config.database.url.reveal())
