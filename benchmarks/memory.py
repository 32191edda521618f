"""Bytes of memory per held lock, waiter, session and idempotency key: ``make bench-memory``."""

import gc
import tracemalloc
from collections.abc import Callable, Sequence
from typing import Final

from gorilla.domain import codec
from gorilla.domain.commands import (
    ENTRY_VERSION,
    Acquire,
    Batch,
    Command,
    Entry,
    Once,
    OpenSession,
    Stamp,
)
from gorilla.domain.table import LockTable

COUNT: Final = 100_000
_PER_ENTRY: Final = 1_000
_TTL_MS: Final = 600_000


def main() -> None:
    """Measure each, and print a table."""
    locks = [Acquire(f"jobs/{n:08}", "holder", _TTL_MS, f"held-{n}") for n in range(COUNT // 1_000)]
    rows = [
        ("held lock", _bytes_per(_acquire, [])),
        ("waiter", _bytes_per(_wait, locks)),
        ("session", _bytes_per(_session, [])),
        ("idempotency key, refused", _bytes_per(lambda n: _once(n, "jobs/00000000"), locks)),
        ("idempotency key and its lock", _bytes_per(lambda n: _once(n, f"jobs/{n:08}"), [])),
    ]
    for name, size in rows:
        print(f"{name:30} {size:6,} bytes")


def _acquire(n: int) -> Command:
    return Acquire(f"jobs/{n:08}", f"worker-{n:08}", _TTL_MS, f"secret-of-24-chars-{n:08}")


def _wait(n: int) -> Command:
    lock, secret = f"jobs/{n // 1_000:08}", f"secret-of-24-chars-{n:08}"
    return Acquire(lock, f"worker-{n:08}", _TTL_MS, secret, wait_ms=300_000)


def _session(n: int) -> Command:
    return OpenSession(f"secret-of-24-chars-{n:08}", f"worker-{n:08}", _TTL_MS)


def _once(n: int, lock: str) -> Command:
    asked = Acquire(lock, f"worker-{n:08}", _TTL_MS, f"secret-of-24-chars-{n:08}")
    return Once(f"0b8f7a52-73d1-4b0e-9c55-{n:012}", n.to_bytes(16, "big"), asked)


def _bytes_per(make: Callable[[int], Command], before: Sequence[Command]) -> int:
    """Return how much a table grows by each of :data:`COUNT` commands."""
    table = LockTable()
    numbered = tuple(enumerate(before, start=1))
    table.apply(_entry(Batch("bench", 0, opens=True, commands=numbered)))
    number = len(before)
    gc.collect()
    tracemalloc.start()
    for start in range(0, COUNT, _PER_ENTRY):
        commands = tuple((number + n + 1, make(n)) for n in range(start, start + _PER_ENTRY))
        confirmed = number + start
        batch = Batch("bench", confirmed, opens=True, commands=commands)
        # As it comes out of the log: nothing is shared with what made it.
        table.apply(_entry(codec.decode_batch(codec.encode_batch(batch))))
    table.apply(_entry(Batch("bench", number + COUNT, opens=True, commands=())))
    del commands, batch
    gc.collect()
    grown, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return round(grown / COUNT)


def _entry(batch: Batch) -> Entry:
    return Entry(ENTRY_VERSION, Stamp(1, 1, 1_700_000_000_000), (batch,))


if __name__ == "__main__":
    main()
