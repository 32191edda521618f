"""Every place where Gorilla reaches into PySyncObj: all overrides of private names stand here.

The library is pinned and its audited sources are identified by hash: the guards around it rely on
the exact behaviour of its handlers, so another version is a re-audit, never an upgrade in passing
(docs/adr/0004). The module-level names replaced below are the library's seams: its journal, its
snapshot serializer, its clock, its poller, its pickle.
"""

import hashlib
import math
import random
from collections.abc import Callable
from importlib import metadata, resources
from typing import Any, Final, NamedTuple, Protocol

from pysyncobj import SyncObj, SyncObjConf, replicated, syncobj
from pysyncobj.node import Node
from pysyncobj.transport import Transport
from typing_extensions import override

from gorilla.consensus.codec import (
    MEMBERSHIP,
    LogCodec,
    LogEntry,
    MemberNode,
    RosterChange,
    roster_change,
)
from gorilla.consensus.journal import Journal
from gorilla.service.ports import Member

AUDITED_VERSION: Final = "0.3.17"
AUDITED_SHA256: Final = {
    "syncobj.py": "e8bdf06797085d734df86e24ab4802fe87893dff77268565ec036f7ad4a1cfe4",
    "config.py": "fbbc7ff9f18e4d15a7fd563376e42f5bd192956879d4b810b056d5248b955698",
    "fast_queue.py": "8477fe5fdf36d9766df933310d3d66ee953d1afc195b1e6482b3a1498fc517bd",
    "node.py": "e4a3f027cd8291f558334bb9c977e952f6b6989e7e1fa1588d3005ef0b990e2c",
    "transport.py": "0c9d89f9c4781ec9772df8011d7975a1a4a1a5f541357e12eae85a813e92b50b",
}
ENTRY_BYTES_MAX: Final = 512 * 1024
"""Largest log command; far below the library's batch size, so it never splits one (H40)."""
APPEND_BYTES_MAX: Final = 4 * 1024 * 1024
NEVER: Final = 1 << 60


class LibraryMismatchError(Exception):
    """The installed PySyncObj is not the audited one."""


class FailStopError(Exception):
    """The node can't go on without risking what it promised; the process must end."""


def check_library() -> None:
    """Refuse any PySyncObj but the audited one.

    Raises:
        LibraryMismatchError: Says which file differs and how to get the right one.

    """
    version = metadata.version("pysyncobj")
    if version != AUDITED_VERSION:
        raise LibraryMismatchError(
            f"pysyncobj {version} is installed, Gorilla is proved with {AUDITED_VERSION} only:"
            f" pip install pysyncobj=={AUDITED_VERSION}"
        )
    for name, expected in AUDITED_SHA256.items():
        source = resources.files("pysyncobj").joinpath(name).read_bytes()
        if hashlib.sha256(source).hexdigest() != expected:
            raise LibraryMismatchError(
                f"pysyncobj/{name} differs from the audited {AUDITED_VERSION}: reinstall it with"
                f" pip install --force-reinstall pysyncobj=={AUDITED_VERSION}"
            )


class Timing(NamedTuple):
    """What the library is told about time (seconds)."""

    heartbeat: float
    election_min: float
    election_max: float
    fallback: float


class _LibraryClock:
    """The library reads one module-level clock; each node sets its own before calling in."""

    def __init__(self) -> None:
        self.now: Callable[[], float] = lambda: 0.0

    def __call__(self) -> float:
        return self.now()


class _NoPoller:
    """Sockets belong to the event loop; the library polls nothing."""

    def poll(self, timeout: float) -> None:
        """Return at once."""


_clock = _LibraryClock()
syncobj.createJournal = lambda journal: journal
syncobj.Serializer = lambda *arguments: arguments[-1]
syncobj.createPoller = lambda _kind: _NoPoller()
syncobj.monotonicTime = _clock
syncobj.pickle = LogCodec
syncobj.PIPE_NOTIFIER_ENABLED = False


class LibrarySnapshots(Protocol):
    """What takes the place of the library's ``Serializer`` (H10, H21, H22, H36, H38)."""

    def checkSerializing(self) -> tuple[int, int | None]:
        """Return the state of the running job and the log position that it covers."""
        ...

    def serialize(self, data: tuple[Any, LogEntry, LogEntry, set[Node]], position: int) -> None:
        """Start a snapshot of the last applied entry, and return at once."""
        ...

    def deserialize(self) -> tuple[None, LogEntry, LogEntry, list[Node]]:
        """Return (None, last entry, the one before it, the other members)."""
        ...

    def getTransmissionData(self, peer: Node) -> None:
        """Return None: snapshots are shipped outside the library."""
        ...

    def cancelTransmisstion(self, peer: Node) -> None:
        """Do nothing: the spelling is the library's."""
        ...


