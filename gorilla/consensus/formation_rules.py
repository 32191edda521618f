"""Formation decided: how the nodes of a new cluster fix, once, who its members are.

Pure: events in, actions out, to be done in their order; a crash between any two of them is fine.

The first member listed is the *coordinator*. When it has links to all the others, has heard that
each is unformed and lists the same members, it asks each for its *promise*. A node promises
itself to one data directory of the coordinator, durably, and never to another. With every promise
the coordinator fixes the cluster (its id, and each member's name and id) by one durable write. The
others adopt that from any node that has it, after fetching the genesis state if there is one.

Why two clusters can't both live: each directory is bound to one coordinator's directory, which
forms once; so the members of two clusters have no directory in common, whatever was wiped,
started twice, or configured differently. The price: if the coordinator's directory is lost between
the first promise and the first adoption, the others wait for it, and say so.
"""

import hashlib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from gorilla.consensus.formation_actions import (
    Action,
    Close,
    Fail,
    Join,
    KeepChunk,
    KeepGenesis,
    Save,
    Send,
    ServeChunk,
    Waiting,
    bound_elsewhere,
    bound_to_another,
    forgotten,
    lists_differ,
    not_in,
    too_big,
)
from gorilla.consensus.formation_messages import (
    Ask,
    Chunk,
    Fetch,
    FormationMessage,
    Formed,
    Objection,
    Promise,
    State,
    decode,
    encode,
)
from gorilla.consensus.identity import GenesisRef, Identity
from gorilla.consensus.peers.handshake import PeerInfo, Reason
from gorilla.consensus.ports import Message
from gorilla.service.ports import Member

GENESIS_BYTES_MAX: Final = 16 * 1024**3


@dataclass
class _Link:
    info: PeerInfo
    state: State | None = None
    asked: bool = False
    promised: bool = False
    objection: str | None = None
    offer: Formed | None = None
    """What the peer said of its cluster, found acceptable."""
    formed: bool = False


@dataclass
class _Fetching:
    source: str
    offer: Formed
    genesis: GenesisRef
    offset: int = 0

    def __post_init__(self) -> None:
        self.digest = hashlib.sha256()


