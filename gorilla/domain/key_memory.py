"""Safe retries: what the first request under an idempotency key gave, for as long as promised."""

from collections import OrderedDict
from collections.abc import Iterable
from typing import Final

import msgspec

from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Forgotten, Fresh, Full, Queued, Recovering

NOT_KEPT = (Forgotten, Full, Recovering)
"""Nothing was done, for a reason that passes: the same request may be tried again."""

_encoder: Final = msgspec.msgpack.Encoder()

_GRANT_BYTES: Final = 256
"""What a grant takes encoded, beside what its request says."""


class KeyRecord(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True):
    """What is remembered of a key."""

    key: str
    fingerprint: bytes
    outcome: Fresh
    """``Queued`` while the request waits."""
    at_ms: int
    """Cluster time at which it was used."""
    size: int = 0
    """Bytes of the outcome, encoded; of a request that waits, of what it may be given at most."""


class KeyMemory:
    """Keys in order of use. A key is forgotten by its age alone, never for want of room."""

    def __init__(self, bounds: Bounds, records: Iterable[KeyRecord] = ()) -> None:
        """Take records in order of use, the oldest first."""
        self._bounds = bounds
        self._records = OrderedDict((record.key, record) for record in records)
        self._bytes = sum(record.size for record in self._records.values())

    def __len__(self) -> int:
        """Return how many keys are remembered."""
        return len(self._records)

    @property
    def bytes_kept(self) -> int:
        """Bytes of all outcomes, encoded."""
        return self._bytes

    def full(self) -> Full | None:
        """Return which bound keeps from remembering a further key, or None."""
        if len(self._records) >= self._bounds.keys:
            return Full("idempotency_keys_max")
        if self._bytes >= self._bounds.keys_bytes:
            return Full("idempotency_keys_bytes_max")
        return None

    def find(self, key: str, now_ms: int) -> KeyRecord | None:
        """Forget what is over at ``now_ms``; return what is known of ``key``."""
        while self._records:
            oldest = next(iter(self._records.values()))
            if now_ms - oldest.at_ms <= self._bounds.key_kept_ms:
                break
            self._forget(oldest.key)
        return self._records.get(key)

    def keep(
        self, key: str, fingerprint: bytes, outcome: Fresh, now_ms: int, *, granted_bytes: int = 0
    ) -> None:
        """Remember what a request gave, unless it is to be tried again.

        Nor is it where the last room was taken since: by a wait that the request itself ended.

        Args:
            key: There was room for it before the request was done.
            fingerprint: Of the request.
            outcome: What it gave.
            now_ms: Cluster time.
            granted_bytes: What a wait may come to take; see :func:`granted_bytes`.

        """
        self._forget(key)
        if isinstance(outcome, NOT_KEPT) or len(self._records) >= self._bounds.keys:
            return
        size = granted_bytes if isinstance(outcome, Queued) else len(_encoder.encode(outcome))
        self._records[key] = KeyRecord(key, fingerprint, outcome, now_ms, size)
        self._bytes += size

    def settle(
        self, key: str, fingerprint: bytes, ticket: int, outcome: Fresh, now_ms: int
    ) -> None:
        """Remember what the wait of ``ticket`` came to.

        A wait may last longer than its key is remembered. Then it is remembered anew if there is
        room, and not at all if the key stands for another request by now. Where there is none only
        its caller is told, and the same request is a new one when it is asked again.
        """
        record = self.find(key, now_ms)
        if record is None:
            if self.full() is None:
                self.keep(key, fingerprint, outcome, now_ms)
        elif _is_wait(record, ticket):
            self.keep(key, fingerprint, outcome, now_ms)

    def forget_wait(self, key: str, ticket: int) -> None:
        """Forget ``key`` if it stands for the wait of ``ticket``, which came to nothing."""
        record = self._records.get(key)
        if record is not None and _is_wait(record, ticket):
            self._forget(key)

    def copy_records(self) -> list[KeyRecord]:
        """Return the records as they are now, the oldest first."""
        return list(self._records.values())

    def _forget(self, key: str) -> None:
        record = self._records.pop(key, None)
        if record is not None:
            self._bytes -= record.size


def granted_bytes(request: msgspec.Struct, locks: int) -> int:
    """Return what the grant of so many locks takes at most, encoded: each repeats the request."""
    return locks * (len(_encoder.encode(request)) + _GRANT_BYTES)


def _is_wait(record: KeyRecord, ticket: int) -> bool:
    return isinstance(record.outcome, Queued) and record.outcome.ticket == ticket
