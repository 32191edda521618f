"""What a node looks like from outside: role, leader, progress."""

from collections.abc import Callable, Mapping, Sequence

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.compaction import Compactor
from gorilla.consensus.election import Election
from gorilla.consensus.following import FollowerSide
from gorilla.consensus.journal import Journal
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import RaftCore
from gorilla.service.ports import ConsensusView, Member, MemberProgress, Role


class Links:
    """Which members are connected, and when each was last heard."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """Measure by ``clock`` (seconds), in which pauses of this node count."""
        self._clock = clock
        self._heard: dict[str, float] = {}
        self.versions: dict[str, str] = {}
        self.levels: dict[str, int] = {}
        self.drained: set[str] = set()
        """Those that say that an operator drained them."""

    def up(self, peer: str, version: str | None, level: int) -> None:
        """Note a new connection, and what software is at its other end."""
        self._heard[peer] = self._clock()
        self.levels[peer] = level
        if version is not None:
            self.versions[peer] = version

    def down(self, peer: str) -> None:
        """Note a broken connection."""
        self._heard.pop(peer, None)
        self.drained.discard(peer)

    def touch(self, peer: str) -> None:
        """Note a message."""
        if peer in self._heard:
            self._heard[peer] = self._clock()

    def heard_s(self, peer: str) -> float | None:
        """Return how long ago (seconds) ``peer`` was heard, None when it isn't connected."""
        heard = self._heard.get(peer)
        return None if heard is None else self._clock() - heard

    def __contains__(self, peer: str) -> bool:
        """Return whether ``peer`` is connected."""
        return peer in self._heard


class Looking:
    """Reads the parts of an engine; changes nothing."""

    def __init__(  # noqa: PLR0913  it reads all parts of a node
        self,
        *,
        cluster_id: str,
        core: RaftCore,
        journal: Journal,
        election: Election,
        leading: LeaderSide,
        following: FollowerSide,
        compactor: Compactor,
        links: Links,
    ) -> None:
        """Look at these."""
        self._cluster_id = cluster_id
        self._core = core
        self._journal = journal
        self._election = election
        self._leading = leading
        self._following = following
        self._compactor = compactor
        self._links = links

    def role(self) -> Role:
        """Return what the node is in its term."""
        if self._core.leads:
            return Role.LEADER
        return Role.CANDIDATE if self._core.is_candidate else Role.FOLLOWER

    def known_leader(self, me: str, now: float, peers: Sequence[str]) -> str | None:
        """Return the id of a leader believed to have its majority, None if there is none."""
        if self._core.leads:
            serves = self._leading.is_open and self._election.has_quorum(now, peers)
            return me if serves else None
        return self._core.leader_id if self._election.leader_alive(now, peers) else None

    def view(
        self,
        me: Member,
        roster: Mapping[str, Member],
        node_of: Callable[[str], MemberNode],
        now: float,
    ) -> ConsensusView:
        """Look at everything at once."""
        core = self._core
        leader = self.known_leader(me.id, now, list(roster))
        return ConsensusView(
            cluster_id=self._cluster_id,
            me=me,
            role=self.role(),
            term=core.raftCurrentTerm,
            leader=None if leader is None else me if leader == me.id else node_of(leader).member,
            commit_index=core.raftCommitIndex,
            applied_index=core.raftLastApplied,
            last_index=self._journal.last_index,
            snapshot_index=self._compactor.snapshot_index,
            caught_up=self._leading.is_open or self._following.caught_up,
            progress=tuple(map(self._progress, roster.values())),
        )

    def _progress(self, member: Member) -> MemberProgress:
        leads = self._core.leads
        return MemberProgress(
            member=member,
            connected=member.id in self._links,
            match_index=self._core.match_index(member.id) if leads else None,
            heard_s=self._links.heard_s(member.id),
            version=self._links.versions.get(member.id),
            level=self._links.levels.get(member.id),
            draining=member.id in self._links.drained,
        )
