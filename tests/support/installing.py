"""An installation of the wheel with chosen extras, from what is here: no package index is asked."""

import re
import shutil
import subprocess
import sys
import tomllib
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from tests.support.local_cluster import ROOT

OWN = "gorilla-lock"
INSTALL_S_MAX = 60.0
TOOLS = Path(sys.executable).parent


def built_wheel(directory: Path) -> Path:
    """Build the wheel of this tree into ``directory``."""
    _run(str(TOOLS / "hatchling"), "build", "--target", "wheel", "--directory", str(directory))
    [wheel] = directory.glob("*.whl")
    return wheel


def environment_with(wheel: Path, directory: Path, *extras: str) -> Path:
    """Make a virtual environment with the wheel and what it asks for; return its programs."""
    _run(sys.executable, "-m", "venv", "--without-pip", str(directory))
    programs = directory / "bin"
    [packages] = (directory / "lib").glob("python*/site-packages")
    for name in sorted(wanted(*extras)):
        _copy(name, packages)
    python = str(programs / "python")
    _run(str(TOOLS / "uv"), "pip", "install", "--quiet", "--offline", "--no-deps", "--no-cache",
         "--python", python, str(wheel))  # fmt: skip
    return programs


def wanted(*extras: str) -> set[str]:
    """Return everything that an installation with these extras brings, but for itself."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    todo = list(project["dependencies"])
    for extra in extras:
        todo += project["optional-dependencies"][extra]
    found: set[str] = set()
    while todo:
        name, _, marker = todo.pop().partition(";")
        name = re.sub(r"[-_.]+", "-", re.split(r"[\[<>=~! (]", name.strip())[0]).lower()
        if "extra ==" in marker or name in found or name == OWN:
            continue
        try:
            todo += distribution(name).requires or []
        except PackageNotFoundError:
            continue  # for another system, or another Python
        found.add(name)
    return found


def _copy(name: str, packages: Path) -> None:
    for file in distribution(name).files or []:
        if ".." not in file.parts and file.suffix != ".pyc":
            target = packages / file
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(str(file.locate()), target)


def _run(*command: str) -> None:
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=INSTALL_S_MAX, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
