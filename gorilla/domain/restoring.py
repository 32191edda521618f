"""A new cluster out of the snapshot of a lost one."""

from hashlib import blake2b
from typing import Final

import msgspec

from gorilla.domain import limits
from gorilla.domain.lease_clock import deadline_ms
from gorilla.domain.lock_records import LockRecord
from gorilla.domain.outcomes import Lease, Queued, Session
from gorilla.domain.snapshot_format import FrozenTable
from gorilla.domain.table import LockTable

_CHAIN_BYTES: Final = 16


def restored(
    table: LockTable, fencing_floor: int, hold_ms: int, wall_ms: int | None = None
) -> LockTable:
    """Return the table that a new cluster starts from; ``table`` stays as it is.

    What the lost cluster did after the snapshot is unknown. So its numbers are jumped over, every
    lease gets its full ttl anew, and no new grant is made before a lost one must have ended.

    Args:
        table: The snapshot's state.
        fencing_floor: A number that the lost cluster is known not to have gone beyond, 0 if none.
        hold_ms: How long a lost grant might still last (milliseconds of cluster time).
        wall_ms: Wall time of the restore, for display; None keeps the snapshot's own.

    Raises:
        ValueError: No fencing tokens are left, or ``hold_ms`` is negative.

    """
    if hold_ms < 0:
        raise ValueError("hold_ms must not be negative")
    frozen = table.freeze()
    old = frozen.marks
    offset_ms = old.wall_offset_ms
    if wall_ms is not None:
        offset_ms = min(max(0, wall_ms), limits.WALL_MS_MAX) - old.now_ms
    fencing_counter = _next_epoch(max(old.fencing_counter, fencing_floor))
    marks = msgspec.structs.replace(
        old,
        term=0,  # The new cluster counts its terms from the start.
        wall_offset_ms=offset_ms,
        fencing_counter=fencing_counter,
        event_counter=_next_epoch(old.event_counter),
        session_counter=_next_epoch(old.session_counter),
        members_index=0,
        members=(),
        hold_until_ms=old.now_ms + min(hold_ms, limits.CLUSTER_MS_MAX),
        chain=blake2b(
            old.chain + fencing_counter.to_bytes(8, "big"), digest_size=_CHAIN_BYTES
        ).digest(),
    )
    return LockTable(
        FrozenTable(
            marks=marks,
            names=frozen.names,
            records=_leases_anew(frozen, offset_ms),
            fencing_tokens=frozen.fencing_tokens,
            origins=[],
            # Nobody waits any more: their nodes are gone, and with them their callers.
            sessions=[_kept(session, old.now_ms, offset_ms) for session in frozen.sessions],
            keys=[key for key in frozen.keys if not isinstance(key.outcome, Queued)],
            policies=frozen.policies,
            cooling=frozen.cooling,
            # What happened between the last event and the new counter is lost: whoever resumes
            # from an earlier event is told of a gap.
            events=[],
        ),
        table.bounds,
    )


def _leases_anew(frozen: FrozenTable, offset_ms: int) -> dict[str, LockRecord]:
    now_ms = frozen.marks.now_ms
    return {
        lock: LockRecord(
            lock,
            record.largest_fencing_token,
            tuple(_anew(lease, now_ms, offset_ms) for lease in record.holders),
        )
        for lock, record in frozen.records.items()
    }


def _next_epoch(number: int) -> int:
    """Return the smallest multiple of the epoch beyond ``number``."""
    jumped = (number // limits.FENCING_EPOCH + 1) * limits.FENCING_EPOCH
    if jumped > limits.FENCING_TOKEN_MAX:
        raise ValueError("no fencing tokens are left for a restored cluster")
    return jumped


def _kept(session: Session, now_ms: int, wall_offset_ms: int) -> Session:
    """Give ``session`` its full ttl from ``now_ms`` on."""
    return msgspec.structs.replace(
        session,
        expires_at_ms=deadline_ms(now_ms, session.ttl_ms),
        expires_wall_ms=now_ms + wall_offset_ms + session.ttl_ms,
    )


def _anew(lease: Lease, now_ms: int, wall_offset_ms: int) -> Lease:
    """Give ``lease`` its full ttl from ``now_ms`` on; its session's is another matter."""
    if lease.expires_at_ms == limits.NEVER_MS:
        return msgspec.structs.replace(lease, restored=True)
    return msgspec.structs.replace(
        lease,
        expires_at_ms=deadline_ms(now_ms, lease.ttl_ms),
        expires_wall_ms=now_ms + wall_offset_ms + lease.ttl_ms,
        restored=True,
    )
