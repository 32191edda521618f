"""``gorilla doctor`` on real nodes, healthy and not; a real PostgreSQL, a real load balancer."""

import asyncio
import json
import signal

import pytest

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from tests.support.cli import DEAD, at_terminal, gorilla
from tests.support.nodes import Nodes
from tests.support.postgres import FAST, reachable_directory
from tests.support.real_cluster import call, running_balancer, running_nodes, until
from tests.support.tls import TlsBalancer, make_certificate

pytestmark = pytest.mark.e2e

QUICK = ("--seconds", "1.5")


@pytest.fixture(scope="module")
def server():
    with reachable_directory() as directory:
        made = EmbeddedPostgres(directory / "postgres", settings=FAST)
        migrating.upgrade(made.start())
        yield made
        made.stop()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory, server):
    settings = {
        "GORILLA_DATABASE_URL": server.url(),
        "GORILLA_SNAPSHOTS_INTERVAL_S": "1",
        "GORILLA_CLUSTER_NAME": "shop",
    }
    with running_nodes(tmp_path_factory.mktemp("doctor"), **settings) as nodes:
        call(nodes.url("n1"), "POST", "/api/v1/snapshots")
        yield nodes


@pytest.fixture
def nodes(cluster: Nodes):
    yield cluster
    for name in cluster.names:
        if cluster.is_running(name):
            cluster.signal(name, signal.SIGCONT)
    cluster.start()
    asyncio.run(cluster.until_ready())


def all_of(nodes):
    return ",".join(map(nodes.url, nodes.names))


class Told:
    """What the doctor said."""

    def __init__(self, ran):
        self.ran = ran
        self.document = json.loads(ran.out)
        self.findings = self.document["findings"]

    def of(self, check, *grades):
        return [
            one for one in self.findings
            if one["check"] == check and (not grades or one["grade"] in grades)
        ]  # fmt: skip

    def worse(self):
        return [(one["check"], one["about"]) for one in self.findings if one["grade"] != "ok"]


def doctor(endpoints, *arguments, **environment):
    ran = gorilla(
        "doctor", *QUICK, "-o", "json", *arguments, GORILLA_ENDPOINTS=endpoints, **environment
    )
    assert ran.out, ran.err
    return Told(ran)


def test_a_healthy_cluster_is_well(nodes):
    told = doctor(all_of(nodes), "--strict")

    assert told.worse() == []
    assert (told.ran.code, told.document["verdict"]) == (0, "healthy")
    for check in (
        "settings", "reachable", "quorum", "agreement", "versions", "ready", "lag", "clock", "disk",
        "database", "round trip",
    ):  # fmt: skip
        assert told.of(check, "ok"), check
    assert len(told.of("disk")) == 3
    locks = call(nodes.url("n1"), "GET", "/api/v1/locks").body["locks"]
    assert locks == []


@pytest.mark.parametrize("columns", [80, 120])
def test_what_it_says_fits_the_terminal(columns):
    text = at_terminal("doctor", "--seconds", "0.5", columns=columns, GORILLA_ENDPOINTS=DEAD)

    assert max(map(len, text.splitlines())) <= columns
    assert "No node answers at" in text


def test_one_endpoint_is_enough_to_look_at_every_member_and_is_a_warning_itself(nodes):
    told = doctor(nodes.url("n2"))

    assert {one["about"] for one in told.of("reachable", "ok")} == {"n1", "n2", "n3"}
    assert told.worse() == [("settings", "endpoints")]
    assert told.ran.code == 0
    assert doctor(nodes.url("n2"), "--strict").ran.code == 3


def test_a_killed_node_is_bad_and_what_to_do_is_said(nodes):
    nodes.kill("n3")
    until(lambda: nodes.leader() in {"n1", "n2"}, "another one leads")

    told = doctor(all_of(nodes))

    assert told.ran.code == 3
    (finding,) = told.of("reachable", "bad")
    assert finding["about"] == "n3"
    assert "connection refused" in finding["text"]
    assert "gorilla cluster replace n3" in finding["remedy"]
    assert "no more may fail" in told.of("quorum")[0]["text"]


