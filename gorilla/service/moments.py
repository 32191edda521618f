"""When a node may answer from its own state, and how much is left of a time that was promised."""

import math

from msgspec.structs import replace

from gorilla.domain.lease_clock import deadline_ms
from gorilla.domain.outcomes import (
    Granted,
    GrantedAll,
    Renewed,
    RenewedAll,
    Replayed,
    SessionAlive,
)
from gorilla.service import staleness
from gorilla.service.errors import StartingError
from gorilla.service.ports import Consensus
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop


class Moments:
    """Finds the moments that reads are answered as of."""

    def __init__(
        self,
        consensus: Consensus,
        replica: LockReplica,
        loop: EventLoop,
        *,
        request_deadline_s: float,
        leader_grace_s: float,
    ) -> None:
        """Read what ``consensus`` has brought to ``replica``; lengths of time as in settings."""
        self._consensus = consensus
        self._replica = replica
        self._loop = loop
        self._request_deadline_s = request_deadline_s
        self._leader_grace_s = leader_grace_s

    async def confirmed_ms(self) -> int:
        """Wait until the state may be read; return the cluster time to count from.

        Raises:
            NotServedError: No leader confirmed that this node's state is the latest.

        """
        patience_s = self._request_deadline_s
        if self._consensus.view().leader is None:
            patience_s = min(patience_s, self._leader_grace_s)
        point = await self._consensus.read_point(self._loop.time() + patience_s)
        return max(self._replica.table.now_ms, point.now_ms)

    async def moment(self, *, stale: bool) -> tuple[int, int | None]:
        """Return cluster time, and how old the state is when it is read as it stands.

        Args:
            stale: Don't wait for anybody.

        Raises:
            NotServedError: As :meth:`confirmed_ms`; or there is no state yet.

        """
        if not stale:
            return await self.confirmed_ms(), None
        view = self._consensus.view()
        if not (self._replica.applied_index or view.caught_up):
            raise StartingError("this node has no state yet")
        age_ms = staleness.age_ms(view, self._replica)
        return max(self._replica.table.now_ms, self._replica.now_ms()), age_ms


def left_ms(remaining_ms: int, passed_s: float) -> int:
    """Return how much of a promised time is left from the answer on, which is about to go out.

    ``remaining_ms`` counts from the entry's stamp, and the stamp came after the request: no more
    than the time since then (``passed_s``) has passed. What is promised is kept a little longer;
    half of that pays for an answer that comes promptly, so it shows the very number that was asked
    for.
    """
    passed_ms = math.ceil(passed_s * 1_000)
    spare_ms = (deadline_ms(0, remaining_ms) - remaining_ms) // 2
    return remaining_ms if passed_ms <= spare_ms else max(0, remaining_ms - passed_ms)


def replayed_now(replayed: Replayed, passed_s: float) -> Replayed:
    """Return an answer that is given again with what is left of its time, as :func:`left_ms`."""
    earlier = replayed.outcome
    if not isinstance(earlier, Granted | GrantedAll | Renewed | RenewedAll | SessionAlive):
        return replayed
    left = left_ms(earlier.remaining_ms, passed_s)
    return Replayed(replace(earlier, remaining_ms=left))