class Formation:
    """One node's part in formation; on a formed node, its answers to those that are not yet."""

    def __init__(
        self,
        identity: Identity,
        members: Sequence[Member],
        new_cluster_id: Callable[[], str],
        genesis: GenesisRef | None = None,
        genesis_bytes_max: int = GENESIS_BYTES_MAX,
    ) -> None:
        """Begin.

        Args:
            identity: Of this node, as it is on disk.
            members: As configured, in order; their ids don't matter.
            new_cluster_id: Called when this node forms the cluster.
            genesis: What the cluster shall begin with; given to the coordinator only.
            genesis_bytes_max: Bound of a genesis from another node (bytes).

        """
        self.identity = identity
        self._configured = tuple(members)
        self._names = tuple(member.name for member in members)
        self._new_cluster_id = new_cluster_id
        self._genesis = genesis
        self._genesis_bytes_max = genesis_bytes_max
        self._links: dict[str, _Link] = {}
        self._troubles: dict[str, str] = {}
        self._fetching: _Fetching | None = None

    @property
    def is_coordinator(self) -> bool:
        """Whether this node is the one that forms the cluster."""
        return self._names[0] == self.identity.name

    def start(self) -> list[Action]:
        """Return what there is to do before any event (a cluster of one forms at once)."""
        return self._advance()

    def linked(self, info: PeerInfo) -> list[Action]:
        """A link to this peer is up; either side of it is unformed."""
        self._links[info.id] = _Link(info)
        self._troubles.pop(info.name, None)
        if self.identity.formed:
            return [self._tell(info.id)]
        state = State(names=self._names, promised_to=self.identity.promised_to)
        return [Send(info.id, encode(state))]

    def unlinked(self, peer: str) -> list[Action]:
        """The link to this peer is gone."""
        link = self._links.pop(peer, None)
        if link is not None:
            self.troubled(link.info.name, "connection lost")
        if self._fetching is None or self._fetching.source != peer:
            return self._advance()
        self._fetching = None
        return self._take_an_offer()

    def troubled(self, name: str, reason: str) -> None:
        """There is no link to this member for the reason given; it is shown, no more."""
        if name in self._names:  # anybody may call itself anything
            self._troubles[name] = reason

    def refused(self, name: str, reason: str, text: str) -> list[Action]:
        """The member of this name refused this node."""
        self.troubled(name, text)
        if reason == Reason.WRONG_IDENTITY and not self.identity.formed:
            return [Fail(text)]
        return []

    def received(self, peer: str, message: Message) -> list[Action]:
        """A message came over the link to this peer."""
        link = self._links.get(peer)
        body = decode(message)
        if link is None or body is None:
            return [Close(peer)]
        return self._dispatch(link, body)

    def waiting(self) -> tuple[Waiting, ...]:
        """Return whom formation waits for and why; nobody once this node is a member."""
        if self.identity.formed:
            return ()
        if not self.is_coordinator:
            return (Waiting(self._names[0], self._why_not_adopted()),)
        waiting = [
            Waiting(name, reason)
            for name in self._others()
            if (reason := self._why_not_ready(name)) is not None
        ]
        if self._is_bound_elsewhere():
            waiting.insert(0, Waiting(self.identity.name, bound_elsewhere(self.identity)))
        return tuple(waiting)

    def _dispatch(self, link: _Link, body: FormationMessage) -> list[Action]:
        actions: list[Action] = []
        match body:
            case State():
                link.state = body
                actions = self._advance()
            case Ask():
                actions = self._answer(link, body)
            case Promise():
                link.promised = link.asked
                actions = self._advance()
            case Objection():
                link.objection = body.text
            case Formed():
                actions = self._hear(link, body)
            case Fetch():
                actions = self._serve(link, body)
            case Chunk():
                actions = self._keep(link, body)
        return actions

    # The coordinator: everybody heard, everybody promised, formed.

    def _advance(self) -> list[Action]:
        if self.identity.formed or not self.is_coordinator or self._is_bound_elsewhere():
            return []
        if any(self._why_absent(name) is not None for name in self._others()):
            return []
        links = [self._links_named(name)[0] for name in self._others()]
        if all(link.promised for link in links):
            return self._form(links)
        asks = [link for link in links if not link.asked]
        for link in asks:
            link.asked = True
        return [Send(link.info.id, encode(Ask(names=self._names))) for link in asks]

    def _form(self, links: Sequence[_Link]) -> list[Action]:
        ids = {link.info.name: link.info.id for link in links}
        ids[self.identity.name] = self.identity.node_id
        self.identity = msgspec.structs.replace(
            self.identity,
            promised_to=self.identity.node_id,
            cluster_id=self._new_cluster_id(),
            members=tuple(
                msgspec.structs.replace(member, id=ids[member.name]) for member in self._configured
            ),
            genesis=self._genesis,
        )
        return [Save(self.identity), *map(self._tell, self._links), Join(self.identity)]

    def _why_absent(self, name: str) -> str | None:
        """Return why the coordinator can't ask this member for its promise."""
        links = self._links_named(name)
        if not links:
            return self._troubles.get(name, "not heard from yet")
        if len(links) > 1:
            return f"two nodes with different data directories are both called {name}: stop one"
        return self._why_unfit(links[0])

    def _why_unfit(self, link: _Link) -> str | None:
        if link.info.cluster_id is not None:
            return f"it belongs to cluster {link.info.cluster_id} already"
        if link.state is None:
            return "it has not said what it is yet"
        if link.state.names != self._names:
            return lists_differ(link.state.names, self._names)
        if link.state.promised_to not in (None, self.identity.node_id):
            return bound_to_another(link.info.name, self.identity.name)
        return None

    def _why_not_ready(self, name: str) -> str | None:
        absent = self._why_absent(name)
        if absent is not None:
            return absent
        [link] = self._links_named(name)
        if link.promised:
            return None
        return link.objection or "it is there; its promise is awaited"

    def _is_bound_elsewhere(self) -> bool:
        return self.identity.promised_to not in (None, self.identity.node_id)

    # The others: promise, hear, fetch, adopt.

    def _answer(self, link: _Link, ask: Ask) -> list[Action]:
        peer = link.info.id
        if self.identity.formed:
            return [self._tell(peer)]
        if link.info.name != self._names[0] or ask.names != self._names:
            text = lists_differ(self._names, ask.names)
            return [Send(peer, encode(Objection(text)))]
        promise = Send(peer, encode(Promise()))
        if self.identity.promised_to == peer:
            return [promise]
        if self.identity.promised_to is not None:
            text = bound_to_another(self.identity.name, link.info.name)
            return [Send(peer, encode(Objection(text)))]
        self.identity = msgspec.structs.replace(self.identity, promised_to=peer)
        return [Save(self.identity), promise]

    def _hear(self, link: _Link, formed: Formed) -> list[Action]:
        link.formed = True
        if self.identity.formed:
            return [Close(link.info.id)]  # it comes back as a link between members
        problem = self._why_not_mine(formed)
        if problem is not None:
            return [Fail(problem)]
        link.offer = formed
        return self._take_an_offer()

    def _why_not_mine(self, formed: Formed) -> str | None:
        me = self.identity
        if not any(member.id == me.node_id and member.name == me.name for member in formed.members):
            return not_in(formed, me)
        if me.promised_to != formed.members[0].id:
            return forgotten(formed, me)
        if formed.genesis is not None and formed.genesis.size > self._genesis_bytes_max:
            return too_big(formed.genesis.size, self._genesis_bytes_max)
        return None

    def _take_an_offer(self) -> list[Action]:
        if self.identity.formed or self._fetching is not None:
            return []
        for peer, link in self._links.items():
            if link.offer is not None:
                if link.offer.genesis is None:
                    return self._adopt(link.offer)
                self._fetching = _Fetching(peer, link.offer, link.offer.genesis)
                return [Send(peer, encode(Fetch(0)))]
        return []

    def _keep(self, link: _Link, chunk: Chunk) -> list[Action]:
        fetching = self._fetching
        peer = link.info.id
        if fetching is None or fetching.source != peer or chunk.offset != fetching.offset:
            return []  # late, or twice
        end = chunk.offset + len(chunk.data)
        if not chunk.data or end > fetching.genesis.size:
            return [Close(peer)]
        fetching.digest.update(chunk.data)
        fetching.offset = end
        keep = KeepChunk(chunk.offset, chunk.data)
        if end < fetching.genesis.size:
            return [keep, Send(peer, encode(Fetch(end)))]
        if fetching.digest.hexdigest() != fetching.genesis.sha256:
            link.offer = None  # until it links again
            self._fetching = None
            return [Close(peer), *self._take_an_offer()]
        return [keep, KeepGenesis(), *self._adopt(fetching.offer)]

    def _adopt(self, offer: Formed) -> list[Action]:
        self._fetching = None
        self.identity = msgspec.structs.replace(
            self.identity,
            cluster_id=offer.cluster_id,
            members=offer.members,
            genesis=offer.genesis,
        )
        spread: Iterable[Action] = (
            Close(peer) if link.formed else self._tell(peer) for peer, link in self._links.items()
        )
        return [Save(self.identity), *spread, Join(self.identity)]

    def _why_not_adopted(self) -> str:
        coordinator = self._names[0]
        links = self._links_named(coordinator)
        if self._fetching is not None:
            genesis = self._fetching.genesis
            return f"its first state: {self._fetching.offset} of {genesis.size} bytes are here"
        if not links:
            return self._troubles.get(coordinator, "not heard from yet")
        if self.identity.promised_to not in (None, *(link.info.id for link in links)):
            return bound_to_another(self.identity.name, coordinator)
        return "it is there; it forms the cluster when all members are"

    # A formed node: teach.

    def _tell(self, peer: str) -> Action:
        assert self.identity.cluster_id is not None
        formed = Formed(self.identity.cluster_id, self.identity.members, self.identity.genesis)
        return Send(peer, encode(formed))

    def _serve(self, link: _Link, fetch: Fetch) -> list[Action]:
        genesis = self.identity.genesis
        if not self.identity.formed or genesis is None or not 0 <= fetch.offset < genesis.size:
            return [Close(link.info.id)]
        return [ServeChunk(link.info.id, fetch.offset)]

    def _others(self) -> list[str]:
        return [name for name in self._names if name != self.identity.name]

    def _links_named(self, name: str) -> list[_Link]:
        return [link for link in self._links.values() if link.info.name == name]
