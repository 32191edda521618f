"""The lock table on this node, as consensus drives it: time goes in, outcomes come out."""

import logging
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from gorilla.domain import codec
from gorilla.domain.commands import Batch, Stamp
from gorilla.domain.events import Event
from gorilla.domain.outcomes import Outcome, Turn
from gorilla.domain.table import LockTable
from gorilla.domain.versions import FEATURE_LEVEL, batch_level, require_support
from gorilla.service.ports import Clock, FrozenState
from gorilla.service.time import ClusterClock

_log = logging.getLogger(__name__)

CHAINS_KEPT: Final = 4_096
"""Entries whose running digest is remembered, to be compared with other nodes'."""

TIME_MARK_MS: Final = 2_000
"""While a lock is held, cluster time is written at least this often (milliseconds of it).

The next leader counts on from the last entry, so a lease ends later by so much at most for each
change of leader, and the time without one. With no lock held nothing is written.
"""

WATCHERS_MAX: Final = 16

FREED_AT_ONCE: Final = 2_000
"""Locks of a state that may be freed in one go: 100,000 take 50 ms."""

Watcher = Callable[[int, Sequence[Event]], None]
"""Called with the log index of an entry and the events that it caused; it must not raise."""


class LockReplica:
    """The replicated lock table (a :class:`~gorilla.service.ports.Replica`).

    Attributes:
        table: For reading only; replaced as a whole by :meth:`load`.
        applied_index: Log index of the last entry applied or loaded; 0 before the first.
        supported: Highest cluster version that it can follow; other than the default in tests only.
        batches_refused: Batches left out of entries because they were damaged or broke a limit.

    """

    def __init__(
        self,
        clock: Clock,
        resolve: Callable[[int, Outcome], None],
        refused: Callable[[int], None],
        origin: str,
        table: LockTable | None = None,
    ) -> None:
        """Start from ``table``, by default an empty one.

        Args:
            clock: This machine's clocks.
            resolve: Told the number and the outcome of every applied command of ``origin``.
            refused: Told the number of every offer that the leader did not take.
            origin: Name of this process, under which it proposes.
            table: The state before the first entry.

        """
        self.table = table or LockTable()
        self.applied_index = 0
        self.batches_refused = 0
        self.supported = FEATURE_LEVEL
        self._clock = clock
        self._resolve = resolve
        self._refused = refused
        self._origin = origin
        self._running = ClusterClock(clock)
        self._term = 0
        self._composed_ms: int | None = None
        self._raises_to = 0
        self._applied_s = clock.monotonic()
        self._chains: deque[tuple[int, bytes]] = deque(maxlen=CHAINS_KEPT)
        self._watchers: list[Watcher] = []
        self._adopted: list[Callable[[], None]] = []
        self._on_turns: Callable[[Sequence[Turn]], None] | None = None

    # Leading

    def lead(self, term: int) -> None:
        """Count cluster time on from where the state stands, and stamp entries with ``term``."""
        assert term >= max(self._term, self.table.term)
        self._term = term
        self._composed_ms = None
        self._raises_to = 0
        self._running.start(self.table.now_ms)

    def follow(self) -> None:
        """Stop counting: only a leader's entries move cluster time."""
        self._running.stop()
        self._composed_ms = None
        self._raises_to = 0

    @property
    def is_leading(self) -> bool:
        """Whether cluster time runs on this node's clock."""
        return self._running.is_running

    def compose(self, batches: Sequence[bytes]) -> bytes | None:
        """Stamp and join batches into one entry; None when nothing is worth writing.

        What it returns is in flight until it is applied or the leadership ends.
        """
        stamp = Stamp(self._term, self._running.now_ms(), self._clock.wall_ms())
        accepted = [batch for batch in batches if self._accepts(batch)]
        due_ms = self._next_due_ms()
        if not (accepted or self._raises_to) and (due_ms is None or due_ms > stamp.now_ms):
            return None
        self._composed_ms = stamp.now_ms
        raises_to, self._raises_to = self._raises_to, 0
        return codec.join_entry(stamp, accepted, raises_to)

    def raise_to(self, cluster_version: int) -> None:
        """Raise the cluster version by the next entry; forgotten when the leadership ends first.

        Args:
            cluster_version: At most what every member supports.

        """
        assert self.is_leading
        assert self.table.cluster_version < cluster_version <= self.supported
        self._raises_to = cluster_version

    def pulse_due(self) -> bool:
        """Return whether the leader's clock has passed an expiry that no applied entry covers.

        True also while the entry that will cover it is in flight: until then the state shows a
        lease that is over, so no linearizable read may be answered from it.
        """
        expiry_ms = self.table.next_expiry_ms()
        return self.is_leading and expiry_ms is not None and expiry_ms <= self._running.now_ms()

    def next_pulse_in_s(self) -> float | None:
        """Return seconds until an entry must be composed for time alone, 0 when it is due.

        None when this node does not lead, nothing expires, or the next expiry's is in flight.
        """
        if self._raises_to:
            return 0
        due_ms = self._next_due_ms() if self.is_leading else None
        return None if due_ms is None else max(0, due_ms - self._running.now_ms()) / 1_000

    def _next_due_ms(self) -> int | None:
        """Return the cluster time at which an entry must be composed: an expiry, or a mark."""
        expiry_ms, composed_ms = self.table.next_expiry_ms(), self._composed_ms or 0
        if expiry_ms is None or expiry_ms <= composed_ms:
            return None
        return min(expiry_ms, max(self.table.now_ms, composed_ms) + TIME_MARK_MS)

    def _accepts(self, data: bytes) -> bool:
        try:
            batch = codec.decode_batch(data)
            fault = codec.validate_batch(batch) or self._level_fault(batch)
        except codec.FormatError as error:
            fault = str(error)
        if fault is None:
            return True
        self.batches_refused += 1
        _log.warning("left a batch of %d bytes out of the log: %s", len(data), fault)
        return False

    def _level_fault(self, batch: Batch) -> str | None:
        """Return why ``batch`` has to wait for the end of an upgrade, if it has."""
        needed, version = batch_level(batch), self.table.cluster_version
        return f"needs cluster version {needed}, it is {version}" if needed > version else None

    # Applying

    def apply(self, index: int, payload: bytes) -> None:
        """Apply one committed entry, resolve this process's commands, tell the watchers.

        Raises:
            FormatError: The entry can't be read, or raises the cluster version above what this
                software supports; the node must not go on without it.

        """
        assert index > self.applied_index
        entry = codec.decode_entry(payload)
        require_support(entry.raises_to, self.supported)
        before = self.table.cluster_version
        applied = self.table.apply(entry)
        self._stand_at(index)
        if self.table.cluster_version > before:
            _log.info("the cluster version is %d from now on", self.table.cluster_version)
        if entry.stamp.term == self._term and entry.stamp.now_ms == self._composed_ms:
            self._composed_ms = None
        for origin, number, outcome in applied.outcomes:
            if origin == self._origin:
                self._resolve(number, outcome)
        if applied.turns:
            self._pass_on(applied.turns)
        if applied.events:
            for watcher in self._watchers:
                watcher(index, applied.events)

    def _pass_on(self, turns: Sequence[Turn]) -> None:
        mine = [turn for turn in turns if turn.origin == self._origin]
        if mine and self._on_turns is not None:
            self._on_turns(mine)

    def refused(self, offer: int) -> None:
        """Pass on that the leader appended nothing of ``offer``."""
        self._refused(offer)

    def freeze(self) -> FrozenState:
        """Copy the state as of the last applied entry."""
        return self.table.freeze()

    def load(self, index: int, chunks: Iterator[bytes]) -> None:
        """Replace the state by a snapshot that was taken at log index ``index``.

        Raises:
            FormatError: The chunks are damaged; the state is as it was before.

        """
        self.adopt(index, self.decode(chunks))

    def decode(self, chunks: Iterator[bytes]) -> object:
        """Return the state of a snapshot, for :meth:`adopt`; may run beside the event loop.

        Raises:
            FormatError: The chunks are damaged.

        """
        return LockTable.load(chunks, supported=self.supported)

    def adopt(self, index: int, state: object) -> Callable[[], None] | None:
        """Make a decoded state this one, as of ``index``; returns what frees a big old one."""
        assert isinstance(state, LockTable)
        assert not self.is_leading
        assert index >= self.applied_index
        old = [self.table]
        self.table = state
        self._chains.clear()
        self._stand_at(index)
        for adopted in self._adopted:
            adopted()
        return (lambda: _take_apart(old)) if old[0].held > FREED_AT_ONCE else None

    def follow_turns(
        self, on_turns: Callable[[Sequence[Turn]], None], adopted: Callable[[], None]
    ) -> None:
        """Tell ``on_turns`` what becomes of the waits of this process.

        Args:
            on_turns: Told after the outcomes of the same entry; it must not raise.
            adopted: Called when a state was taken over as a whole: turns may have been missed.

        """
        assert self._on_turns is None
        self._on_turns = on_turns
        self._adopted.append(adopted)

    def watch(self, watcher: Watcher, adopted: Callable[[], None] | None = None) -> None:
        """Tell ``watcher`` of the events of every entry from now on.

        Args:
            watcher: Hears nothing of what a state has that was taken over as a whole.
            adopted: Called when there is such a state, in ``table``; it must not raise.

        """
        assert len(self._watchers) < WATCHERS_MAX
        self._watchers.append(watcher)
        if adopted is not None:
            self._adopted.append(adopted)

    def _stand_at(self, index: int) -> None:
        self.applied_index = index
        self._applied_s = self._clock.monotonic()
        self._chains.append((index, self.table.chain))

    # Looking

    def now_ms(self) -> int:
        """Return cluster time: the leader's running clock, elsewhere an estimate for display."""
        if self.is_leading:
            return self._running.now_ms()
        return self.table.now_ms + int((self._clock.monotonic() - self._applied_s) * 1_000)

    def stamped_ago_ms(self) -> int:
        """Return how long ago the last applied entry was stamped, by the wall clocks, at least 0.

        An estimate for display: the clocks of two machines may differ.
        """
        return max(0, self._clock.wall_ms() - self.table.wall_offset_ms - self.table.now_ms)

    def chain_at(self, index: int) -> bytes | None:
        """Return the running digest right after ``index`` was applied, None when forgotten.

        Indices that carried no entry of ours (those of consensus itself) changed nothing, so they
        have the digest of the last one before them.

        Args:
            index: At most what consensus has applied on this node.

        """
        for known, chain in reversed(self._chains):
            if known <= index:
                return chain
        return None


def _take_apart(held: list[LockTable]) -> None:
    """Free a big table little by little: in one go, nothing else would run meanwhile."""
    records = held.pop().freeze().records
    while records:
        records.popitem()
