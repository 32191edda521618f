"""PostgreSQL stops and comes back while the cluster runs: locks go on, snapshots catch up."""

import re
import urllib.request

import pytest

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from tests.support.postgres import FAST, reachable_directory
from tests.support.real_cluster import CALL_S_MAX, acquire, call, running_nodes, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def server():
    """A server of this test's own, to be stopped and started."""
    with reachable_directory() as directory:
        made = EmbeddedPostgres(directory / "postgres", settings=FAST)
        migrating.upgrade(made.start())
        yield made
        made.stop()


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=CALL_S_MAX) as answer:
        text = answer.read().decode()
    found = re.search(rf"(?m)^{name}(?:{{[^}}]*}})? (\S+)$", text)
    assert found, f"no {name} in the metrics"
    return float(found[1])


def test_locks_go_on_without_the_database_and_snapshots_catch_up(tmp_path, server):
    settings = {"GORILLA_DATABASE_URL": server.url(), "GORILLA_SNAPSHOTS_INTERVAL_S": "1"}
    with running_nodes(tmp_path, **settings) as nodes:
        leader = nodes.url(nodes.leader())
        acquire(nodes.url("n1"), "before")
        until(lambda: locks_in_newest(leader) == 1, "a first snapshot")

        server.stop()
        during = acquire(nodes.url("n2"), "during")
        refused = call(leader, "POST", "/api/v1/snapshots")
        listed = call(leader, "GET", "/api/v1/snapshots")
        until(lambda: metric(leader, "gorilla_snapshot_failing") == 1, "the alarm is up")
        ready = [nodes.is_ready(name) for name in nodes.names]
        seen = call(nodes.url("n3"), "GET", f"/api/v1/locks/during/{during['token']}")

        server.start()
        until(lambda: locks_in_newest(leader) == 2, "a snapshot with the new lock", 90)
        until(lambda: metric(leader, "gorilla_snapshot_failing") == 0, "the alarm is down")

        assert ready == [True] * 3
        assert seen.status == 200
        for reply in (refused, listed):
            assert (reply.status, reply.body["code"]) == (503, "archive_unavailable")
            assert int(reply.headers["Retry-After"]) >= 1
        assert "database" in refused.body["detail"]
        log = nodes.log(nodes.leader())
        assert "snapshots fail, locks go on" in log
        assert "snapshots work again" in log


def locks_in_newest(url: str) -> int | None:
    reply = call(url, "GET", "/api/v1/snapshots?limit=1")
    if reply.status != 200 or not reply.body["snapshots"]:
        return None
    return reply.body["snapshots"][0]["lockCount"]
