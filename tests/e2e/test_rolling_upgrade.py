"""Real nodes of two builds under load: upgraded one by one, rolled back, upgraded and finalised."""

import asyncio
import time

import pytest

from tests.support.builds import NEXT_LEVEL, NOOP, next_build
from tests.support.clients import Clients
from tests.support.local_cluster import ROOT
from tests.support.nodes import Balancer, Nodes
from tests.support.real_cluster import POLL_S, acquire, call, until_equal

pytestmark = pytest.mark.e2e

OLD_LEVEL = NEXT_LEVEL - 1
GAP_S_MAX = 3.0


@pytest.fixture
async def cluster(tmp_path):
    nodes = Nodes(tmp_path, GORILLA_LOCKS_REQUEST_DEADLINE_S="2.5")
    balancer = Balancer(nodes)
    nodes.start()
    balancer.start()
    try:
        await nodes.until_ready()
        await balancer.until_ready()
        yield nodes, balancer
    finally:
        balancer.close()
        nodes.close()


async def roll(nodes, build, *names):
    """Stop nodes one by one, and start each as ``build``."""
    for name in names or nodes.names:
        assert await asyncio.to_thread(nodes.stop, name) == [0]
        nodes.builds[name] = build
        nodes.start(name)
        await nodes.until_ready(name)


async def views(nodes):
    return await asyncio.gather(
        *(asyncio.to_thread(nodes.ask, name, "/api/v1/cluster") for name in nodes.names)
    )


async def versions(nodes):
    return {view and view["clusterVersion"] for view in await views(nodes)}


async def levels(nodes):
    """Return what each node knows the members' builds to support."""
    return [
        view and [member["featureLevel"] for member in view["members"]]
        for view in await views(nodes)
    ]


async def until(look, nodes, wanted, within_s=10.0):
    deadline_s = time.monotonic() + within_s
    while (seen := await look(nodes)) != wanted:
        assert time.monotonic() < deadline_s, seen
        await asyncio.sleep(POLL_S)


async def release_noop(nodes, name, lock):
    path = f"/api/v1/locks/{NOOP}/{lock['token']}"
    return (await asyncio.to_thread(call, nodes.url(name), "DELETE", path)).status


async def refused_by(nodes, name):
    """Start a node that has to end by itself; returns what it logged from then on."""
    before = len(nodes.log(name))
    nodes.start(name)
    code = await asyncio.to_thread(nodes.processes[name].wait, 15)
    assert code not in {0, None}
    return nodes.log(name)[before:]


async def test_a_cluster_is_upgraded_rolled_back_upgraded_again_and_finalised_under_load(
    cluster, tmp_path
):
    nodes, balancer = cluster
    new = next_build(tmp_path)
    kept = [await asyncio.to_thread(acquire, balancer.url, f"kept-{n}") for n in range(8)]
    noop = await asyncio.to_thread(acquire, balancer.url, NOOP)
    started = time.monotonic()
    async with Clients(balancer.url) as clients:
        # Mixed: the older members never meet the command that they don't know.
        await roll(nodes, new, "n1")
        await until(levels, nodes, [[NEXT_LEVEL, OLD_LEVEL, OLD_LEVEL]] * 3)
        assert await release_noop(nodes, "n1", noop) == 504
        assert all(nodes.is_running(name) for name in nodes.names)

        # All are new, and there is a way back, as nobody has finalised it; so also of a new leader.
        await roll(nodes, new, "n2", "n3")
        await until(levels, nodes, [[NEXT_LEVEL, NEXT_LEVEL, NEXT_LEVEL]] * 3)
        assert await release_noop(nodes, "n2", noop) == 504
        await roll(nodes, ROOT)
        await until(levels, nodes, [[OLD_LEVEL, OLD_LEVEL, OLD_LEVEL]] * 3)
        assert await versions(nodes) == {OLD_LEVEL}

        # Upgraded again, with the operator's word: finalised once the last one has come.
        nodes.environment["GORILLA_CLUSTER_FINALISE_LEVEL"] = str(NEXT_LEVEL)
        await roll(nodes, new, "n1", "n2")
        assert await versions(nodes) == {OLD_LEVEL}
        await roll(nodes, new, "n3")
        await until(versions, nodes, {NEXT_LEVEL})
        assert await release_noop(nodes, "n3", noop) == 404
        gap = clients.longest_gap(started, time.monotonic())

        # No way back: an old build says what to do, and the new one goes on where it was.
        assert await asyncio.to_thread(nodes.stop, "n2") == [0]
        nodes.builds["n2"] = ROOT
        log = await refused_by(nodes, "n2")
        assert f"the cluster version is {NEXT_LEVEL}" in log
        assert f"start a release on this node that supports level {NEXT_LEVEL}" in log
        assert "Traceback" not in log
        nodes.builds["n2"] = new
        nodes.start("n2")
        await nodes.until_ready("n2")

    await until_equal(nodes)
    print(f"\nlongest gap {gap:.2f} s, {len(clients.holds)} holds, answers {clients.statuses}")
    assert clients.check() == []
    assert len(clients.holds) > 100
    assert gap < GAP_S_MAX
    for lock in [*kept, noop]:
        seen = nodes.ask("n1", f"/api/v1/locks/{lock['resource']}/{lock['token']}", 10)
        assert seen is not None
        assert seen["id"] == lock["id"]
