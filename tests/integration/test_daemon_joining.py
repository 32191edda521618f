"""A node program with an empty directory: it is invited, takes part, and leaves when removed."""

import asyncio

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.formation import form
from gorilla.consensus.identity import Identity
from gorilla.consensus.peers.network import PeerNetwork
from gorilla.service.ports import Member
from tests.support.disks import MemoryDisk
from tests.support.nodes import Nodes
from tests.support.peers import DEADLINE_S, LOOPBACK, Recorder, options

EXIT_REMOVED = 71


async def newcomer_of(network, name):
    async with asyncio.timeout(3 * DEADLINE_S):
        while (info := network.newcomers.unformed(name)) is None:
            await asyncio.sleep(0.05)
    return info


async def test_an_empty_node_is_invited_comes_back_after_a_restart_and_ends_when_removed(tmp_path):
    nodes = Nodes(tmp_path, 2)
    peers = {name: f"{LOOPBACK}:{port}" for name, port in nodes.peer.items()}
    n1 = Member(id="one", name="n1", peer=peers["n1"], http="")
    secret = Secret(nodes.environment.get("GORILLA_CLUSTER_SECRET", ""))
    bind = Address(LOOPBACK, nodes.peer["n1"])
    network = PeerNetwork(n1, "c", secret, lambda: (n1,), None, options(bind=bind))
    identity = Identity(node_id="one", name="n1", promised_to="one", cluster_id="c", members=(n1,))
    handler = Recorder()
    await form(identity, MemoryDisk(), (n1,), network)
    network.attach(handler)
    await network.start()
    try:
        nodes.start("n2")
        info = await newcomer_of(network, "n2")
        assert info.cluster_id is None
        joiner = Member(id=info.id, name="n2", peer=peers["n2"], http="")
        deadline_s = asyncio.get_running_loop().time() + DEADLINE_S
        await network.newcomers.invite(joiner, (n1,), deadline_s)
        await handler.until(lambda: handler.up() == [info.id])

        await asyncio.to_thread(nodes.kill, "n2")
        await handler.until(lambda: handler.up() == [])
        nodes.start("n2")
        await handler.until(lambda: handler.up() == [info.id], 3 * DEADLINE_S)
        kinds = {message["type"] for _, message in handler.of("received")}
        assert not {kind for kind in kinds if "vote" in kind}

        network.follow_roster(lambda: (n1,), {info.id}.__contains__)
        code = await asyncio.to_thread(nodes.processes["n2"].wait, DEADLINE_S)
    finally:
        await network.close()
        nodes.close()

    assert code == EXIT_REMOVED, nodes.log("n2")
