"""Who counts, as this node sees it now: the members besides it, and whether it is one itself."""

from gorilla.consensus.codec import MemberNode
from gorilla.consensus.roster import RemovedError, Roster, RosterLog
from gorilla.service.ports import Member


class Voters:
    """The members besides this node, as of the newest roster."""

    def __init__(self, roster: RosterLog, me: str, joining: Member | None, committed: int) -> None:
        """Read them from ``roster``.

        Args:
            roster: The rosters of this node.
            me: Its member id.
            joining: Itself as it was invited, when the log need not name it yet.
            committed: Commit index.

        Raises:
            RemovedError: This node was removed, or never was a member.

        """
        self._id = me
        self._roster = roster
        self._me = _in(roster.at(), me) or _in(roster.at(committed), me) or joining
        self.refresh()
        if self._me is None or me in roster.at(committed).removed:
            raise RemovedError(f"member {me} is not in the cluster's roster: it was removed")

    def refresh(self) -> None:
        """Read the newest roster again."""
        newest = self._roster.at()
        mine = _in(newest, self._id)
        self.counts_me = mine is not None
        """Whether this node is a member by its own log. Otherwise it asks for no votes, and waits:
        it is joining, or its removal is under way."""
        self._me = mine or self._me
        others = [member for member in newest.members if member.id != self._id]
        self.members = {member.id: member for member in others}
        self.ids = sorted(self.members)
        self.removed = frozenset(newest.removed)
        self._nodes = {member.id: MemberNode(member) for member in others}
        self._version = self._roster.version

    @property
    def me(self) -> Member:
        """This node, as the newest roster that has it says."""
        assert self._me is not None
        return self._me

    @property
    def is_stale(self) -> bool:
        """Whether the roster may have changed since it was read."""
        return self._version != self._roster.version

    def node_of(self, peer: str) -> MemberNode:
        """Return what the library knows a peer by; one that is no voter is made up."""
        node = self._nodes.get(peer)
        return node or MemberNode(Member(id=peer, name=peer, peer="", http=""))


def _in(roster: Roster, me: str) -> Member | None:
    return next((member for member in roster.members if member.id == me), None)
