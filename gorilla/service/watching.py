"""Where somebody who watches events begins, and whether this node may serve them."""

import asyncio
from typing import Final

import msgspec

from gorilla.service.cluster import ClusterService
from gorilla.service.errors import DrainingError, NoLeaderError, StartingError
from gorilla.service.ports import Consensus, EventSource

LOOK_S_MAX: Final = 5.0
"""How long an id that this node has not heard of may wait for the leader's word."""


class Start(msgspec.Struct, frozen=True):
    """Where to begin."""

    number: int
    """The event before the first one to send; the node has applied it."""
    unknown: int | None = None
    """The number asked for, when the cluster never gave it."""


class EventService:
    """Serves the events of this node to those who watch.

    Attributes:
        source: What this node has applied.

    """

    def __init__(self, source: EventSource, consensus: Consensus, cluster: ClusterService) -> None:
        """Serve ``source`` while ``cluster`` finds this node ready."""
        self.source = source
        self._consensus = consensus
        self._cluster = cluster

    @property
    def is_served(self) -> bool:
        """Whether events arrive here: a node that is cut off would keep its watchers in silence."""
        return self._cluster.readiness().ready

    async def start(self, after: int | None) -> Start:
        """Return where to begin after the event ``after``, or now.

        A number beyond the last event here is no error: the node that gave it was ahead of this
        one. The leader's word settles it. Once this node has applied all that was committed when
        it was asked, a number that it still doesn't know is none of this cluster's.

        Raises:
            NotServedError: This node is no place to watch at; another one may be.

        """
        self._require_served()
        if after is None:
            return Start(self.source.last_number)
        if after > self.source.last_number:
            await self._consensus.read_point(asyncio.get_running_loop().time() + LOOK_S_MAX)
        last = self.source.last_number
        return Start(after) if after <= last else Start(last, unknown=after)

    def _require_served(self) -> None:
        readiness = self._cluster.readiness()
        if readiness.ready:
            return
        failed = {check.name: check.detail for check in readiness.checks if not check.ok}
        if "not_draining" in failed:
            raise DrainingError(f"{failed['not_draining']}: watch at another one")
        if "leader_known" in failed:
            raise NoLeaderError(failed["leader_known"])
        raise StartingError("; ".join(failed.values()))
