"""One node of the consensus, without I/O: messages and time in, messages and applied entries out.

A turn does everything that is due, in an order that makes every promise durable before it leaves
(docs/architecture.md): sync what arrived, decide, apply, send appends, sync what was decided, send
the rest. The driver calls it when something has arrived or is due; the simulation does the same.
"""

import logging
import random
from collections.abc import Callable, Sequence

import msgspec

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.compaction import Compactor, Position
from gorilla.consensus.election import Election
from gorilla.consensus.following import FollowerSide
from gorilla.consensus.inbox import Inbox
from gorilla.consensus.journal import Journal
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import FailStopError, GuardedTransport, RaftCore, Timing
from gorilla.consensus.looking import Links, Looking
from gorilla.consensus.offers import Offer
from gorilla.consensus.outbox import Outbox
from gorilla.consensus.ports import Message, Offload, Wire
from gorilla.consensus.reads import Done, PendingReads
from gorilla.consensus.roster import decode_members, roster_after
from gorilla.consensus.shipping import Shipper
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.service.ports import ConsensusView, Member, Replica, Role

log = logging.getLogger(__name__)


class EngineSettings(msgspec.Struct, frozen=True, kw_only=True):
    """Timing (seconds) and compaction of the consensus."""

    heartbeat_s: float = 0.1
    election_s_min: float = 0.7
    election_s_max: float = 1.2
    fallback_s: float = 1.0
    """A leader that has not heard from a majority for so long steps down (H43)."""
    compact_entries: int = 20_000
    """Applied entries since the last snapshot that make a new one due."""
    compact_bytes: int = 64 * 1024 * 1024
    """Bytes of log that make a new one due."""


