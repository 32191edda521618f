"""The peer network over real sockets: who is linked, and what arrives."""

import asyncio
import socket

import pytest

from gorilla.config.addresses import Address
from gorilla.consensus.peers.dialing import Pace
from gorilla.consensus.peers.network import PeerNetwork, PortInUseError
from gorilla.service.ports import Member
from tests.support.peers import (
    DEADLINE_S,
    SECRET,
    Cluster,
    HandmadePeer,
    Recorder,
    cluster_of,
    on_both_loops,
    options,
    until_all_linked,
)


@on_both_loops
async def test_three_nodes_link_with_each_other_and_exchange_messages():
    async with cluster_of("n1", "n2", "n3") as cluster:
        await until_all_linked(cluster)
        message = {"type": "hello", "entries": [(1, b"\0\xff", None, True)], "big": 1 << 62}

        for name, network in cluster.networks.items():
            for other in cluster.networks:
                network.send(f"id-{other}", message | {"from": name})
            network.flush()

        for name, handler in cluster.handlers.items():
            await handler.until(lambda of=handler.of: len(of("received")) == 2)
            for peer, received in handler.of("received"):
                assert received["entries"] == [[1, b"\0\xff", None, True]]
                assert f"id-{received['from']}" == peer
                assert received["from"] != name
        info = cluster.networks["n1"].info("id-n3")
        assert (info.name, info.version, info.cluster_id) == ("n3", "1.2.3", "cluster")
        assert set(cluster.networks["n1"].linked()) == {"id-n2", "id-n3"}
        assert cluster.networks["n1"].heard_s("id-n3") < DEADLINE_S
        assert cluster.networks["n1"].heard_s("id-n9") is None


@on_both_loops
async def test_messages_arrive_in_order_whatever_their_size():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        sizes = [0, 1, 8_000_000, 3, 4_096, 1_000_000, 2]

        for number, size in enumerate(sizes):
            cluster.networks["n2"].send("id-n1", {"number": number, "data": bytes(size)})
        cluster.networks["n2"].flush()

        handler = cluster.handlers["n1"]
        await handler.until(lambda: len(handler.of("received")) == len(sizes))
        received = [message for _, message in handler.of("received")]
        assert [(one["number"], len(one["data"])) for one in received] == list(enumerate(sizes))


@on_both_loops
async def test_a_message_without_a_link_is_dropped_silently():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        cluster.networks["n1"].send("id-n2", {"lost": True})
        cluster.networks["n1"].flush()

        _, handler = await cluster.start("n2")
        await until_all_linked(cluster)
        cluster.networks["n1"].send("id-n2", {"lost": False})
        cluster.networks["n1"].flush()

        await handler.until(lambda: handler.of("received"))
        assert handler.of("received") == [("id-n1", {"lost": False})]


@on_both_loops
async def test_nagle_is_off_on_both_sides():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        for network in cluster.networks.values():
            [link] = network._registry.current.values()
            sock = link._transport.get_extra_info("socket")
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) != 0


@on_both_loops
async def test_a_restarted_node_is_linked_again():
    async with cluster_of("n1", "n2", "n3") as cluster:
        await until_all_linked(cluster)

        await cluster.networks["n2"].close()
        for name in ("n1", "n3"):
            handler = cluster.handlers[name]
            await handler.until(lambda handler=handler: "id-n2" not in handler.up())
        await cluster.start("n2")

        await until_all_linked(cluster)
        assert cluster.handlers["n1"].count("connected", "id-n2") == 2
        assert cluster.handlers["n1"].count("disconnected", "id-n3") == 0


@on_both_loops
async def test_a_dead_process_is_noticed_at_once_by_those_who_dial_it_and_those_it_dialled():
    async with cluster_of("n1", "n2", "n3") as cluster:
        await until_all_linked(cluster)

        for handler in cluster.handlers.values():
            handler.events.clear()

        await cluster.networks["n2"].close()

        for name in ("n1", "n3"):
            handler = cluster.handlers[name]
            await handler.until(lambda handler=handler: handler.of("unreachable"))
            assert set(handler.of("unreachable")) == {("id-n2",)}


