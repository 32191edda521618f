"""What one node remembers of formation while it goes on, link by link."""

import hashlib
from dataclasses import dataclass

from gorilla.consensus.formation_messages import Formed, State
from gorilla.consensus.identity import GenesisRef
from gorilla.consensus.peers.handshake import PeerInfo


@dataclass
class PeerLink:
    """A peer of which either side belongs to no cluster, and what was heard over this link."""

    info: PeerInfo
    state: State | None = None
    asked: bool = False
    promised: bool = False
    objection: str | None = None
    offer: Formed | None = None
    """What the peer said of its cluster, found acceptable."""
    formed: bool = False
    elsewhere: Formed | None = None
    """What the peer said of its cluster, of which this node is no member."""


@dataclass
class Fetching:
    """The genesis that is being fetched, and from whom."""

    source: str
    offer: Formed
    genesis: GenesisRef
    offset: int = 0

    def __post_init__(self) -> None:
        """Begin a digest of what has come."""
        self.digest = hashlib.sha256()
