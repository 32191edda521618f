"""Where the real parts are put together: the one module that knows their constructors."""

import contextvars
import hashlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import msgspec
from typing_extensions import override

from gorilla.consensus.codec import RosterChange
from gorilla.consensus.driver import Driver
from gorilla.consensus.engine import Engine
from gorilla.consensus.journal import Journal
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.consensus.ports import Message, Wire
from gorilla.consensus.roster import Roster
from gorilla.consensus.settings import EngineSettings
from gorilla.consensus.snapshots import SnapshotStore
from gorilla.domain import codec
from gorilla.domain.commands import Acquire, AcquireAll, Command, Once, Release, Renew
from gorilla.domain.outcomes import Outcome
from gorilla.domain.versions import FIRST_LEVEL
from gorilla.service import replica
from gorilla.service.event_log import EventLog
from gorilla.service.locks import LockService, LockSettings
from gorilla.service.pending import Done, Pending
from gorilla.service.policies import PolicyService
from gorilla.service.ports import FrozenState, Member, Role
from gorilla.service.proposals import Proposals
from gorilla.service.repairs import RepairService
from gorilla.service.replica import LockReplica
from gorilla.service.sessions import SessionService
from gorilla.service.upgrading import LOOK_EVERY_S, Upgrading
from tests.support.sim import observed_table
from tests.support.sim.checkers.logs import checksum
from tests.support.sim.disk import MachineDisk
from tests.support.sim.history import Applied, Ask, Changed, History, Operation
from tests.support.sim.recording import record
from tests.support.sim.streaming import EventEdge

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode
    from tests.support.sim.scheduler import NodeClock
    from tests.support.sim.world import World

CLUSTER_ID = "simulated-cluster"
DIGEST_EVERY = 4
"""Of so many indices, one is compared by the whole state: that takes time."""
DEADLINE_S = 1.5
"""How long a node works on one request."""


class Machine:
    """What stays when a process ends: disk, clock, identity."""

    def __init__(
        self, world: "World", number: int, member: Member, members: Sequence[Member]
    ) -> None:
        self.member = member
        """Itself, with the addresses that it has today."""
        self.member_id = member.id
        self.members = members
        """Whom its cluster was formed with; of one that joins, whom its invitation named."""
        self.joining: Member | None = None
        """Itself, when it was invited into a cluster that there was already."""
        self.is_waiting = not members
        """Whether it is empty and waits for that invitation."""
        self.level = FIRST_LEVEL
        """The highest feature level that the software on it supports."""
        self.was_upgraded = False
        """Whether it ran the later release once: only then may the former one be too old."""
        self.allowed_level = FIRST_LEVEL
        """How far its operator lets the cluster version be raised."""
        self.profile = world.profile
        self.recording = world.recording
        self.history: History = world.history
        self.clock: NodeClock = world.make_clock()
        self.busy_until = 0.0
        self.is_formed = False
        """Whether a process has had its journal here: it must never be missing from then on."""
        self._scheduler = world.scheduler
        self.disk = MachineDisk(world.scheduler.random(f"disk {number}"), self._spend)
        self.secrets = world.scheduler.random(f"secrets {number}")
        self.events_kept = world.scheduler.random(f"events {number}").choice(
            world.profile.events_kept
        )

    def make_secret(self) -> str:
        """Return what nobody guesses, and the same seed gives again."""
        return f"{self.secrets.getrandbits(128):032x}"

    def _spend(self, seconds: float) -> None:
        self.busy_until = max(self.busy_until, self._scheduler.now) + seconds


def make_machines(world: "World") -> list[Machine]:
    """Return the machines of a new cluster, all disks empty."""
    members = [make_member(world.seed, number) for number in range(world.profile.nodes)]
    return [Machine(world, number, one, members) for number, one in enumerate(members)]


def make_member(seed: int, number: int, like: Member | None = None) -> Member:
    """Return the member of a new data directory; ``like`` is the one whose place it takes."""
    id_ = f"n{number}-{hashlib.sha256(f'{seed}/{number}'.encode()).hexdigest()[:8]}"
    if like is not None:
        return msgspec.structs.replace(like, id=id_)
    return Member(id=id_, name=f"n{number}", peer=f"n{number}:1", http=f"n{number}:2")


class _Wire(Wire):
    """Messages of a turn leave when it flushes."""

    def __init__(self, node: "SimNode") -> None:
        self._node = node

    @override
    def send(self, peer: str, message: Message) -> None:
        if not self._node.machine.disk.is_dead:
            self._node.world.sends(self._node.id, peer, message)

    @override
    def flush(self) -> None:
        pass


