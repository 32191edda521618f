"""Who votes: the configuration as of any place in the log.

A node always uses the newest configuration that its log holds, committed or not (Ongaro, Raft
dissertation 4.1), also right after a restart (H13); a snapshot carries the one as of its last
index (H14).
"""

from collections.abc import Callable, Iterable, Sequence

import msgspec

from gorilla.consensus.codec import LogEntry, MemberNode, roster_change
from gorilla.consensus.library import FailStopError
from gorilla.service.ports import Member

_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Member, ...])


def encode_members(members: Sequence[Member]) -> bytes:
    """Encode a roster, in order of member id, for a snapshot."""
    return _encoder.encode(tuple(sorted(members, key=lambda member: member.id)))


def decode_members(data: bytes) -> tuple[Member, ...]:
    """Decode what :func:`encode_members` gave.

    Raises:
        msgspec.MsgspecError: It is something else.

    """
    return _decoder.decode(data)


def roster_after(
    members: Iterable[Member], entries: Iterable[LogEntry], *, since: int, until: int | None = None
) -> tuple[Member, ...]:
    """Return the roster after the membership changes of ``entries``.

    Args:
        members: The roster as of index ``since``.
        entries: Log entries, in order.
        since: Changes up to this index are in ``members`` already.
        until: Changes after this index don't count; None for all there are, committed or not.

    """
    roster = {member.id: member for member in members}
    for command, index, _ in entries:
        if index <= since or (until is not None and index > until):
            continue
        change = roster_change(command)
        if change is None:
            continue
        if change.kind == "add":
            roster[change.member.id] = change.member
        else:
            roster.pop(change.member.id, None)
    return tuple(sorted(roster.values(), key=lambda member: member.id))


class RosterLog:
    """The rosters of one node: a known one at some index, and the log's changes after it.

    The known one moves along with the snapshots, because the log forgets what they hold.
    """

    def __init__(
        self, members: Iterable[Member], index: int, entries: Callable[[], Sequence[LogEntry]]
    ) -> None:
        """Begin with ``members`` as of ``index``; ``entries`` gives the log."""
        self._members = tuple(members)
        self._entries = entries
        self.index = index

    def at(self, until: int | None = None) -> tuple[Member, ...]:
        """Return the roster as of an index, the newest one when it is None."""
        return roster_after(self._members, self._entries(), since=self.index, until=until)

    def settle(self, index: int) -> tuple[Member, ...]:
        """Take the roster as of a snapshot that is being made, and return it."""
        self._members, self.index = self.at(index), index
        return self._members

    def replace(self, members: Iterable[Member], index: int) -> None:
        """Take the roster of a snapshot that was installed."""
        self._members, self.index = tuple(members), index


class Voters:
    """The members besides this node, as of the newest roster."""

    def __init__(self, me: str, roster: RosterLog) -> None:
        """Read them from ``roster``; ``me`` is this node's member id."""
        self._me = me
        self._roster = roster
        self.refresh()

    def refresh(self) -> None:
        """Read the newest roster again."""
        others = [member for member in self._roster.at() if member.id != self._me]
        self.members = {member.id: member for member in others}
        self.ids = sorted(self.members)
        self._nodes = {member.id: MemberNode(member) for member in others}

    def node_of(self, peer: str) -> MemberNode:
        """Return what the library knows a peer by; one that is no voter is made up."""
        node = self._nodes.get(peer)
        return node or MemberNode(Member(id=peer, name=peer, peer="", http=""))


class RosterRefusedError(Exception):
    """A membership change must not be made now; the message says why and what to do."""


def me_in(roster: RosterLog, me: str, committed: int) -> Member:
    """Return this node as the newest roster has it.

    A removal that is not committed may still be overwritten: the node goes on, and nobody counts
    it.

    Raises:
        RemovedError: It was removed, or never was a member.

    """
    for members in (roster.at(), roster.at(committed)):
        for member in members:
            if member.id == me:
                return member
    raise RemovedError(f"member {me} is not in the cluster's roster: it was removed")


class RemovedError(FailStopError):
    """This node is no member of the cluster any more."""


def check_change(
    kind: str,
    member: Member,
    roster: Sequence[Member],
    me: str,
    entries: Iterable[LogEntry],
    committed: int,
) -> None:
    """Refuse a membership change that Raft's one-at-a-time rule does not allow (H12).

    Args:
        kind: ``add`` or ``rem``.
        member: Whom; an id is never used again once it was removed.
        roster: The present members, this node included.
        me: Id of this node, which leads and has applied an entry of its own term.
        entries: The log.
        committed: Commit index.

    Raises:
        RosterRefusedError: It must wait, or be done otherwise.

    """
    ids = {one.id for one in roster}
    if change_in_flight(entries, committed):
        raise RosterRefusedError("another membership change is under way: wait until it is done")
    if kind == "add" and (member.id in ids or member.name in {one.name for one in roster}):
        raise RosterRefusedError(f"{member.name} is a member already")
    if kind == "rem" and member.id not in ids:
        raise RosterRefusedError(f"{member.name} is not a member")
    if kind == "rem" and member.id == me:
        raise RosterRefusedError("the leader can't remove itself: hand leadership over first")


def change_in_flight(entries: Iterable[LogEntry], committed: int) -> bool:
    """Return whether a membership change is uncommitted: no other may join it (H12)."""
    return any(
        index > committed and roster_change(command) is not None for command, index, _ in entries
    )
