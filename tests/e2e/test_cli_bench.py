"""``gorilla bench`` on a real node: it measures, ends in order, and leaves nothing behind."""

import asyncio
import json
import re
import signal
import time
import urllib.request

import pytest

from gorilla.cli import bench_running
from tests.support.cli import DEAD, at_terminal, gorilla, started
from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call, until

pytestmark = pytest.mark.e2e

WORKLOADS = ("acquire-release", "contended", "extend", "sessions")


@pytest.fixture(scope="module")
def node(tmp_path_factory):
    nodes = Nodes(tmp_path_factory.mktemp("bench"), 1)
    try:
        nodes.start()
        asyncio.run(nodes.until_ready())
        yield nodes
    finally:
        nodes.close()


@pytest.fixture
def url(node):
    yield node.url("n1")
    until(lambda: in_use(node.url("n1")) == (0, 0, 0), "nothing is left", 15)


def in_use(url):
    view = call(url, "GET", "/api/v1/cluster").body
    return view["held"], view["waiting"], view["sessions"]


def test_every_workload_is_measured_and_leaves_nothing(url):
    wanted = [part for name in WORKLOADS for part in ("--workload", name)]
    ran = gorilla(
        "bench", "--connections", "4", "--seconds", "0.5", *wanted, "-o", "json",
        GORILLA_ENDPOINTS=url,
    )  # fmt: skip

    assert ran.code == 0, ran.err
    runs = json.loads(ran.out)
    assert [(one["workload"], one["connections"]) for one in runs] == [
        (name, 4) for name in WORKLOADS
    ]
    for one in runs:
        assert one["operations"] > 5
        assert one["errors"] == {}
        assert one["complete"]
        assert one["seconds"] == pytest.approx(0.5, abs=0.2)
        assert 0 < one["p50Ms"] <= one["p90Ms"] <= one["p99Ms"] <= one["p999Ms"] <= one["maxMs"]
    assert in_use(url) == (0, 0, 0)
    assert keys_kept(url) == 0


def keys_kept(url):
    """Idempotency keys that the cluster remembers; clients have only so much room for them."""
    time.sleep(1.1)  # the metric is taken once a second
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        found = re.search(r"(?m)^gorilla_idempotency_keys (\S+)$", answer.read().decode())
    assert found
    return float(found[1])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_load_that_is_ended_early_tells_what_it_has_and_lets_go(url, number):
    bench = started(
        "bench", "--connections", "4", "--seconds", "60", "--workload", "extend", "-o", "json",
        GORILLA_ENDPOINTS=url,
    )  # fmt: skip
    until(lambda: in_use(url)[0] == 4, "the load holds locks")
    time.sleep(1)

    bench.send_signal(number)
    out, err = bench.communicate(timeout=15)

    (figures,) = json.loads(out)
    assert not figures["complete"]
    assert figures["operations"] > 0
    assert bench.returncode == 128 + number
    assert "not complete" in err
    assert in_use(url) == (0, 0, 0)


def test_without_aiohttp_threads_make_the_load(url, monkeypatch):
    monkeypatch.setattr(bench_running, "is_asynchronous", lambda: False)

    ran = gorilla(
        "bench", "--connections", "3", "--seconds", "0.5", "--workload", "contended", "-o", "json",
        GORILLA_ENDPOINTS=url,
    )  # fmt: skip

    (figures,) = json.loads(ran.out)
    assert figures["operations"] > 5
    assert figures["errors"] == {}
    assert "threads make the load" in ran.err


def test_a_cluster_in_use_is_loaded_only_after_a_yes(url):
    lock = acquire(url, "mine")
    refused = gorilla("bench", "--seconds", "0.5", GORILLA_ENDPOINTS=url)
    allowed = gorilla(
        "bench", "--seconds", "0.5", "--connections", "1", "--yes", GORILLA_ENDPOINTS=url
    )
    call(url, "DELETE", f"/api/v1/locks/mine/{lock['token']}")

    assert (refused.code, refused.out) == (2, "")
    assert "it is in use (1 lock held, 0 waited for)" in refused.err
    assert allowed.code == 0


@pytest.mark.parametrize("columns", [80, 120])
def test_the_table_fits_the_terminal(url, columns):
    text = at_terminal(
        "bench", "--seconds", "0.5", "--connections", "2", columns=columns, GORILLA_ENDPOINTS=url
    )

    lines = text[text.rindex("WORKLOAD") :].splitlines()
    assert len(lines) == 2
    assert max(map(len, lines)) <= columns
    assert "acquire-release, 2 clients:" in text


def test_no_cluster_at_all_is_told():
    ran = gorilla("bench", "--deadline", "1", GORILLA_ENDPOINTS=DEAD)

    assert (ran.code, ran.out) == (69, "")


def test_a_cluster_that_dies_under_load_is_failures_and_an_end(node):
    before = node.ask("n1", "/api/v1/cluster")["fencingCounter"]
    bench = started(
        "bench",
        "--connections",
        "2",
        "--seconds",
        "2",
        "-o",
        "json",
        GORILLA_ENDPOINTS=node.url("n1"),
    )
    until(lambda: node.ask("n1", "/api/v1/cluster")["fencingCounter"] > before, "a load")
    time.sleep(1.2)
    node.kill("n1")
    out, err = bench.communicate(timeout=25)

    (figures,) = json.loads(out)
    assert bench.returncode == 0
    assert sum(figures["errors"].values()) >= 2
    assert "Traceback" not in err
