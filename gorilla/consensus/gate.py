"""Consensus before there is one: while a cluster forms, the node's API already answers."""

from gorilla.service.errors import StartingError
from gorilla.service.ports import Consensus, ConsensusView, Member, ReadPoint, Role


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
            raise StartingError("the node is starting: it does not take part in the cluster yet")
        return await self._inner.read_point(deadline_s)
