"""``gorillad doctor``: examines a data directory, changing not one byte of it, and the history."""

import argparse
import errno
import fcntl
import os
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from gorilla.consensus.disk import LOCK_NAME
from gorilla.consensus.examining import Examination, Finding, Grade
from gorilla.consensus.journal.records import FRAME_BYTES_MAX
from gorilla.consensus.remedies import remedy_for
from gorilla.daemon.doctor_history import examine_history
from gorilla.daemon.failures import CommandError, Exit
from gorilla.daemon.settings import Settings
from gorilla.domain.table import LockTable

FREE_BYTES_MIN: Final = 4 * FRAME_BYTES_MAX
"""Less free space than this is trouble: a segment and a snapshot have to find room."""

LOOKS: Final = 4
"""A directory in use changes under the look: so often it is tried before trouble is believed."""
LOOK_AGAIN_S: Final = 0.25

_READ_BYTES: Final = 1024 * 1024


class ReadOnlyDirectory:
    """A data directory that is only looked at (a ``consensus.ports.Readable``)."""

    def __init__(self, directory: Path) -> None:
        """Look at ``directory``."""
        self._directory = directory

    def names(self) -> list[str]:
        """Return the names of its files, sorted, the lock file not among them."""
        with os.scandir(self._directory) as entries:
            return sorted(
                entry.name
                for entry in entries
                if entry.name != LOCK_NAME and entry.is_file(follow_symlinks=False)
            )

    def read(self, name: str, offset: int = 0, size: int = -1) -> bytes:
        """Return ``size`` bytes from ``offset``, fewer at the end, all when negative."""
        with (self._directory / name).open("rb") as file:
            file.seek(offset)
            return file.read(size)


def doctor(arguments: argparse.Namespace) -> int:
    """Examine, tell, and say by the exit code whether something must be done."""
    settings, directory, name = _which(arguments)
    if not directory.is_dir():
        raise CommandError(f"{directory} is no directory: nothing to examine")
    findings = examine(directory, name)
    if settings is not None:
        member = settings.member(name)
        findings += examine_history(settings.config, member, ReadOnlyDirectory(directory))
    sys.stdout.write(f"{directory}\n")
    for finding in findings:
        _tell(finding)
    trouble = sum(finding.grade is Grade.TROUBLE for finding in findings)
    sys.stdout.write(f"{trouble} to be mended\n" if trouble else "healthy\n")
    return Exit.FAILED if trouble else Exit.DONE


def _which(arguments: argparse.Namespace) -> tuple[Settings | None, Path, str | None]:
    """Say which directory, and of which node; no settings are read when a directory is named."""
    if arguments.directory is not None:
        return None, arguments.directory, None
    settings = Settings(arguments)
    name = settings.member(arguments.node).name
    return settings, settings.config.data_dir(name), name


def _tell(finding: Finding) -> None:
    sys.stdout.write(f"{finding.grade:<8} {finding.place}: {finding.text}\n")
    if finding.remedy:
        sys.stdout.write(f"{'':<8} -> {finding.remedy}\n")


def examine(directory: Path, name: str | None = None) -> list[Finding]:
    """Return everything that was found about a data directory, the machine's part first.

    Args:
        directory: It must exist.
        name: The node that it should belong to; None when unknown.

    """
    in_use, found = _use(directory)
    found += _room(directory)
    found += _permissions(directory)
    try:
        return found + _contents(directory, name, in_use=in_use)
    except OSError as error:
        text = f"can't be read: {error.strerror or error}"
        place = error.filename or str(directory)
        return [*found, Finding(Grade.TROUBLE, place, text, remedy_for(error))]


def _contents(directory: Path, name: str | None, *, in_use: bool) -> list[Finding]:
    """Look at the files; again, when a node at work may have changed them under the look."""
    for _ in range(LOOKS - 1):
        try:
            found = _look(directory, name, in_use=in_use)
            if not in_use or all(one.grade is not Grade.TROUBLE for one in found):
                return found
        except FileNotFoundError:
            if not in_use:
                raise
        time.sleep(LOOK_AGAIN_S)
    return _look(directory, name, in_use=in_use)


def _look(directory: Path, name: str | None, *, in_use: bool) -> list[Finding]:
    disk = ReadOnlyDirectory(directory)
    return Examination(disk, name=name, in_use=in_use, decode=LockTable.load).run()


def _use(directory: Path) -> tuple[bool, list[Finding]]:
    """Return whether a node runs on the directory, and say so.

    Asking takes a shared lock for an instant, when the node does not run; nothing is written.
    """
    try:
        fd = os.open(directory / LOCK_NAME, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False, []
        remedy = "Run this as the user that the node runs as"
        text = f"can't be opened: {error.strerror or error}"
        return False, [Finding(Grade.TROUBLE, LOCK_NAME, text, remedy)]
    try:
        fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        pid = os.pread(fd, 32, 0).decode(errors="replace").strip() or "unknown"
        text = f"the node runs (pid {pid}): what it is writing just now may look unfinished"
        return True, [Finding(Grade.NOTE, LOCK_NAME, text)]
    finally:
        os.close(fd)
    return False, [Finding(Grade.OK, LOCK_NAME, "the node does not run")]


def _room(directory: Path) -> Iterator[Finding]:
    place, space = "disk", os.statvfs(directory)
    if space.f_flag & os.ST_RDONLY:
        yield Finding(
            Grade.TROUBLE,
            place,
            "the file system is mounted read-only",
            "Look at the machine's log for why (errors of the disk make it so), mend that, mount it"
            " for writing, start the node",
        )
    free = space.f_bavail * space.f_frsize
    full = free < FREE_BYTES_MIN
    yield Finding(
        Grade.TROUBLE if full else Grade.OK,
        place,
        f"{free // 1024 // 1024} MiB free",
        f"Make room: at least {FREE_BYTES_MIN // 1024 // 1024} MiB must be free; never remove files"
        " of the data directory for it"
        if full
        else "",
    )
    if space.f_files and space.f_favail == 0:
        yield Finding(
            Grade.TROUBLE, place, "no file can be made: all inodes are used", "Remove other files"
        )


def _permissions(directory: Path) -> Iterator[Finding]:
    """Look at owners and modes: the files hold the tokens of locks."""
    try:
        paths = sorted(directory.iterdir())
    except OSError:
        return  # examining the contents says it
    own = directory.stat()
    faults = 0
    for path in (directory, *paths):
        for problem, remedy in _faults(path, own.st_uid):
            faults += 1
            place = path.name if path != directory else str(directory)
            yield Finding(Grade.TROUBLE, place, problem, remedy)
    if not faults:
        yield Finding(Grade.OK, "permissions", "for the owner alone")


def _faults(path: Path, owner: int) -> Iterator[tuple[str, str]]:
    try:
        found = path.lstat()
    except FileNotFoundError:
        return  # a node at work has removed it
    if stat.S_ISLNK(found.st_mode):
        return  # a node looks at plain files only, and a link's mode says nothing
    mode = stat.S_IMODE(found.st_mode)
    is_directory = stat.S_ISDIR(found.st_mode)
    needed, allowed = (0o700, 0o755) if is_directory else (0o600, 0o600)
    fitting = f"chmod {needed:o} {path}"
    if found.st_uid != owner:
        yield (
            f"belongs to user {found.st_uid}, the directory to {owner}",
            f"chown {owner} {path}",
        )
    if mode & needed != needed:
        yield f"its owner may not write to it (mode {mode:o})", fitting
    if mode & ~allowed & 0o777:
        yield f"others than its owner may use it (mode {mode:o})", fitting
