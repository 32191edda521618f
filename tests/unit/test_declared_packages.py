"""What an installation gets is what the code imports: nothing is there by accident."""

import ast
import re
import sys
import tomllib
from importlib.metadata import packages_distributions
from pathlib import Path

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


def test_every_package_that_the_program_imports_is_a_dependency_of_its_own_and_is_locked():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = {canonical(re.split(r"[\[<>=~!; ]", one)[0]) for one in project["dependencies"]}
    locks = (ROOT / "deploy" / "lock" / "runtime.txt").read_text(encoding="utf-8")
    locked = {canonical(name) for name in re.findall(r"(?m)^([\w.-]+)==", locks)}
    whose = packages_distributions()

    needed = {
        canonical(name) for module in imported("gorilla", "migrations") for name in whose[module]
    }

    assert needed - declared == set()
    assert needed - locked == set()
