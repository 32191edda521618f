"""Tells those who watch events that the cluster has other members.

Membership is consensus' own affair and in no lock command; so whoever leads records the roster in
the lock table when it is not the one recorded last, and it becomes an event like any other.
"""

import asyncio
import contextlib
import logging
from typing import Final

from gorilla.domain.commands import NoteMembers
from gorilla.domain.limits import MEMBERS_NOTED_MAX
from gorilla.service.errors import GorillaError
from gorilla.service.ports import Consensus, Role
from gorilla.service.proposals import Proposals
from gorilla.service.replica import LockReplica

_log = logging.getLogger(__name__)

LOOK_EVERY_S: Final = 1.0
PROPOSE_S_MAX: Final = 5.0


class MembersNoting:
    """Records the names of the members when they change."""

    def __init__(self, consensus: Consensus, replica: LockReplica, proposals: Proposals) -> None:
        """Look at ``consensus``, compare with ``replica``, record through ``proposals``."""
        self._consensus = consensus
        self._replica = replica
        self._proposals = proposals

    async def run(self, stop: asyncio.Event) -> None:
        """Look every second until ``stop`` is set, or until cancelled."""
        while not stop.is_set():
            try:
                await self.step()
            except GorillaError as error:
                # Nothing depends on it, and the next look tries again.
                _log.debug("the members could not be recorded: %s", error)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), LOOK_EVERY_S)

    async def step(self) -> None:
        """Record the members if this node leads and they are not the recorded ones.

        Raises:
            GorillaError: It could not be recorded, or may not have been.

        """
        view = self._consensus.view()
        if view.role is not Role.LEADER or not self._replica.is_leading:
            return
        everyone = (view.me, *(one.member for one in view.progress))
        names = tuple(sorted({member.name for member in everyone}))[:MEMBERS_NOTED_MAX]
        if names == self._replica.table.members:
            return
        deadline_s = asyncio.get_running_loop().time() + PROPOSE_S_MAX
        await self._proposals.submit(NoteMembers(view.applied_index, names), deadline_s)
