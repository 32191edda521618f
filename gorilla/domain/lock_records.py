"""What the table knows of each lock: who holds it, and the largest number it was ever given."""

from collections import OrderedDict
from collections.abc import Iterable, Iterator

import msgspec

from gorilla.domain.limits import Bounds
from gorilla.domain.lock_names import LockNames
from gorilla.domain.outcomes import Lease


class LockRecord(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False
):
    """A lock that is held. Replaced, never changed, so a copy of the table copies references."""

    lock: str
    largest_fencing_token: int
    holders: tuple[Lease, ...]
    """In order of their grants, at most ``limits.SLOTS_MAX``."""

    def lease_of(self, holder: str, session: int) -> Lease | None:
        """Return the lease of ``holder`` in its session (0: none), or None."""
        for lease in self.holders:
            if lease.holder == holder and lease.session == session:
                return lease
        return None

    def lease_with(self, secret: str) -> Lease | None:
        """Return the lease that ``secret`` proves, or None."""
        for lease in self.holders:
            if lease.secret == secret:
                return lease
        return None


class LockRecords:
    """Records by lock name; those of free locks shrink to their largest fencing token."""

    def __init__(
        self,
        bounds: Bounds,
        records: Iterable[LockRecord] = (),
        fencing_tokens: Iterable[tuple[str, int]] = (),
    ) -> None:
        """Take records in order of lock names, and tokens of free locks, oldest first."""
        self._bounds = bounds
        self._records = {record.lock: record for record in records}
        self._names = LockNames(list(self._records))
        self._fencing_tokens = OrderedDict(fencing_tokens)
        self.held = sum(len(record.holders) for record in self._records.values())

    def get(self, lock: str) -> LockRecord | None:
        """Return the record of a lock in use, or None when it is free."""
        return self._records.get(lock)

    def holders(self, lock: str) -> tuple[Lease, ...]:
        """Return the leases of ``lock``, none when it is free."""
        record = self._records.get(lock)
        return () if record is None else record.holders

    def is_full(self) -> bool:
        """Return whether no further lock may be held."""
        return self.held >= self._bounds.locks

    def grant(self, lease: Lease) -> None:
        """Let ``lease`` begin, beside those that its lock has."""
        lock, record = lease.lock, self._records.get(lease.lock)
        if record is None:
            self._fencing_tokens.pop(lock, None)
            self._names.add(lock)
            holders: tuple[Lease, ...] = (lease,)
        else:
            holders = (*record.holders, lease)
        self._records[lock] = LockRecord(lock, lease.fencing_token, holders)
        self.held += 1

    def replace(self, lease: Lease) -> None:
        """Let ``lease`` stand for the one of the same fencing token."""
        record = self._records[lease.lock]
        token = lease.fencing_token
        holders = tuple(lease if old.fencing_token == token else old for old in record.holders)
        self._records[lease.lock] = LockRecord(lease.lock, record.largest_fencing_token, holders)

    def end(self, lease: Lease) -> None:
        """Let ``lease`` end; the token of a lock that is free then is remembered in a bound."""
        lock = lease.lock
        record = self._records[lock]
        self.held -= 1
        if len(record.holders) > 1:
            rest = tuple(
                each for each in record.holders if each.fencing_token != lease.fencing_token
            )
            self._records[lock] = LockRecord(lock, record.largest_fencing_token, rest)
            return
        del self._records[lock]
        self._names.remove(lock)
        self._fencing_tokens[lock] = record.largest_fencing_token
        if len(self._fencing_tokens) > self._bounds.remembered_fencing_tokens:
            self._fencing_tokens.popitem(last=False)

    def largest_fencing_token(self, lock: str) -> int | None:
        """Return the largest number ever granted for ``lock``; None when not remembered."""
        record = self._records.get(lock)
        return self._fencing_tokens.get(lock) if record is None else record.largest_fencing_token

    def leases(self, prefix: str, after: str) -> Iterator[Lease]:
        """Yield leases whose lock starts with ``prefix`` and comes after ``after``, in order."""
        for name in self._names.starting_with(prefix, after):
            yield from self._records[name].holders

    def names(self) -> list[str]:
        """Return the locks in use, in order."""
        return self._names.ordered()

    def copy_records(self) -> tuple[list[str], dict[str, LockRecord]]:
        """Return the names in order, and the records by name, as they are now."""
        return self._names.ordered(), self._records.copy()

    def copy_fencing_tokens(self) -> list[tuple[str, int]]:
        """Return the remembered tokens of free locks, oldest first."""
        return list(self._fencing_tokens.items())
