"""An archive in memory and a node that has state: honest doubles for the snapshot keeper."""

import hashlib
from collections.abc import Iterator, Sequence

import msgspec

from gorilla.domain.limits import FENCING_EPOCH
from gorilla.service.ports import FrozenState
from gorilla.service.snapshots import (
    Captured,
    LoadedSnapshot,
    SnapshotCorruptError,
    SnapshotMeta,
    SnapshotNotFoundError,
    StorageUnavailableError,
    StoredSnapshot,
)


class MemoryArchive:
    """Meets ``SnapshotArchive``; ``down`` makes every call fail with that text."""

    def __init__(self) -> None:
        self.down: str | None = None
        self.kept: list[LoadedSnapshot] = []
        self.floors: list[int] = []
        self.prunes: list[tuple[int, float]] = []

    def _check_up(self) -> None:
        if self.down is not None:
            raise StorageUnavailableError(self.down)

    async def store(self, meta: SnapshotMeta, pieces: Sequence[bytes]) -> StoredSnapshot:
        self._check_up()
        whole = b"".join(pieces)
        assert meta.digest == hashlib.sha256(whole).hexdigest()
        assert meta.size_bytes == len(whole)
        stored = StoredSnapshot(id=len(self.kept) + 1, **msgspec.structs.asdict(meta))
        self.kept.append(LoadedSnapshot(stored, tuple(pieces)))
        return stored

    async def list(self, limit: int = 100) -> Sequence[StoredSnapshot]:
        self._check_up()
        return [one.meta for one in self.kept[::-1][:limit]]

    async def latest(self, cluster_id: str | None = None) -> StoredSnapshot | None:
        self._check_up()
        if cluster_id is None and self.kept:
            cluster_id = self.kept[-1].meta.cluster_id
        own = [one.meta for one in self.kept if one.meta.cluster_id == cluster_id]
        return max(own, key=lambda meta: (meta.applied_index, meta.id), default=None)

    async def load(self, snapshot_id: int) -> LoadedSnapshot:
        self._check_up()
        for one in self.kept:
            if one.meta.id == snapshot_id:
                if hashlib.sha256(b"".join(one.pieces)).hexdigest() != one.meta.digest:
                    raise SnapshotCorruptError(f"snapshot {snapshot_id} is damaged")
                return one
        raise SnapshotNotFoundError(f"there is no snapshot {snapshot_id}")

    async def prune(self, keep_count: int, keep_days: float) -> int:
        self._check_up()
        self.prunes.append((keep_count, keep_days))
        return 0

    async def reserve_fencing_floor(self, snapshot_id: int, *, node: str, hold_ms: int) -> int:
        highest = max([one.meta.fencing_counter for one in self.kept] + self.floors)
        self.floors.append((highest // FENCING_EPOCH + 2) * FENCING_EPOCH)
        return self.floors[-1]


class ManualClock:
    """Time that moves when a test says so."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def monotonic(self) -> float:
        return self.now_s

    def wall_ms(self) -> int:
        return int(self.now_s * 1000)


class ListedState:
    """A frozen state whose chunks are given."""

    def __init__(self, chunks: Sequence[bytes]) -> None:
        self._chunks = chunks

    def chunks(self) -> Iterator[bytes]:
        yield from self._chunks


class NodeState:
    """Meets ``SnapshotSource``: a node with an applied index that :meth:`apply` moves."""

    def __init__(self, state: FrozenState | None = None) -> None:
        self.cluster = "c1"
        self.is_leader = True
        self.index = 1
        self.state: FrozenState = ListedState([b"state"]) if state is None else state

    def apply(self) -> None:
        self.index += 1

    def cluster_id(self) -> str:
        return self.cluster

    def chain(self) -> str:
        return f"{self.index:032x}"

    def leads(self) -> bool:
        return self.is_leader

    def capture(self) -> Captured:
        return Captured(
            cluster_id=self.cluster,
            node="n1",
            term=1,
            applied_index=self.index,
            now_ms=self.index * 10,
            lock_count=0,
            fencing_counter=self.index,
            chain=self.chain(),
            state=self.state,
        )
