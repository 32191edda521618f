"""Where the embedded PostgreSQL lives when its account can't enter the wanted directory.

Root also works below directories that only root may enter, such as ``/root``, and the server does
not run as root. Its data then gets a directory of its own, a *place*, and the wanted directory is a
symbolic link to it: whoever looks there finds the data. Where the link is gone (``make clean``), so
is the database: the next one gets a place of another name.
"""

import contextlib
import os
import pwd
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from gorilla.storage.server_account import REMEDY, EmbeddedPostgresError, first_closed

PARENTS: Final = (Path("/var/lib"), Path("/var/tmp"))  # noqa: S108 - mkdtemp makes what is inside
"""Where a place is made: the first of these that will do."""

PREFIX: Final = "gorilla-embedded-"
LINK_FILE: Final = "linked-from"
"""In a place: the path of the link to it. ``make clean`` removes no place that names another."""


def settle(wanted: Path, account: pwd.struct_passwd | None, parents: Sequence[Path]) -> Path:
    """Return the directory, which exists then, to use for ``wanted``: itself wherever possible.

    Args:
        wanted: May be a link already, made here or by somebody else.
        account: Must be able to enter the directory; None is ourselves, who always can.
        parents: Such as :data:`PARENTS`.

    Raises:
        EmbeddedPostgresError: ``wanted`` is closed to the account, and either has contents
            already, or none of ``parents`` will do.
        OSError: The file system refuses.

    """
    here = wanted.parent.resolve() / wanted.name
    if account is not None and here.is_symlink():
        _drop_stale(here)
    directory = here.resolve()
    directory.mkdir(parents=True, exist_ok=True)
    closed = None if account is None else first_closed([directory], account)
    if account is None or closed is None:
        return directory
    if here.is_symlink() or any(here.iterdir()):
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root, and account {account.pw_name} may not enter"
            f" {closed}, while {here} is there already: move it away (its snapshots are in it),"
            f" {REMEDY}"
        )
    return _link(here, _make_place(account, parents))


def _drop_stale(link: Path) -> None:
    """Remove ``link`` when its place is gone, or belongs to the tree that ours is a copy of."""
    place = link.resolve()
    if not place.name.startswith(PREFIX):
        return  # not made here
    recorded = _recorded_link(place)
    if recorded == link:
        return
    if recorded is None or (recorded.is_symlink() and recorded.resolve() == place):
        link.unlink()
    else:  # the tree was moved here
        (place / LINK_FILE).write_text(str(link))


def _recorded_link(place: Path) -> Path | None:
    """Return which link a place belongs to; None when it is not (or no longer) a place of ours."""
    with contextlib.suppress(OSError):
        if place.stat().st_uid == os.geteuid():
            return Path((place / LINK_FILE).read_text())
    return None


def _make_place(account: pwd.struct_passwd, parents: Sequence[Path]) -> Path:
    for parent in parents:
        with contextlib.suppress(OSError):  # missing or read-only: the next one
            # mkdtemp: private from the first moment, and a name that nobody can take before.
            made = Path(tempfile.mkdtemp(prefix=PREFIX, dir=parent))
            made.chmod(0o711)
            # The server's programs may have to be copied there too.
            if first_closed([made], account) is None and not _forbids_programs(made):
                return made
            made.rmdir()
    tried = " or ".join(str(parent) for parent in parents)
    raise EmbeddedPostgresError(
        f"PostgreSQL does not run as root, account {account.pw_name} may not enter the data"
        f" directory, and there is no place for it in {tried}: run as another user, {REMEDY}"
    )


def _forbids_programs(directory: Path) -> bool:
    return bool(os.statvfs(directory).f_flag & os.ST_NOEXEC)


def _link(here: Path, place: Path) -> Path:
    """Put a link to ``place`` where the empty directory ``here`` is."""
    try:
        (place / LINK_FILE).write_text(str(here))
        here.rmdir()
        here.symlink_to(place)
    except BaseException:
        shutil.rmtree(place)
        raise
    return place
