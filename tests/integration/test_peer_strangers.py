"""The peer network over real sockets: who is kept out, why, and that it harms nobody else."""

import asyncio
import contextlib
import os
import resource
import socket

import pytest

from gorilla.config.addresses import Address
from gorilla.config.secrets import Secret
from gorilla.consensus.peers.frames import encode_frame
from gorilla.consensus.peers.network import PeerNetwork
from gorilla.consensus.peers.registry import STRANGERS_MAX
from gorilla.service.ports import Member
from tests.support.peers import (
    DEADLINE_S,
    SECRET,
    HandmadePeer,
    Recorder,
    cluster_of,
    on_both_loops,
    options,
    until_all_linked,
)


async def end_of(reader):
    """Read until the connection is closed or reset by the other side; return what came."""
    data = b""
    async with asyncio.timeout(DEADLINE_S):
        with contextlib.suppress(ConnectionError):
            while chunk := await reader.read(65_536):
                data += chunk
    return data


GREETINGS = {
    "noise": os.urandom(4_096),
    "zeros": bytes(4_096),
    "http": b"GET / HTTP/1.1\r\nHost: n1\r\nAccept: */*\r\n\r\n",
    "tls": bytes.fromhex("1603010200010001fc0303") + os.urandom(500),
    "empty message": encode_frame({}),
    "skipped hello": encode_frame({"type": "ready"}),
    "raft at once": encode_frame({"type": "append_entries", "term": 99}),
    "too long": encode_frame({"type": "hello", "name": "x" * 5_000}),
}


@on_both_loops
async def test_a_node_with_another_secret_is_told_only_that_authentication_failed():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        _, stranger = await cluster.start("n2", secret=Secret("something else entirely"))

        await stranger.until(lambda: stranger.of("refused"))

        assert stranger.of("refused") == [("n1", "authentication_failed", "authentication failed")]
        assert stranger.count("connected") == 0
        assert cluster.handlers["n1"].count("connected") == 0


@on_both_loops
async def test_a_wiped_directory_under_a_members_name_is_linked_for_formation_only():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        formation = Recorder()
        cluster.networks["n1"].serve_formation(formation)
        wiped = Member(id="another", name="n2", peer="127.0.0.1:1", http="")
        network, handler = await cluster.start("n2", member=wiped, cluster_id=None)
        network.serve_formation(handler)

        await handler.until(lambda: handler.count("linked"))
        await formation.until(lambda: formation.count("linked"))

        assert cluster.networks["n1"].linked() == ()
        assert cluster.handlers["n1"].count("connected") == 0


@on_both_loops
async def test_a_removed_member_is_cut_off_and_told_why_by_everybody():
    async with cluster_of("n1", "n2", "n3") as cluster:
        await until_all_linked(cluster)
        left = [one for one in cluster.members() if one.name != "n2"]
        for name in ("n1", "n3"):
            cluster.networks[name].follow_roster(lambda: left, {"id-n2"}.__contains__)

        handler = cluster.handlers["n2"]
        await handler.until(lambda: len({name for name, *_ in handler.of("refused")}) == 2)

        assert {reason for _, reason, _ in handler.of("refused")} == {"removed"}
        assert handler.up() == []
        for name in ("n1", "n3"):
            assert len(cluster.handlers[name].up()) == 1


@on_both_loops
async def test_a_removal_that_was_heard_of_before_the_node_had_started_is_told_then():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        cluster.networks["n1"].follow_roster(lambda: (), {"id-n2"}.__contains__)
        late = PeerNetwork(
            cluster.roster["n2"], "cluster", SECRET, cluster.members, None, options()
        )
        await late.start()
        async with asyncio.timeout(DEADLINE_S):
            while not late._registry._refusals:
                await asyncio.sleep(0.01)

        handler = Recorder()
        late.attach(handler)

        await handler.until(lambda: handler.count("refused", "n1", "removed"))
        await late.close()


@on_both_loops
async def test_a_removed_member_is_no_newcomer_though_its_link_is_still_there():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        network = cluster.networks["n1"]
        assert network.newcomers.unformed("n2") is None

        network.follow_roster(lambda: ())
        assert network.newcomers.unformed("n2").id == "id-n2"

        network.follow_roster(lambda: (), {"id-n2"}.__contains__)
        assert network.newcomers.unformed("n2") is None


@on_both_loops
async def test_what_was_sent_to_a_removed_member_before_it_is_cut_off_arrives():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        network, handler = cluster.networks["n1"], cluster.handlers["n2"]

        network.send("id-n2", {"type": "removed", "filler": bytes(1_000_000)})
        network.flush()
        network.follow_roster(lambda: (), {"id-n2"}.__contains__)

        await handler.until(lambda: handler.of("refused"))
        assert [message["type"] for _, message in handler.of("received")] == ["removed"]


