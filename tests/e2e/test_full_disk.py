"""The disk of one node is full: it stops itself with a clear line, the others go on.

With the rights to mount, the disk is a small file system of its own that a file fills up. Without,
the kernel refuses to let the node's files grow, which comes to the same for the node.
"""

import asyncio
import contextlib
import re
import resource
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.nodes import STOP_S_MAX, Nodes
from tests.support.real_cluster import acquire, call, until

pytestmark = pytest.mark.e2e

FAIL_STOP_CODE = 70
DISK = "8m"
WRITES_MAX = 3_000


@contextlib.contextmanager
def small_disks(nodes: Nodes) -> Iterator[bool]:
    """Give every node a small disk of its own; False when that is not allowed here."""
    mounted: list[Path] = []
    try:
        for path in map(nodes.data, nodes.names):
            path.mkdir(parents=True)
            if mount(path):
                mounted.append(path)
        yield len(mounted) == len(nodes.names)
    finally:
        nodes.close()
        for path in mounted:
            subprocess.run(["umount", str(path)], check=True)


def mount(path: Path) -> bool:
    program = shutil.which("mount")
    if program is None:
        return False
    command = [program, "-t", "tmpfs", "-o", f"size={DISK}", "tmpfs", str(path)]
    return subprocess.run(command, capture_output=True, check=False).returncode == 0


def fill(directory: Path) -> None:
    """Leave no byte free."""
    with contextlib.suppress(OSError), (directory / "filler").open("wb", buffering=0) as file:
        while True:
            file.write(b"x" * 4096)


def let_no_file_grow(nodes: Nodes, name: str) -> None:
    """Limit every file of the node to the size that its journal has now; its log is smaller."""
    size = max(path.stat().st_size for path in nodes.data(name).glob("journal-*.log"))
    resource.prlimit(nodes.processes[name].pid, resource.RLIMIT_FSIZE, (size, -1))


@pytest.fixture
def nodes(tmp_path):
    return Nodes(tmp_path)


@pytest.mark.parametrize("role", ["leader", "follower"])
def test_a_node_with_a_full_disk_stops_itself_and_comes_back_when_there_is_room(role, nodes):
    with small_disks(nodes) as is_mounted:
        nodes.start()
        asyncio.run(nodes.until_ready())
        name = next(n for n in nodes.names if (n == nodes.leader()) == (role == "leader"))
        others = [other for other in nodes.names if other != name]
        kept = [acquire(nodes.url(others[0]), f"kept-{n}") for n in range(200)]
        if is_mounted:
            fill(nodes.data(name))
        else:
            let_no_file_grow(nodes, name)

        given = write_while(lambda: nodes.is_running(name), nodes.url(others[0]))
        code = nodes.processes[name].wait(STOP_S_MAX)
        until(lambda: nodes.leader() in others, "one of the others leads")
        given += [acquire(nodes.url(n), f"after-at-{n}") for n in others]

        assert code == FAIL_STOP_CODE
        line = nodes.log(name).splitlines()[-1]
        assert "critical" in line
        assert "this node stops itself: the journal can't be written: " in line
        journal = max(nodes.data(name).glob("journal-*.log"))
        assert f"{journal}: " in line
        assert re.search(r"\(writing \d+ bytes at byte \d+\)\. ", line)
        remedy = "Make room on its file system" if is_mounted else "Raise the limit of file sizes"
        assert remedy in line
        for other in others:
            for lock in [kept[0], kept[-1], *given]:
                path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
                assert call(nodes.url(other), "GET", path).status == 200
        (nodes.data(name) / "filler").unlink(missing_ok=True)
        nodes.start(name)
        asyncio.run(nodes.until_ready(name))
        path = f"/api/v1/locks/{given[-1]['resource']}/{given[-1]['token']}"
        assert call(nodes.url(name), "GET", path).status == 200


def write_while(condition: Callable[[], bool], url: str) -> list[dict]:
    """Acquire fresh locks; what is not given is refused or unknown as documented."""
    given = []
    for number in range(WRITES_MAX):
        body = {"owner": "anna", "timeout": 600}
        reply = call(url, "POST", f"/api/v1/locks/full-{number}", body)
        assert reply.status in {200, 503, 504}, reply
        if reply.status == 200:
            given.append(reply.body)
        if not condition():
            return given
    raise AssertionError("the node goes on with a full disk")
