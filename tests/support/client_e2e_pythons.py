"""The client on other Pythons: ``python -m tests.support.client_e2e_pythons 3.12 3.13``.

For each of them a new environment has what the client and its tests need, and nothing of the
server. The cluster that it asks runs on this Python.
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes
from tests.support.real_cluster import running_nodes

TEST_PACKAGES = ("hypothesis", "pytest", "pytest-asyncio", "pytest-timeout", "hatchling")
WHOLE_TREE = {"test_client_behaviours.py", "test_client_faces.py", "test_client_reference.py"}
"""Unit tests that look at more than what is installed there."""

SERVER = "tests.support.client_memory"
"""What runs the API of a node in the same process: tests that use it need the server's packages."""

STEP_S_MAX = 600.0


def main(*versions: str) -> int:
    """Try all of them; 1 when one failed."""
    failed = []
    with tempfile.TemporaryDirectory(prefix="gorilla-pythons-") as name:
        directory = Path(name)
        with running_nodes(directory) as nodes:
            for version in versions:
                try:
                    tried(version, directory / version, nodes)
                except subprocess.CalledProcessError as error:
                    failed.append(version)
                    print(f"Python {version} failed: {error}", file=sys.stderr)
    return 1 if failed else 0


def tried(version: str, directory: Path, nodes: Nodes) -> None:
    """Make an environment, and run what there is to run in it."""
    print(f"== Python {version}", flush=True)
    python = directory / "venv" / "bin" / "python"
    run([found(version), "-m", "venv", str(directory / "venv")], directory.parent)
    pins = directory / "pins.txt"
    pins.write_text("\n".join(pinned()) + "\n")
    install = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    run([*install, "-c", str(pins), *needed(), *TEST_PACKAGES], directory)
    run([*install, "--no-deps", "--no-build-isolation", str(ROOT)], directory)
    units = [
        str(path)
        for path in sorted((ROOT / "tests" / "unit").glob("test_client_*.py"))
        if path.name not in WHOLE_TREE and SERVER not in path.read_text()
    ]
    run([str(python), "-m", "pytest", "-q", "-p", "no:cacheprovider", *units], ROOT)
    smoke = ROOT / "tests" / "support" / "client_e2e_smoke.py"
    # -I: what was installed is tried, and not the tree.
    run([str(python), "-I", "-W", "error", str(smoke), *map(nodes.url, nodes.names)], directory)


def run(command: list[str], directory: Path) -> None:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")}
    subprocess.run(command, cwd=directory, env=environment, timeout=STEP_S_MAX, check=True)


def found(version: str) -> str:
    """Return the interpreter of a version: a path, one on the PATH, or one of pyenv."""
    if os.sep in version:
        return version
    program = shutil.which(f"python{version}")
    root = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv"))
    places = [path / "bin" / "python" for path in sorted(root.glob(f"versions/{version}*"))]
    for place in [*places, *([Path(program)] if program else [])]:
        done = subprocess.run([place, "--version"], capture_output=True, text=True, check=False)
        if done.returncode == 0 and done.stdout.startswith(f"Python {version}"):
            return str(place)
    raise SystemExit(f"there is no Python {version} here: name a path, or put it on the PATH")


def needed() -> list[str]:
    """Return what the client needs, for both of its faces."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return [*project["dependencies"], *project["optional-dependencies"]["async"]]


def pinned() -> Iterator[str]:
    """Yield the versions of the lock file."""
    text = (ROOT / "deploy" / "lock" / "dev.txt").read_text()
    text += (ROOT / "deploy" / "lock" / "runtime.txt").read_text()
    yield from dict.fromkeys(re.findall(r"(?m)^([a-z0-9][a-z0-9._-]*==[^\s;\\]+)", text))


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
