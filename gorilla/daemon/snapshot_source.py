"""The node's state as the snapshot keeper sees it (``service.snapshots.SnapshotSource``)."""

from gorilla.service.ports import Consensus, Role
from gorilla.service.replica import LockReplica
from gorilla.service.snapshots import Captured


class ReplicaSource:
    """Captures from the replica, says who from consensus."""

    def __init__(self, node: str, consensus: Consensus, replica: LockReplica) -> None:
        """Capture for the node of this name."""
        self._node = node
        self._consensus = consensus
        self._replica = replica

    def cluster_id(self) -> str:
        """Return the cluster's id; empty while it has not been formed."""
        return self._consensus.view().cluster_id

    def chain(self) -> str:
        """Return a mark that every change of a lock moves, and time alone does not.

        Each of them is an event, and events are numbered.
        """
        return f"{self._replica.table.event_counter:016x}"

    def leads(self) -> bool:
        """Whether this node leads now."""
        return self._consensus.view().role is Role.LEADER

    def capture(self) -> Captured:
        """Freeze the state as of the last applied entry."""
        table = self._replica.table
        return Captured(
            cluster_id=self.cluster_id(),
            node=self._node,
            term=table.term,
            applied_index=self._replica.applied_index,
            now_ms=table.now_ms,
            lock_count=table.held,
            fencing_counter=table.fencing_counter,
            chain=self.chain(),
            state=self._replica.freeze(),
        )
