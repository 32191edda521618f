"""One node of the consensus, without I/O: messages and time in, messages and applied entries out.

A turn does everything that is due, in an order that makes every promise durable before it leaves
(docs/architecture.md): sync what arrived, decide, apply, send appends, sync what was decided, send
the rest. The driver calls it when something has arrived or is due; the simulation does the same.
"""

import math
import random
from collections.abc import Callable, Sequence

from gorilla.consensus.codec import RosterChange
from gorilla.consensus.compaction import Compactor, Position, load_local
from gorilla.consensus.election import Election
from gorilla.consensus.following import FollowerSide
from gorilla.consensus.inbox import Inbox
from gorilla.consensus.journal import Journal
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import GuardedTransport, RaftCore
from gorilla.consensus.looking import Links, Looking
from gorilla.consensus.offers import Offer
from gorilla.consensus.outbox import Outbox
from gorilla.consensus.pauses import RunningClock
from gorilla.consensus.ports import Message, Offload, Wire
from gorilla.consensus.reads import Done, PendingReads
from gorilla.consensus.roster import Roster, RosterLog
from gorilla.consensus.roster_side import RosterSide
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.shipping import Shipper
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.consensus.voters import Voters
from gorilla.service.ports import ConsensusView, Member, Replica, Role


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
        joining: Member | None = None,
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
            joining: This node as invited: no candidate until its log names it.

        """
        self.journal = journal
        self.on_apply: Callable[[int, int, bytes], None] | None = None
        self.on_role: Callable[[Role, int], None] | None = None
        self._settings = settings
        self._replica = replica
        self._now = RunningClock(monotonic)
        self._rng, self._cluster_id = random, cluster_id
        self._outbox = Outbox(wire, journal)
        self.tell = self._tell = self._outbox.put
        self.others: dict[str, Callable[[str, Message], None]] = {}  # takers of further messages
        self._links = Links(monotonic)
        self._reads = PendingReads(random.getrandbits(48))
        self._was_leader = self._more = False
        self._seen: tuple[int, str | None] = (-1, None)
        self._role_seen: tuple[Role, int] = (Role.FOLLOWER, -1)
        self._log_roster = RosterLog(Roster.of(members), 0, lambda: journal[:])
        self._compactor = Compactor(
            snapshots,
            offload,
            cluster_id=cluster_id,
            freeze=replica.freeze,
            roster=self._log_roster,
            monotonic=monotonic,
        )
        self._start_core(me, snapshots, joining)
        self._build_sides(snapshots, offload)

    # -- composition

    def _start_core(self, me: str, store: SnapshotStore, joining: Member | None) -> None:
        # Before the library looks at the journal: it would drop one that does not fit (H2).
        position = load_local(
            store, self._cluster_id, self._replica, self.journal, self._log_roster
        )
        committed = self.journal.getRaftCommitIndex()
        self._voters = Voters(self._log_roster, me, joining, committed)
        others = tuple(self._voters.members.values())
        self._transport = GuardedTransport(self)
        self._core = RaftCore(
            me=self.me,
            others=list(others),
            timing=self._settings.timing,
            journal=self.journal,
            snapshots=self._compactor,
            transport=self._transport,
            now=self._now,
            rng=self._rng,
            on_apply=self._apply,
            on_roster=self._apply_roster,
        )
        if position is not None:
            self._compactor.prepare(Position(position.last, position.previous, others))
            self._core.load_at_start()
        if not others and self._voters.counts_me:
            self._core.election_deadline = 0.0  # nobody to ask

    def _build_sides(self, store: SnapshotStore, offload: Offload) -> None:
        settings, core, tell = self._settings, self._core, self._tell
        self._election = Election(core, self._now, self.journal, self._rng, settings, tell)
        self._leading = LeaderSide(
            core,
            self._transport,
            self._election,
            Shipper(store, tell, settings.heartbeat_s, offload),
            self._replica,
            tell,
        )
        self._following = FollowerSide(
            core,
            self.journal,
            self._compactor,
            self._replica,
            store,
            offload,
            roster=self._log_roster,
            tell=tell,
            to_library=self._transport.deliver,
        )
        self._build_inbox()

    def _build_inbox(self) -> None:
        self._looking = Looking(
            cluster_id=self._cluster_id,
            core=self._core,
            journal=self.journal,
            election=self._election,
            leading=self._leading,
            following=self._following,
            compactor=self._compactor,
            links=self._links,
        )
        self.roster = RosterSide(
            self._core,
            self.journal,
            self._log_roster,
            self._voters,
            self._leading,
            self._links,
            tell=self._tell,
        )
        self._inbox = Inbox(
            self._core,
            self._election,
            self._leading,
            self._following,
            self._reads,
            now=self._now,
            voters=self._voters,
            learners=self.roster.learners,
            others=self.others,
            tell=self._tell,
            to_library=self._transport.deliver,
            on_refused=self._replica.refused,
        )

    # -- inputs

    def connected(self, peer: str, version: str | None = None, level: int = 1) -> None:
        """Take note of a new connection to ``peer``: its software, the features it supports."""
        self._core.enter(self._now)
        self._links.up(peer, version, level)
        self._transport.linked(self._voters.node_of(peer))

    def disconnected(self, peer: str) -> None:
        """Take note that the connection to ``peer`` broke."""
        self._core.enter(self._now)
        self._links.down(peer)
        self._leading.lost_link(peer)
        self._transport.unlinked(self._voters.node_of(peer))
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
        self._links.touch(peer)
        self._inbox.handle(self._voters.node_of(peer), message)
        self._follow_role()

    def offer(self, offer: int, batch: bytes) -> bool:
        """Hand a batch to the leader: see ``service.ports.Consensus.offer``."""
        now = self._now()
        if self._core.leads:
            return self._leading.take_offer(Offer(None, offer, batch), now, self._voters.ids)
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

    def stay(self) -> None:
        """Take offers again: nobody took leadership over."""
        self._leading.is_leaving = False

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
        if self._voters.counts_me:
            self._election.before_tick(now, self._voters.ids)
        self._ask_reads(now)
        self._leading.propose()
        core.tick()
        self._election.forced = False
        self._follow_role()
        self._close_reads(now)
        self._compact()
        if self._was_leader:
            self._leading.shipper.step(now, core.raftCurrentTerm)
            self._leading.hand_over()
        self._leading.resume()
        self._following.compare_chain()
        self._outbox.flush()
        alone = self._was_leader and not self._voters.ids
        uncommitted = core.raftCommitIndex < self.journal.last_index
        return self._more or bool(self._leading.offers) or (alone and uncommitted)

    def _follow_role(self) -> None:
        """Notice a change of role or leader, whichever call caused it."""
        core, term = self._core, self._core.raftCurrentTerm
        if self._voters.is_stale or core.peer_ids() != self._voters.members.keys():
            self.roster.follow(leads=core.leads)
        is_leader = core.leads
        if self._was_leader and (not is_leader or term != self._leading.ledger.term):
            self._was_leader = False
            self._leading.end(self._voters.node_of)
            self.roster.follow(leads=False)
        if is_leader and not self._was_leader:
            self._was_leader = True
            self._leading.begin(term, self._now(), self._voters.ids, self._voters.node_of)
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
        # What the journal retains behind a snapshot is no reason for the next one.
        fresh_bytes = self.journal.bytes_held - self.journal.retain_bytes
        due = applied_since >= self._settings.compact_entries or (
            fresh_bytes >= self._settings.compact_bytes and applied_since > 1
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
            due = self._election.due if self._voters.counts_me else math.inf
        if self._reads.any:
            due = min(due, now + self._settings.heartbeat_s / 4)
        return max(now + 0.001, min(due, now + self._settings.turn_s))

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
            self._leading.rounds.close(len(self._voters.ids) + 1, self._replica.now_ms)
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
                self._leading.park(self._voters.node_of(peer))
                return
            message = stamped
            self._leading.limit(self._voters.node_of(peer), message)
        elif kind == "next_node_idx":
            message = self._following.stamp_ack(message)
        elif kind == "request_vote":
            message["forced"] = self._election.forced
        elif kind not in ("response_vote", "timeout_now"):
            return  # the library's own forwarding is not used (H17, H28)
        self._tell(peer, message)

    def _apply(self, index: int, payload: bytes) -> None:
        self._replica.apply(index, payload)
        if self.on_apply is not None:
            self.on_apply(index, self.journal.term_at(index) or 0, payload)

    def _apply_roster(self, index: int, change: RosterChange) -> None:
        self.roster.committed(index, change)

    # -- what it looks like

    @property
    def me(self) -> Member:
        """This node, as the newest roster that has it says."""
        return self._voters.me

    def now(self) -> float:
        """Return this node's clock (seconds): it leaves out pauses of the process."""
        return self._now()

    def leadership(self) -> tuple[int, str | None]:
        """Return (term, leader id), cheap enough for every turn."""
        return self._core.raftCurrentTerm, self.known_leader(self._now())

    def known_leader(self, now: float) -> str | None:
        """Return the id of a leader believed to have its majority, None if there is none."""
        return self._looking.known_leader(self.me.id, now, self._voters.ids)

    def view(self) -> ConsensusView:
        """Look at the node: see ``service.ports.ConsensusView``."""
        return self._looking.view(self.me, self._voters.members, self._voters.node_of, self._now())
