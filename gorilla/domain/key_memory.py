"""Safe retries: what the first request under an idempotency key gave, for as long as promised."""

from collections import OrderedDict
from collections.abc import Iterable

import msgspec

from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Forgotten, Fresh, Full, Queued, Recovering

NOT_KEPT = (Forgotten, Full, Recovering)
"""Nothing was done, for a reason that passes: the same request may be tried again."""


class KeyRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of a key."""

    key: str
    fingerprint: bytes
    outcome: Fresh
    """``Queued`` while the request waits."""
    at_ms: int
    """Cluster time at which it was used."""


class KeyMemory:
    """Keys in order of use. A key is forgotten by its age alone, never for want of room."""

    def __init__(self, bounds: Bounds, records: Iterable[KeyRecord] = ()) -> None:
        """Take records in order of use, the oldest first."""
        self._bounds = bounds
        self._records = OrderedDict((record.key, record) for record in records)

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._records)

    @property
    def is_full(self) -> bool:
        """Whether no further key can be remembered."""
        return len(self._records) >= self._bounds.keys

    def find(self, key: str, now_ms: int) -> KeyRecord | None:
        """Forget what is over at ``now_ms``; return what is known of ``key``."""
        while self._records:
            oldest = next(iter(self._records.values()))
            if now_ms - oldest.at_ms <= self._bounds.key_kept_ms:
                break
            del self._records[oldest.key]
        return self._records.get(key)

    def keep(self, key: str, fingerprint: bytes, outcome: Fresh, now_ms: int) -> None:
        """Remember what a request gave, unless it is to be tried again."""
        self._records.pop(key, None)
        if not isinstance(outcome, NOT_KEPT):
            self._records[key] = KeyRecord(key, fingerprint, outcome, now_ms)

    def forget_wait(self, key: str, ticket: int) -> None:
        """Forget ``key`` if it stands for the wait of ``ticket``, which came to nothing."""
        record = self._records.get(key)
        outcome = None if record is None else record.outcome
        if isinstance(outcome, Queued) and outcome.ticket == ticket:
            del self._records[key]

    def copy_records(self) -> list[KeyRecord]:
        """Return the records as they are now, the oldest first."""
        return list(self._records.values())
