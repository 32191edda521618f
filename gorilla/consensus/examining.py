"""What a data directory holds and what is wrong with it, found out without changing anything.

It reads with the very code that a starting node reads with, so what it says of the journal and of
the snapshots is what the node will say. A directory in use may be read: whoever asks tells so, and
what a node at work leaves in passing is then no trouble.
"""

import hashlib
import re
from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import Final, NamedTuple

import msgspec

from gorilla.consensus.identity import (
    GENESIS_FILE,
    IDENTITY_FILE,
    PART_SUFFIX,
    GenesisRef,
    Identity,
    IdentityError,
    load,
)
from gorilla.consensus.journal import CorruptJournalError
from gorilla.consensus.journal.log import Log
from gorilla.consensus.journal.recovery import Recovered, read_back
from gorilla.consensus.journal.segments import segment_numbers
from gorilla.consensus.ports import Readable
from gorilla.consensus.remedies import MAKE_ANEW, SET_ASIDE, remedy_for
from gorilla.consensus.roster import decode_roster
from gorilla.consensus.snapshot_format import CorruptSnapshotError, Reader, SnapshotMeta
from gorilla.consensus.snapshots import chunks_in, meaningless
from gorilla.domain.codec import FormatError

_SNAPSHOT: Final = re.compile(r"snapshot-\d{16}\.snap")
_SEGMENT: Final = re.compile(r"journal-\d{16}\.log")
_READ_BYTES: Final = 1024 * 1024


class Grade(StrEnum):
    """How bad a finding is."""

    OK = "ok"
    NOTE = "note"
    """Worth knowing; nothing to be done now."""
    TROUBLE = "TROUBLE"
    """The node can't start from this, or will soon fail."""


class Finding(NamedTuple):
    """One thing that was looked at."""

    grade: Grade
    place: str
    """The file, or what else it is about."""
    text: str
    remedy: str = ""
    """What to do about it; trouble always has one."""


