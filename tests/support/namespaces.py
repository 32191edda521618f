"""Mounts that only one process sees: no test leaves one behind, and the machine sees none."""

import functools
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path


@functools.cache
def _unshare() -> tuple[str, ...]:
    """Start a program with mounts of its own: as root, or where users may have namespaces."""
    program = shutil.which("unshare") or "/usr/bin/unshare"
    for options in (["--mount"], ["--map-root-user", "--mount"]):
        try:
            subprocess.run([program, *options, "true"], check=True, capture_output=True)
        except (OSError, subprocess.CalledProcessError):
            continue
        return program, *options
    raise RuntimeError("this needs unshare, and root or unprivileged user namespaces")


def with_mounts(script: str) -> Sequence[str]:
    """Return what to put before a command for it to run after ``script``, in its own namespace."""
    return [*_unshare(), "/bin/sh", "-c", f'{script}\nexec "$0" "$@"']


def read_only(directory: Path) -> Sequence[str]:
    """Return the prefix for a command that finds ``directory`` mounted read-only."""
    return with_mounts(
        f"set -e; mount --bind '{directory}' '{directory}'; mount -o remount,bind,ro '{directory}'"
    )


def full(directory: Path) -> Sequence[str]:
    """Return the prefix for a command that finds a copy of ``directory`` on a full file system."""
    return with_mounts(
        "set -e; held=$(mktemp -d); trap 'rmdir \"$held\"' EXIT;"
        f" mount --bind '{directory}' \"$held\";"
        f" mount -t tmpfs -o mode=700,size=512k tmpfs '{directory}';"
        f' cp -p "$held"/* \'{directory}\'; umount "$held"; rmdir "$held"; trap - EXIT;'
        f" cat /dev/zero > '{directory}/filler' 2>/dev/null || true"
    )
