"""A disk in memory that loses what a real one may lose."""

import errno
import os
import random
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from gorilla.consensus.disk import check_name

if TYPE_CHECKING:
    from collections.abc import Callable


class DeadProcessError(AssertionError):
    """A node used a file after the crash that killed it: the simulation has a bug."""


@dataclass(slots=True)
class _Inode:
    data: bytearray = field(default_factory=bytearray)
    synced: int = 0
    """So many bytes survive a power loss."""


@dataclass(slots=True)
class _Change:
    """A directory operation that is not durable yet."""

    kind: str
    name: str
    inode: _Inode
    old: str = ""


@dataclass(slots=True)
class _Fault:
    operation: str
    countdown: int
    code: int


class SimFile:
    """An open file of a :class:`SimDisk`."""

    def __init__(self, disk: "SimDisk", name: str, inode: _Inode) -> None:
        self._disk = disk
        self._name = name
        self._inode = inode
        self._life = disk.life
        self._open = True

    def write(self, data: bytes) -> None:
        self._check()
        disk, inode, start = self._disk, self._inode, len(self._inode.data)
        disk._step("write", self._name, "before")
        half = len(data) // 2
        # A full disk takes what fits; a kill may come in the middle of a write.
        inode.data += data[:half]
        disk._fail("write")
        disk._step("write", self._name, "within")
        inode.data += data[half:]
        assert len(inode.data) == start + len(data)
        disk._step("write", self._name, "after")

    def sync(self) -> None:
        self._check()
        disk = self._disk
        disk._step("sync", self._name, "before")
        disk._fail("sync")
        self._inode.synced = len(self._inode.data)
        disk._step("sync", self._name, "after")

    def size(self) -> int:
        self._check()
        return len(self._inode.data)

    def close(self) -> None:
        self._open = False

    def _check(self) -> None:
        if not self._open:
            raise OSError(errno.EBADF, os.strerror(errno.EBADF))
        if self._life != self._disk.life:
            raise DeadProcessError(f"{self._name} is used after the crash")


class SimDisk:
    """A ``Disk`` in memory. ``on_op`` sees every operation and may raise to kill the node.

    It is called with ``"<operation> <name> <before|within|after>"``; the operation has happened in
    no part, in part, or in full.
    """

    def __init__(self) -> None:
        self.on_op: Callable[[str], None] | None = None
        self.life = 0
        self.syncs = 0
        self.page_bytes = 0
        """Size of the pieces in which unsynced data may be lost one by one; 0 for none: it is then
        lost from some place on."""
        self.lost = {"files cut": 0, "files torn": 0, "pages lost": 0, "names lost": 0}
        """What power losses took so far, by kind."""
        self._names: dict[str, _Inode] = {}
        self._durable: dict[str, _Inode] = {}
        self._changes: list[_Change] = []
        self._faults: list[_Fault] = []

    # -- faults

    def fail_at(self, operation: str, nth: int, code: int = errno.EIO) -> None:
        """Let the ``nth`` operation from now (1 is the next one) raise OSError(code)."""
        self._faults.append(_Fault(operation, nth, code))

    def crash(self, rng: random.Random, *, power: bool) -> None:
        """Kill the process; with ``power``, also lose what was not synced, in part or whole."""
        self.life += 1
        self.on_op = None
        self._faults.clear()
        if power:
            self._lose(rng)

    def _lose(self, rng: random.Random) -> None:
        for change in self._changes:
            if rng.random() < 0.5:
                self._make_durable(change)
            else:
                self.lost["names lost"] += 1
        self._changes.clear()
        self._names = dict(self._durable)
        # A half durable rename leaves two names for one file.
        for inode in {id(inode): inode for inode in self._names.values()}.values():
            self._lose_data(inode, rng)

    def _lose_data(self, inode: _Inode, rng: random.Random) -> None:
        unsynced = len(inode.data) - inode.synced
        if unsynced == 0:
            return
        kept = rng.choice((0, unsynced, rng.randint(0, unsynced)))
        self.lost["files cut"] += kept < unsynced
        del inode.data[inode.synced + kept :]
        if kept and rng.random() < 0.5:
            # The length reached the disk, the last piece of the data did not.
            self.lost["files torn"] += 1
            torn = rng.randint(1, kept)
            fill = bytes(torn) if rng.random() < 0.5 else rng.randbytes(torn)
            inode.data[len(inode.data) - torn :] = fill
        if self.page_bytes and rng.random() < 0.5:
            self._lose_pages(inode, rng)
        inode.synced = len(inode.data)

    def _lose_pages(self, inode: _Inode, rng: random.Random) -> None:
        """Lose any pieces of what was not synced, also before others that reached the disk."""
        size = self.page_bytes
        for start in range(inode.synced, len(inode.data), size):
            if rng.random() < 0.4:
                end = min(start + size, len(inode.data))
                inode.data[start:end] = bytes(end - start)
                self.lost["pages lost"] += 1

    def _make_durable(self, change: _Change) -> None:
        if change.kind == "remove":
            if self._durable.get(change.name) is change.inode:
                del self._durable[change.name]
            return
        if change.kind == "rename" and self._durable.get(change.old) is change.inode:
            del self._durable[change.old]
        self._durable[change.name] = change.inode

    def damage(self, name: str, offset: int, data: bytes) -> None:
        """Overwrite bytes in place, as bit rot does."""
        inode = self._find(name)
        inode.data[offset : offset + len(data)] = data

    # -- the port

    def names(self) -> list[str]:
        return sorted(self._names)

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        data = self._find(name).data
        return bytes(data[offset:] if size < 0 else data[offset : offset + size])

    def append(self, name: str) -> SimFile:
        check_name(name)
        if name not in self._names:
            self._step("create", name, "before")
            inode = self._names[name] = _Inode()
            self._changes.append(_Change("create", name, inode))
            self._step("create", name, "after")
        return SimFile(self, name, self._names[name])

    def truncate(self, name: str, size: int) -> None:
        inode = self._find(name)
        self._step("truncate", name, "before")
        del inode.data[size:]
        inode.synced = len(inode.data)
        self._step("truncate", name, "after")

    def rename(self, old: str, new: str) -> None:
        check_name(new)
        inode = self._find(old)
        self._step("rename", old, "before")
        del self._names[old]
        self._names[new] = inode
        self._changes.append(_Change("rename", new, inode, old))
        self._step("rename", old, "after")

    def remove(self, name: str) -> None:
        inode = self._find(name)
        self._step("remove", name, "before")
        del self._names[name]
        self._changes.append(_Change("remove", name, inode))
        self._step("remove", name, "after")

    def sync_directory(self) -> None:
        self._step("sync_directory", ".", "before")
        self._fail("sync_directory")
        for change in self._changes:
            self._make_durable(change)
        self._changes.clear()
        self._step("sync_directory", ".", "after")

    # -- inside

    def _find(self, name: str) -> _Inode:
        check_name(name)
        if name not in self._names:
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), name)
        return self._names[name]

    def _step(self, operation: str, name: str, stage: str) -> None:
        if operation == "sync" and stage == "after":
            self.syncs += 1
        if self.on_op is not None:
            self.on_op(f"{operation} {name} {stage}")

    def _fail(self, operation: str) -> None:
        for fault in [fault for fault in self._faults if fault.operation == operation]:
            fault.countdown -= 1
            if fault.countdown == 0:
                self._faults.remove(fault)
                raise OSError(fault.code, os.strerror(fault.code))