def test_a_node_that_stands_still_is_bad(nodes):
    still = next(name for name in nodes.names if name != nodes.leader())
    nodes.signal(still, signal.SIGSTOP)

    told = doctor(all_of(nodes))

    assert told.ran.code == 3
    assert [one["about"] for one in told.of("reachable", "bad")] == [still]
    assert "2 of 3 members are up" in told.of("quorum")[0]["text"]


def test_a_drained_node_is_a_warning(nodes):
    call(nodes.url("n1"), "POST", "/api/v1/cluster/members/n2/drain")
    told = doctor(all_of(nodes))
    call(nodes.url("n1"), "DELETE", "/api/v1/cluster/members/n2/drain")

    assert told.worse() == [("ready", "n2")]
    assert told.ran.code == 0


def test_a_load_balancer_is_known_as_one_and_may_let_waits_be(nodes):
    with running_balancer(nodes) as balancer:
        told = doctor(balancer.url, "--wait", "1")

    assert told.worse() == []
    both = told.of("balancer", "ok")
    assert "A load balancer" in both[0]["text"]
    assert "A wait of 1 s got its answer" in both[1]["text"]
    assert {one["about"] for one in told.of("reachable", "ok")} >= {"n1", "n2", "n3"}


def test_a_certificate_that_ends_soon_and_waits_that_are_cut_short_are_bad(nodes, tmp_path):
    certificate = make_certificate(tmp_path, "server", 3)
    own = make_certificate(tmp_path, "client", 20)
    with TlsBalancer(nodes, certificate) as balancer:
        told = doctor(
            balancer.url, "--wait", "2", "--ca-file", str(certificate),
            "--cert-file", str(own), "--key-file", str(own.with_suffix(".key")),
        )  # fmt: skip
        stranger = doctor(balancer.url)

    assert told.ran.code == 3
    by_about = {one["about"]: one for one in told.of("tls")}
    host = balancer.url.removeprefix("https://")
    assert by_about[host]["grade"] == "bad"
    assert "ends in" in by_about[host]["text"]
    assert by_about["client certificate"]["grade"] == "warning"
    (cut,) = told.of("balancer", "bad")
    assert "A wait of 2 s was ended after 1" in cut["text"]
    # Nobody vouches for it: it is not spoken to, and the reason is said.
    assert stranger.ran.code == 69
    assert "self-signed certificate" in stranger.of("tls", "bad")[0]["text"]


def test_no_cluster_at_all_is_told_for_each_endpoint():
    told = doctor(f"{DEAD},http://127.0.0.1:2")

    assert (told.ran.code, told.document["verdict"]) == (69, "unreachable")
    assert len(told.of("reachable", "bad")) == 2
    assert "Nothing answers." in told.ran.err


def test_without_the_database_it_is_bad_and_locks_go_on(nodes, server):
    server.stop()
    try:
        call(nodes.url("n1"), "POST", "/api/v1/locks/x", {"owner": "anna", "timeout": 1})
        until(
            lambda: nodes.ask(nodes.leader(), "/api/v1/cluster")["snapshots"]["failingSince"],
            "the alarm is up",
        )
        told = doctor(all_of(nodes))
    finally:
        server.start()

    assert told.ran.code == 3
    assert ("database", "snapshots") in told.worse()
    assert "locks go on" in told.of("database", "bad")[0]["text"]
    assert told.of("round trip", "ok")


def test_without_a_quorum_it_does_not_try_long_to_take_a_lock(nodes):
    alone = nodes.leader()
    nodes.kill(*(name for name in nodes.names if name != alone))
    until(lambda: nodes.ask(alone, "/api/v1/cluster")["leader"] is None, "it stepped down")

    told = doctor(all_of(nodes))

    assert told.ran.code == 3
    assert told.of("quorum", "bad")
    assert "no_quorum" in told.of("round trip", "bad")[0]["text"]
    # A lock was tried for 2 s, where others try for 15.
    assert told.ran.took_s < 12