@on_both_loops
async def test_a_newer_connection_supersedes_the_older_and_nothing_of_that_is_delivered():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        network, handler = cluster.networks["n1"], cluster.handlers["n1"]
        older = await HandmadePeer.linked(network.address, "n2")
        older.send({"on": "older"})
        await handler.until(lambda: handler.of("received"))

        newer = await HandmadePeer.linked(network.address, "n2")
        await handler.until(lambda: handler.count("connected") == 2)
        older.send({"on": "older, late"})
        newer.send({"on": "newer"})

        assert await older.at_end()
        await handler.until(lambda: len(handler.of("received")) == 2)
        assert [event[0] for event in handler.events if event[0] != "unreachable"] == [
            "connected",
            "received",
            "disconnected",
            "connected",
            "received",
        ]
        assert handler.of("received")[-1] == ("id-n2", {"on": "newer"})
        await older.close()
        await newer.close()


@on_both_loops
async def test_a_connection_opened_earlier_never_supersedes_one_opened_later():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        network, handler = cluster.networks["n1"], cluster.handlers["n1"]
        earlier = await HandmadePeer.connect(network.address, "n2")
        first_answer = await earlier.receive()
        later = await HandmadePeer.linked(network.address, "n2")
        await handler.until(lambda: handler.count("connected") == 1)

        for answer in earlier.handshake.receive(first_answer):
            earlier.send(answer)
        await earlier.shake_hands()

        assert await earlier.at_end()
        later.send({"still": "there"})
        await handler.until(lambda: handler.of("received"))
        assert handler.count("disconnected") == 0
        await earlier.close()
        await later.close()


@on_both_loops
async def test_a_node_without_a_handler_is_starting_and_is_linked_once_it_has_one():
    cluster = Cluster("n1", "n2")
    await cluster.start("n1")
    late = PeerNetwork(cluster.roster["n2"], "cluster", SECRET, cluster.members, None, options())
    await late.start()
    peer = await HandmadePeer.connect(late.address, "n1")
    await peer.shake_hands()
    assert peer.handshake.outcome.refusal.reason == "starting"
    assert cluster.handlers["n1"].count("connected") == 0

    handler = Recorder()
    late.attach(handler)

    await handler.until(lambda: handler.up() == ["id-n1"])
    await peer.close()
    await late.close()
    await cluster.close()


@on_both_loops
async def test_a_silent_peer_is_given_up_and_a_pinging_one_is_kept():
    async with cluster_of("n1", "n2", "n3", started=[]) as cluster:
        network, handler = await cluster.start("n1", ping_every_s=0.03, dead_after_s=0.3)
        silent = await HandmadePeer.linked(network.address, "n2")
        alive = await HandmadePeer.linked(network.address, "n3")

        async def ping():
            while True:
                message = await alive.receive()
                assert message == {"type": "peer.ping"}
                alive.send(message)

        pinging = asyncio.create_task(ping())
        await handler.until(lambda: "id-n2" not in handler.up())

        assert await silent.at_end()
        assert handler.up() == ["id-n3"]
        assert handler.of("received") == []
        pinging.cancel()
        await asyncio.wait([pinging])
        await silent.close()
        await alive.close()


@on_both_loops
async def test_idle_nodes_stay_linked_by_their_pings():
    async with cluster_of("n1", "n2", started=[]) as cluster:
        for name in ("n1", "n2"):
            await cluster.start(name, ping_every_s=0.02, dead_after_s=0.2)
        await until_all_linked(cluster)
        [link] = cluster.networks["n1"]._registry.current.values()

        _done, pending = await asyncio.wait([link.gone], timeout=0.6)

        assert pending
        assert cluster.handlers["n1"].count("disconnected") == 0
        assert cluster.networks["n1"].heard_s("id-n2") < 0.2


@on_both_loops
async def test_a_peer_that_reads_too_slowly_is_cut_off():
    async with cluster_of("n1", "n2", started=[]) as cluster:
        network, handler = await cluster.start("n1", unsent_bytes_max=1_000_000)
        slow = await HandmadePeer.linked(network.address, "n2")
        slow.writer.transport.pause_reading()
        await handler.until(lambda: handler.up() == ["id-n2"])

        sent = 0
        while handler.up() and sent < 200_000_000:
            network.send("id-n2", {"data": bytes(500_000)})
            network.flush()
            sent += 500_000

        assert handler.up() == []
        assert handler.count("disconnected") == 1
        slow.writer.transport.abort()


