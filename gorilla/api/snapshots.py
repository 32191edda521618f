"""Calls on snapshots: parse, call, present."""

import asyncio
from typing import Final

from gorilla.api.answers import Answer, answer_json
from gorilla.api.dependencies import SnapshotOperations
from gorilla.api.requests import Call
from gorilla.service.snapshots import ArchiveNotConfiguredError, StoredSnapshot
from gorilla.wire.bodies import SnapshotBody, SnapshotListBody
from gorilla.wire.fields import bounded_int
from gorilla.wire.problems import ProblemCode, ProblemError
from gorilla.wire.times import timestamp_of

PAGE_MAX: Final = 1_000
PAGE_DEFAULT: Final = 100

TAKE_S_MAX: Final = 120.0
"""How long a caller waits for a snapshot that it asked for (seconds)."""

_limit_of = bounded_int(1, PAGE_MAX)


class SnapshotCalls:
    """Handlers of ``/api/v1/snapshots``."""

    def __init__(self, snapshots: SnapshotOperations | None) -> None:
        """Take what they call; None when no database is configured."""
        self._snapshots = snapshots

    async def list(self, call: Call) -> Answer:
        """``GET /api/v1/snapshots``."""
        query = call.query()
        limit = query.optional("limit", _limit_of, PAGE_DEFAULT)
        query.finish()
        found = await self._configured().list(limit)
        return answer_json(SnapshotListBody(snapshots=tuple(map(_snapshot_body, found))))

    async def take(self, _call: Call) -> Answer:
        """``POST /api/v1/snapshots``; a body is not read."""
        try:
            async with asyncio.timeout(TAKE_S_MAX):
                stored = await self._configured().take()
        except TimeoutError as error:
            detail = f"The snapshot was not stored within {TAKE_S_MAX:.0f} s; it may yet be."
            raise ProblemError(ProblemCode.OUTCOME_UNKNOWN, detail) from error
        return answer_json(_snapshot_body(stored), 201)

    def _configured(self) -> SnapshotOperations:
        if self._snapshots is None:
            message = "no database is configured, so there are no snapshots"
            raise ArchiveNotConfiguredError(message)
        return self._snapshots


def _snapshot_body(snapshot: StoredSnapshot) -> SnapshotBody:
    return SnapshotBody(
        id=snapshot.id,
        cluster_id=snapshot.cluster_id,
        node=snapshot.node,
        created_at=timestamp_of(snapshot.taken_at),
        term=snapshot.term,
        applied_index=snapshot.applied_index,
        lock_count=snapshot.lock_count,
        fencing_counter=snapshot.fencing_counter,
        format_version=snapshot.format_version,
        size_bytes=snapshot.size_bytes,
        digest=snapshot.digest,
    )
