"""The end of a rolling upgrade: the leader raises the cluster version.

See ``gorilla.domain.versions`` for what that is, and docs/operations/upgrading.md for operators.
"""

import asyncio
import contextlib
import logging
from typing import Final

from gorilla.service.ports import Consensus, ConsensusView, Role
from gorilla.service.replica import LockReplica

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0


class Upgrading:
    """Raises the cluster version as far as the operator allows and every member supports."""

    def __init__(self, consensus: Consensus, replica: LockReplica, allowed: int) -> None:
        """Look at ``consensus``, raise in ``replica``.

        Args:
            consensus: Tells the members, and what each supports.
            replica: Of this node; its own software counts, too.
            allowed: The operator's word: never beyond this level.

        """
        self._consensus = consensus
        self._replica = replica
        self._allowed = allowed
        self._said = ""

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until ``stop`` is set, or until cancelled."""
        while not stop.is_set():
            try:
                self.step()
            except Exception:
                # Locks don't depend on it: the operator reads of it, and it is tried again.
                _log.exception("looking after the cluster version failed")
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)

    def step(self) -> None:
        """Raise the cluster version if this node leads and nothing is in the way."""
        view = self._consensus.view()
        if view.role is not Role.LEADER or not self._replica.is_leading:
            return
        target = min(self._allowed, self._replica.supported)
        if target <= self._replica.table.cluster_version:
            return
        obstacle = _obstacle(view, target)
        if obstacle is None:
            self._say(f"every member supports feature level {target}: the upgrade is finalised")
            self._replica.raise_to(target)
        else:
            self._say(f"the cluster version is not raised to {target} yet: {obstacle}")

    def _say(self, text: str) -> None:
        """Tell the operator, once."""
        if text != self._said:
            self._said = text
            _log.info("%s", text)


def _obstacle(view: ConsensusView, target: int) -> str | None:
    """Return what keeps the other members from ``target``, None when nothing does."""
    for other in view.progress:
        if not other.connected or other.level is None:
            return f"{other.member.name} is not connected"
        if other.level < target:
            return f"{other.member.name} supports feature level {other.level}"
    return None
