"""This node and its cluster, for operators, load balancers and the dashboard."""

from collections.abc import Callable
from typing import Final

import msgspec

from gorilla.service.history import HistoryHealth
from gorilla.service.ports import Clock, Consensus, ConsensusView, Role
from gorilla.service.replica import LockReplica
from gorilla.service.snapshots import SnapshotHealth

_NO_ARCHIVE: Final = SnapshotHealth(configured=False)
_NO_HISTORY: Final = HistoryHealth(configured=False)


class ClusterStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The cluster as this node sees it."""

    name: str
    """What the operator calls it."""
    consensus: ConsensusView
    now_ms: int
    """Cluster time; an estimate on any node but the leader."""
    held: int
    """Leases in this node's state."""
    waiting: int
    """Waits in this node's state."""
    sessions: int
    """Sessions in this node's state."""
    fencing_counter: int
    """The largest fencing token in this node's state."""
    chain: str
    """Running digest of everything applied, in hex: equal on nodes of equal ``applied_index``."""
    applied_index: int
    """Log index of the last entry that changed the state."""
    version: str
    """Release of this node."""
    level: int
    """The highest feature level that this node supports."""
    cluster_version: int
    """The feature level in use, in this node's state."""
    uptime_s: float
    is_draining: bool
    snapshots: SnapshotHealth
    history: HistoryHealth


class Check(msgspec.Struct, frozen=True):
    """One condition of readiness."""

    name: str
    ok: bool
    detail: str


class Readiness(msgspec.Struct, frozen=True):
    """Whether this node should get requests, and why not."""

    ready: bool
    is_leader: bool
    checks: tuple[Check, ...]


class ClusterService:
    """Looks at the node; decides whether it is ready."""

    def __init__(  # noqa: PLR0913 - everything it looks at is an input
        self,
        consensus: Consensus,
        replica: LockReplica,
        clock: Clock,
        version: str,
        *,
        name: str = "gorilla",
        snapshots: Callable[[], SnapshotHealth] = lambda: _NO_ARCHIVE,
        history: Callable[[], HistoryHealth] = lambda: _NO_HISTORY,
    ) -> None:
        """Look at all of these; the uptime counts from now on."""
        self._consensus = consensus
        self._replica = replica
        self._clock = clock
        self._version = version
        self._name = name
        self._snapshots = snapshots
        self._history = history
        self._started_s = clock.monotonic()
        self._stopping = False
        self._drained = False

    def view(self) -> ClusterStatus:
        """Return the present state of the cluster, as far as this node knows."""
        table = self._replica.table
        return ClusterStatus(
            name=self._name,
            consensus=self._consensus.view(),
            now_ms=self._replica.now_ms(),
            held=table.held,
            waiting=len(table.waiters),
            sessions=table.session_count,
            fencing_counter=table.fencing_counter,
            chain=table.chain.hex(),
            applied_index=self._replica.applied_index,
            version=self._version,
            level=self._replica.supported,
            cluster_version=table.cluster_version,
            uptime_s=self._clock.monotonic() - self._started_s,
            is_draining=self._stopping or self._drained,
            snapshots=self._snapshots(),
            history=self._history(),
        )

    def readiness(self) -> Readiness:
        """Return whether requests should be sent here. The database has no part in it."""
        view = self._consensus.view()
        if not view.cluster_id:
            return Readiness(ready=False, is_leader=False, checks=(_IN_NO_CLUSTER,))
        checks = (_leader_known(view), _caught_up(view), self._not_draining())
        ready = all(check.ok for check in checks)
        is_leader = view.role is Role.LEADER and view.leader is not None
        return Readiness(ready, is_leader, checks)

    def start_draining(self) -> None:
        """Be not ready from now on, so that load balancers send no more; requests are served."""
        self._stopping = True

    def drain(self, draining: bool) -> None:  # noqa: FBT001  a callback's one argument
        """An operator wants this node to get no requests, or to get them again."""
        self._drained = draining

    def _not_draining(self) -> Check:
        detail = "this node takes requests"
        if self._drained:
            detail = "an operator drained this node"
        if self._stopping:
            detail = "this node is stopping"
        return Check("not_draining", not (self._stopping or self._drained), detail)


_IN_NO_CLUSTER: Final = Check(
    "in_cluster",
    ok=False,
    detail="this node belongs to no cluster yet; its log says what it waits for",
)


def _leader_known(view: ConsensusView) -> Check:
    if view.leader is None:
        return Check("leader_known", ok=False, detail="no leader with a majority is known")
    return Check("leader_known", ok=True, detail=f"{view.leader.name} leads term {view.term}")


def _caught_up(view: ConsensusView) -> Check:
    detail = f"applied {view.applied_index} of {view.commit_index} known to be committed"
    return Check("caught_up", view.caught_up, detail)
