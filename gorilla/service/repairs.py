"""What is done to locks from outside: making holders let go, asking them to, checking numbers.

And what concerns several locks that were granted at once, after the grant.
"""

from collections.abc import Callable

import msgspec

from gorilla.domain import limits
from gorilla.domain.commands import AskRelease, Force, Plain, ReleaseAll, RenewAll
from gorilla.domain.outcomes import (
    ForcedAway,
    Full,
    KeyConflict,
    NotFound,
    NotHolder,
    Outcome,
    ReleasedAll,
    ReleaseWished,
    RenewedAll,
    Replayed,
    TtlTooShort,
)
from gorilla.service.keys import Key, once
from gorilla.service.locks import LockSettings, new_secret
from gorilla.service.moments import Moments, left_ms, replayed_now
from gorilla.service.proposals import Proposals
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop

KeyRefusal = KeyConflict | Full
"""What any command under an idempotency key may be refused with for the key's sake."""


class NumberCheck(msgspec.Struct, frozen=True):
    """What is known of a fencing token as of one moment."""

    is_current: bool
    """Whether a holder has it now."""
    is_held: bool
    largest: int | None
    """The largest that was ever granted for the lock; None when none is remembered."""
    age_ms: int | None = None
    """Of a stale read, about how old the state is; None when it is linearizable."""


class RepairService:
    """Force, ask, check; release and renew several at once. Raises as the lock service does."""

    def __init__(
        self,
        proposals: Proposals,
        moments: Moments,
        replica: LockReplica,
        loop: EventLoop,
        settings: LockSettings | None = None,
        make_secret: Callable[[], str] = new_secret,
    ) -> None:
        """Command through ``proposals``; read from ``replica`` at the right ``moments``."""
        self._proposals = proposals
        self._moments = moments
        self._replica = replica
        self._loop = loop
        self._settings = settings or LockSettings()
        self._make_secret = make_secret

    async def force(
        self, lock: str, *, reason: str, by: str = "", key: Key | None = None
    ) -> ForcedAway | Replayed | KeyRefusal:
        """End every lease of ``lock``, whoever holds it; ``reason`` and ``by`` are recorded."""
        outcome = await self._submit(Force(lock, reason, by), key)
        assert isinstance(outcome, ForcedAway | Replayed | KeyRefusal)
        return outcome

    async def ask_release(
        self, lock: str, *, by: str, reason: str = "", key: Key | None = None
    ) -> ReleaseWished | Replayed | KeyRefusal:
        """Ask whoever holds ``lock`` to let go: they see it when they next look, or extend."""
        outcome = await self._submit(AskRelease(lock, by, reason), key)
        assert isinstance(outcome, ReleaseWished | Replayed | KeyRefusal)
        return outcome

    async def check(self, lock: str, fencing_token: int, *, stale: bool = False) -> NumberCheck:
        """Say whether ``fencing_token`` is of a present holder of ``lock``."""
        _, age_ms = await self._moments.moment(stale=stale)
        holders = self._replica.table.holders(lock)
        return NumberCheck(
            any(lease.fencing_token == fencing_token for lease in holders),
            bool(holders),
            self._replica.table.largest_fencing_token(lock),
            age_ms,
        )

    async def release_all(
        self, secret: str, *, key: Key | None = None
    ) -> ReleasedAll | NotFound | Replayed | KeyRefusal:
        """End what is left of the leases that were granted at once under ``secret``."""
        if not may_be_secret(secret):
            return NotFound()
        outcome = await self._submit(ReleaseAll(secret), key)
        assert isinstance(outcome, ReleasedAll | NotFound | Replayed | KeyRefusal)
        return outcome

    async def renew_all(
        self, secret: str, *, ttl_ms: int, holder: str | None = None, key: Key | None = None
    ) -> RenewedAll | NotFound | NotHolder | TtlTooShort | Replayed | KeyRefusal:
        """Let what is left of them run ``ttl_ms`` from now, under new secrets; all, or nothing."""
        if not may_be_secret(secret):
            return NotFound()
        asked_s = self._loop.time()
        capped_ms = min(ttl_ms, self._settings.max_timeout_ms)
        command = RenewAll(secret, self._make_secret(), capped_ms, holder)
        outcome = await self._submit(command, key)
        if isinstance(outcome, RenewedAll):
            left = left_ms(outcome.remaining_ms, self._loop.time() - asked_s)
            return RenewedAll(outcome.leases, left)
        if isinstance(outcome, Replayed):
            return replayed_now(outcome, self._loop.time() - asked_s)
        assert isinstance(
            outcome, NotFound | NotHolder | TtlTooShort | Replayed | KeyConflict | Full
        )
        return outcome

    async def _submit(self, command: Plain, key: Key | None) -> Outcome:
        deadline_s = self._loop.time() + self._settings.request_deadline_s
        return await self._proposals.submit(once(command, key), deadline_s)


def may_be_secret(secret: str) -> bool:
    """Return whether anything may have this secret; no command can carry any other."""
    return 1 <= len(secret) <= limits.SECRET_CHARS_MAX
