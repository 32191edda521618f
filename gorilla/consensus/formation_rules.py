"""Formation decided: how the nodes of a new cluster fix, once, who its members are.

Pure: events in, actions out, to be done in their order; a crash between any two of them is fine.

The first member listed is the *coordinator*. When it has links to all the others, has heard that
each is unformed and lists the same members, it asks each for its *promise*. A node promises
itself to one data directory of the coordinator, durably, and never to another. With every promise
the coordinator fixes the cluster (its id, and each member's name and id) by one durable write. The
others adopt that from any node that has it, after fetching the genesis state if there is one.
A node that the others formed their cluster without waits to be invited (``formation_joining``).

Why two clusters can't both live: each directory is bound to one coordinator's directory, which
forms once; so the members of two clusters have no directory in common, whatever was wiped,
started twice, or configured differently. The price: if the coordinator's directory is lost between
the first promise and the first adoption, the others wait for it, and say so.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gorilla.consensus.formation_actions import (
    Action,
    Answered,
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
from gorilla.consensus.formation_joining import joined, waiting_to_be_added, why_not_join
from gorilla.consensus.formation_links import Fetching, PeerLink
from gorilla.consensus.formation_messages import (
    Accepted,
    Ask,
    Chunk,
    Fetch,
    FormationMessage,
    Formed,
    Invite,
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
        self._links: dict[str, PeerLink] = {}
        self._troubles: dict[str, str] = {}
        self._fetching: Fetching | None = None

    @property
    def is_coordinator(self) -> bool:
        """Whether this node is the one that forms the cluster."""
        return self._names[0] == self.identity.name

    def start(self) -> list[Action]:
        """Return what there is to do before any event (a cluster of one forms at once)."""
        return self._advance()

    def linked(self, info: PeerInfo) -> list[Action]:
        """A link to this peer is up; either side of it is unformed."""
        self._links[info.id] = PeerLink(info)
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
        if reason == Reason.REMOVED and not self.identity.formed:
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
        links = self._links.values()
        clusters = [(link.info.name, link.elsewhere) for link in links if link.elsewhere]
        if clusters:
            return (waiting_to_be_added(self.identity, clusters),)
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

    def _dispatch(self, link: PeerLink, body: FormationMessage) -> list[Action]:
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
                actions = [Answered(link.info.id, body.text)] if self.identity.formed else []
            case Invite() | Accepted():
                actions = self._dispatch_joining(link, body)
            case Formed():
                actions = self._hear(link, body)
            case Fetch() | Chunk():
                actions = self._dispatch_genesis(link, body)
        return actions

    def _dispatch_joining(self, link: PeerLink, body: Invite | Accepted) -> list[Action]:
        if isinstance(body, Invite):
            return self._consider(link, body)
        # It comes back as a link between members.
        return [Answered(link.info.id, None), Close(link.info.id)]

    def _dispatch_genesis(self, link: PeerLink, body: Fetch | Chunk) -> list[Action]:
        return self._serve(link, body) if isinstance(body, Fetch) else self._keep(link, body)

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

    def _form(self, links: Sequence[PeerLink]) -> list[Action]:
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

    def _why_unfit(self, link: PeerLink) -> str | None:
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

    def _answer(self, link: PeerLink, ask: Ask) -> list[Action]:
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

    def _hear(self, link: PeerLink, formed: Formed) -> list[Action]:
        link.formed = True
        if self.identity.formed:
            return [Close(link.info.id)]  # it comes back as a link between members
        if formed.joined or self._is_none_of(formed):
            link.elsewhere = formed
            return []
        problem = self._why_not_mine(formed)
        if problem is not None:
            return [Fail(problem)]
        link.offer = formed
        return self._take_an_offer()

    def _is_none_of(self, formed: Formed) -> bool:
        """Return whether this node had nothing to do with the forming of that cluster."""
        ids = {member.id for member in formed.members}
        return self.identity.promised_to is None and self.identity.node_id not in ids

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
                self._fetching = Fetching(peer, link.offer, link.offer.genesis)
                return [Send(peer, encode(Fetch(0)))]
        return []

    def _keep(self, link: PeerLink, chunk: Chunk) -> list[Action]:
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
        return [Save(self.identity), *self._spread(), Join(self.identity)]

    def _spread(self, but: str | None = None) -> Iterable[Action]:
        """Tell those that have no cluster; the others come back as links between members."""
        for peer, link in self._links.items():
            if peer != but:
                yield Close(peer) if link.formed else self._tell(peer)

    # A newcomer: come when invited; a member: invite.

    def invite(self, joiner: Member, members: Sequence[Member]) -> list[Action]:
        """Invite a node that is linked and belongs to no cluster; ``Answered`` comes of it."""
        assert self.identity.cluster_id is not None
        invitation = Invite(
            cluster_id=self.identity.cluster_id, members=tuple(members), joiner=joiner
        )
        return [Send(joiner.id, encode(invitation))]

    def _consider(self, link: PeerLink, invite: Invite) -> list[Action]:
        peer = link.info.id
        problem = why_not_join(self.identity, self._genesis, link.info, invite)
        if problem is not None:
            return [Send(peer, encode(Objection(problem)))]
        accepted = Send(peer, encode(Accepted()))
        if self.identity.formed:
            return [accepted]
        self.identity = joined(self.identity, invite)
        return [Save(self.identity), accepted, *self._spread(but=peer), Join(self.identity)]

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
        me = self.identity
        formed = Formed(self.identity.cluster_id, me.members, me.genesis, me.joining)
        return Send(peer, encode(formed))

    def _serve(self, link: PeerLink, fetch: Fetch) -> list[Action]:
        genesis = self.identity.genesis
        if not self.identity.formed or genesis is None or not 0 <= fetch.offset < genesis.size:
            return [Close(link.info.id)]
        return [ServeChunk(link.info.id, fetch.offset)]

    def _others(self) -> list[str]:
        return [name for name in self._names if name != self.identity.name]

    def _links_named(self, name: str) -> list[PeerLink]:
        return [link for link in self._links.values() if link.info.name == name]
