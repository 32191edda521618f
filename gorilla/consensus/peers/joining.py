"""What the leader needs of the links to bring a node into the cluster.

:class:`PeerAccess` is what the code that changes the membership is given; ``PeerNetwork.newcomers``
is one. In this order, on the leader:

1. ``dial((member, ...))``: look for the newcomer where it is said to be. Its id may still be "".
2. ``unformed(name)``: poll until it gives the newcomer's ``PeerInfo``. Its ``id`` is the member id.
   A newcomer that was invited before (the leader changed, say) is found too: its ``cluster_id`` is
   then that of the cluster.
3. ``await invite(member, members, deadline_s)``: with that id. When it returns, the newcomer has
   written down that it belongs to the cluster. To invite again does no harm.
4. The newcomer links as any member does: ``PeerHandler.connected`` tells of it. Go on to ``dial``
   it until it is in the roster; ``dial(())`` ends that.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Protocol

from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.consensus.peers.registry import LinkRegistry
from gorilla.service.ports import Member


class InviteError(Exception):
    """The node was not seen to accept; the message says why. It is no member, and nobody counts it.

    It may still have accepted, if the answer was lost: asking again finds that out.
    """


class PeerAccess(Protocol):
    """See above. All calls come from the event loop."""

    def dial(self, nodes: Sequence[Member]) -> None:
        """Dial these nodes besides the roster from now on, instead of those named before."""
        ...

    def unformed(self, name: str) -> PeerInfo | None:
        """Return the linked node of this name that is no member; None when there is none, or two.

        It belongs to no cluster yet, or to this one because it was invited before.
        """
        ...

    async def invite(self, joiner: Member, members: Sequence[Member], deadline_s: float) -> None:
        """Have a node write down that it belongs to this cluster.

        Args:
            joiner: The node, with the addresses that it will have in the roster.
            members: The present roster, this node included.
            deadline_s: Event loop time (seconds) after which to give up.

        Raises:
            InviteError: It is not linked, objects, or did not answer in time.

        """
        ...


class Newcomers:
    """The nodes that are linked with this one and are no members. Implements PeerAccess."""

    def __init__(self, registry: LinkRegistry, roster_changed: Callable[[], None]) -> None:
        """Look at the links of ``registry``; ``roster_changed`` makes the dialers look again."""
        self._registry = registry
        self._roster_changed = roster_changed

    def dial(self, nodes: Sequence[Member]) -> None:
        """Dial these nodes besides the roster (see :class:`PeerAccess`)."""
        self._registry.learners = tuple(nodes)
        self._roster_changed()

    def unformed(self, name: str) -> PeerInfo | None:
        """Return the newcomer of this name (see :class:`PeerAccess`)."""
        registry = self._registry
        others = {member.id for member in registry.members()}
        found = [
            link.info
            for peer, link in registry.current.items()
            if link.info is not None and link.info.name == name and peer not in others
        ]
        if registry.removed is not None:  # its link is about to be cut
            found = [info for info in found if not registry.removed(info.id)]
        return found[0] if len(found) == 1 else None

    async def invite(self, joiner: Member, members: Sequence[Member], deadline_s: float) -> None:
        """Have a node write down that it belongs to this cluster (see :class:`PeerAccess`)."""
        registry = self._registry
        link = registry.current.get(joiner.id)
        if link is None or link.info is None or registry.formation is None:
            raise InviteError(f"{joiner.name} is not linked with {registry.me.name}: start it")
        if link.info.cluster_id is not None:
            return  # of this cluster, or there would be no link: it was invited before
        answer = registry.formation.invite(joiner, members)
        try:
            async with asyncio.timeout_at(deadline_s):
                objection = await asyncio.shield(answer)
        except TimeoutError as error:
            raise InviteError(f"{joiner.name} did not answer the invitation in time") from error
        if objection is not None:
            raise InviteError(f"{joiner.name} does not come: {objection}")