@on_both_loops
async def test_a_node_of_another_cluster_is_refused():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        _, handler = await cluster.start("n2", cluster_id="another")

        await handler.until(lambda: handler.of("refused"))

        [(_, reason, text)] = handler.of("refused")
        assert reason == "other_cluster"
        assert "n1 belongs to cluster cluster, n2 to cluster another" in text


@on_both_loops
async def test_the_dialling_side_refuses_a_wrong_node_at_the_address_and_tells_it():
    async with cluster_of("n1", "n2", "n3", started=["n1"]) as cluster:
        n1 = cluster.roster["n1"]
        network = PeerNetwork(
            cluster.roster["n3"],
            "cluster",
            SECRET,
            lambda: (Member(id="id-n2", name="n2", peer=n1.peer, http=""),),
            Recorder(),
            options(),
        )
        await network.start()

        handler = cluster.handlers["n1"]
        await handler.until(lambda: handler.of("refused"))

        assert handler.of("refused")[0][:2] == ("n3", "wrong_peer")
        assert handler.count("connected") == 0
        await network.close()


@on_both_loops
async def test_strangers_are_cut_off_and_members_are_not_disturbed():
    async with cluster_of("n1", "n2") as cluster:
        await until_all_linked(cluster)
        address = cluster.networks["n1"].address

        for greeting in GREETINGS.values():
            reader, writer = await asyncio.open_connection(address.host, address.port)
            writer.write(greeting)
            assert await end_of(reader) == b""
            writer.close()

        cluster.networks["n2"].send("id-n1", {"well": True})
        cluster.networks["n2"].flush()
        handler = cluster.handlers["n1"]
        await handler.until(lambda: handler.of("received"))
        assert handler.of("received") == [("id-n2", {"well": True})]
        assert handler.count("disconnected") == 0


@on_both_loops
async def test_a_stranger_that_sends_slowly_is_cut_off_at_the_deadline():
    async with cluster_of("n1", started=[]) as cluster:
        network, _ = await cluster.start("n1", handshake_s=0.3)
        loop = asyncio.get_running_loop()
        reader, writer = await asyncio.open_connection(network.address.host, network.address.port)
        began = loop.time()
        writer.write(b"\0")

        assert await end_of(reader) == b""

        assert 0.2 < loop.time() - began < 2.0
        writer.close()


@on_both_loops
async def test_a_crowd_of_silent_strangers_is_bounded_and_keeps_nobody_out():
    async with cluster_of("n1", "n2", started=[]) as cluster:
        network, handler = await cluster.start("n1", handshake_s=60)
        address = network.address
        crowd = [
            await asyncio.open_connection(address.host, address.port)
            for _ in range(STRANGERS_MAX + 8)
        ]

        for reader, _ in crowd[:8]:
            assert await end_of(reader) == b""
        member = await HandmadePeer.linked(address, "n2")

        await handler.until(lambda: handler.up() == ["id-n2"])
        assert len(network._registry._strangers) <= STRANGERS_MAX
        await member.close()
        for _, writer in crowd:
            writer.close()


@on_both_loops
async def test_running_out_of_file_descriptors_does_not_end_listening():
    async with cluster_of("n1", "n2", started=["n1"]) as cluster:
        asyncio.get_running_loop().set_exception_handler(lambda _loop, _context: None)
        address, handler = cluster.networks["n1"].address, cluster.handlers["n1"]
        waiting = socket.socket()
        waiting.setblocking(False)
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        held = []
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (512, hard))
            with contextlib.suppress(OSError):
                while True:
                    held.append(os.open(os.devnull, os.O_RDONLY))
            loop = asyncio.get_running_loop()
            await loop.sock_connect(waiting, (address.host, address.port))
            await asyncio.wait([loop.create_future()], timeout=0.2)
        finally:
            for descriptor in held:
                os.close(descriptor)
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

        peer = await HandmadePeer.linked(address, "n2")

        await handler.until(lambda: handler.up() == ["id-n2"])
        await peer.close()
        waiting.close()
        # asyncio's own loop tries to accept again a second later, on a listener still open.
        await asyncio.wait([loop.create_future()], timeout=1.1)


@on_both_loops
async def test_without_a_secret_other_machines_are_not_listened_to():
    async with cluster_of("n1", started=[]) as cluster:
        with pytest.raises(ValueError, match=r"set cluster\.secret"):
            await cluster.start("n1", secret=Secret(), bind=Address("0.0.0.0", 0))
