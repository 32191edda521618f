"""What ``make run`` starts, from the outside: it stops whole, and finds its locks again."""

import json
import signal
import socket
import time
import urllib.request

import pytest

from tests.support.local_cluster import LocalCluster
from tests.support.postgres import reachable_directory

pytestmark = pytest.mark.e2e


@pytest.fixture
def cluster():
    with reachable_directory() as directory:
        made = LocalCluster(directory)
        yield made
        if made.is_running:
            made.stop()


def call(address, method, path, body=None):
    request = urllib.request.Request(
        f"http://{address}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def is_listening(address):
    host, port = address.split(":")
    with socket.socket() as probe:
        return probe.connect_ex((host, int(port))) == 0


def test_a_second_start_finds_the_locks_of_the_first(cluster):
    cluster.start()
    lock = call(cluster.http[0], "POST", "/api/v1/locks/a", {"owner": "me", "timeout": 600})

    first = cluster.stop(signal.SIGINT)
    cluster.start()
    seen = call(cluster.http[1], "GET", f"/api/v1/locks/a/{lock['token']}")
    second = cluster.stop(signal.SIGTERM)

    assert (first, second) == (0, 0), cluster.told()
    assert (seen["id"], seen["owner"]) == (lock["id"], "me")
    assert cluster.lines[-1].endswith("| stopped")
    assert not any(is_listening(address) for address in cluster.http)


def test_nodes_do_not_outlive_a_supervisor_that_was_killed(cluster):
    cluster.start()

    cluster.kill()

    deadline_s = time.monotonic() + 30
    while any(is_listening(address) for address in cluster.http):
        assert time.monotonic() < deadline_s, "a node goes on without its supervisor"
        time.sleep(0.05)
    cluster.start()
    assert cluster.stop() == 0


def test_snapshots_are_taken_listed_and_verified_by_command(cluster):
    cluster.start()
    call(cluster.http[0], "POST", "/api/v1/locks/a", {"owner": "me", "timeout": 600})

    taken = cluster.gorillad("snapshots", "take")
    listed = cluster.gorillad("snapshots", "list")
    verified = cluster.gorillad("snapshots", "verify", "latest")

    assert (taken.returncode, taken.stderr) == (0, "")
    assert "1 locks" in taken.stdout
    assert listed.stdout.startswith("ID")
    assert "is whole: 1 locks" in verified.stdout
