"""Changes of who counts: proposing them, those who learn before they count, those who left."""

from collections.abc import Callable
from typing import Final

from gorilla.consensus.codec import RosterChange
from gorilla.consensus.journal import Journal
from gorilla.consensus.leading import LeaderSide
from gorilla.consensus.library import RaftCore
from gorilla.consensus.looking import Links
from gorilla.consensus.ports import Message
from gorilla.consensus.roster import (
    UNDER_WAY,
    RemovedError,
    RosterLog,
    RosterRefusedError,
    change_in_flight,
    check_change,
    check_newcomer,
)
from gorilla.consensus.voters import Voters
from gorilla.service.ports import Member

Tell = Callable[[str, Message], None]

DRAINED_PATIENCE_S: Final = 3.0
"""How much longer than others a drained node waits before it asks for an election (seconds).

It leads as a last resort: when nobody else can, the service goes on.
"""


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
            raise RosterRefusedError(UNDER_WAY)
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
            if not self._leading.is_open:
                raise RosterRefusedError("this node does not lead: ask the leader")
            if self.is_changing:  # the roster that it is told of must be one that stays
                raise RosterRefusedError(UNDER_WAY)
            # Its name may be that of a member that leaves before it counts.
            check_newcomer(member, self._roster.at(), is_name_free=True)
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

    @property
    def leads(self) -> bool:
        """Whether this node leads and serves."""
        return self._leading.is_open

    @property
    def is_changing(self) -> bool:
        """Whether a change was proposed and is not committed."""
        committed = self._core.raftCommitIndex
        return self._core.is_changing_roster or change_in_flight(self._journal[:], committed)

    def is_linked(self, peer: str) -> bool:
        """Return whether there is a link to a node."""
        return peer in self._links

    def is_in_force(self, kind: str, member: Member) -> bool:
        """Return whether a change is committed."""
        members = self._roster.at(self._core.raftCommitIndex).members
        if kind == "rem":
            return all(one.id != member.id for one in members)
        return member in members

    def has_nearly_all(self, peer: str, behind_max: int) -> bool:
        """Return whether a linked node said to have the log but for the last few entries."""
        match = self._core.match_index(peer)
        return peer in self._links and 0 < match >= self._core.last_index - behind_max

    # -- on every node

    @property
    def drained(self) -> set[str]:
        """Ids of the linked members that say to drain."""
        return self._links.drained

    def drain(self, *, draining: bool) -> None:
        """Let others lead if they can, or be like them again."""
        self._leading.be_patient(DRAINED_PATIENCE_S if draining else 0.0)

    @property
    def removed(self) -> frozenset[str]:
        """Ids of those who were members once."""
        return self._voters.removed

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
            self._leading.forget(self._voters.node_of(peer))
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
