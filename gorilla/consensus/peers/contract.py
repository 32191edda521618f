"""What the peer network asks of those that use it, and what they may set."""

import asyncio
import secrets
import ssl
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from gorilla.config.addresses import Address
from gorilla.consensus.peers.dialing import Pace
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.consensus.ports import Message
from gorilla.service.ports import Member


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

    def invite(self, joiner: Member, members: Sequence[Member]) -> asyncio.Future[str | None]:
        """Invite a linked node that belongs to no cluster; gives its objection, None if it comes.

        Asked again while there is no answer, it gives the same future. A link that is lost counts
        as an objection, though the node may have accepted.
        """
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
    jitter: Callable[[], float] = field(default_factory=lambda: secrets.SystemRandom().random)
    """Gives numbers from 0 to 1."""