class Examination:
    """Looks through one data directory and collects findings."""

    def __init__(
        self,
        disk: Readable,
        *,
        name: str | None = None,
        in_use: bool = False,
        decode: Callable[[Iterator[bytes]], object] | None = None,
    ) -> None:
        """Look at ``disk``.

        Args:
            disk: The data directory.
            name: The node that it should belong to, by the configuration; None when unknown.
            in_use: A node runs on it right now.
            decode: Makes a state of a snapshot's chunks; without, only checksums are looked at.

        """
        self._disk = disk
        self._name = name
        self._in_use = in_use
        self._decode = decode
        self.findings: Final[list[Finding]] = []

    def run(self) -> list[Finding]:
        """Look at everything once; returns the findings.

        Raises:
            FileNotFoundError: A file went while it was looked at: a node is at work. Ask again.
            OSError: The directory itself can't be read.

        """
        names = self._disk.names()
        identity = self._identity(names)
        recovered = self._journal(identity)
        newest = self._snapshots(names, identity)
        if recovered is not None and not isinstance(newest, Finding):
            self._fit(recovered.log, newest)
        self._genesis(names, identity, has_snapshot=newest is not None)
        self._leftovers(names)
        return self.findings

    def _add(self, grade: Grade, place: str, text: str, remedy: str = "") -> Finding:
        finding = Finding(grade, place, text, remedy)
        self.findings.append(finding)
        return finding

    def _unreadable(self, place: str, error: OSError) -> Finding:
        text = f"can't be read: {error.strerror or error}"
        return self._add(Grade.TROUBLE, place, text, remedy_for(error))

    # -- identity

    def _identity(self, names: list[str]) -> Identity | None:
        if IDENTITY_FILE not in names:
            self._no_identity(names)
            return None
        try:
            identity = load(self._disk)
        except IdentityError as error:
            self._add(Grade.TROUBLE, IDENTITY_FILE, error.problem, error.remedy)
            return None
        except FileNotFoundError:
            raise
        except OSError as error:
            self._unreadable(IDENTITY_FILE, error)
            return None
        if self._name not in (None, identity.name):
            self._add(
                Grade.TROUBLE,
                IDENTITY_FILE,
                f"the directory belongs to node {identity.name}, not to {self._name}",
                "Correct the node's name or its data directory",
            )
        else:
            self._add(Grade.OK, IDENTITY_FILE, _describe(identity))
        return identity

    def _no_identity(self, names: list[str]) -> None:
        held = [name for name in names if _SEGMENT.fullmatch(name) or _SNAPSHOT.fullmatch(name)]
        if held:
            self._add(
                Grade.TROUBLE,
                IDENTITY_FILE,
                f"is missing, although the directory holds {held[0]}: it lost its identity",
                f"Bring back the whole directory; where it is lost, {MAKE_ANEW}",
            )
        else:
            self._add(Grade.NOTE, IDENTITY_FILE, "is missing: this directory was never used")

    # -- journal

    def _journal(self, identity: Identity | None) -> Recovered | None:
        if identity is None:
            if segment_numbers(self._disk):
                self._add(Grade.NOTE, "journal", "not looked at: it can't be without the identity")
            return None
        try:
            found = read_back(self._disk, identity.node_id, must_exist=identity.formed)
        except CorruptJournalError as error:
            place = f"{error.file} at byte {error.offset}"
            self._add(Grade.TROUBLE, place, error.problem, error.remedy)
            return None
        except FileNotFoundError:
            raise
        except OSError as error:
            self._unreadable(error.filename or "journal", error)
            return None
        self._tell_journal(found)
        return found

    def _tell_journal(self, found: Recovered) -> None:
        for one in found.found:
            text = f"{one.entries} entries in {one.frames} frames, {one.size} bytes"
            self._add(Grade.OK, one.name, text)
        state = found.log
        if state.first_index:
            kept = f"entries {state.first_index} to {state.last_index}"
        else:
            kept = "no entries"
        vote = "no vote given in it" if state.vote is None else f"vote given to {state.vote}"
        self._add(
            Grade.OK,
            "journal",
            f"{kept}, known to be committed to {state.commit}; term {state.term}, {vote}",
        )
        why = (
            "the node is writing it, or was killed in the middle of it"
            if self._in_use
            else "a crash cut it off; nobody was promised anything of it, the next start cuts it"
        )
        for cut in found.cuts:
            place = f"{cut.name} at byte {cut.at}"
            self._add(
                Grade.NOTE, place, f"an unfinished frame of {cut.size} bytes at the end: {why}"
            )
        for name in found.leftovers:
            self._add(
                Grade.NOTE, name, "unfinished, or no longer needed: the next start removes it"
            )

    # -- snapshots

    def _snapshots(
        self, names: list[str], identity: Identity | None
    ) -> SnapshotMeta | Finding | None:
        """Look at every snapshot; returns the newest, or what is wrong with that one."""
        newest: SnapshotMeta | Finding | None = None
        for name in sorted(filter(_SNAPSHOT.fullmatch, names)):
            newest = self._snapshot(name, identity)
        if newest is None:
            self._add(Grade.OK, "snapshot", "none yet: the journal holds everything")
        return newest

    def _snapshot(self, name: str, identity: Identity | None) -> SnapshotMeta | Finding:
        try:
            meta, size = self._reader(name).verify_all()
            self._try_to_decode(name, meta)
        except CorruptSnapshotError as error:
            place = f"{name} at byte {error.offset}"
            return self._add(Grade.TROUBLE, place, error.problem, error.remedy)
        except FileNotFoundError:
            raise
        except OSError as error:
            return self._unreadable(name, error)
        problem = _misplaced(name, meta, identity)
        if problem:
            return self._add(Grade.TROUBLE, name, problem, SET_ASIDE)
        text = f"the state as of entry {meta.index} (term {meta.term}), {size} bytes, whole"
        self._add(Grade.OK, name, text)
        return meta

    def _reader(self, name: str) -> Reader:
        return Reader(name, lambda offset, size: self._disk.read(name, offset, size))

    def _try_to_decode(self, name: str, meta: SnapshotMeta) -> None:
        if self._decode is None:
            return
        try:
            decode_roster(meta.members)
            self._decode(chunks_in(self._reader(name)))
        except (FormatError, msgspec.MsgspecError) as error:
            raise meaningless(name, error) from error

    def _fit(self, state: Log, newest: SnapshotMeta | None) -> None:
        pair = None if newest is None else (newest.previous, newest.last)
        problem = state.misfit(pair)
        if problem is not None:
            self._add(Grade.TROUBLE, "journal", problem, SET_ASIDE)

    # -- the rest

    def _genesis(self, names: list[str], identity: Identity | None, *, has_snapshot: bool) -> None:
        """Check the state that the cluster began with: it counts until a snapshot is here."""
        ref = identity.genesis if identity is not None else None
        if ref is None:
            if GENESIS_FILE in names:
                self._add(Grade.NOTE, GENESIS_FILE, "a restored state, to form a cluster with")
            return
        problem = self._genesis_problem(ref) if GENESIS_FILE in names else "is missing"
        if problem is None:
            self._add(
                Grade.OK, GENESIS_FILE, f"the state that the cluster began with, {ref.size} bytes"
            )
        elif has_snapshot:
            self._add(Grade.NOTE, GENESIS_FILE, f"{problem}; a local snapshot has taken its place")
        else:
            self._add(Grade.TROUBLE, GENESIS_FILE, problem, f"Restore again: {MAKE_ANEW}")

    def _genesis_problem(self, ref: GenesisRef) -> str | None:
        try:
            found = self._digest(GENESIS_FILE)
        except OSError as error:
            return f"can't be read: {error.strerror or error}"
        if found != (ref.size, ref.sha256):
            return "is damaged: its checksum is not the one that the cluster began with"
        return None

    def _digest(self, name: str) -> tuple[int, str]:
        digest, size = hashlib.sha256(), 0
        while piece := self._disk.read(name, size, _READ_BYTES):
            digest.update(piece)
            size += len(piece)
        return size, digest.hexdigest()

    def _leftovers(self, names: list[str]) -> None:
        for name in names:
            if name.endswith(PART_SUFFIX):
                why = (
                    "being written"
                    if self._in_use
                    else "left by a crash; the next start removes it"
                )
                self._add(Grade.NOTE, name, f"an unfinished file, {why}")
            elif name not in (IDENTITY_FILE, GENESIS_FILE) and not _is_ours(name):
                self._add(Grade.NOTE, name, "not a file of Gorilla's: it is left alone")


def _is_ours(name: str) -> bool:
    return bool(_SEGMENT.fullmatch(name) or _SNAPSHOT.fullmatch(name))


def _describe(identity: Identity) -> str:
    who = f"node {identity.name}, member {identity.node_id}"
    if not identity.formed:
        return f"{who}; it belongs to no cluster yet"
    return f"{who} of cluster {identity.cluster_id}, formed with {len(identity.members)} members"


def _misplaced(name: str, meta: SnapshotMeta, identity: Identity | None) -> str | None:
    if name != f"snapshot-{meta.index:016d}.snap":
        return f"the file holds snapshot {meta.index}"
    if identity is not None and identity.cluster_id not in (None, meta.cluster_id):
        return f"it is of cluster {meta.cluster_id}, the directory of {identity.cluster_id}"
    return None
