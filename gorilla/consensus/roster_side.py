"""Changes of who counts: proposing them, those who learn before they count, those who left."""

from collections.abc import Callable

from gorilla.consensus.codec import RosterChange
from gorilla.consensus.journal import Journal
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import RaftCore
from gorilla.consensus.looking import Links
from gorilla.consensus.ports import Message
from gorilla.consensus.roster import RemovedError, RosterLog, RosterRefusedError, check_change
from gorilla.consensus.voters import Voters
from gorilla.service.ports import Member

Tell = Callable[[str, Message], None]


class RosterSide:
    """What a node does about the membership of its cluster."""

    def __init__(  # noqa: PLR0913  it joins the log, the library and the links
        self,
        core: RaftCore,
        journal: Journal,
        roster: RosterLog,
        voters: Voters,
        leading: LeaderSide,
        links: Links,
        *,
        tell: Tell,
    ) -> None:
        """Work on ``core``; leaving members are told through ``tell``."""
        self._core = core
        self._journal = journal
        self._roster = roster
        self._voters = voters
        self._leading = leading
        self._links = links
        self._tell = tell
        self.learners: dict[str, Member] = {}
        """Who gets the log from this leader without counting for anything."""
        core.on_change = roster.touch

    # -- on the leader

    def check(self, kind: str, member: Member) -> None:
        """Refuse a change that must not be proposed now.

        Raises:
            RosterRefusedError: Not now, or not here.

        """
        if not self._leading.is_open:
            raise RosterRefusedError("this node does not lead: ask the leader")
        if self._core.is_changing_roster:
            raise RosterRefusedError(
                "another membership change is under way: wait until it is done"
            )
        me, committed = self._voters.me.id, self._core.raftCommitIndex
        check_change(kind, member, self._roster.at(), me, self._journal[:], committed)

    def change(self, kind: str, member: Member) -> None:
        """Propose one change; it counts from when it is in the log.

        Raises:
            RosterRefusedError: Not now, or not here; nothing was done.

        """
        self.check(kind, member)
        self._core.change_roster(kind, member)

    def add_learner(self, member: Member) -> None:
        """Send the log to a node that is no member (yet).

        Raises:
            RosterRefusedError: It is a member, was one, or this node doesn't lead.

        """
        if member.id not in self.learners:
            self.check("add", member)
            self.learners[member.id] = member
            self._core.add_learner(member, is_linked=member.id in self._links)

    def drop_learner(self, peer: str) -> None:
        """Send nothing more to a node that was learning."""
        member = self.learners.pop(peer, None)
        if member is not None and peer not in self._voters.members:
            self._leading.lost_link(peer)
            self._core.drop_learner(member, is_linked=peer in self._links)

    def transfer(self, to: str) -> None:
        """Take no offers until the member ``to`` leads, or :meth:`keep` ends it.

        Raises:
            RosterRefusedError: This node doesn't lead, or ``to`` is no other member.

        """
        if not self._leading.is_open:
            raise RosterRefusedError("this node does not lead: ask the leader")
        if to not in self._voters.members:
            raise RosterRefusedError(f"{to} is no other member")
        self._leading.successor = self._voters.node_of(to)

    def keep(self) -> None:
        """Take offers again: nobody took over."""
        self._leading.successor = None

    # -- on every node

    @property
    def members(self) -> tuple[Member, ...]:
        """The newest roster, this node always included."""
        return (self._voters.me, *self._voters.members.values())

    def is_removed(self, peer: str) -> bool:
        """Return whether a member of this id was removed, and that is committed."""
        if peer not in self._voters.removed:
            return False
        return peer in self._roster.at(self._core.raftCommitIndex).removed

    def follow(self, *, leads: bool) -> None:
        """Take the newest roster, and let go of those who are no members any more."""
        before = self._voters.members
        self._voters.refresh()
        for peer in before.keys() - self._voters.members.keys():
            self._leading.forget(peer)
        for peer in list(self.learners):
            if not leads or peer in self._voters.members:
                self.drop_learner(peer)

    def committed(self, index: int, change: RosterChange) -> None:
        """A change is committed: whoever it removed must stop, and is told.

        Raises:
            RemovedError: This node was removed.

        """
        if change.kind != "rem":
            return
        if change.member.id == self._voters.me.id:
            raise RemovedError(f"this node was removed from the cluster (log index {index})")
        self._tell(change.member.id, {"type": "removed", "index": index})