asking: contextvars.ContextVar[Operation | Ask | None] = contextvars.ContextVar("operation")
"""The operation that the running task serves."""


class _ObservedProposals(Proposals):
    """The real ones; notes how an operation's command is known in the log."""

    @override
    def propose(self, command: Command, deadline_s: float, done: Done) -> Pending:
        operation = asking.get(None)
        # What a wait sends after its first command is known by that one.
        if operation is not None and operation.mark is None:
            operation.mark = _mark_of(command)
        return super().propose(command, deadline_s, done)


def _mark_of(command: Command) -> bytes | None:
    match command:
        case Once():
            return _mark_of(command.command)
        case Acquire() | AcquireAll():
            return command.secret.encode()
        case Renew():
            return command.new_secret.encode()
        case Release():
            return msgspec.msgpack.encode(command)
        case _:
            return None


class _ObservedReplica(LockReplica):
    """The real one; tells when a snapshot became the state, and reads as its release does."""

    on_load: Callable[[], None] | None = None
    on_freeze: Callable[[], None] | None = None
    is_mixed = False
    """Whether there are commands that an older release does not know."""

    @override
    def apply(self, index: int, payload: bytes) -> None:
        if self.is_mixed:
            for batch in codec.decode_entry(payload).batches:
                needed = replica.batch_level(batch)
                if needed > self.supported:
                    raise UnknownCommandError(f"{index} is of level {needed} > {self.supported}")
        super().apply(index, payload)

    @override
    def freeze(self) -> FrozenState:
        if self.on_freeze is not None:
            self.on_freeze()
        return super().freeze()

    @override
    def adopt(self, index: int, state: object) -> Callable[[], None] | None:
        freeing = super().adopt(index, state)
        if self.on_load is not None:
            self.on_load()
        return freeing


class _ObservedEngine(Engine):
    """The real one; tells of membership changes that are committed."""

    on_roster: Callable[[int, RosterChange], None]

    @override
    def _apply_roster(self, index: int, change: RosterChange) -> None:
        self.on_roster(index, change)
        super()._apply_roster(index, change)


class UnknownCommandError(Exception):
    """A release met a command that a later one brought."""


