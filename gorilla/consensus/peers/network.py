"""The links of this node to all others: at most one current link each, always being restored."""

import asyncio
import contextlib
import itertools
import logging
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from gorilla.config.addresses import Address, parse_address
from gorilla.config.secrets import Secret
from gorilla.consensus.peers.admission import AdmitStranger
from gorilla.consensus.peers.dialing import Dialer, Pace
from gorilla.consensus.peers.handshake import (
    AcceptorHandshake,
    PeerInfo,
    Reason,
    Refusal,
    Refused,
    require_protection,
)
from gorilla.consensus.peers.link import LAST_WORDS_S, Link
from gorilla.consensus.ports import Message
from gorilla.service.ports import Member

logger = logging.getLogger(__name__)

STRANGERS_MAX: Final = 32
"""Connections that have not proved anything yet. One more closes the oldest of them."""

_BACKLOG: Final = 64
_COMPLAIN_EVERY_S: Final = 30.0


class PeerHandler(Protocol):
    """What consensus wants to hear of the other members. All calls come from the event loop.

    None of these may raise: asyncio closes the link then and tells the loop's exception handler.
    """

    def connected(self, peer_id: str, info: PeerInfo) -> None:
        """There is a new link to this member; what was sent before is lost or was received."""
        ...

    def disconnected(self, peer_id: str) -> None:
        """The link is gone; nothing more is received from it."""
        ...

    def received(self, peer_id: str, message: Message) -> None:
        """A message came over the current link."""
        ...

    def unreachable(self, peer_id: str) -> None:
        """Nobody listens at the member's address: its process is dead. Repeated while it is so."""
        ...

    def refused(self, peer_name: str, reason: str, text: str) -> None:
        """A member refuses this node. Told once until the reason changes or a link is there."""
        ...


class FormationLinks(Protocol):
    """Hears of links of which one side or the other belongs to no cluster yet."""

    def linked(self, info: PeerInfo) -> None:
        """There is a new link."""
        ...

    def unlinked(self, peer: str) -> None:
        """It is gone."""
        ...

    def received(self, peer: str, message: Message) -> None:
        """A message came over it."""
        ...

    def refused(self, name: str, reason: str, text: str) -> None:
        """A node refuses this one, which belongs to no cluster yet."""
        ...

    def troubled(self, name: str, reason: str) -> None:
        """A node could not be reached."""
        ...


class PortInUseError(OSError):
    """Another process listens at the address."""


@dataclass(frozen=True)
class PeerOptions:
    """What has a good default. Lengths of time in seconds."""

    bind: Address | None = None
    """Where to listen when that is not the advertised address."""
    version: str = "0"
    """Of this software, told to the others."""
    server_tls: ssl.SSLContext | None = None
    client_tls: ssl.SSLContext | None = None
    ping_every_s: float = 0.2
    dead_after_s: float = 3.0
    """Silence that ends a link."""
    handshake_s: float = 2.0
    pace: Pace = field(default_factory=Pace)
    unsent_bytes_max: int = 64 * 1024 * 1024
    """Per peer; more cuts the link."""
    admit: AdmitStranger | None = None
    """Asked about authenticated peers that the roster does not have."""
    jitter: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)


