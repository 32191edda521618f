"""``gorilla run`` hears at once that its lock was forced away; and needs nobody to tell it."""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request

import pytest

from tests.support.cli import clean
from tests.support.real_cluster import call, running_nodes, until
from tests.support.tunnel import State, Tunnels

pytestmark = pytest.mark.e2e

SOON_S = 8.0
"""Far below the 20 s until the next extension of a lease of 60 s."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture
def nodes(cluster):
    until(lambda: watchers(cluster) == 0, "nothing is followed any more")
    return cluster


@pytest.fixture
def run(tmp_path):
    started = []

    def start(*words, urls):
        made = subprocess.Popen(
            [sys.executable, "-m", "gorilla.cli", *words],
            cwd=tmp_path,
            env=clean({"GORILLA_ENDPOINTS": ",".join(urls)}),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        started.append(made)
        return made

    yield start
    for one in started:
        with one:
            one.kill()


def urls_of(nodes):
    return [nodes.url(name) for name in nodes.names]


def watchers(nodes):
    """How many streams the nodes serve."""
    return sum(map(streams_of, urls_of(nodes)))


def streams_of(url):
    with urllib.request.urlopen(f"{url}/metrics", timeout=5) as answer:
        found = re.search(r"(?m)^gorilla_event_streams (\S+)$", answer.read().decode())
    assert found is not None
    return float(found[1])


def is_held(nodes, resource):
    return call(nodes.url("n1"), "GET", f"/api/v1/locks/{resource}").body["held"]


def force(nodes, resource):
    reply = call(
        nodes.url(nodes.names[-1]), "DELETE", f"/api/v1/locks/{resource}?reason=at%20night."
    )
    assert reply.status == 200, reply


def until_followed(nodes, resource):
    until(lambda: is_held(nodes, resource), f"{resource} is held")
    until(lambda: watchers(nodes) == 1, "it is followed")


@pytest.mark.parametrize(
    ("words", "resource"),
    [
        (("run", "plain"), "plain"),
        (("run", "in-session", "--session"), "in-session"),
        (("run", "shared", "--shared"), "shared"),
        (("elect", "office", "--once", "--timeout", "60"), "elections%2Foffice"),
    ],
)
def test_a_forced_release_ends_the_command_at_once(nodes, run, words, resource):
    one = run(*words, "--", "sleep", "60", urls=urls_of(nodes))
    until_followed(nodes, resource)

    began_s = time.monotonic()
    force(nodes, resource)
    _, err = one.communicate(timeout=30)

    assert time.monotonic() - began_s < SOON_S
    assert one.returncode == 79
    assert "the lock is lost; its command is told to end" in err
    assert re.search(r"'\S+' was forced away: at night\.$", err, re.MULTILINE)
    assert "its command was ended" in err


def test_a_session_that_was_ended_ends_the_command_at_once(nodes, run, tmp_path):
    script = "echo $GORILLA_SESSION > id.new; mv id.new id; exec sleep 60"
    one = run("run", "ended", "--session", "--", "sh", "-c", script, urls=urls_of(nodes))
    until_followed(nodes, "ended")
    until((tmp_path / "id").exists, "the command knows its session")

    began_s = time.monotonic()
    reply = call(nodes.url("n1"), "DELETE", f"/api/v1/sessions/{(tmp_path / 'id').read_text()}")
    _, err = one.communicate(timeout=30)

    assert reply.status == 204, reply
    assert time.monotonic() - began_s < SOON_S
    assert one.returncode == 79, err


def test_what_happens_to_others_is_no_news(nodes, run, tmp_path):
    """Neither a longer name, nor another holder, nor an earlier grant."""
    words = ("run", "mine", "--limit", "2", "--", "sh", "-c")
    script = "while ! [ -e go ]; do sleep 0.05; done; exit 5"
    one = run(*words, script, urls=urls_of(nodes))
    until_followed(nodes, "mine")
    url = nodes.url("n1")
    for resource, more in (("mine-too", {}), ("mine", {"limit": 2})):
        body = {"owner": "anna", "timeout": 60, **more}
        taken = call(url, "POST", f"/api/v1/locks/{resource}", body)
        token = taken.body["token"]
        assert call(url, "DELETE", f"/api/v1/locks/{resource}/{token}").status == 204

    (tmp_path / "go").touch()
    _, err = one.communicate(timeout=30)

    assert (one.returncode, err) == (5, "")


def test_a_stream_that_breaks_ends_nothing_and_goes_on_where_it_was(nodes, run):
    tunnels = Tunnels(list(nodes.http.values()))
    one = run("run", "broken", "--", "sleep", "60", urls=tunnels.urls)
    until_followed(nodes, "broken")

    tunnels.set(State.SHUT)
    until(lambda: watchers(nodes) == 0, "the stream is broken")
    assert one.poll() is None
    force(nodes, "broken")
    tunnels.set(State.OPEN)
    _, err = one.communicate(timeout=30)
    tunnels.close()

    assert one.returncode == 79, err
    assert "at night" in err


def test_where_nobody_may_watch_it_is_as_it_was_without(tmp_path, run):
    (tmp_path / "nodes").mkdir()
    with running_nodes(tmp_path / "nodes", count=1, GORILLA_HTTP_MAX_WATCHERS="0") as nodes:
        one = run(
            "run", "unwatched", "--timeout", "9", "--", "sh", "-c", "echo on; exec sleep 60",
            urls=urls_of(nodes),
        )  # fmt: skip
        until(lambda: is_held(nodes, "unwatched"), "it is held")
        force(nodes, "unwatched")
        _, err = one.communicate(timeout=30)

    assert one.returncode == 79
    assert "the lock is lost; its command is told to end" in err
    assert "forced away; its command was ended" in err


def test_a_short_lease_is_not_followed_and_a_command_that_ended_no_longer(nodes, run):
    short = run("run", "short", "--timeout", "5", "--", "sleep", "60", urls=urls_of(nodes))
    until(lambda: is_held(nodes, "short"), "it is held")
    long = run("run", "long", "--", "sleep", "60", urls=urls_of(nodes))
    until_followed(nodes, "long")

    os.kill(long.pid, signal.SIGTERM)
    long.communicate(timeout=30)
    until(lambda: watchers(nodes) == 0, "nothing is followed")
    assert short.poll() is None
    assert is_held(nodes, "short")
