"""Who runs the embedded PostgreSQL when we are root, since it refuses to run as root."""

import contextlib
import os
import pwd
import stat
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, Final

from gorilla.service.errors import GorillaError

ACCOUNTS: Final = ("postgres", "nobody")
"""Who runs the server when we are root: the first of these that the machine knows."""

REMEDY: Final = "or set GORILLA_DATABASE_URL to a PostgreSQL of yours"


class EmbeddedPostgresError(GorillaError):
    """The embedded server can't be started or stopped; the one line says what to do."""


class EmbeddedPostgresInUseError(EmbeddedPostgresError):
    """Another process of ours holds the directory; its server may answer already."""


def server_account() -> pwd.struct_passwd | None:
    """Return who runs the server; None means ourselves.

    Raises:
        EmbeddedPostgresError: We are root and there is nobody else.

    """
    if os.geteuid() != 0:
        return None
    account = find_account(ACCOUNTS)
    if account is None:
        raise EmbeddedPostgresError(
            f"PostgreSQL does not run as root and there is no account {' or '.join(ACCOUNTS)}:"
            f" run as another user, {REMEDY}"
        )
    return account


def find_account(names: Sequence[str]) -> pwd.struct_passwd | None:
    """Return the first of these accounts that the machine knows."""
    for name in names:
        with contextlib.suppress(KeyError):
            return pwd.getpwnam(name)
    return None


def popen_arguments(account: pwd.struct_passwd | None, directory: Path) -> dict[str, Any]:
    """Return what makes a child run as ``account``, without anybody's PG variables."""
    environment = {"PATH": os.environ.get("PATH", os.defpath), "LC_ALL": "C", "TZ": "UTC"}
    arguments: dict[str, Any] = {"cwd": directory, "env": environment, "umask": 0o077}
    if account is not None:
        arguments |= {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
    return arguments


def give(path: Path, account: pwd.struct_passwd | None) -> None:
    """Make ``account`` the owner of ``path``; None leaves it ours."""
    if account is not None:
        os.chown(path, account.pw_uid, account.pw_gid)


def first_closed(paths: Iterable[Path], account: pwd.struct_passwd) -> Path | None:
    """Return the first directory on the way to any of ``paths`` that ``account`` can't enter."""
    for path in paths:
        for step in (*reversed(path.parents), path):
            if not _may_enter(step.stat(), account):
                return step
    return None


def _may_enter(status: os.stat_result, account: pwd.struct_passwd) -> bool:
    if status.st_uid == account.pw_uid:
        return bool(status.st_mode & stat.S_IXUSR)
    if status.st_gid == account.pw_gid:
        return bool(status.st_mode & stat.S_IXGRP)
    return bool(status.st_mode & stat.S_IXOTH)
