"""What a node does as a follower: takes appends and snapshots, and reports its log truly."""

import logging
from collections.abc import Callable

from gorilla.consensus.codec import MEMBERSHIP, MemberNode, UnreadableEntryError, check_command
from gorilla.consensus.compaction import Compactor, Position
from gorilla.consensus.guards import Conflict, heartbeat_only, rewrite_append, start_of_conflict
from gorilla.consensus.journal import Journal
from gorilla.consensus.library import FailStopError, RaftCore
from gorilla.consensus.ports import Message, Offload
from gorilla.consensus.remedies import SET_ASIDE
from gorilla.consensus.roster import RosterLog, decode_roster
from gorilla.consensus.shipping import Installer
from gorilla.consensus.snapshots import SnapshotMeta, SnapshotReceiver, SnapshotStore
from gorilla.service.ports import Replica

log = logging.getLogger(__name__)

Tell = Callable[[str, Message], None]
ToLibrary = Callable[[MemberNode, Message], None]


class FollowerSide:
    """Handles what the leader sends."""

    def __init__(  # noqa: PLR0913  it joins the parts that an append touches
        self,
        core: RaftCore,
        journal: Journal,
        compactor: Compactor,
        replica: Replica,
        store: SnapshotStore,
        offload: Offload,
        *,
        roster: RosterLog,
        tell: Tell,
        to_library: ToLibrary,
    ) -> None:
        """Work on ``core``; answers go out through ``tell``."""
        self._core = core
        self._journal = journal
        self._compactor = compactor
        self._replica = replica
        self._roster = roster
        self._tell = tell
        self._to_library = to_library
        self._installer = Installer(store, offload, tell, replica.decode, self._install)
        self._offload = offload
        self._echo = 0
        self._ack_cap: int | None = None
        self._is_gap = False
        self._leader: str | None = None
        self._leader_chain: tuple[int, bytes] | None = None
        self._catch_up_to: int | None = None

    @property
    def committed(self) -> int:
        """Largest index known to be committed here."""
        return max(self._core.raftCommitIndex, self._core.raftLastApplied)

    # -- appends

    def append(self, peer: MemberNode, message: Message) -> None:
        """Take an append of a leader whose term is not behind ours."""
        self._note_leader(peer.id, message)
        self._echo = message["seq"]
        plan = rewrite_append(message, self._journal, self.committed)
        if isinstance(plan, Conflict):
            raise FailStopError(
                f"leader {peer.id} contradicts entry {plan.index}, which is committed here"
                f" (commit index {self.committed}): the data of one of the two is damaged"
            )
        for command, _, _ in plan.message["entries"]:
            _check(command)
        self._note_changes(plan.message)
        self._ack_cap, self._is_gap = plan.ack_cap, plan.is_gap
        try:
            self._to_library(peer, plan.message)
        finally:
            self._echo, self._ack_cap, self._is_gap = 0, None, False

    def _note_changes(self, message: Message) -> None:
        """Have the roster read again if the log is about to get or lose a membership change."""
        previous = message["prevLogIdx"]
        loses = previous is not None and previous < self._journal.last_index
        if loses or any(command[0] == MEMBERSHIP for command, _, _ in message["entries"]):
            self._roster.touch()

    def stamp_ack(self, message: Message) -> Message:
        """Make the library's acknowledgement say its term, what it answers, and no more (H6)."""
        message["term"] = self._core.raftCurrentTerm
        message["echo"] = self._echo
        if message["success"]:
            if self._ack_cap is not None:
                message["next_node_idx"] = min(message["next_node_idx"], self._ack_cap)
        elif message["reset"] and not self._is_gap:
            message["next_node_idx"] = start_of_conflict(
                self._journal, message["next_node_idx"], self.committed
            )
        return message

    def _note_leader(self, leader: str, message: Message) -> None:
        if leader != self._leader:
            self._leader = leader
            self._catch_up_to = message["commit_index"]
        index, chain = message["chain"]
        if chain is not None:
            self._leader_chain = (index, chain)

    def forget_leader(self) -> None:
        """The leader changed or is unknown: catching up begins anew with the next one."""
        self._leader = None
        self._catch_up_to = None

    @property
    def caught_up(self) -> bool:
        """Whether all is applied that was committed when the present leader was first heard."""
        return self._catch_up_to is not None and self._core.raftLastApplied >= self._catch_up_to

    def compare_chain(self) -> None:
        """Stop the node when its state differs from the leader's at the same index."""
        theirs = self._leader_chain
        if theirs is None or self._core.raftLastApplied < theirs[0]:
            return
        self._leader_chain = None
        mine = self._replica.chain_at(theirs[0])
        if mine is not None and mine != theirs[1]:
            raise FailStopError(
                f"the state at index {theirs[0]} differs from the leader's: one of the two nodes"
                f" is damaged. {SET_ASIDE}"
            )

    # -- snapshots

    def install(self, peer: MemberNode, message: Message) -> None:
        """Take a piece of a snapshot; it counts as a heartbeat (H1)."""
        self._to_library(peer, heartbeat_only(message))
        if message["index"] <= self.committed:
            self._tell_position(peer.id, self.committed)
        else:
            self._installer.receive(peer.id, message)

    def _tell_position(self, peer: str, index: int) -> None:
        """Tell the leader up to where the logs are known to be equal (H11)."""
        self._tell(
            peer,
            {
                "type": "next_node_idx",
                "next_node_idx": index + 1,
                "reset": True,
                "success": True,
                "term": self._core.raftCurrentTerm,
                "echo": 0,
            },
        )

    def _install(self, meta: SnapshotMeta, receiver: SnapshotReceiver, state: object) -> None:
        """Swap the state, unless the log went beyond it while it was decoded: one short step."""
        is_known = self._journal.term_at(meta.index) == meta.term
        if meta.index <= self.committed or is_known:
            receiver.abort()
        else:
            self._compactor.cancel()
            receiver.publish()
            free_old = self._replica.adopt(meta.index, state)
            if free_old is not None:
                self._offload(free_old, _freed)
            roster = decode_roster(meta.members)
            self._roster.replace(roster, meta.index)
            self._compactor.prepare(Position(meta.last, meta.previous, roster.members))
            self._core.install(meta.index)
            log.info("snapshot %d installed", meta.index)
        leader = self._core.leader_id
        if leader is not None:
            # An entry of the same index and term means that all before it are equal too.
            self._tell_position(leader, max(meta.index, self.committed))

    def abort_install(self) -> None:
        """The sender is gone: a snapshot that is half here is thrown away."""
        self._installer.abort()


def _freed(error: BaseException | None) -> None:
    if error is not None:
        raise error


def _check(command: bytes) -> None:
    try:
        check_command(command)
    except UnreadableEntryError as error:
        raise FailStopError(f"the leader sent {error}: upgrade this node first") from error