class Process:
    """One life of a node."""

    def __init__(self, node: "SimNode") -> None:
        machine, profile = node.machine, node.machine.profile
        loop = node.loop
        self._node = node
        origin = f"{node.id}/{node.life}"
        self.replica = _ObservedReplica(machine.clock, self._resolved, self._refused, origin)
        self.replica.supported = self.level = machine.level
        self.replica.is_mixed = profile.is_upgraded
        self.events = EventLog(self.replica, events_max=machine.events_kept)
        self.journal = Journal.open(
            machine.disk.files,
            node=node.id,
            retain_entries=profile.retain,
            retain_bytes=1 << 30,
            segment_bytes=profile.rotate_bytes,
            must_exist=machine.is_formed,
        )
        machine.is_formed = True
        self.snapshots = SnapshotStore(machine.disk.files)
        self.engine = _ObservedEngine(
            me=node.id,
            members=machine.members,
            cluster_id=CLUSTER_ID,
            settings=EngineSettings(compact_entries=profile.compact_after),
            replica=self.replica,
            journal=self.journal,
            snapshots=self.snapshots,
            wire=_Wire(node),
            monotonic=machine.clock.monotonic,
            random=node.rng,
            offload=self._offload,
            joining=machine.joining,
        )
        self.engine.on_roster = self._committed
        self.engine.on_apply = self._applied
        self.engine.on_role = self._changed_role
        self.role = Role.FOLLOWER
        self.driver = Driver(self.engine, on_change=self._poke, on_failure=node.failed)
        self.proposals = _ObservedProposals(self.driver, loop, origin)
        settings = LockSettings(request_deadline_s=DEADLINE_S)
        replica, make_secret = self.replica, machine.make_secret
        self.locks = LockService(self.proposals, self.driver, replica, loop, settings, make_secret)
        parts = (self.proposals, self.locks._moments, replica, loop, settings, make_secret)
        self.sessions = SessionService(*parts)
        self.repairs = RepairService(*parts)
        self.policies = PolicyService(*parts[:-1])
        self.replica.on_load = node.record_loaded
        self.replica.on_freeze = lambda: node.world.happens("snapshots begun")
        if self.journal.recovered.bytes_cut:
            node.world.happens("disk: torn tails cut at a start")
        self.edge = EventEdge(self, node) if profile.watchers else None
        self.driver.start()
        self.history = record(node, self) if profile.is_recorded else None
        if machine.profile.is_upgraded:
            self._raising = Upgrading(self.driver, self.replica, machine.allowed_level)
            node.post(LOOK_EVERY_S, self._raise_version)

    def _raise_version(self) -> None:
        self._raising.step()
        self._node.post(LOOK_EVERY_S, self._raise_version)

    # The parts know each other only when all of them are made

    def _resolved(self, number: int, outcome: Outcome) -> None:
        self.proposals.resolve(number, outcome)

    def _refused(self, offer: int) -> None:
        self.proposals.refused(offer)

    def _poke(self) -> None:
        self.proposals.poke()

    def _offload(
        self, work: Callable[[], None], done: Callable[[BaseException | None], None]
    ) -> None:
        self.driver.offload(work, done)

    # What the checkers hear

    def _changed_role(self, role: Role, term: int) -> None:
        self.role = role
        self._node.record_role(str(role), term)

    def _applied(self, index: int, term: int, payload: bytes) -> None:
        node = self._node
        node.world.applies(node, index, term)
        table, now = self.replica.table, node.scheduler.now
        observed_table.record(table, index, now, node.machine.history)
        node.machine.history.applied.append(
            Applied(
                node.scheduler.now, node.id, node.life, index, term, payload, self._digest(index)
            )
        )

    def _committed(self, index: int, change: RosterChange) -> None:
        node, member = self._node, change.member
        node.world.commits_change(
            Changed(node.scheduler.now, node.id, index, change.kind, member.id, member.peer)
        )

    def _digest(self, index: int = 0) -> str:
        """Return a digest of all that was applied, and of every few indices' whole state."""
        chain = self.replica.table.chain.hex()[:16]
        return chain if index % DIGEST_EVERY else f"{self.replica.table.digest()[:16]} {chain}"

    # What the world asks

    def position(self) -> tuple[int, str]:
        """Return the applied index (of entries of ours) and the digest of the state there."""
        index = self.replica.applied_index
        return index, self._digest(index)

    def hand_over(self, *, is_leaving: bool) -> None:
        """Give leadership away, or be an ordinary member again."""
        if is_leaving:
            self.engine.leave()
        else:
            self.engine.stay()
        self.driver.wake()

    def compact(self) -> None:
        """Make a snapshot now, unless one is being made."""
        if self.engine._compactor.may_start():
            self.engine._core.forceLogCompaction()
            self.driver.wake()

    def counts(self, peer: str) -> tuple[int, int, int | None]:
        """Return its term, what it counts as acknowledged by a peer, and that entry's term.

        An entry that has been compacted has no term; one beyond the log has term -1.
        """
        index = self.engine._core.match_index(peer)  # what the commit rule itself looks at
        term = self.journal.term_at(index) if index <= self.journal.last_index else -1
        return self.engine._core.raftCurrentTerm, index, term

    def is_leader(self) -> bool:
        """Whether it thinks it leads."""
        return self.role is Role.LEADER

    def voters(self) -> tuple[str, ...]:
        """Return the ids that count by the newest roster in its log, in order."""
        voters = self.engine._voters
        mine = [self._node.id] if voters.counts_me else []
        return tuple(sorted([*voters.members, *mine]))

    def knows(self, name: str) -> bool:
        """Whether it dials this name: a member's by its log, or of one that learns from it."""
        known = (*self.engine._voters.members.values(), *self.engine.roster.learners.values())
        return any(member.name == name for member in known)

    def committed_roster(self) -> Roster:
        """Return the roster as far as it is known to be committed here."""
        return self.roster_at(self.engine._core.raftCommitIndex)

    def roster_at(self, index: int) -> Roster:
        """Return the roster as of a place in the log."""
        return self.engine._log_roster.at(index)

    def log_entries(self) -> dict[int, tuple[int, int]]:
        """Return its log: by index, the term and a checksum of the command."""
        return {index: (term, checksum(command)) for command, index, term in self.journal[:]}

    def describe(self) -> str:
        """Return its state in a few words."""
        view = self.engine.view()
        return (
            f"{view.role} term {view.term} log {self.journal.first_index}-{view.last_index}"
            f" commit {view.commit_index} applied {view.applied_index}"
            f" snapshot {view.snapshot_index}"
        )


def peer_info(peer: str, level: int) -> PeerInfo:
    """Return what the handshake of a link proves of a member."""
    name = peer.partition("-")[0]
    return PeerInfo(name=name, id=peer, version="1", cluster_id=CLUSTER_ID, protocol=1, level=level)
