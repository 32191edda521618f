"""A replica, a clock set by hand, and a log that hands it what it composes."""

from gorilla.domain import codec
from gorilla.domain.commands import Acquire, Batch, Command, Entry
from gorilla.domain.outcomes import Outcome
from gorilla.service.replica import LockReplica

OURS = "gorilla-1/a"


class HandClock:
    """A machine's clocks, set by the test."""

    def __init__(self) -> None:
        self.seconds = 500.0
        self.wall = 1_700_000_000_000

    def monotonic(self) -> float:
        return self.seconds

    def wall_ms(self) -> int:
        return self.wall


class Stand:
    """A replica, and a log that hands it every entry it composes."""

    def __init__(self) -> None:
        self.clock = HandClock()
        self.resolved: list[tuple[int, Outcome]] = []
        self.refused: list[int] = []
        self.index = 0
        self.replica = LockReplica(
            self.clock,
            self._hear,
            self.refused.append,
            OURS,
        )

    def _hear(self, number: int, outcome: Outcome) -> None:
        self.resolved.append((number, outcome))

    def pass_ms(self, milliseconds: float) -> None:
        self.clock.seconds += milliseconds / 1_000
        self.clock.wall += int(milliseconds)

    def compose(self, *batches: Batch) -> Entry | None:
        payload = self.replica.compose([codec.encode_batch(batch) for batch in batches])
        return None if payload is None else codec.decode_entry(payload)

    def apply(self, entry: Entry) -> None:
        self.index += 1
        batches = [codec.encode_batch(batch) for batch in entry.batches]
        payload = codec.join_entry(entry.stamp, batches, entry.raises_to)
        self.replica.apply(self.index, payload)

    def propose(self, *commands: Command, first: int = 1, origin: str = OURS) -> Entry:
        numbered = tuple(enumerate(commands, first))
        entry = self.compose(Batch(origin, first - 1, True, numbered))
        assert entry is not None
        self.apply(entry)
        return entry


def acquire(lock: str, ttl_ms: int = 10_000) -> Acquire:
    return Acquire(lock, "ann", ttl_ms, f"secret-{lock}")
