"""Every data directory is lost, and the cluster comes back from PostgreSQL."""

import asyncio
import re
import time

import pytest

from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call, until, until_equal

pytestmark = pytest.mark.e2e

HOLD_S = 6
TIMEOUT_S = 600
PATH = "/api/v1/locks"


@pytest.fixture
def nodes(tmp_path, database):
    # Only what a test asks for, and the one that the first leader stores at its start.
    made = Nodes(tmp_path, GORILLA_DATABASE_URL=database, GORILLA_SNAPSHOTS_INTERVAL_S="3600")
    yield made
    made.close()


def snapshot_now(nodes: Nodes) -> int:
    taken = call(nodes.url("n2"), "POST", "/api/v1/snapshots")
    assert taken.status == 201, taken
    return taken.body["id"]


def lose_everything(nodes: Nodes) -> None:
    nodes.kill(*nodes.names)
    nodes.forget()


def restore(nodes: Nodes, *arguments: str, hold_s: int = HOLD_S) -> str:
    options = ("--node", "n1", "--hold", str(hold_s), "--yes", *arguments)
    done = nodes.gorillad("restore", *options)
    assert (done.returncode, done.stderr) == (0, ""), done
    return done.stdout


def first_ready(nodes: Nodes) -> str:
    """The url of a node, as soon as one is ready: the hold has only begun."""
    ready: list[str] = []

    def look() -> bool:
        ready.extend(name for name in nodes.names if nodes.is_ready(name))
        return bool(ready)

    until(look, "a node is ready", 60)
    return nodes.url(ready[0])


def after_the_hold(url: str, resource: str) -> dict:
    """Ask for a new lock until it is given; before that, the only answer is 503 recovering."""
    deadline_s = time.monotonic() + HOLD_S + 30
    while time.monotonic() < deadline_s:
        reply = call(url, "POST", f"{PATH}/{resource}", {"owner": "new", "timeout": 5})
        if reply.status == 200:
            return reply.body
        assert (reply.status, reply.body["code"]) == (503, "recovering"), reply
        assert int(reply.headers["Retry-After"]) >= 1
        time.sleep(0.2)
    raise AssertionError(f"the hold of {HOLD_S} s does not end")


def start_with_locks(nodes: Nodes) -> tuple[list[dict], str]:
    """Five locks, the last of them extended, and its token of before."""
    nodes.start()
    asyncio.run(nodes.until_ready())
    locks = [acquire(nodes.url("n1"), f"kept-{n}", f"owner-{n}", TIMEOUT_S) for n in range(5)]
    dead_token = locks[4]["token"]
    locks[4] = call(nodes.url("n3"), "PUT", f"{PATH}/kept-4/{dead_token}", {"timeout": 900}).body
    return locks, dead_token


def test_locks_come_back_with_their_tokens_and_numbers_go_on(nodes):
    locks, dead_token = start_with_locks(nodes)
    snapshot = snapshot_now(nodes)
    lost = [acquire(nodes.url("n1"), f"lost-{n}", timeout_s=3) for n in range(20)]
    acknowledged_s = time.monotonic()
    lose_everything(nodes)

    listed = nodes.gorillad("snapshots", "list").stdout
    verified = nodes.gorillad("snapshots", "verify", str(snapshot)).stdout
    said = restore(nodes)
    started_s = time.monotonic()
    nodes.start()
    url = first_ready(nodes)
    held_off = call(url, "POST", f"{PATH}/lost-0", {"owner": "new", "timeout": 5})
    again = call(url, "POST", f"{PATH}/kept-0", {"owner": "owner-0", "timeout": 1})
    shown = [call(url, "GET", f"{PATH}/kept-{n}/{lock['token']}") for n, lock in enumerate(locks)]
    looked_s = time.monotonic()
    after_extension = call(url, "PUT", f"{PATH}/kept-1/{locks[1]['token']}", {"timeout": 700})
    after_release = call(url, "DELETE", f"{PATH}/kept-2/{locks[2]['token']}")
    asyncio.run(nodes.until_ready())

    assert re.search(rf"(?m)^{snapshot} +20\d\d-", listed)
    assert f"snapshot {snapshot} is whole: 5 locks" in verified
    assert "5 locks" in said
    assert f"No new lock is granted for {HOLD_S} s" in " ".join(said.split())
    assert (held_off.status, held_off.body["code"]) == (503, "recovering")
    assert (again.status, again.body["token"]) == (200, locks[0]["token"])
    assert [reply.status for reply in shown] == [200] * 5
    for name in ("id", "owner", "resource", "token", "metadata"):
        assert [reply.body[name] for reply in shown] == [lock[name] for lock in locks]
    # Full timeouts anew: they were taken long before the cluster was started again.
    assert shown[3].body["timeout"] > TIMEOUT_S - (looked_s - started_s) - 1
    assert started_s - acknowledged_s > 1
    assert call(url, "GET", f"{PATH}/kept-4/{dead_token}").status == 404
    assert (after_extension.status, after_extension.body["id"]) == (200, locks[1]["id"])
    assert after_release.status == 204
    everywhere = {"kept-1": (after_extension.body["token"], 200), "lost-0": (lost[0]["token"], 404)}
    for resource, (token, status) in everywhere.items():
        path = f"{PATH}/{resource}/{token}"
        assert [call(nodes.url(n), "GET", path).status for n in nodes.names] == [status] * 3
    given = after_the_hold(nodes.url("n2"), "lost-0")
    assert given["id"] > max(lock["id"] for lock in [*locks, *lost])
    asyncio.run(until_equal(nodes))


def test_two_restores_of_one_snapshot_give_no_number_twice(nodes):
    nodes.start()
    asyncio.run(nodes.until_ready())
    acquire(nodes.url("n1"), "kept")
    snapshot = snapshot_now(nodes)
    given = [acquire(nodes.url("n1"), "after")["id"]]

    for number in range(2):
        lose_everything(nodes)
        restore(nodes, "--snapshot", str(snapshot), hold_s=1)
        nodes.start()
        asyncio.run(nodes.until_ready())
        first = after_the_hold(nodes.url("n3"), f"first-{number}")["id"]
        given += [first, acquire(nodes.url("n1"), f"second-{number}")["id"]]

    assert given == sorted(set(given))


def test_a_restore_over_data_or_on_any_but_the_first_member_is_refused_and_touches_nothing(nodes):
    journal = nodes.data("n1") / "journal-0000000000000001.log"
    journal.parent.mkdir(parents=True)
    journal.write_bytes(b"of a member")

    over_data = nodes.gorillad("restore", "--node", "n1", "--yes")
    elsewhere = nodes.gorillad("restore", "--node", "n2", "--yes")

    assert (over_data.returncode, elsewhere.returncode) == (1, 2)
    assert "holds the data of a node" in over_data.stderr
    assert "move every node's directory away" in over_data.stderr
    assert "restore on n1, the first member listed" in elsewhere.stderr
    assert [path.name for path in journal.parent.iterdir()] == [journal.name]
    assert journal.read_bytes() == b"of a member"
    assert not nodes.data("n2").exists()