class PeerNetwork:
    """Listens, dials, and hands over messages. Implements :class:`gorilla.consensus.ports.Wire`.

    ``handler`` may be set later: until then other members of the cluster are told that this node
    is starting.
    """

    def __init__(
        self,
        me: Member,
        cluster_id: str | None,
        secret: Secret,
        members: Callable[[], Sequence[Member]],
        handler: PeerHandler | None = None,
        options: PeerOptions | None = None,
    ) -> None:
        """Prepare; nothing is opened before :meth:`start`.

        Args:
            me: This node, with its advertised address.
            cluster_id: None before the cluster was formed.
            secret: What all nodes of the cluster share.
            members: Gives the roster (addresses included) whenever it is needed. Before the
                cluster was formed: the members to be, whose ids don't matter.
            handler: Told of the other members.
            options: The rest.

        """
        self.address: Address | None = None
        """Where it listens, once it does."""
        self._me = me
        self._cluster_id = cluster_id
        self._secret = secret
        self._members = members
        self._handler = handler
        self._formation: FormationLinks | None = None
        self._options = options or PeerOptions()
        self._server: asyncio.Server | None = None
        self._links: set[Link] = set()
        self._strangers: dict[Link, None] = {}
        self._current: dict[str, Link] = {}
        self._unflushed: dict[Link, None] = {}
        self._generations = itertools.count(1)
        self._dialers: dict[str, tuple[Dialer, asyncio.Task[None]]] = {}
        self._pulse: asyncio.TimerHandle | None = None
        self._refusals: dict[str, Refusal] = {}
        self._complained_at: dict[str, float] = {}
        self._closing = False

    # Life.

    async def start(self) -> None:
        """Listen, and begin to dial.

        Raises:
            ValueError: There is no secret and the address is not on the loopback interface.
            PortInUseError: Another process has the port.
            OSError: The address can't be listened at.

        """
        bind = self._options.bind or parse_address(self._me.peer)
        require_protection(self._secret, bind.host)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept,
                bind.host,
                bind.port,
                backlog=_BACKLOG,
                ssl=self._options.server_tls,
                **_tls_deadline(self._options.server_tls, self._options.handshake_s),
            )
        except OSError as error:
            raise _explained(error, bind) from error
        self.address = Address(*self._server.sockets[0].getsockname()[:2])
        self._beat()

    async def close(self) -> None:
        """Stop listening and dialing, and end every link; bounded to about two seconds.

        The handler hears nothing more.
        """
        self.flush()
        self._closing = True
        if self._pulse is not None:
            self._pulse.cancel()
        tasks = [task for _, task in self._dialers.values()]
        for task in tasks:
            task.cancel()
        if self._server is not None:
            self._server.close()
        links = list(self._links)
        for link in links:
            link.close("this node stops")
        if tasks:
            await asyncio.wait(tasks, timeout=LAST_WORDS_S)
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), LAST_WORDS_S)

    def attach(self, handler: PeerHandler) -> None:
        """Begin to link with the other members of the cluster on behalf of ``handler``."""
        self._handler = handler
        self._wake_dialers()

    def serve_formation(self, formation: FormationLinks) -> None:
        """Hand it every link of which one side or the other belongs to no cluster yet."""
        self._formation = formation
        self._wake_dialers()

    def enter(self, cluster_id: str, members: Callable[[], Sequence[Member]]) -> None:
        """This node belongs to a cluster from now on; ``members`` gives its roster."""
        self._cluster_id = cluster_id
        self._members = members
        self._refusals.clear()
        self.roster_changed()

    def follow_roster(self, members: Callable[[], Sequence[Member]]) -> None:
        """Take the roster from here from now on."""
        self._members = members
        self.roster_changed()

    def roster_changed(self) -> None:
        """Look at the roster at once rather than at the next pulse."""
        self._keep_dialers()
        self._wake_dialers()

    # Messages.

    def send(self, peer: str, message: Message) -> None:
        """Keep a message for :meth:`flush`; dropped when there is no link to the peer.

        Raises:
            FrameError: It is too big for a frame.

        """
        link = self._current.get(peer)
        if link is not None:
            link.send(message)
            self._unflushed[link] = None

    def flush(self) -> None:
        """Write to each peer what was sent to it, in one piece."""
        while self._unflushed:
            link, _ = self._unflushed.popitem()
            link.flush()

    def drop(self, peer: str) -> None:
        """Close the link to this peer, if there is one."""
        link = self._current.get(peer)
        if link is not None:
            link.close("dropped")

    # What is known of the others.

    def linked(self) -> tuple[str, ...]:
        """Return the ids of all members that there is a link to, formation aside."""
        return tuple(peer for peer, link in self._current.items() if not link.formation)

    def info(self, peer: str) -> PeerInfo | None:
        """Return what a linked peer said of itself."""
        link = self._current.get(peer)
        return link.info if link is not None else None

    def heard_s(self, peer: str) -> float | None:
        """Return how long ago the last byte of a linked peer came (seconds)."""
        link = self._current.get(peer)
        return None if link is None else asyncio.get_running_loop().time() - link.heard_at

    # LinkOwner.

    def opened(self, link: Link) -> None:
        """Count a new connection in."""
        link.generation = next(self._generations)
        self._links.add(link)
        self._strangers[link] = None
        if len(self._strangers) > STRANGERS_MAX:
            next(iter(self._strangers)).close("too many connections at once", abort=True)
        if self._closing:
            link.close("this node stops", abort=True)

    def established(self, link: Link) -> None:
        """Make it the current link of its peer; an older one is superseded."""
        assert link.info is not None
        self._strangers.pop(link, None)
        peer = link.info.id
        older = self._current.get(peer)
        if older is not None and older.generation > link.generation:
            link.close("a newer connection is in use", abort=True)
            return
        if older is not None:
            older.close("superseded by a newer connection", abort=True)
        self._current[peer] = link
        self._refusals.pop(link.info.name, None)
        logger.info("linked with %s (%s, Gorilla %s)", link.info.name, peer, link.info.version)
        self._wake(link.info.name)
        if link.formation:
            assert self._formation is not None
            self._formation.linked(link.info)
        else:
            assert self._handler is not None
            self._handler.connected(peer, link.info)

    def received(self, link: Link, message: Message) -> None:
        """Hand over a message, unless the link is superseded."""
        assert link.info is not None
        peer = link.info.id
        if self._current.get(peer) is not link or self._closing:
            return
        if link.formation:
            assert self._formation is not None
            self._formation.received(peer, message)
        else:
            assert self._handler is not None
            self._handler.received(peer, message)

    def refused(self, link: Link, refused: Refused) -> None:
        """Tell who has to know that there is no link, and why."""
        name, refusal = refused.peer_name or "?", refused.refusal
        if not refused.by_peer:
            self._complain(link, name, refusal)
            return
        if self._refusals.get(name) == refusal or self._closing:
            return
        self._refusals = {**self._refusals, name: refusal}
        if refusal.reason == Reason.STARTING:
            return  # a moment's matter
        logger.warning("%s refuses this node: %s", name, refusal.text)
        listener = self._formation if self._cluster_id is None else self._handler
        if listener is not None and self._is_named(name):
            listener.refused(name, refusal.reason, refusal.text)

    def closed(self, link: Link, why: str) -> None:
        """Count it out and, if it was current, tell."""
        self._links.discard(link)
        self._strangers.pop(link, None)
        self._unflushed.pop(link, None)
        if link.info is None or self._current.get(link.info.id) is not link:
            logger.debug("connection with %s closed: %s", link.remote, why)
            return
        del self._current[link.info.id]
        logger.info("link with %s lost: %s", link.info.name, why)
        self._wake(link.info.name)
        if self._closing:
            return
        if link.formation:
            assert self._formation is not None
            self._formation.unlinked(link.info.id)
        else:
            assert self._handler is not None
            self._handler.disconnected(link.info.id)

    # DialerOwner.

    def address_of(self, name: str) -> Address | None:
        """Return where a member is to be found today."""
        for member in self._members():
            if member.name == name:
                return parse_address(member.peer)
        return None

    def is_linked(self, name: str) -> bool:
        """Return whether there is a link to the member of this name."""
        return any(link.info is not None and link.info.name == name for link in self._current.values())

    def unreachable(self, name: str) -> None:
        """Tell that a member's process is dead."""
        if self._handler is None or self._cluster_id is None or self.is_linked(name):
            return
        for member in self._members():
            if member.name == name:
                self._handler.unreachable(member.id)

    def troubled(self, name: str, reason: str) -> None:
        """Tell formation why a member could not be reached."""
        if self._formation is not None and self._cluster_id is None:
            self._formation.troubled(name, reason)

    # Inside.

    def _accept(self) -> Link:
        me = self._speaker()
        link = self._link(AcceptorHandshake(me, self._secret, lambda info: self._admit(link, info)))
        return link
