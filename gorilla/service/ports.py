"""What the use cases need from the outside, as Protocols. Adapters meet them in ``daemon``."""

import asyncio
from collections.abc import Callable, Iterator, Sequence
from enum import StrEnum
from typing import Protocol

import msgspec

from gorilla.domain.events import Event


class Clock(Protocol):
    """Time as an input. The simulation passes its own."""

    def monotonic(self) -> float:
        """Return seconds that never go back; only differences mean anything."""
        ...

    def wall_ms(self) -> int:
        """Return milliseconds since 1970 (UTC), for display only."""
        ...


class FrozenState(Protocol):
    """A point-in-time copy of the replicated state that later entries don't change."""

    def chunks(self) -> Iterator[bytes]:
        """Yield its canonical encoding in pieces of at most about 256 KiB, equal on every node."""
        ...


class EventSource(Protocol):
    """The latest events of the lock table, as this node has applied them.

    Numbers are the same on every node and rise by one; a node that is behind has the smaller
    ``last_number``.
    """

    @property
    def first_number(self) -> int:
        """Number of the oldest event kept; ``last_number + 1`` when there is none."""
        ...

    @property
    def last_number(self) -> int:
        """Number of the last event applied on this node; 0 before the first."""
        ...

    def after(self, number: int, limit: int) -> Sequence[Event]:
        """Return at most ``limit`` events with larger numbers, the oldest first.

        They begin at ``first_number`` when the history no longer reaches back to ``number``.
        """
        ...

    def wakeup(self) -> asyncio.Future[None]:
        """Return what is done as soon as there is an event beyond the present ``last_number``.

        All who wait meanwhile share it: wait with ``asyncio.wait``, which leaves it alone; one
        that somebody cancelled is replaced at the next call.
        """
        ...


class Replica(Protocol):
    """The replicated state as consensus drives it. All calls come from one event loop turn.

    An exception out of any of these methods stops the node (fail-stop).
    """

    def lead(self, term: int) -> None:
        """This node leads ``term`` and has applied everything before it: cluster time runs."""
        ...

    def follow(self) -> None:
        """This node does not lead (any more)."""
        ...

    def compose(self, batches: Sequence[bytes]) -> bytes | None:
        """Stamp and join batches into one log entry; None when nothing is worth writing.

        Called on the leader only, after :meth:`lead`, with as many batches as fit one entry, and
        with none to ask whether an expiry is due (a pulse). A batch that can't be decoded or
        breaks a limit is left out of the entry.
        """
        ...

    def apply(self, index: int, payload: bytes) -> None:
        """Apply one committed entry. Deterministic; resolves this node's own callers."""
        ...

    def pulse_due(self) -> bool:
        """Return whether the leader's clock has passed an expiry that no applied entry covers."""
        ...

    def next_pulse_in_s(self) -> float | None:
        """Return seconds until an entry is due for time alone, None when nothing expires."""
        ...

    def now_ms(self) -> int:
        """Return cluster time: the leader's running clock, elsewhere an estimate for display."""
        ...

    def chain_at(self, index: int) -> bytes | None:
        """Return the running digest right after ``index`` was applied, None when forgotten."""
        ...

    def refused(self, offer: int) -> None:
        """The leader did not take the offer of this number: nothing of it was appended."""
        ...

    def freeze(self) -> FrozenState:
        """Copy the state as of the last applied entry, in about constant time per lock."""
        ...

    def load(self, index: int, chunks: Iterator[bytes]) -> None:
        """Replace the state by what :meth:`FrozenState.chunks` gave at log index ``index``."""
        ...

    def decode(self, chunks: Iterator[bytes]) -> object:
        """Return the state that ``chunks`` encode, for :meth:`adopt`; this one isn't touched.

        It takes long for a big state: the only method that may run beside the event loop.
        """
        ...

    def adopt(self, index: int, state: object) -> Callable[[], None] | None:
        """Replace the state by a decoded one of log index ``index``, in one short step.

        What it returns frees the old state, to be run beside the loop; None when that takes no
        time worth it.
        """
        ...


class Role(StrEnum):
    """What a node is in its term."""

    FOLLOWER = "follower"
    CANDIDATE = "candidate"
    LEADER = "leader"


