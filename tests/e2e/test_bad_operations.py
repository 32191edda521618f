"""What operators and machines do wrong: the node concerned says so clearly, the others go on."""

import asyncio
import shutil
import socket

import pytest

from tests.support.local_cluster import free_ports
from tests.support.nodes import STOP_S_MAX, Nodes
from tests.support.real_cluster import acquire, running_nodes, until

pytestmark = pytest.mark.e2e

SECRET = "a secret of the whole cluster"


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_nodes(
        tmp_path_factory.mktemp("cluster"), GORILLA_CLUSTER_SECRET=SECRET
    ) as running:
        yield running


@pytest.fixture
def nodes(cluster):
    """The cluster, whole: every test leaves it so that all nodes can be started again."""
    cluster.start()
    asyncio.run(cluster.until_ready())
    return cluster


def start_with(nodes: Nodes, name: str, **settings: str) -> None:
    """Start one node with settings of its own."""
    before = nodes.environment
    nodes.environment = {**before, **settings}
    try:
        nodes.start(name)
    finally:
        nodes.environment = before


def ended(nodes: Nodes, name: str) -> tuple[int, str]:
    """Wait for the end of a node; its exit code and the last line that it said."""
    code = nodes.processes[name].wait(STOP_S_MAX)
    return code, nodes.log(name).strip().splitlines()[-1]


def follower_of(nodes: Nodes) -> str:
    leader = nodes.leader()
    return next(name for name in nodes.names if name != leader)


def assert_the_others_go_on(nodes: Nodes, without: str) -> None:
    for name in nodes.names:
        if name != without:
            acquire(nodes.url(name), f"without-{without}-at-{name}")


@pytest.mark.parametrize("key", ["http", "peer"])
def test_a_busy_port_is_named_with_what_to_do(key, tmp_path):
    nodes = Nodes(tmp_path)
    port = getattr(nodes, key)["n1"]

    with socket.create_server(("127.0.0.1", port)):
        said = nodes.gorillad("run", "--node", "n1")

    assert said.returncode == 2
    assert said.stderr.splitlines() == [
        f"gorillad: 127.0.0.1:{port} ({key} of n1) is in use: stop what listens there "
        f"(ss -ltnp 'sport = :{port}'), or change {key} of member n1 (or GORILLA_MEMBER_N1_"
        f"{key.upper()})"
    ]


def test_a_data_directory_in_use_is_refused_and_its_node_goes_on(nodes):
    ports = free_ports(2)
    moved = f"n1=127.0.0.1:{ports[0]}/127.0.0.1:{ports[1]}"
    members = ",".join([moved, *nodes.environment["GORILLA_MEMBERS"].split(",")[1:]])
    twin = Nodes(nodes.directory)
    twin.environment = {**nodes.environment, "GORILLA_MEMBERS": members}

    said = twin.gorillad("run", "--node", "n1")

    assert said.returncode == 1
    assert said.stderr.splitlines()[-1].startswith("gorillad: ")
    assert str(nodes.data("n1")) in said.stderr
    assert "another process" in said.stderr
    assert "Traceback" not in said.stderr
    assert_the_others_go_on(nodes, without="nobody")


def test_a_peer_port_for_other_machines_wants_a_secret(tmp_path):
    nodes = Nodes(tmp_path)
    nodes.environment["GORILLA_MEMBER_N1_BIND_PEER"] = f"0.0.0.0:{nodes.peer['n1']}"

    said = nodes.gorillad("run", "--node", "n1")

    assert said.returncode == 2
    assert said.stderr.splitlines()[-1] == (
        "gorillad:   cluster.secret: must be set, because the peer port of n1 can be reached from "
        "other machines; make one with: openssl rand -hex 32"
    )


def test_a_node_with_another_secret_stays_outside_and_says_why(nodes):
    outsider = follower_of(nodes)
    assert nodes.stop(outsider) == [0]

    start_with(nodes, outsider, GORILLA_CLUSTER_SECRET="not the secret of the cluster")
    until(lambda: "authentication failed" in nodes.log(outsider), "its log says it")

    assert_the_others_go_on(nodes, without=outsider)
    assert nodes.is_running(outsider)
    assert not nodes.is_ready(outsider)
    others = [name for name in nodes.names if name != outsider]
    assert any("authentication failed" in nodes.log(name) for name in others)
    assert nodes.stop(outsider) == [0]
    nodes.start(outsider)
    asyncio.run(nodes.until_ready(outsider))


def test_a_member_that_comes_back_empty_stays_outside_and_says_the_remedy(nodes):
    wiped = follower_of(nodes)
    acquire(nodes.url("n1"), "kept")
    assert nodes.stop(wiped) == [0]
    kept = nodes.directory / "kept"
    shutil.move(nodes.data(wiped), kept)

    said = len(nodes.log(wiped))
    nodes.start(wiped)
    until(lambda: "waiting to be added" in nodes.log(wiped)[said:], "it says that it waits")

    line = nodes.log(wiped)[said:].splitlines()[-1]
    assert "bring that one back, or, where it is lost, add this one with" in line
    assert not nodes.is_ready(wiped)
    assert_the_others_go_on(nodes, without=wiped)
    assert nodes.stop(wiped) == [0]
    # And the remedy works: the old directory is the member.
    shutil.rmtree(nodes.data(wiped))
    shutil.move(kept, nodes.data(wiped))
    nodes.start(wiped)
    asyncio.run(nodes.until_ready(wiped))
    assert nodes.ask(wiped, "/api/v1/locks/kept")["held"] is True


def test_a_journal_damaged_in_the_middle_is_refused_with_place_and_remedy(nodes):
    damaged = follower_of(nodes)
    for number in range(30):
        acquire(nodes.url("n1"), f"r-{number}")
    assert nodes.stop(damaged) == [0]
    path = max(nodes.data(damaged).glob("journal-*.log"))
    whole = path.read_bytes()
    middle = len(whole) // 2
    data = whole[:middle] + bytes([whole[middle] ^ 0x10]) + whole[middle + 1 :]
    path.write_bytes(data)

    nodes.start(damaged)
    code, line = ended(nodes, damaged)

    assert code == 1
    assert line.startswith(f"gorillad: {path} at byte ")
    assert int(line.split("at byte ")[1].split(":")[0]) <= middle
    assert "intact ones follow it" in line
    assert "set its data directory aside" in line
    assert path.read_bytes() == data, "the evidence must stay as it is"
    assert_the_others_go_on(nodes, without=damaged)
    path.write_bytes(whole)
    nodes.start(damaged)
    asyncio.run(nodes.until_ready(damaged))


def test_a_leader_that_is_told_to_stop_hands_over(nodes):
    leader = nodes.leader()
    other = next(name for name in nodes.names if name != leader)
    term = nodes.ask(other, "/api/v1/cluster")["term"]

    assert nodes.stop(leader) == [0]

    # It led no more when its process ended: nobody had to notice its silence.
    def after():
        return nodes.ask(other, "/api/v1/cluster")

    until(lambda: after()["leader"], "the vote is told to the last one, too", within_s=1.0)
    assert after()["leader"]["name"] != leader
    assert after()["term"] > term
    assert "could not be handed over" not in nodes.log(leader)
    assert_the_others_go_on(nodes, without=leader)
