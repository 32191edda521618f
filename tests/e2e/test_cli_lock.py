"""``gorilla lock`` and ``history`` on three real nodes that are killed, with a real database."""

import asyncio
import json
import re
import signal

import pytest

from gorilla.cli.failures import Exit
from gorilla.storage import migrating
from tests.support.cli import Terminal, started
from tests.support.cli_shell import Shell
from tests.support.nodes import Nodes
from tests.support.real_cluster import running_nodes, until

pytestmark = pytest.mark.e2e


@pytest.fixture
def nodes(tmp_path, empty_database):
    migrating.upgrade(empty_database)
    with running_nodes(tmp_path, GORILLA_DATABASE_URL=empty_database) as made:
        yield made


@pytest.fixture
def shell(nodes: Nodes) -> Shell:
    made = Shell(*[nodes.url(name) for name in nodes.names])
    made.environment["GORILLA_DEADLINE"] = "15"
    return made


def leader(nodes: Nodes) -> str:
    until(lambda: nodes.leader() is not None, "a leader")
    name = nodes.leader()
    assert name is not None
    return name


def test_a_watch_misses_nothing_when_the_node_that_it_listens_to_is_killed(nodes, shell):
    watcher = started(
        "lock", "watch", "--since", "0", "--count", "20", "--type", "acquired", "-o", "json",
        **shell.environment,
    )  # fmt: skip
    assert watcher.stdout is not None
    lines = []
    for number in range(20):
        shell.token(f"lock-{number}")
        if number in {5, 12}:
            lines += [watcher.stdout.readline()]
            killed = leader(nodes)
            nodes.kill(killed)
            nodes.start(killed)

    events = [json.loads(line) for line in [*lines, *watcher.stdout]]

    _, err = watcher.communicate(timeout=60)
    assert watcher.returncode == 0, err
    assert [event["resource"] for event in events] == [f"lock-{number}" for number in range(20)]


def test_without_a_majority_nothing_is_done_and_the_exit_code_says_so(nodes, shell):
    token = shell.token("a", "--owner", "me")
    first, *others = nodes.names
    nodes.kill(*others)

    refused = shell("lock", "acquire", "b", "--timeout", "5", "--deadline", "3")
    unsure = shell("lock", "list", "--deadline", "3")
    stale = shell("lock", "list", "--stale", "--deadline", "3")
    nodes.start(*others)
    asyncio.run(nodes.until_ready())

    assert refused.code in {Exit.UNAVAILABLE, Exit.UNKNOWN}
    assert unsure.code == Exit.UNAVAILABLE
    assert unsure.err.endswith("Nothing was done.\n")
    assert (stale.code, "a " in stale.out) == (0, True)
    assert shell("lock", "status", "a", token).code == 0, first


def test_a_hold_that_ran_out_is_not_found_and_is_in_the_history(shell):
    token = shell.token("nightly", "--owner", "cron", timeout="1")
    until(lambda: not shell.json("lock", "show", "nightly")["held"], "its end")
    until(lambda: "expired" in shell("history", "nightly").out, "the history")

    gone = shell("lock", "extend", "nightly", token, "--timeout", "5")
    entry = shell.json("history", "nightly")[0]
    during = shell.json("history", "nightly", "--at", entry["grantedAt"] + ".999")

    assert gone.code == Exit.NOT_FOUND
    assert entry["endedBy"] == "expired"
    assert [one["owner"] for one in during] == ["cron"]
    assert shell.json("history", "--since", "10m", "--ended", "expired")
    assert shell("history", "--at", "30d").out == ""


def test_a_live_page_goes_on_while_nodes_are_killed(nodes, shell):
    shell.token("orders/1", "--owner", "me")
    waiter = shell.waiting("orders/1", "--owner", "other")
    terminal = Terminal("lock", "top", "--interval", "0.2", rows=40, **shell.environment)
    terminal.wait_for(r"1 waiting")

    killed = leader(nodes)
    nodes.kill(killed)
    terminal.wait_for(rf"leader (?!{killed})n\d .*2 of 3 members", within_s=40)
    terminal.type("\x03")

    assert terminal.end() == Exit.INTERRUPTED
    waiter.send_signal(signal.SIGINT)
    waiter.communicate(timeout=30)


def ended_holds(shell, resource):
    """How many holds the history knows the end of; of one that goes on it says so."""
    return sum(one["endedAt"] is not None for one in shell.json("history", resource))


def test_a_page_says_how_long_locks_were_held_and_waited_for(shell):
    token = shell.token("orders/1", "--owner", "first")
    waiter = shell.waiting("orders/1", "--owner", "second")
    shell.done("lock", "release", "orders/1", token)
    got, _ = waiter.communicate(timeout=30)
    shell.done("lock", "release", "orders/1", got.strip())
    until(lambda: ended_holds(shell, "orders/1") == 2, "the history")

    page = shell.done("lock", "top", "--once")

    assert "3 of 3 members" in page
    assert re.search(r"How long, of late\nRESOURCE .*\norders/1 +2 +\S+ +\S+ +1 +\S+", page)