class Member(msgspec.Struct, frozen=True, kw_only=True):
    """One voter of the roster."""

    id: str
    """The identity of its data directory; a wiped directory is another member."""
    name: str
    peer: str
    """Advertised ``host:port`` for the other nodes."""
    http: str
    """Advertised ``host:port`` of its REST API."""


class MemberProgress(msgspec.Struct, frozen=True, kw_only=True):
    """What this node knows of another member."""

    member: Member
    connected: bool
    match_index: int | None = None
    """Largest index it has on disk; known on the leader only."""
    heard_s: float | None = None
    """Seconds since its last message."""
    version: str | None = None
    level: int | None = None
    """The highest feature level that it said to support; None when it was never linked."""
    draining: bool = False
    """Whether it says that an operator drained it."""


class ConsensusView(msgspec.Struct, frozen=True, kw_only=True):
    """A look at this node's consensus, cheap enough for every request."""

    cluster_id: str
    me: Member
    role: Role
    term: int
    leader: Member | None
    """None while no leader is known, or the known one has lost its majority."""
    commit_index: int
    applied_index: int
    last_index: int
    snapshot_index: int
    caught_up: bool
    """Whether it has applied what was committed when it first heard of the present leader."""
    progress: tuple[MemberProgress, ...]


class ReadPoint(msgspec.Struct, frozen=True):
    """A point of the log that a linearizable read may be answered from."""

    index: int
    now_ms: int
    """The leader's cluster time when the read was confirmed; for remaining times only."""


class Consensus(Protocol):
    """What the use cases ask of consensus."""

    def view(self) -> ConsensusView:
        """Look at the node as it is now."""
        ...

    def offer(self, offer: int, batch: bytes) -> bool:
        """Hand one encoded ``Batch`` to the leader, here or over the peer link.

        Returns:
            False when it was not sent (no leader known, no link to it): nothing was done. True
            means that it may be appended, unless :meth:`Replica.refused` says otherwise.

        """
        ...

    async def read_point(self, deadline_s: float) -> ReadPoint:
        """Wait until this node may answer a linearizable read from its own state.

        Args:
            deadline_s: Event loop time (seconds) after which to give up.

        Raises:
            NoLeaderError: No leader confirmed it in time.

        """
        ...


class AddMember(msgspec.Struct, frozen=True, kw_only=True, tag="add"):
    """Take the node that waits at ``peer`` into the cluster."""

    name: str
    peer: str
    http: str
    replaces: str | None = None
    """Id or name of the member that leaves for it."""


class RemoveMember(msgspec.Struct, frozen=True, kw_only=True, tag="remove"):
    """Take a member (its id or name) out for good."""

    member: str


class MoveMember(msgspec.Struct, frozen=True, kw_only=True, tag="move"):
    """Change a member's advertised addresses; None leaves one as it is."""

    member: str
    peer: str | None = None
    http: str | None = None


class TransferLeadership(msgspec.Struct, frozen=True, kw_only=True, tag="transfer"):
    """Let another member lead: the named one, or the one that is furthest."""

    to: str | None = None


class DrainMember(msgspec.Struct, frozen=True, kw_only=True, tag="drain"):
    """Let a member take no new requests and not lead, or let it again."""

    member: str
    draining: bool


Change = AddMember | RemoveMember | MoveMember | TransferLeadership | DrainMember
"""What an operator may ask of the cluster."""


class ChangeReport(msgspec.Struct, frozen=True, kw_only=True):
    """What a change did; for a dry run, what it would do."""

    done: bool
    steps: tuple[str, ...]
    """In words, in order."""
    members: tuple[Member, ...]
    """The roster after it."""
    quorum: int
    """How many of them must be up."""
    tolerates: int
    """How many of them may be down at once."""


class Membership(Protocol):
    """Changes who is in the cluster, and who leads it. Any node takes a request."""

    async def change(
        self, change: Change, *, force: bool, dry_run: bool, deadline_s: float
    ) -> ChangeReport:
        """Make a change, and wait until it is committed.

        Args:
            change: What to do.
            force: Skip the checks of health; never those of consistency.
            dry_run: Only say what would be done.
            deadline_s: Event loop time (seconds) after which to give up.

        Raises:
            ChangeRefusedError: It must not be made; nothing was changed.
            MemberNotFoundError: The roster has no such member; nothing was changed.
            NoLeaderError: No leader could be asked; nothing was changed.
            OutcomeUnknownError: It was proposed, and not seen committed in time.

        """
        ...