@on_both_loops
async def test_a_port_in_use_is_one_clear_error():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        taken = cluster.networks["n1"].address
        with pytest.raises(PortInUseError, match=f"at {taken}: another process has this port"):
            await cluster.start("n2", bind=taken)


@on_both_loops
async def test_an_address_of_another_machine_is_one_clear_error():
    async with cluster_of("n1", started=[]) as cluster:
        with pytest.raises(OSError, match=r"192\.0\.2\.1:4100: Cannot assign requested address"):
            await cluster.start("n1", bind=Address("192.0.2.1", 4100))


@on_both_loops
async def test_names_are_resolved_and_every_address_is_tried():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        port = cluster.networks["n1"].address.port
        network = PeerNetwork(
            cluster.roster["n2"],
            "cluster",
            SECRET,
            lambda: (Member(id="id-n1", name="n1", peer=f"localhost:{port}", http=""),),
            Recorder(),
            options(),
        )
        await network.start()

        await cluster.handlers["n1"].until(lambda: cluster.handlers["n1"].up() == ["id-n2"])
        await network.close()


@on_both_loops
async def test_a_member_that_moves_is_found_at_its_new_address():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        await cluster.networks["n1"].close()

        network, handler = await cluster.start("n1", bind=Address("127.0.0.1", 0))

        await handler.until(lambda: handler.up() == ["id-n2"])
        assert cluster.roster["n1"].peer == str(network.address)


@on_both_loops
async def test_a_member_added_to_the_roster_is_linked_and_a_removed_one_not_again():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        removed = cluster.roster.pop("n1")
        cluster.networks["n2"].follow_roster(cluster.members, {removed.id}.__contains__)
        await cluster.handlers["n2"].until(lambda: cluster.handlers["n2"].up() == [])
        cluster.roster["n0"] = Member(id="id-n0", name="n0", peer="127.0.0.1:1", http="")

        _, added = await cluster.start("n0")

        await added.until(lambda: "id-n2" in added.up())
        assert cluster.handlers["n2"].up() == ["id-n0"]
        assert removed.id not in cluster.networks["n2"].linked()


@on_both_loops
async def test_a_node_that_the_roster_of_the_other_lacks_is_linked():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        lagging = (cluster.roster["n1"],)
        cluster.networks["n1"].follow_roster(lambda: lagging)

        _, newer = await cluster.start("n2")

        await newer.until(lambda: newer.up() == ["id-n1"])
        handler = cluster.handlers["n1"]
        await handler.until(lambda: handler.up() == ["id-n2"])


@on_both_loops
async def test_the_lesser_name_dials_when_the_greater_does_not_know_of_it():
    async with cluster_of("n1", "n2", started=["n2"]) as cluster:
        lagging = (cluster.roster["n2"],)
        cluster.networks["n2"].follow_roster(lambda: lagging)
        pace = Pace(pause_s_min=0.01, pause_s_max=0.1, probing_s=0.3)
        began = asyncio.get_running_loop().time()

        _, lesser = await cluster.start("n1", pace=pace)

        await lesser.until(lambda: lesser.up() == ["id-n2"])
        assert asyncio.get_running_loop().time() - began >= 0.3


@on_both_loops
async def test_a_learner_is_dialled_though_the_roster_lacks_it():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        learner = cluster.roster["n1"]
        cluster.networks["n1"].follow_roster(lambda: ())  # it dials nobody itself
        network, handler = await cluster.start("n2")
        network.follow_roster(lambda: ())
        network.drop(learner.id)
        await handler.until(lambda: handler.up() == [])

        network.newcomers.dial((learner,))

        await handler.until(lambda: handler.up() == [learner.id])


@on_both_loops
async def test_closing_is_bounded_though_a_peer_reads_nothing():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        network, handler = cluster.networks["n1"], cluster.handlers["n1"]
        stuck = await HandmadePeer.linked(network.address, "n2")
        stuck.writer.transport.pause_reading()
        await handler.until(lambda: handler.up() == ["id-n2"])
        network.send("id-n2", {"data": bytes(15_000_000)})
        heard = len(handler.events)
        began = asyncio.get_running_loop().time()

        await network.close()

        assert asyncio.get_running_loop().time() - began < 5
        assert len(handler.events) == heard
        stuck.writer.transport.abort()
