"""``docs/examples/gorilla.mjs`` in Node.js, against real nodes.

The cases are in ``javascript/gorilla.test.mjs``; each is run by itself. The last one kills a node.
"""

import re
import subprocess
from pathlib import Path

import pytest

from tests.support.local_cluster import free_ports
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

CASES = Path(__file__).parent / "javascript" / "gorilla.test.mjs"
NAMES = re.findall(r'(?m)^test\("([^"]+)"', CASES.read_text(encoding="utf-8"))
DEADLINE_S = 60


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        yield {
            "PATH": "/usr/local/bin:/usr/bin:/bin",
            "NODES": ",".join(map(nodes.url, nodes.names)),
            "PIDS": ",".join(str(nodes.processes[name].pid) for name in nodes.names),
            "DEAD": f"http://127.0.0.1:{free_ports(1)[0]}",
        }


def test_the_cases_are_found():
    assert len(NAMES) == len(set(NAMES)) == 20


@pytest.mark.parametrize("name", NAMES)
def test_javascript(name: str, environment):
    ran = subprocess.run(
        [
            "node",
            "--test",
            "--test-force-exit",
            "--test-name-pattern",
            f"^{re.escape(name)}$",
            str(CASES),
        ],
        env=environment,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert ran.returncode == 0, ran.stdout
    assert re.search(r"^\S* ?pass 1$", ran.stdout, re.MULTILINE), ran.stdout
