"""A second build of the project: what the next release would be, as far as upgrades care."""

import re
import shutil
from pathlib import Path

from gorilla.domain.versions import FEATURE_LEVEL
from tests.support.local_cluster import ROOT

NEXT_LEVEL = FEATURE_LEVEL + 1

NOOP = "noop"
"""Whoever releases a lock of this name at the next build sends the command that is new in it."""

_COMMAND = '''class Noop(
    msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, tag=99, gc=False
):
    """Does nothing, and only the next build knows how."""

    lock: str
    secret: str


Plain = (
    Noop |'''

_CHANGES: tuple[tuple[str, str, str], ...] = (
    ("domain/versions.py", r"^FEATURE_LEVEL: Final = \d+$", f"FEATURE_LEVEL: Final = {NEXT_LEVEL}"),
    ("domain/versions.py", r"(\[type\[Command\], int\]\] =) \{", rf"\1 {{Noop: {NEXT_LEVEL}, "),
    ("domain/versions.py", r"^(from gorilla.domain.commands import) ", r"\1 Noop, "),
    ("domain/commands.py", r"^Plain = \($", _COMMAND),
    ("domain/validation.py", r"^(from gorilla.domain.commands import) \(", r"\1 (Noop, "),
    ("domain/validation.py", r"case Release\(\):", "case Release() | Noop():"),
    ("domain/table.py", r"^(from gorilla.domain.commands import) \(", r"\1 (Noop, "),
    (
        "domain/table.py",
        r"^( +)case Release\(\):$",
        r"\1case Noop():\n\1    return holding._NOT_FOUND\n\1case Release():",
    ),
    ("service/locks.py", r"^(from gorilla.domain.commands import) ", r"\1 Noop, "),
    # It does not look at the cluster version, which is a bug: the leader has to hold it back.
    (
        "service/locks.py",
        r"_submit\(Release\(lock, secret\)",
        rf'_submit((Noop if lock == "{NOOP}" else Release)(lock, secret)',
    ),
)


def next_build(directory: Path) -> Path:
    """Write a build of the next feature level below ``directory``; returns where it is run."""
    place = directory / "next"
    shutil.copytree(
        ROOT / "gorilla", place / "gorilla", ignore=shutil.ignore_patterns("__pycache__")
    )
    for name, pattern, text in _CHANGES:
        path = place / "gorilla" / name
        changed, count = re.subn(pattern, text, path.read_text(), flags=re.MULTILINE)
        assert count == 1, f"{name} has {count} places like {pattern}"
        path.write_text(changed)
    return place
