"""A node program that was removed from its cluster: it hears why, says so, and ends for good."""

import asyncio

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.disk import DirectoryDisk
from gorilla.consensus.identity import Identity, save
from gorilla.consensus.journal import Journal
from gorilla.consensus.peers.network import PeerNetwork
from gorilla.service.ports import Member
from tests.support.nodes import Nodes
from tests.support.peers import DEADLINE_S, LOOPBACK, Recorder, options

EXIT_REMOVED = 71


def a_directory(path, node_id, voters):
    """Make the data directory of a member, as it is after the cluster was formed."""
    path.mkdir(parents=True)
    with DirectoryDisk(path) as disk:
        identity = Identity(
            node_id=node_id, name="n2", promised_to="one", cluster_id="c", members=voters
        )
        save(disk, identity)
        journal = Journal.open(
            disk,
            node=node_id,
            retain_entries=1_000,
            retain_bytes=1_000_000,
            segment_bytes=1_000_000,
            must_exist=False,
        )
        journal._destroy()


async def test_a_removed_node_says_why_and_ends_with_a_code_of_its_own(tmp_path):
    nodes = Nodes(tmp_path, 2)
    voters = tuple(
        Member(id=node_id, name=name, peer=f"{LOOPBACK}:{nodes.peer[name]}", http="")
        for node_id, name in (("one", "n1"), ("two", "n2"))
    )
    a_directory(nodes.data("n2"), "two", voters)
    bind = Address(LOOPBACK, nodes.peer["n1"])
    secret = Secret(nodes.environment.get("GORILLA_CLUSTER_SECRET", ""))
    other = PeerNetwork(voters[0], "c", secret, lambda: voters[:1], Recorder(), options(bind=bind))
    other.follow_roster(lambda: voters[:1], {"two"}.__contains__)
    await other.start()
    try:
        nodes.start("n2")
        code = await asyncio.to_thread(nodes.processes["n2"].wait, 3 * DEADLINE_S)
    finally:
        await other.close()
        nodes.close()

    assert code == EXIT_REMOVED, nodes.log("n2")
    last = nodes.log("n2").splitlines()[-1]
    assert "this node stops for good: n1 refuses this node: n2 was removed from the clust" in last
    assert "Traceback" not in nodes.log("n2")
