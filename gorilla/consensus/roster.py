"""Who votes: the configuration as of any place in the log.

A node always uses the newest configuration that its log holds, committed or not (Ongaro, Raft
dissertation 4.1), also right after a restart (H13); a snapshot carries the one as of its last
index (H14).
"""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

import msgspec

from gorilla.consensus.codec import LogEntry, roster_change
from gorilla.consensus.library import FailStopError
from gorilla.service.ports import Member

REMOVED_MAX: Final = 256
"""How many removed ids are remembered, the newest: such an id is never taken in again."""


class Roster(msgspec.Struct, frozen=True):
    """Who is a member, in order of member id, and who was one."""

    members: tuple[Member, ...]
    removed: tuple[str, ...] = ()
    """Member ids, oldest first."""

    @staticmethod
    def of(members: Iterable[Member]) -> "Roster":
        """Return the roster of these members, nobody removed."""
        return Roster(_sorted(members))

    def after(self, kind: str, member: Member) -> "Roster":
        """Return the roster after one change."""
        rest = tuple(one for one in self.members if one.id != member.id)
        if kind == "rem":
            earlier = tuple(one for one in self.removed if one != member.id)
            return Roster(rest, (*earlier, member.id)[-REMOVED_MAX:])
        if kind == "set" and len(rest) == len(self.members):
            return self
        return Roster(_sorted((*rest, member)), self.removed)


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(tuple[Member, ...] | Roster)


def encode_members(members: Sequence[Member]) -> bytes:
    """Encode a roster that nobody was removed from, in order of member id, for a snapshot."""
    return _encoder.encode(_sorted(members))


def encode_roster(roster: Roster) -> bytes:
    """Encode a roster for a snapshot: without removed ids as :func:`encode_members` does."""
    return _encoder.encode(roster) if roster.removed else encode_members(roster.members)


def decode_roster(data: bytes) -> Roster:
    """Decode what :func:`encode_roster` or :func:`encode_members` gave.

    Raises:
        msgspec.MsgspecError: It is something else.

    """
    decoded = _decoder.decode(data)
    return decoded if isinstance(decoded, Roster) else Roster(decoded)


def _sorted(members: Iterable[Member]) -> tuple[Member, ...]:
    return tuple(sorted(members, key=lambda member: member.id))


def roster_after(
    roster: Roster, entries: Iterable[LogEntry], *, since: int, until: int | None = None
) -> Roster:
    """Return the roster after the membership changes of ``entries``.

    Args:
        roster: The one as of index ``since``.
        entries: Log entries, in order.
        since: Changes up to this index are in ``roster`` already.
        until: Changes after this index don't count; None for all there are, committed or not.

    """
    for command, index, _ in entries:
        if index <= since or (until is not None and index > until):
            continue
        change = roster_change(command)
        if change is not None:
            roster = roster.after(change.kind, change.member)
    return roster


class RosterLog:
    """The rosters of one node: a known one at some index, and the log's changes after it.

    The known one moves along with the snapshots, because the log forgets what they hold.
    """

    def __init__(
        self, roster: Roster, index: int, entries: Callable[[], Sequence[LogEntry]]
    ) -> None:
        """Begin with ``roster`` as of ``index``; ``entries`` gives the log."""
        self._roster = roster
        self._entries = entries
        self.index = index
        self.version = 0
        """Counts up whenever the newest roster may have changed."""

    def at(self, until: int | None = None) -> Roster:
        """Return the roster as of an index, the newest one when it is None."""
        return roster_after(self._roster, self._entries(), since=self.index, until=until)

    def touch(self) -> None:
        """Take note that the log got or lost a membership change."""
        self.version += 1

    def settle(self, index: int) -> Roster:
        """Take the roster as of a snapshot that is being made, and return it."""
        self._roster, self.index = self.at(index), index
        return self._roster

    def replace(self, roster: Roster, index: int) -> None:
        """Take the roster of a snapshot that was installed."""
        self._roster, self.index = roster, index
        self.touch()


UNDER_WAY: Final = "another membership change is under way: wait until it is done"


class RosterRefusedError(Exception):
    """A membership change must not be made now; the message says why and what to do."""


class RemovedError(FailStopError):
    """This node is no member of the cluster any more."""


def check_change(
    kind: str,
    member: Member,
    roster: Roster,
    me: str,
    entries: Iterable[LogEntry],
    committed: int,
) -> None:
    """Refuse a membership change that Raft's one-at-a-time rule does not allow (H12).

    Args:
        kind: ``add``, ``rem`` or ``set``.
        member: Whom; an id is never used again once it was removed.
        roster: The newest one.
        me: Id of this node, which leads and has applied an entry of its own term.
        entries: The log.
        committed: Commit index.

    Raises:
        RosterRefusedError: It must wait, or be done otherwise.

    """
    if change_in_flight(entries, committed):
        raise RosterRefusedError(UNDER_WAY)
    if kind == "add":
        check_newcomer(member, roster)
    elif member.id not in {one.id for one in roster.members}:
        raise RosterRefusedError(f"{member.name} is not a member")
    if kind == "rem" and member.id == me:
        raise RosterRefusedError("the leader can't remove itself: hand leadership over first")


def check_newcomer(member: Member, roster: Roster, *, is_name_free: bool = False) -> None:
    """Refuse to take in who is a member already, or was one.

    Args:
        member: Whom.
        roster: The newest one.
        is_name_free: Whether the member of its name, if there is one, leaves first.

    Raises:
        RosterRefusedError: The id is a member's, or was one's; or the name is a member's.

    """
    if member.id in roster.removed:
        raise RosterRefusedError(
            f"{member.id} was removed for good: give the node an empty data directory"
        )
    taken = (one for one in roster.members if member.name == one.name and not is_name_free)
    if any(member.id == one.id for one in roster.members) or any(taken):
        raise RosterRefusedError(f"{member.name} is a member already")


def change_in_flight(entries: Iterable[LogEntry], committed: int) -> bool:
    """Return whether a membership change is uncommitted: no other may join it (H12)."""
    return any(
        index > committed and roster_change(command) is not None for command, index, _ in entries
    )
