"""The history of a real cluster: leaders are killed, the database goes and comes, nothing is lost.

What the history must have is what the event stream of a node says, number by number.
"""

import json
import random
import secrets
import threading
import time
import urllib.request
from collections.abc import Iterator
from typing import Any

import pytest

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from tests.support.nodes import Nodes
from tests.support.postgres import FAST, execute, reachable_directory
from tests.support.real_cluster import CALL_S_MAX, acquire, call, running_nodes, until

pytestmark = pytest.mark.e2e

SEED = secrets.token_hex(4)
KILLS = 3
WORKERS = 4
WORKED_S = 1.0


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to be stopped and started."""
    with reachable_directory() as directory:
        made = EmbeddedPostgres(directory / "postgres", settings=FAST)
        migrating.upgrade(made.start())
        yield made
        made.stop()


class Workers:
    """Threads that acquire, extend, release, force and leave locks to run out, at any node."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes
        self._over = threading.Event()
        self._threads = [threading.Thread(target=self._work, args=(n,)) for n in range(WORKERS)]

    def __enter__(self) -> None:
        for thread in self._threads:
            thread.start()

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int) -> None:
        rng = random.Random(f"{SEED}-{number}")
        while not self._over.is_set():
            url = self._nodes.url(rng.choice(self._nodes.names))
            try:
                self._use_a_lock(url, f"lock-{rng.randrange(8)}", f"worker-{number}", rng)
            except OSError:
                self._over.wait(0.05)

    def _use_a_lock(self, url: str, lock: str, owner: str, rng: random.Random) -> None:
        path = f"/api/v1/locks/{lock}"
        taken = call(url, "POST", path, {"owner": owner, "timeout": rng.choice([0.05, 600])})
        if taken.status != 200:
            return
        token = taken.body["token"]
        for _ in range(rng.randrange(3)):
            extended = call(url, "PUT", f"{path}/{token}", {"timeout": 600})
            token = extended.body.get("token", token)
        if rng.random() < 0.2:
            call(url, "DELETE", f"{path}?reason=stuck&by=operator")
        else:
            call(url, "DELETE", f"{path}/{token}")


def test_every_event_is_in_the_history_once_whatever_fails(tmp_path, server):
    with running_nodes(tmp_path, GORILLA_DATABASE_URL=server.url()) as nodes:
        with Workers(nodes):
            for number in range(KILLS):
                time.sleep(WORKED_S)
                kill_the_leader(nodes)
                if number == 1:
                    server.stop()
                    time.sleep(WORKED_S)
                    kill_the_leader(nodes)
                    server.start()
            time.sleep(WORKED_S)
        acquire(nodes.url("n1"), "nightly-report", "worker-1")
        url = nodes.url(nodes.leader())
        until(lambda: is_complete(url), "everything that happened is in the history", 60)

        events = all_events(url)
        rows = all_rows(url)
        answer = call(url, "GET", "/api/v1/history?limit=1").body

    assert [event["number"] for event in events] == list(range(1, len(events) + 1)), SEED
    assert answer["completeUpTo"]["event"] == len(events)
    assert (answer["gaps"], answer["since"]) == ([], None)
    assert len(rows) > 50
    [cluster] = {row.pop("clusterId") for row in rows}
    assert cluster
    assert {row["fencingToken"]: row for row in rows} == holds_of(events), SEED
    assert len({row["fencingToken"] for row in rows}) == len(rows)
    [cursor] = execute(server.url(), "SELECT hold_count, wait_count FROM history_cursors")
    assert cursor == (len(rows), 0)


