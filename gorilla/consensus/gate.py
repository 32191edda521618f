"""Consensus before there is one: while a cluster forms, the node's API already answers."""

from gorilla.service.errors import StartingError
from gorilla.service.ports import (
    Change,
    ChangeReport,
    Consensus,
    ConsensusView,
    Member,
    Membership,
    ReadPoint,
    Role,
)

_STARTING = "the node is starting: it does not take part in the cluster yet"


class ConsensusGate:
    """A ``service.ports.Consensus`` that says "starting" until it is opened."""

    def __init__(self, me: Member) -> None:
        """Stand in for the consensus of ``me``."""
        self._me = me
        self._inner: Consensus | None = None

    def open(self, consensus: Consensus) -> None:
        """Pass everything on from now on."""
        self._inner = consensus

    def view(self) -> ConsensusView:
        """Look at the node; before the start it follows nobody."""
        if self._inner is not None:
            return self._inner.view()
        return ConsensusView(
            cluster_id="",
            me=self._me,
            role=Role.FOLLOWER,
            term=0,
            leader=None,
            commit_index=0,
            applied_index=0,
            last_index=0,
            snapshot_index=0,
            caught_up=False,
            progress=(),
        )

    def offer(self, offer: int, batch: bytes) -> bool:
        """Hand a batch to the leader; False before the start."""
        return self._inner is not None and self._inner.offer(offer, batch)

    async def read_point(self, deadline_s: float) -> ReadPoint:
        """Wait for a read point.

        Raises:
            StartingError: The cluster is not formed yet, or the node still reads its journal.

        """
        if self._inner is None:
            raise StartingError(_STARTING)
        return await self._inner.read_point(deadline_s)


class MembershipGate:
    """A ``service.ports.Membership`` that says "starting" until it is opened."""

    def __init__(self) -> None:
        """Begin closed."""
        self._inner: Membership | None = None

    def open(self, membership: Membership) -> None:
        """Pass everything on from now on."""
        self._inner = membership

    async def change(
        self, change: Change, *, force: bool, dry_run: bool, deadline_s: float
    ) -> ChangeReport:
        """Make a change.

        Raises:
            StartingError: The cluster is not formed yet, or the node still reads its journal.

        """
        if self._inner is None:
            raise StartingError(_STARTING)
        return await self._inner.change(change, force=force, dry_run=dry_run, deadline_s=deadline_s)
