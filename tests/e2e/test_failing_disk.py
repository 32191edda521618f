"""The disk of one node refuses a write or a sync: it stops and says where, the others go on.

A preloaded library refuses, at the system calls of the real process. What it counts shows that the
node asked once: after a failed sync the system may report success for data that is lost.
"""

import asyncio

import pytest

from tests.support.chaos.native import Refuses, Shim, compiled
from tests.support.nodes import STOP_S_MAX, Nodes
from tests.support.real_cluster import acquire, call, until

pytestmark = pytest.mark.e2e

FAIL_STOP_CODE = 70
EIO, EROFS = "Input/output error", "Read-only file system"


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    return compiled("shim", tmp_path_factory.mktemp("shim"))


@pytest.fixture
def cluster(tmp_path, library):
    """Three nodes that work; the disk of each refuses what its shim is told."""
    nodes = Nodes(tmp_path)
    shims = {name: Shim(tmp_path / f"{name}.shim") for name in nodes.names}
    for name, shim in shims.items():
        nodes.own[name] = {"LD_PRELOAD": str(library), "CHAOS_SHIM": str(shim.path)}
    try:
        nodes.start()
        asyncio.run(nodes.until_ready())
        yield nodes, shims
    finally:
        nodes.close()


@pytest.mark.parametrize(
    ("what", "role", "error", "doing", "remedy"),
    [
        (Refuses.SYNCS, "leader", EIO, "syncing all up to byte", "A disk that is lost is replaced"),
        (Refuses.SYNCS, "follower", EIO, "syncing all up to byte", "mend it, and start the node"),
        (Refuses.WRITES_BROKEN, "leader", EIO, "bytes at byte", "the machine's own log"),
        (Refuses.WRITES, "follower", EROFS, "bytes at byte", "mount it for writing"),
    ],
)
def test_a_node_whose_disk_refuses_stops_itself_and_asks_no_second_time(
    cluster, what, role, error, doing, remedy
):
    nodes, shims = cluster
    name = next(n for n in nodes.names if (n == nodes.leader()) == (role == "leader"))
    others = [other for other in nodes.names if other != name]
    kept = [acquire(nodes.url(others[0]), f"kept-{n}") for n in range(20)]

    shims[name].refuse(what)
    kept += [acquire(nodes.url(n), f"meanwhile-at-{n}") for n in others]
    code = nodes.processes[name].wait(STOP_S_MAX)
    until(lambda: nodes.leader() in others, "one of the others leads")
    kept += [acquire(nodes.url(n), f"after-at-{n}") for n in others]

    assert code == FAIL_STOP_CODE
    assert shims[name].refused == 1
    line = nodes.log(name).splitlines()[-1]
    assert "Traceback" not in nodes.log(name)
    assert "this node stops itself: the journal can't be written: " in line
    journal = max(nodes.data(name).glob("journal-*.log"))
    assert f"{journal}: {error} (" in line
    assert doing in line
    assert remedy in line

    shims[name].refuse(Refuses.NOTHING)
    nodes.start(name)
    asyncio.run(nodes.until_ready(name))
    for lock in kept:
        path = f"/api/v1/locks/{lock['resource']}/{lock['token']}"
        assert call(nodes.url(name), "GET", path).status == 200