class Engine:
    """Raft on one node: PySyncObj behind its guards."""

    def __init__(  # noqa: PLR0913  the composition of one node
        self,
        *,
        me: str,
        members: Sequence[Member],
        cluster_id: str,
        settings: EngineSettings,
        replica: Replica,
        journal: Journal,
        snapshots: SnapshotStore,
        wire: Wire,
        monotonic: Callable[[], float],
        random: random.Random,
        offload: Offload,
    ) -> None:
        """Recover from journal and snapshot.

        Args:
            me: Member id of this node.
            members: The roster that the cluster was formed with; the log's own changes follow.
            cluster_id: Identity of the cluster.
            settings: Timing and compaction.
            replica: The state; empty, it is loaded here.
            journal: Opened, not aligned.
            snapshots: Local snapshots.
            wire: Where messages go.
            monotonic: This node's clock (seconds).
            random: For election timeouts.
            offload: Runs blocking work beside the loop.

        """
        self.journal = journal
        self.on_apply: Callable[[int, int, bytes], None] | None = None
        self.on_role: Callable[[Role, int], None] | None = None
        self._settings = settings
        self._replica = replica
        self._now = monotonic
        self._cluster_id = cluster_id
        self._outbox = Outbox(wire, journal)
        self._tell = self._outbox.put
        self._links = Links()
        self._reads = PendingReads(random.getrandbits(48))
        self._was_leader = False
        self._seen: tuple[int, str | None] = (-1, None)
        self._role_seen: tuple[Role, int] = (Role.FOLLOWER, -1)
        self._more = False
        self._base_members = tuple(members)
        self._base_index = 0
        self._compactor = Compactor(
            snapshots,
            offload,
            cluster_id=cluster_id,
            freeze=replica.freeze,
            roster_at=self._roster_at,
            monotonic=monotonic,
        )
        position = self._load_snapshot(snapshots)
        roster = {member.id: member for member in self._roster_at(None)}
        if me not in roster:
            raise FailStopError(f"member {me} is not in the cluster's roster: it was removed")
        self.me = roster.pop(me)
        self._set_roster(list(roster.values()))
        self._build(position, snapshots, random, offload)

    def _load_snapshot(self, store: SnapshotStore) -> Position | None:
        snapshot = store.latest()
        if snapshot is None:
            return None
        meta = snapshot.meta
        if meta.cluster_id != self._cluster_id:
            raise FailStopError(f"the local snapshot is of cluster {meta.cluster_id}, not this one")
        self._replica.load(meta.index, snapshot.chunks())
        self.journal.align(meta.previous, meta.last)
        self._base_members, self._base_index = decode_members(meta.members), meta.index
        return Position(meta.last, meta.previous, ())

    def _build(
        self, position: Position | None, store: SnapshotStore, rng: random.Random, offload: Offload
    ) -> None:
        settings = self._settings
        transport = GuardedTransport(self)
        self._transport = transport
        self._core = core = RaftCore(
            me=self.me,
            others=list(self._roster.values()),
            timing=Timing(
                settings.heartbeat_s,
                settings.election_s_min,
                settings.election_s_max,
                settings.fallback_s,
            ),
            journal=self.journal,
            snapshots=self._compactor,
            transport=transport,
            now=self._now,
            rng=rng,
            on_apply=self._apply,
        )
        if position is not None:
            others = tuple(self._roster.values())
            self._compactor.prepare(Position(position.last, position.previous, others))
            core.load_at_start()
        self._election = Election(core, self.journal, rng, settings.election_s_min, self._tell)
        shipper = Shipper(store, self._tell, settings.heartbeat_s)
        self._leading = LeaderSide(
            core, transport, self._election, shipper, self._replica, self._tell
        )
        self._following = FollowerSide(
            core,
            self.journal,
            self._compactor,
            self._replica,
            store,
            offload,
            tell=self._tell,
            to_library=self._to_library,
        )
        self._looking = Looking(
            cluster_id=self._cluster_id,
            core=core,
            journal=self.journal,
            election=self._election,
            leading=self._leading,
            following=self._following,
            compactor=self._compactor,
            links=self._links,
        )
        self._inbox = Inbox(
            core,
            self._election,
            self._leading,
            self._following,
            self._reads,
            now=self._now,
            peers=lambda: self._peers,
            tell=self._tell,
            to_library=self._to_library,
            on_refused=self._replica.refused,
            on_roster_change=self._read_roster,
        )
        if not self._roster:
            core.election_deadline = 0.0  # nobody to ask

    # -- roster

    def _roster_at(self, until: int | None) -> tuple[Member, ...]:
        return roster_after(
            self._base_members, self.journal[:], since=self._base_index, until=until
        )

    def _set_roster(self, others: Sequence[Member]) -> None:
        self._roster = {member.id: member for member in others}
        self._peers = sorted(self._roster)
        self._nodes = {member.id: MemberNode(member) for member in others}

    def _node_of(self, peer: str) -> MemberNode:
        node = self._nodes.get(peer)
        return node or MemberNode(Member(id=peer, name=peer, peer="", http=""))

    def _read_roster(self) -> None:
        others = [member for member in self._roster_at(None) if member.id != self.me.id]
        self._set_roster(others)

    # -- inputs

    def connected(self, peer: str, version: str | None = None) -> None:
        """Take note of a new connection to ``peer``, which runs that ``version``."""
        self._core.enter(self._now)
        self._links.up(peer, self._now(), version)
        self._transport._onNodeConnected(self._node_of(peer))  # noqa: SLF001  the library's way in

    def disconnected(self, peer: str) -> None:
        """Take note that the connection to ``peer`` broke."""
        self._core.enter(self._now)
        self._links.down(peer)
        self._leading.lost_link(peer)
        self._transport._onNodeDisconnected(self._node_of(peer))  # noqa: SLF001  likewise
        if peer == self._core.leader_id:
            self._following.abort_install()
            self._following.forget_leader()
        self._election.lost_link(peer, self._now())

    def unreachable(self, peer: str) -> None:
        """Take note that nobody listens at the address of ``peer``: its process is dead."""
        self._core.enter(self._now)
        self._election.lost_link(peer, self._now())

    def received(self, peer: str, message: Message) -> None:
        """Take a message of an authenticated peer."""
        self._core.enter(self._now)
        self._links.touch(peer, self._now())
        self._inbox.handle(self._node_of(peer), message)
        self._follow_role()

    def offer(self, offer: int, batch: bytes) -> bool:
        """Hand a batch to the leader: see ``service.ports.Consensus.offer``."""
        now = self._now()
        if self._core._isLeader():  # noqa: SLF001  the library's name
            return self._leading.take_offer(Offer(None, offer, batch), now, self._peers)
        leader = self.known_leader(now)
        if leader is None or leader not in self._links:
            return False
        self._tell(leader, {"type": "offer", "id": offer, "batch": batch})
        return True

    def read(self, done: Done, deadline: float) -> None:
        """Ask for a linearizable read; ``done`` gets the point, or None at the deadline."""
        self._reads.add(done, deadline)

    def leave(self) -> None:
        """Take no more offers, and hand leadership over: this node is going to stop."""
        self._leading.is_leaving = True

    # -- the turn

    def turn(self) -> bool:
        """Do everything that is due; returns whether there is more to do at once.

        Raises:
            Exception: Whatever it is, the node must stop (fail-stop).

        """
        core, now = self._core, self._now()
        core.enter(self._now)
        self._more = False
        self.journal.sync()  # the commit rule may count only what is on disk (H7)
        self._election.before_tick(now, self._peers)
        self._ask_reads(now)
        self._leading.propose()
        core._onTick(0.0)  # noqa: SLF001  the library's tick
        self._election.forced = False
        self._follow_role()
        self._close_reads(now)
        self._compact()
        if self._was_leader:
            self._leading.shipper.step(now, core.raftCurrentTerm)
            self._leading.hand_over()
        self._following.compare_chain()
        self._outbox.flush()
        alone = self._was_leader and not self._peers
        uncommitted = core.raftCommitIndex < self.journal.last_index
        return self._more or bool(self._leading.offers) or (alone and uncommitted)

    def _follow_role(self) -> None:
        """Notice a change of role or leader, whichever call caused it."""
        core, term = self._core, self._core.raftCurrentTerm
        is_leader = core._isLeader()  # noqa: SLF001  the library's name
        if self._was_leader and (not is_leader or term != self._leading.ledger.term):
            self._was_leader = False
            self._leading.end(self._node_of)
        if is_leader and not self._was_leader:
            self._was_leader = True
            self._leading.begin(term, self._now(), self._peers, self._node_of)
        opens = is_leader and not self._leading.is_open
        if opens and self.journal.term_at(core.raftLastApplied) == term:
            self._leading.open(term)
        seen = (term, core.leader_id)
        if seen != self._seen:
            self._seen = seen
            self._reads.put_back(self._now(), everything=True)
            if seen[1] is None or is_leader:
                self._following.forget_leader()
        if self.on_role is not None and (role := (self._looking.role(), term)) != self._role_seen:
            self._role_seen = role
            self.on_role(*role)

    def _compact(self) -> None:
        core, compactor = self._core, self._compactor
        applied_since = core.raftLastApplied - compactor.snapshot_index
        due = applied_since >= self._settings.compact_entries or (
            self.journal.bytes_held >= self._settings.compact_bytes and applied_since > 1
        )
        if due and compactor.may_start():
            core.forceLogCompaction()
        self._more |= compactor.step()

    def next_due(self) -> float:
        """Return when the next turn is due if nothing arrives (this node's clock, seconds)."""
        now = self._now()
        if self._was_leader:
            due = self._core.next_append_at()
            pulse = self._replica.next_pulse_in_s()
            if pulse is not None:
                due = min(due, now + pulse)
        else:
            due = self._core.election_deadline
        if self._reads.any:
            due = min(due, now + self._settings.heartbeat_s / 4)
        return max(now + 0.001, min(due, now + self._settings.heartbeat_s))

    # -- reads

    def _ask_reads(self, now: float) -> None:
        reads = self._reads
        if reads.any:
            reads.put_back(now, everything=False)
        if reads.unsent:
            leader = self.known_leader(now)
            if self._leading.is_open:
                number = reads.take(now)
                self._leading.rounds.ask(lambda point: reads.answered(number, point))
            elif leader is not None and leader in self._links and leader != self.me.id:
                self._tell(leader, {"type": "read", "id": reads.take(now)})
        self._leading.open_round()

    def _close_reads(self, now: float) -> None:
        if self._leading.rounds.running:
            self._leading.rounds.close(len(self._peers) + 1, self._replica.now_ms)
        if self._reads.any:
            self._reads.resolve(self._core.raftLastApplied)
            self._reads.expire(now)

    # -- what the library does

    def library_sends(self, peer: str, message: Message) -> None:
        """Stamp what the library sends, and keep it until the turn's end."""
        kind = message["type"]
        if kind == "append_entries":
            stamped = self._leading.stamp_append(message, self._core.raftLastApplied)
            if stamped is None:
                self._leading.park(self._node_of(peer))
                return
            message = stamped
        elif kind == "next_node_idx":
            message = self._following.stamp_ack(message)
        elif kind == "request_vote":
            message["forced"] = self._election.forced
        elif kind not in ("response_vote", "timeout_now"):
            return  # the library's own forwarding is not used (H17, H28)
        self._tell(peer, message)

    def _to_library(self, peer: MemberNode, message: Message) -> None:
        self._transport._onMessageReceived(peer, message)  # noqa: SLF001  the library's way in

    def _apply(self, index: int, payload: bytes) -> None:
        self._replica.apply(index, payload)
        if self.on_apply is not None:
            self.on_apply(index, self.journal.term_at(index) or 0, payload)

    # -- what it looks like

    def now(self) -> float:
        """Return this node's clock (seconds)."""
        return self._now()

    def leadership(self) -> tuple[int, str | None]:
        """Return (term, leader id), cheap enough for every turn."""
        return self._core.raftCurrentTerm, self.known_leader(self._now())

    def known_leader(self, now: float) -> str | None:
        """Return the id of a leader believed to have its majority, None if there is none."""
        return self._looking.known_leader(self.me.id, now, self._peers)

    def view(self) -> ConsensusView:
        """Look at the node: see ``service.ports.ConsensusView``."""
        return self._looking.view(self.me, self._roster, self._node_of, self._now())