def test_who_held_it_at_0312_is_answered_by_every_node_after_its_end(tmp_path, server):
    with running_nodes(tmp_path, GORILLA_DATABASE_URL=server.url()) as nodes:
        url = nodes.url("n1")
        lock = acquire(url, "nightly-report", "worker-1")
        until(lambda: is_complete(url), "the grant is in the history")
        call(url, "DELETE", f"/api/v1/locks/nightly-report/{lock['token']}")
        until(lambda: is_complete(url), "the end is in the history")
        [row] = all_rows(url)
        middle_ms = (row["grantedAtMs"] + row["endedAtMs"]) // 2
        at = f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(middle_ms // 1_000))}"
        path = f"/api/v1/history?resource=nightly-report&at={at}.{middle_ms % 1_000:03d}Z"
        answers = [call(nodes.url(name), "GET", path).body["entries"] for name in nodes.names]

        server.stop()
        down = call(url, "GET", path)
        acquire(url, "nightly-report", "worker-2")

    assert [[entry["owner"] for entry in entries] for entries in answers] == [["worker-1"]] * 3
    assert lock["token"] not in json.dumps(answers)
    assert (down.status, down.body["code"]) == (503, "archive_unavailable")
    assert int(down.headers["Retry-After"]) >= 1


def test_a_planned_stop_leaves_nothing_unwritten(tmp_path, server):
    with running_nodes(tmp_path, count=1, GORILLA_DATABASE_URL=server.url()) as nodes:
        url = nodes.url("n1")
        for number in range(20):
            acquire(url, f"lock-{number}")
        codes = nodes.stop()
        log = nodes.log("n1")

    assert codes == [0]
    assert "history" not in log
    assert execute(server.url(), "SELECT count(*) FROM history_holds") == [(20,)]


def test_a_restored_cluster_shows_what_the_lost_one_did_and_what_nobody_knows(tmp_path, server):
    with running_nodes(tmp_path, count=1, GORILLA_DATABASE_URL=server.url()) as nodes:
        url = nodes.url("n1")
        kept = acquire(url, "kept", "anna")
        assert call(url, "POST", "/api/v1/snapshots").status == 201
        acquire(url, "lost", "bert")
        until(lambda: is_complete(url), "all is in the history")
        nodes.kill("n1")
        nodes.forget()
        restored = nodes.gorillad("restore", "--node", "n1", "--yes", "--hold", "0")
        nodes.start()
        until(lambda: nodes.is_ready("n1"), "the new cluster is ready")
        call(url, "DELETE", f"/api/v1/locks/kept/{kept['token']}")
        acquire(url, "lost", "carl")
        until(lambda: len(all_rows(url)) == 3 and is_complete(url), "the history goes on")

        rows = {(row["resource"], row["owner"]): row for row in all_rows(url)}
        answer = call(url, "GET", "/api/v1/history").body

    assert (restored.returncode, restored.stderr) == (0, "")
    assert rows["kept", "anna"]["fencingToken"] == kept["id"]
    assert rows["kept", "anna"]["endedBy"] == "released"
    assert rows["lost", "bert"]["endedBy"] == "unknown"
    assert rows["lost", "carl"]["endedBy"] is None
    assert len({row["clusterId"] for row in rows.values()}) == 2
    assert (len(answer["gaps"]), answer["since"]) == (1, None)


def kill_the_leader(nodes: Nodes) -> None:
    leader = None
    deadline_s = time.monotonic() + 20
    while leader is None and time.monotonic() < deadline_s:
        leader = nodes.leader()
    assert leader is not None, "no leader"
    nodes.kill(leader)
    until(nodes.leader, "another leader")
    nodes.start(leader)
    until(lambda: nodes.is_ready(leader), f"{leader} is back")


def is_complete(url: str) -> bool:
    """Whether all that this node has applied is in the history."""
    reply = call(url, "GET", "/api/v1/history?limit=1")
    complete = reply.body.get("completeUpTo")
    return reply.status == 200 and complete is not None and complete["behind"] == 0


def all_rows(url: str) -> list[dict[str, Any]]:
    """Every hold, page by page."""
    rows: list[dict[str, Any]] = []
    cursor = ""
    while True:
        page = call(url, "GET", f"/api/v1/history?limit=100{cursor}").body
        rows += page["entries"]
        if page["cursor"] is None:
            return rows
        cursor = f"&cursor={page['cursor']}"


def all_events(url: str) -> list[dict[str, Any]]:
    """Every event that the node keeps: from the first one to the last that is in the history."""
    last = call(url, "GET", "/api/v1/history?limit=1").body["completeUpTo"]["event"]
    events: list[dict[str, Any]] = []
    stream = f"{url}/api/v1/events?lastEventId=0"
    with urllib.request.urlopen(stream, timeout=CALL_S_MAX) as answer:
        for line in answer:
            if line.startswith(b"data:"):
                event = json.loads(line[5:])
                assert event["type"] != "gap", event
                if event["type"] != "position":
                    events.append(event)
                    if event["number"] == last:
                        break
    return events


def holds_of(events: list[dict[str, Any]]) -> dict[int, dict[str, Any]]:
    """Return the entries that the events make, by their fencing tokens."""
    holds: dict[int, dict[str, Any]] = {}
    for event in events:
        match event["type"]:
            case "acquired":
                holds[event["fencingToken"]] = {
                    "kind": "hold",
                    "resource": event["resource"],
                    "owner": event["owner"],
                    "fencingToken": event["fencingToken"],
                    "grantedAt": event["at"],
                    "grantedAtMs": event["atMs"],
                    "mode": event["mode"],
                    "extensions": 0,
                    "expireAt": event["expireAt"],
                    "endedAt": None,
                    "endedAtMs": None,
                    "endedBy": None,
                }
            case "extended":
                hold = holds[event["fencingToken"]]
                hold["extensions"] += 1
                hold["expireAt"] = event["expireAt"]
            case "released" | "expired" | "forced":
                holds[event["fencingToken"]] |= _end(event)
    return holds


def _end(event: dict[str, Any]) -> dict[str, Any]:
    end = {
        "endedAt": event["at"],
        "endedAtMs": event["atMs"],
        "endedBy": event["type"],
        "held": event["held"],
    }
    if event["type"] == "forced":
        end |= {"endReason": event["reason"], "forcedBy": event["by"]}
    return end
