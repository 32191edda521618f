"""The links of this node to all others: always being restored, at most one current link each."""

import asyncio
import contextlib
import errno
import logging
import os
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final

from gorilla.config.addresses import Address, parse_address
from gorilla.config.secrets import Secret
from gorilla.consensus.peers.contract import (
    FormationLinks,
    PeerHandler,
    PeerOptions,
    PortInUseError,
)
from gorilla.consensus.peers.dialing import Connect, Dialer
from gorilla.consensus.peers.handshake import (
    AcceptorHandshake,
    Admit,
    DialerHandshake,
    PeerInfo,
    Speaker,
    require_protection,
)
from gorilla.consensus.peers.joining import Newcomers
from gorilla.consensus.peers.link import LAST_WORDS_S, Link, LinkLimits
from gorilla.consensus.peers.registry import LinkRegistry
from gorilla.consensus.ports import Message
from gorilla.domain.versions import FEATURE_LEVEL
from gorilla.service.ports import Member

__all__ = ["FormationLinks", "PeerHandler", "PeerNetwork", "PeerOptions", "PortInUseError"]

logger = logging.getLogger(__name__)

_BACKLOG: Final = 64


class PeerNetwork:
    """Listens, dials, and hands over messages. Implements :class:`gorilla.consensus.ports.Wire`.

    The handler may come later (:meth:`attach`): until then, other members of the cluster are told
    that this node is starting.
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
        self._secret = secret
        self._options = options or PeerOptions()
        self._registry = LinkRegistry(me, cluster_id, members, handler, self._wake)
        self.newcomers = Newcomers(self._registry, self.roster_changed)
        """What is needed of the links to bring a node into the cluster."""
        self._server: asyncio.Server | None = None
        self._unflushed: dict[Link, None] = {}
        self._dialers: dict[str, tuple[Dialer, asyncio.Task[None]]] = {}
        self._beat_timer: asyncio.TimerHandle | None = None

    # Life.

    async def start(self) -> None:
        """Listen, and begin to dial.

        Raises:
            ValueError: There is no secret and the address is not on the loopback interface.
            PortInUseError: Another process has the port.
            OSError: The address can't be listened at.

        """
        options = self._options
        bind = options.bind or parse_address(self._me.peer)
        require_protection(self._secret, bind.host)
        try:
            self._server = await asyncio.get_running_loop().create_server(
                self._accept,
                bind.host,
                bind.port,
                backlog=_BACKLOG,
                ssl=options.server_tls,
                ssl_handshake_timeout=options.handshake_s if options.server_tls else None,
            )
        except OSError as error:
            raise _explained(error, bind) from error
        self.address = Address(*self._server.sockets[0].getsockname()[:2])
        self._beat()

    async def close(self) -> None:
        """Stop listening and dialing, and end every link; bounded to a few seconds.

        The handler hears nothing more.
        """
        self.flush()
        self._registry.closing = True
        if self._beat_timer is not None:
            self._beat_timer.cancel()
        if self._server is not None:
            self._server.close()
        ending: list[asyncio.Future[None]] = [task for _, task in self._dialers.values()]
        for task in ending:
            task.cancel()
        self._dialers.clear()
        for link in list(self._registry.all):
            ending.append(link.gone)
            link.close("this node stops")
        if ending:
            await asyncio.wait(ending, timeout=2 * LAST_WORDS_S)
        if self._server is not None:
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._server.wait_closed(), LAST_WORDS_S)

    def attach(self, handler: PeerHandler) -> None:
        """Begin to link with the other members of the cluster on behalf of ``handler``."""
        assert self._registry.handler is None
        self._registry.hand_over_to(handler)
        self._wake_all()

    def serve_formation(self, formation: FormationLinks) -> None:
        """Hand it every link of which one side or the other belongs to no cluster yet."""
        self._registry.formation = formation
        self._wake_all()

    def enter(self, cluster_id: str, members: Callable[[], Sequence[Member]]) -> None:
        """This node belongs to a cluster from now on; ``members`` gives its roster."""
        self._registry.entered(cluster_id)
        self.follow_roster(members)

    def follow_roster(
        self,
        members: Callable[[], Sequence[Member]],
        removed: Callable[[str], bool] | None = None,
    ) -> None:
        """Take the roster from here from now on.

        Args:
            members: Gives the roster, the newest that is known, this node included or not.
            removed: Tells whether the member of an id was removed for good. Its links end and new
                ones are refused, which ends that node: what is not committed must not count.

        """
        self._registry.members = members
        self._registry.removed = removed
        self.roster_changed()

    def roster_changed(self) -> None:
        """Look at the roster at once, rather than at the next beat.

        A link to a member that was removed stays until the next beat, so that it can be told.
        """
        if self._server is not None:
            self._keep_dialers()
            self._wake_all()

    # Messages.

    def send(self, peer: str, message: Message) -> None:
        """Keep a message for :meth:`flush`; dropped when there is no link to the peer.

        Raises:
            FrameError: It is too big for a frame.

        """
        link = self._registry.current.get(peer)
        if link is not None:
            link.send(message)
            self._unflushed[link] = None

    def flush(self) -> None:
        """Write to each peer what was sent to it, in one piece."""
        while self._unflushed:
            link, _ = self._unflushed.popitem()
            link.flush()

    def drop(self, peer: str) -> None:
        """Close the link to this peer, if there is one; what was flushed still goes out."""
        link = self._registry.current.get(peer)
        if link is not None:
            link.close("dropped")

    # What is known of the others.

    def linked(self) -> tuple[str, ...]:
        """Return the ids of the members that there is a link to, formation's links aside."""
        links = self._registry.current.items()
        return tuple(peer for peer, link in links if not link.formation)

    def info(self, peer: str) -> PeerInfo | None:
        """Return what a linked peer said of itself."""
        link = self._registry.current.get(peer)
        return None if link is None else link.info

    def heard_s(self, peer: str) -> float | None:
        """Return how long ago the last byte of a linked peer came (seconds)."""
        link = self._registry.current.get(peer)
        return None if link is None else asyncio.get_running_loop().time() - link.heard_at

    # What dialers ask and tell.

    def address_of(self, name: str) -> Address | None:
        """Return where a member is to be found today.

        Raises:
            ValueError: Its address makes no sense.

        """
        member = self._registry.member_named(name)
        return None if member is None else parse_address(member.peer)

    def is_linked(self, name: str) -> bool:
        """Return whether there is a link to the member of this name."""
        return self._registry.is_linked(name)

    def troubled(self, name: str, reason: str) -> None:
        """A member was not reached, for this reason."""
        self._registry.troubled(name, reason)

    def unreachable(self, name: str) -> None:
        """Nobody listens at a member's address."""
        registry = self._registry
        member = registry.member_named(name)
        if (
            member is not None
            and registry.handler is not None
            and registry.cluster_id is not None
            and member.id
            and not registry.is_linked(name)
        ):
            registry.handler.unreachable(member.id)

    # Connections.

    def _accept(self) -> Link:
        return self._link(AcceptorHandshake, None)

    def _link(
        self, handshake: type[AcceptorHandshake | DialerHandshake], dialled: str | None
    ) -> Link:
        me = Speaker(
            name=self._me.name,
            id=self._me.id,
            version=self._options.version,
            cluster_id=self._registry.cluster_id,
            level=FEATURE_LEVEL,
        )
        admit: Admit = partial(
            self._registry.admit, dialled=dialled, said_unformed=me.cluster_id is None
        )
        limits = LinkLimits(self._options.handshake_s, self._options.unsent_bytes_max)
        return Link(self._registry, handshake(me, self._secret, admit), limits, dialled)

    async def _dial(self, name: str, host: str, port: int) -> Link:
        tls = self._options.client_tls
        address = self.address_of(name)
        _, link = await asyncio.get_running_loop().create_connection(
            partial(self._link, DialerHandshake, name),
            host,
            port,
            ssl=tls,
            server_hostname=address.host if tls and address else None,
        )
        return link

    # The pulse, and the dialers.

    def _beat(self) -> None:
        options = self._options
        pulses_max = max(1, round(options.dead_after_s / options.ping_every_s))
        for link in list(self._registry.current.values()):
            link.pulse(pulses_max)
        self._registry.cut_removed()
        self._keep_dialers()
        loop = asyncio.get_running_loop()
        self._beat_timer = loop.call_later(options.ping_every_s, self._beat)

    def _keep_dialers(self) -> None:
        """Have one dialer for every other member and learner, and no more."""
        registry = self._registry
        known = (*registry.members(), *registry.learners)
        names = {member.name for member in known} - {self._me.name}
        for name in names - self._dialers.keys():
            self._dialers[name] = self._start_dialer(name)
        for name in self._dialers.keys() - names:
            _, task = self._dialers.pop(name)
            task.cancel()

    def _start_dialer(self, name: str) -> tuple[Dialer, asyncio.Task[None]]:
        options = self._options
        dial: Connect = partial(self._dial, name)
        probe = None if self._me.name > name else _probe
        dialer = Dialer(name, self, dial, options.pace, options.jitter, probe)
        task = asyncio.get_running_loop().create_task(dialer.run(), name=f"dial {name}")
        task.add_done_callback(partial(self._dialer_ended, name))
        return dialer, task

    def _dialer_ended(self, name: str, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            logger.error("the dialer of %s failed and begins anew", name, exc_info=task.exception())
            self._dialers.pop(name, None)  # the next beat starts another

    def _wake(self, name: str) -> None:
        if name in self._dialers:
            self._dialers[name][0].wake()

    def _wake_all(self) -> None:
        for dialer, _ in self._dialers.values():
            dialer.wake()


async def _probe(host: str, port: int) -> None:
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_connection(asyncio.Protocol, host, port)
    transport.abort()


def _explained(error: OSError, bind: Address) -> OSError:
    if error.errno == errno.EADDRINUSE:
        return PortInUseError(
            error.errno,
            f"can't listen for the other nodes at {bind}: another process has this port. Stop it "
            f"(find it with: ss -ltnp 'sport = :{bind.port}'), or configure another peer address",
        )
    why = os.strerror(error.errno) if error.errno and error.errno > 0 else str(error)
    return OSError(
        error.errno,
        f"can't listen for the other nodes at {bind}: {why}. Configure an address of this "
        f"machine (bind_peer)",
    )
