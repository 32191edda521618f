"""Which connection is the current one of which peer, and who is told about it."""

import asyncio
import itertools
import logging
from collections.abc import Callable, Sequence
from typing import Final

from gorilla.consensus.peers.admission import decide
from gorilla.consensus.peers.contract import FormationLinks, PeerHandler
from gorilla.consensus.peers.handshake import PeerInfo, Reason, Refusal, Refused
from gorilla.consensus.peers.link import Link
from gorilla.consensus.ports import Message
from gorilla.service.ports import Member

logger = logging.getLogger(__name__)

STRANGERS_MAX: Final = 32
"""Connections that have not proved anything yet. One more closes the oldest of them."""

_COMPLAIN_EVERY_S: Final = 30.0
_NEVER_PROVED: Final = frozenset({Reason.AUTHENTICATION_FAILED, Reason.PROTOCOL})


class LinkRegistry:
    """All connections of this node. Exactly one per peer is current: the one opened last.

    Links in which either side belongs to no cluster are formation's; the others the handler's.
    """

    def __init__(
        self,
        me: Member,
        cluster_id: str | None,
        members: Callable[[], Sequence[Member]],
        handler: PeerHandler | None,
        news: Callable[[str], None],
    ) -> None:
        """Begin without links.

        Args:
            me: This node.
            cluster_id: None before the cluster was formed.
            members: Gives the roster.
            handler: Told of links between members; None until it is there.
            news: Called with a member's name when its link came or went.

        """
        self.me = me
        self.cluster_id = cluster_id
        self.members = members
        self.removed: Callable[[str], bool] | None = None
        """Tells whether a member of this id was removed for good."""
        self.learners: tuple[Member, ...] = ()
        """The nodes that are dialled though the roster doesn't have them (yet)."""
        self.handler = handler
        self.formation: FormationLinks | None = None
        self.current: dict[str, Link] = {}
        self.all: set[Link] = set()
        self.closing = False
        """While set, nobody is told anything, and connections are closed at once."""
        self._news = news
        self._strangers: dict[Link, None] = {}
        self._generations = itertools.count(1)
        self._refusals: dict[str, Refusal] = {}
        self._complained_at: dict[str, float] = {}

    def admit(self, info: PeerInfo, dialled: str | None, *, said_unformed: bool) -> Refusal | None:
        """Decide about a peer at the end of a handshake.

        Args:
            info: What the peer proved.
            dialled: The member that this node called; None when it was called.
            said_unformed: Whether this node said, in this handshake, that it had no cluster.

        """
        if dialled is not None and info.name != dialled and info.id != self.me.id:
            return Refusal(
                Reason.WRONG_PEER,
                f"{info.name} answers at the address of {dialled}: one of their addresses is wrong",
            )
        refusal = decide(self.me, self.cluster_id, self.members(), info, self.removed)
        if refusal is not None:
            return refusal
        for_formation = said_unformed or info.cluster_id is None
        if (self.formation if for_formation else self.handler) is None:
            return Refusal(Reason.STARTING, f"{self.me.name} is starting")
        return None

    def entered(self, cluster_id: str) -> None:
        """This node belongs to a cluster from now on."""
        self.cluster_id = cluster_id
        self._refusals.clear()

    def hand_over_to(self, handler: PeerHandler) -> None:
        """Tell this handler from now on, of refusals that nobody heard of too."""
        self.handler = handler
        self._refusals.clear()

    def is_linked(self, name: str) -> bool:
        """Return whether there is a link to a node of this name."""
        return any(link.info and link.info.name == name for link in self.current.values())

    def member_named(self, name: str) -> Member | None:
        """Return the learner or the member of this name; a learner may replace its namesake."""
        known = (*self.learners, *self.members())
        return next((member for member in known if member.name == name), None)

    def cut_removed(self) -> None:
        """End the links of members that were removed for good; what was written still goes out."""
        if self.removed is None:
            return
        for peer, link in list(self.current.items()):
            if self.removed(peer):
                link.close("it was removed from the cluster")

    def troubled(self, name: str, reason: str) -> None:
        """Tell formation why a member was not reached."""
        if self.formation is not None and self.cluster_id is None:
            self.formation.troubled(name, reason)

    # What links report.

    def opened(self, link: Link) -> None:
        """Count a new connection in."""
        link.generation = next(self._generations)
        self.all.add(link)
        self._strangers[link] = None
        if len(self._strangers) > STRANGERS_MAX:
            # The oldest rather than this one: whoever fills the places does not keep them.
            next(iter(self._strangers)).close("too many connections at once", abort=True)
        if self.closing:
            link.close("this node stops", abort=True)

    def established(self, link: Link) -> None:
        """Make it the current link of its peer; an older one is superseded."""
        assert link.info is not None
        self._strangers.pop(link, None)
        peer = link.info.id
        older = self.current.get(peer)
        if older is not None and older.generation > link.generation:
            link.close("a newer connection is in use", abort=True)
            return
        if older is not None:
            older.close("superseded by a newer connection", abort=True)
        self.current[peer] = link
        self._refusals.pop(link.info.name, None)
        logger.info("linked with %s (%s, Gorilla %s)", link.info.name, peer, link.info.version)
        self._news(link.info.name)
        if link.formation:
            assert self.formation is not None
            self.formation.linked(link.info)
        else:
            assert self.handler is not None
            self.handler.connected(peer, link.info)

    def received(self, link: Link, message: Message) -> None:
        """Hand over a message, unless the link is superseded."""
        assert link.info is not None
        peer = link.info.id
        if self.current.get(peer) is not link or self.closing:
            return
        listener = self.formation if link.formation else self.handler
        assert listener is not None
        listener.received(peer, message)

    def refused(self, link: Link, refused: Refused) -> None:
        """Tell who has to know that there is no link, and why."""
        refusal = refused.refusal
        name = link.dialled or refused.peer_name or "?"
        if not refused.by_peer:
            self._complain(link, name, refusal)
            self.troubled(name, f"this node refuses it: {refusal.text}")
        elif self.member_named(name) is None or self.closing:
            logger.debug("refused by %s: %s", link.remote, refusal.text)
        elif link.dialled is not None or refusal.reason not in _NEVER_PROVED:
            # Whoever calls may claim any name until it has proved itself.
            self._surface(name, refusal)

    def closed(self, link: Link, why: str) -> None:
        """Count it out and, if it was current, tell."""
        self.all.discard(link)
        self._strangers.pop(link, None)
        if link.info is None or self.current.get(link.info.id) is not link:
            logger.debug("connection with %s closed: %s", link.remote, why)
            return
        peer = link.info.id
        del self.current[peer]
        logger.info("link with %s lost: %s", link.info.name, why)
        self._news(link.info.name)
        if self.closing:
            return
        if link.formation:
            assert self.formation is not None
            self.formation.unlinked(peer)
        else:
            assert self.handler is not None
            self.handler.disconnected(peer)

    def _surface(self, name: str, refusal: Refusal) -> None:
        self.troubled(name, refusal.text)
        if self._refusals.get(name) == refusal:
            return
        self._refusals[name] = refusal
        if refusal.reason == Reason.STARTING:
            return
        logger.warning("%s refuses this node: %s", name, refusal.text)
        listener = self.formation if self.cluster_id is None else self.handler
        if listener is not None:
            listener.refused(name, refusal.reason, refusal.text)

    def _complain(self, link: Link, name: str, refusal: Refusal) -> None:
        """Log that this node refuses another; one line per reason and half minute is enough."""
        now = asyncio.get_running_loop().time()
        last = self._complained_at.get(refusal.reason)
        if refusal.reason == Reason.STARTING or (
            last is not None and now - last < _COMPLAIN_EVERY_S
        ):
            return
        self._complained_at[refusal.reason] = now
        logger.warning("refused %s, which calls itself %s: %s", link.remote, name, refusal.text)
