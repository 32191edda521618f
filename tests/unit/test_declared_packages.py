"""What an installation gets is what the code imports: nothing is there by accident."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
OWN = {"gorilla", "migrations"}


def canonical(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def imported(*tops: str) -> set[str]:
    """Return the first part of every module that the files import."""
    found = set()
    for path in (path for top in tops for path in (ROOT / top).rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module is not None:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - OWN


def packages(*extras: str) -> set[str]:
    """Return what an installation with these extras asks for."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    lines = list(project["dependencies"])
    for extra in extras:
        lines += project["optional-dependencies"][extra]
    return {canonical(re.split(r"[\[<>=~!; ]", line)[0]) for line in lines}


def needed_by(*tops: str) -> set[str]:
    whose = packages_distributions()
    return {canonical(name) for module in imported(*tops) for name in whose[module]}


@pytest.mark.parametrize(
    ("rooms", "extras"),
    [
        (("gorilla/client", "gorilla/wire"), ("async",)),
        (("gorilla/cli", "gorilla/client", "gorilla/wire"), ("async", "cli")),
        (("gorilla", "migrations"), ("async", "cli", "server")),
    ],
    ids=["client", "command line", "all"],
)
def test_every_package_that_is_imported_is_a_dependency_of_its_own(
    rooms: tuple[str, ...], extras: tuple[str, ...]
):
    assert needed_by(*rooms) - packages(*extras) == set()


def test_every_package_that_the_program_imports_is_locked():
    locks = (ROOT / "deploy" / "lock" / "runtime.txt").read_text(encoding="utf-8")
    locked = {canonical(name) for name in re.findall(r"(?m)^([\w.-]+)==", locks)}

    assert needed_by("gorilla", "migrations") - locked == set()
