"""What stands in PySyncObj's log, in a form of ours: nothing is ever unpickled.

The library pickles three kinds of things through one module-level name, which ``library`` replaces
by :class:`LogCodec`: calls of its replicated methods (we have one, which takes bytes), membership
changes, and nothing else that we use. The first byte of an entry is the library's command type.
"""

from typing import Final

import msgspec
from pysyncobj.node import Node
from typing_extensions import override

from gorilla.service.ports import Member

REGULAR: Final = 0
NO_OP: Final = 1
MEMBERSHIP: Final = 2
KNOWN_TYPES: Final = frozenset((REGULAR, NO_OP, MEMBERSHIP))

_PAYLOAD: Final = b"P"
_ROSTER: Final = b"R"
_FORMAT: Final = 1
CHANGE_KINDS: Final = ("add", "rem", "set")

LogEntry = tuple[bytes, int, int]
"""``(command, index, term)``, as the library keeps it."""


class UnreadableEntryError(Exception):
    """A log entry is of a kind that this version doesn't know."""


class MemberNode(Node):
    """A member as the library sees it; hashed by a number that is equal in every process."""

    def __init__(self, member: Member) -> None:
        """Wrap ``member``."""
        super().__init__(member.id)
        self.member = member
        self._hash = int.from_bytes(member.id.encode()[:8], "big")

    @override
    def __hash__(self) -> int:
        """Return a hash that doesn't depend on PYTHONHASHSEED: sets iterate alike everywhere."""
        return self._hash

    @override
    def __eq__(self, other: object) -> bool:
        """Compare by member id."""
        return isinstance(other, Node) and other.id == self.id


class RosterChange(msgspec.Struct, frozen=True, array_like=True):
    """A membership change as it stands in the log."""

    format: int
    kind: str
    """``add``, ``rem``, or ``set``: other addresses of a member."""
    member: Member


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(RosterChange)


class LogCodec:
    """Takes the place of the ``pickle`` module inside ``pysyncobj.syncobj``."""

    @staticmethod
    def dumps(value: object, protocol: int | None = None) -> bytes:  # noqa: ARG004  pickle's signature
        """Encode a call of the one replicated method, or a membership change."""
        match value:
            case (0, (bytes() as payload,)):
                return _PAYLOAD + payload
            case [str() as kind, str(), MemberNode() as node]:
                return _ROSTER + _encoder.encode(RosterChange(_FORMAT, kind, node.member))
            case _:
                raise UnreadableEntryError(
                    f"nothing of type {type(value).__name__} goes in the log"
                )

    @staticmethod
    def loads(data: bytes) -> object:
        """Decode what :meth:`dumps` gave, in the shape that the library expects."""
        if data[:1] == _PAYLOAD:
            return (0, (data[1:],))
        if data[:1] == _ROSTER:
            change = _decode_change(data[1:])
            return [change.kind, change.member.id, MemberNode(change.member)]
        raise UnreadableEntryError(f"unknown kind of log entry {data[:1]!r}")


def _decode_change(data: bytes) -> RosterChange:
    try:
        change = _decoder.decode(data)
    except msgspec.MsgspecError as error:
        raise UnreadableEntryError(f"unreadable membership change: {error}") from error
    if change.format != _FORMAT or change.kind not in CHANGE_KINDS:
        raise UnreadableEntryError(
            f"membership change {change.kind!r} of format {change.format}: made by a later version"
        )
    return change


def roster_change(command: bytes) -> RosterChange | None:
    """Return the membership change that a log command holds, None when it is another kind."""
    if command[:1] != bytes((MEMBERSHIP,)):
        return None
    return _decode_change(command[2:])


def check_command(command: bytes) -> None:
    """Refuse a log command of a kind that this version would not apply.

    Raises:
        UnreadableEntryError: It must not enter the log here (hazards H19, H30).

    """
    if not command or command[0] not in KNOWN_TYPES:
        raise UnreadableEntryError(f"unknown log command type {command[:1]!r}")
    roster_change(command)
