"""Who votes: the configuration as of any place in the log.

A node always uses the newest configuration that its log holds, committed or not (Ongaro, Raft
dissertation 4.1), also right after a restart (H13); a snapshot carries the one as of its last
index (H14).
"""

from collections.abc import Iterable, Sequence

import msgspec

from gorilla.consensus.codec import LogEntry, roster_change
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


def change_in_flight(entries: Iterable[LogEntry], committed: int) -> bool:
    """Return whether a membership change is uncommitted: no other may join it (H12)."""
    return any(
        index > committed and roster_change(command) is not None for command, index, _ in entries
    )