class Outgoing(Protocol):
    """Where the library's messages go."""

    def library_sends(self, peer: str, message: dict[str, Any]) -> None:
        """Take a message for a peer."""
        ...


class GuardedTransport(Transport):
    """The library's transport: always ready, and every message goes through the guards."""

    ready = True

    def __init__(self, outgoing: Outgoing) -> None:
        """Send everything to ``outgoing``."""
        super().__init__(None, None, [])
        self._outgoing = outgoing

    def send(self, node: Node, message: dict[str, Any]) -> bool:
        """Hand over a message."""
        self._outgoing.library_sends(node.id, message)
        return True

    def deliver(self, node: Node, message: dict[str, Any]) -> None:
        """Hand a message to the library: it has passed the guards."""
        self._onMessageReceived(node, message)

    def linked(self, node: Node) -> None:
        """Let the library send to ``node``."""
        self._onNodeConnected(node)

    def unlinked(self, node: Node) -> None:
        """Let the library send nothing to ``node``."""
        self._onNodeDisconnected(node)

    def addNode(self, node: Node) -> None:
        """Do nothing: the engine reads the roster from the log."""

    def dropNode(self, node: Node) -> None:
        """Do nothing, likewise."""


class RaftCore(SyncObj):
    """PySyncObj with one replicated method, and its private state behind named methods."""

    def __init__(  # noqa: PLR0913  the library wants all of it at once
        self,
        *,
        me: Member,
        others: list[Member],
        timing: Timing,
        journal: Journal,
        snapshots: LibrarySnapshots,
        transport: GuardedTransport,
        now: Callable[[], float],
        rng: random.Random,
        on_apply: Callable[[int, bytes], None],
        on_roster: Callable[[int, RosterChange], None],
    ) -> None:
        """Start from the journal."""
        self.enter(now)
        self.election_deadline = math.inf
        """When to ask for an election (its clock, seconds); the library sets it."""
        self._rng = rng
        self._on_apply = on_apply
        self._on_roster = on_roster
        self.on_change: Callable[[], None] = lambda: None
        """Called when this leader writes a membership change."""
        self._may_change_roster = False
        self.may_campaign = False
        """Whether the library may start an election at this tick: ``election`` decides (H32)."""
        self._timing = timing
        self._snapshots = snapshots
        super().__init__(
            MemberNode(me),
            [MemberNode(member) for member in others],
            _settings(timing, journal, snapshots),
            nodeClass=MemberNode,
            transport=transport,
        )
        self._SyncObj__needLoadDumpFile = False

    def tick(self) -> None:
        """Run the library's tick, which polls nothing and waits for nothing."""
        self._onTick(0.0)
        self.may_campaign = False
        self._may_change_roster = False  # what was not written now is not written later

    @property
    def is_changing_roster(self) -> bool:
        """Whether a membership change waits to be written at the next tick."""
        return self._may_change_roster

    def change_roster(self, kind: str, member: Member) -> None:
        """Propose one membership change; ``roster.check_change`` has allowed it (H12)."""
        self._may_change_roster = True
        node = MemberNode(member)
        command = LogCodec.dumps([kind, member.id, node])
        self._applyCommand(command, None, MEMBERSHIP)

    def hand_over(self, to: MemberNode | None) -> None:
        """Ask a member to campaign if it has the whole log; None asks the one that is furthest."""
        self.transferLeadership(to)

    def add_learner(self, member: Member, *, is_linked: bool) -> None:
        """Send appends to a node that counts for nothing: no commit, no vote, no majority."""
        node = MemberNode(member)
        self._SyncObj__onReadonlyNodeConnected(node)
        if not is_linked:
            self._SyncObj__onNodeDisconnected(node)

    def drop_learner(self, member: Member, *, is_linked: bool) -> None:
        """Send no more appends to a node that is no voter."""
        node = MemberNode(member)
        self._SyncObj__onReadonlyNodeDisconnected(node)
        if is_linked:
            self._SyncObj__onNodeConnected(node)

    def peer_ids(self) -> set[str]:
        """Return the ids of the other members that it counts."""
        return {node.id for node in self.otherNodes}

    @replicated
    def commit(self, payload: bytes) -> None:
        """Apply one entry: the only replicated method there will ever be (H20)."""
        self._on_apply(self.raftLastApplied + 1, payload)

    # -- the library's private methods, overridden

    def _SyncObj__generateRaftTimeout(self) -> float:
        """Draw an election timeout from the injected generator."""
        _, low, high, _ = self._timing
        return low + (high - low) * self._rng.random()

    @property
    def _SyncObj__raftElectionDeadline(self) -> float:
        """Say when the library may campaign: never, unless it is allowed to at this tick (H32).

        It looks at a later moment than ``election`` did, so the time alone would let it slip by.
        """
        return self.election_deadline if self.may_campaign else math.inf

    @_SyncObj__raftElectionDeadline.setter
    def _SyncObj__raftElectionDeadline(self, at: float) -> None:
        self.election_deadline = at

    @override
    def _SyncObj__doApplyCommand(self, command: bytes) -> object:
        """Apply an entry; a membership change counts from when it is in the log, once (H13).

        The library would bring back a member that a later entry of the log has removed already.
        """
        change = roster_change(command)
        if change is not None:
            self._on_roster(self.raftLastApplied + 1, change)
            return None
        return super()._SyncObj__doApplyCommand(command)

    def _SyncObj__changeCluster(self, request: list[Any]) -> bool:
        """Accept a membership change only from our own admin path, one at a time (H12)."""
        if not self._may_change_roster:
            return False
        self._may_change_roster = False
        self.on_change()
        kind, _, node = request
        if kind == "set":
            return True  # addresses are nothing to the library
        self._SyncObj__readonlyNodes.discard(node)  # a learner that will count
        return self._SyncObj__doChangeCluster(request)

    @override
    def _applyCommand(self, command: bytes, callback: Any, commandType: int | None = None) -> None:
        if commandType == MEMBERSHIP and not self._may_change_roster:
            raise FailStopError("a membership change came in beside the membership procedure")
        super()._applyCommand(command, callback, commandType)

    # -- its private state, named

    def enter(self, now: Callable[[], float]) -> None:
        """Make this node's clock the library's: call before anything else of the library."""
        _clock.now = now

    @property
    def leads(self) -> bool:
        """Whether it believes to lead its term."""
        return self._isLeader()

    @property
    def is_candidate(self) -> bool:
        """Whether it campaigns."""
        return self._SyncObj__raftState == 1

    @property
    def leader_id(self) -> str | None:
        """Member id of the leader it knows."""
        leader = self._getLeader()
        return None if leader is None else leader.id

    def draw_election_timeout(self) -> float:
        """Return a random election timeout (seconds)."""
        return self._SyncObj__generateRaftTimeout()

    def match_index(self, peer: str) -> int:
        """Return the largest index that ``peer`` acknowledged to this leader."""
        matches: dict[Node, int] = self._SyncObj__raftMatchIndex
        return next((index for node, index in matches.items() if node.id == peer), 0)

    @property
    def first_kept_index(self) -> int:
        """Index of the first entry of its log: earlier ones are in a snapshot."""
        return int(self._SyncObj__raftLog.first_index)

    @property
    def last_index(self) -> int:
        """Index of the last entry of its log."""
        return int(self._SyncObj__raftLog.last_index)

    def next_append_at(self) -> float:
        """When the next heartbeat is due (its clock, seconds)."""
        return self._SyncObj__newAppendEntriesTime

    def append_soon(self) -> None:
        """Send append entries at the next tick, due or not."""
        self._SyncObj__newAppendEntriesTime = 0

    def load_at_start(self) -> None:
        """Take position from the snapshot that ``deserialize`` gives; the journal is aligned."""
        self._load(clear=False)

    def install(self, index: int) -> None:
        """Replace log and position by a received snapshot, durable and already in the replica."""
        self._load(clear=True)
        self._SyncObj__raftCommitIndex = max(index, self.raftCommitIndex)
        self._SyncObj__raftLog.setRaftCommitIndex(self.raftCommitIndex)
        if self.raftLastApplied != index:
            raise FailStopError(f"snapshot {index} was not taken: applied {self.raftLastApplied}")

    def _load(self, *, clear: bool) -> None:
        # The library swallows every exception in there; what it had to reach is checked after.
        expected = self._snapshots.deserialize()[1][1]
        self._SyncObj__loadDumpFile(clear)
        if self.raftLastApplied != expected:
            raise FailStopError(f"position {expected} expected, {self.raftLastApplied} taken")


def _settings(timing: Timing, journal: Journal, snapshots: LibrarySnapshots) -> SyncObjConf:
    return SyncObjConf(
        autoTick=False,  # H45: its thread starts inside the constructor
        commandsWaitLeader=False,  # H29: commands must not run long after the caller gave up
        appendEntriesUseBatch=False,  # entries leave in the tick that adds them
        appendEntriesPeriod=timing.heartbeat,
        raftMinTimeout=timing.election_min,
        raftMaxTimeout=timing.election_max,
        connectionTimeout=timing.election_max,  # not ours to use, but checked
        leaderFallbackTimeout=timing.fallback,  # H43
        appendEntriesBatchSizeBytes=APPEND_BYTES_MAX,
        logCompactionMinEntries=NEVER,  # the engine says when
        logCompactionMinTime=NEVER,
        dynamicMembershipChange=True,
        useFork=False,  # H38
        journalFile=journal,
        fullDumpFile=None,
        serializeChecker=snapshots,
        tcp_keepalive=None,
    )
