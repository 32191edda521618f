"""Every data directory is lost; ``gorillad restore`` makes a new cluster out of PostgreSQL."""

import json
import shutil
import time
import urllib.error
import urllib.request

import pytest

from tests.support.local_cluster import NAMES, running_cluster
from tests.support.postgres import reachable_directory

pytestmark = pytest.mark.e2e
DEADLINE_S = 30


def call(address, method, path, body=None):
    """Return status and body."""
    request = urllib.request.Request(
        f"http://{address}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=10) as answer:
            return answer.status, json.loads(answer.read() or b"null")
    except urllib.error.HTTPError as answer:
        with answer:
            return answer.code, json.loads(answer.read())


def acquire_when_allowed(address, name):
    deadline_s = time.monotonic() + DEADLINE_S
    while True:
        status, lock = call(address, "POST", f"/api/v1/locks/{name}", {"owner": "x", "timeout": 9})
        if status == 200:
            return lock
        assert (status, lock["code"]) == (503, "recovering")
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


def test_after_total_loss_the_locks_are_back_and_numbers_go_on_above_all_that_were_given():
    with reachable_directory() as directory, running_cluster(directory) as cluster:
        at = cluster.http
        _, kept = call(at[0], "POST", "/api/v1/locks/kept", {"owner": "me", "timeout": 600})
        assert cluster.gorillad("snapshots", "take").returncode == 0
        _, lost = call(at[1], "POST", "/api/v1/locks/lost", {"owner": "me", "timeout": 600})
        cluster.stop()

        over_data = cluster.gorillad("restore", "--node", "n1", "--yes")
        for name in NAMES:
            shutil.rmtree(directory / "data" / name)
        unasked = cluster.gorillad("restore", "--node", "n1", "--hold", "2")
        restored = cluster.gorillad("restore", "--node", "n1", "--hold", "2", "--yes")
        cluster.start()

        assert (over_data.returncode, unasked.returncode) == (1, 2)
        assert "holds the data of a node" in over_data.stderr
        assert "add --yes" in unasked.stderr
        assert (restored.returncode, restored.stderr) == (0, "")
        assert "1 locks as of" in restored.stdout
        assert "n1 is prepared. The others (n2, n3) must have empty directories." in restored.stdout
        for address in at:
            status, seen = call(address, "GET", f"/api/v1/locks/kept/{kept['token']}")
            assert (status, seen["id"], seen["owner"]) == (200, kept["id"], "me")
        status, _ = call(at[2], "GET", f"/api/v1/locks/lost/{lost['token']}")
        assert status == 404
        assert acquire_when_allowed(at[2], "new")["id"] > lost["id"]
