"""The state that a cluster begins with when it was restored: written once, before anything else.

``gorillad restore`` puts it in the first member's empty directory; forming the cluster brings it
to the others. When a formed node starts for the first time, it becomes the local snapshot of log
index 3, on an entry 2 before it that every such node makes alike. So the log begins behind the
entry 1 that an empty log has: a node that is added later can't go on from there without the state.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

from gorilla.consensus.codec import NO_OP, LogEntry
from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.identity import (
    GENESIS_FILE,
    PART_SUFFIX,
    Identity,
    IdentityError,
    load_or_create,
)
from gorilla.consensus.ports import Disk
from gorilla.consensus.roster import encode_members
from gorilla.consensus.snapshots import SnapshotMeta, SnapshotStore
from gorilla.service.packing import FORMAT_VERSION, PackingError, pack_chunks, unpack

GENESIS_INDEX: Final = 3
_MAGIC: Final = b"gorilla genesis 1\n"
_READ_BYTES: Final = 1024 * 1024


def write_genesis(data_dir: Path, name: str, chunks: Iterable[bytes]) -> None:
    """Prepare an empty data directory to form a new cluster with this state.

    Args:
        data_dir: Directory of the first listed member.
        name: Name of that member.
        chunks: The state, as ``FrozenState.chunks`` gives it.

    Raises:
        IdentityError: The directory has been used already.
        OSError: The disk fails.

    """
    with DirectoryDisk(data_dir) as disk:
        identity = load_or_create(disk, name)
        if identity.formed or GENESIS_FILE in disk.names():
            raise IdentityError(
                f"{data_dir} has been used already: restore into an empty directory"
            )
        packed = pack_chunks(chunks)
        part = GENESIS_FILE + PART_SUFFIX
        if part in disk.names():
            disk.remove(part)
        file = disk.append(part)
        try:
            file.write(_MAGIC)
            for piece in packed.pieces:
                file.write(piece)
            file.sync()
        finally:
            file.close()
        disk.rename(part, GENESIS_FILE)
        disk.sync_directory()


def seed_snapshot(disk: Disk, store: SnapshotStore, identity: Identity) -> bool:
    """Make the genesis of a formed cluster its first local snapshot; True when it was done now.

    Safe at any interruption: until the snapshot is published, nothing of the log exists.

    Raises:
        IdentityError: The genesis that the cluster was formed with can't be read.
        OSError: The disk fails.

    """
    assert identity.cluster_id is not None
    if identity.genesis is None or store.latest() is not None:
        return False
    writer = store.begin(_genesis_meta(identity))
    try:
        for chunk in _read_chunks(disk):
            writer.write(chunk)
        writer.commit_file()
    except PackingError as error:
        writer.abort()
        raise IdentityError(f"{GENESIS_FILE} can't be read: {error}; restore again") from error
    except OSError:
        writer.abort()
        raise
    writer.publish()
    return True


def _genesis_meta(identity: Identity) -> SnapshotMeta:
    no_op = bytes((NO_OP,))
    previous: LogEntry = (no_op, GENESIS_INDEX - 1, 0)
    last: LogEntry = (no_op, GENESIS_INDEX, 0)
    return SnapshotMeta(
        index=GENESIS_INDEX,
        term=0,
        last=last,
        previous=previous,
        members=encode_members(identity.members),
        cluster_id=identity.cluster_id or "",
    )


def _read_chunks(disk: Disk) -> Iterable[bytes]:
    if disk.read(GENESIS_FILE, 0, len(_MAGIC)) != _MAGIC:
        raise PackingError("it is of another format")
    return unpack(FORMAT_VERSION, _pieces(disk))


def _pieces(disk: Disk) -> Iterable[bytes]:
    offset = len(_MAGIC)
    while piece := disk.read(GENESIS_FILE, offset, _READ_BYTES):
        offset += len(piece)
        yield piece
