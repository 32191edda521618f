"""``gorilla cluster`` on real nodes: looked at, changed, and not changed by what only asks."""

import asyncio
import json
import shutil
import signal

import pytest

from gorilla.cli.cluster_outlook import SILENT_S_MAX
from tests.support.cli import Terminal, at_terminal, gorilla
from tests.support.growing import EXIT_REMOVED, GrowingNodes
from tests.support.real_cluster import call, until

pytestmark = pytest.mark.e2e

SOON_S = 4.5
"""Three seconds, and what a busy machine takes besides."""


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """Three members and two nodes that may be added; every test leaves it as it was."""
    nodes = GrowingNodes(tmp_path_factory.mktemp("cluster"), 5, forming=3)
    try:
        nodes.start(*nodes.forming)
        asyncio.run(nodes.until_ready(*nodes.forming))
        yield nodes
    finally:
        nodes.close()


@pytest.fixture
def nodes(cluster):
    yield cluster
    cluster.start(*cluster.forming)
    asyncio.run(cluster.until_ready(*cluster.forming))
    asyncio.run(cluster.until_members(*cluster.forming))


def endpoints(nodes, *names):
    return {"GORILLA_ENDPOINTS": ",".join(nodes.url(name) for name in names or nodes.forming)}


def run(nodes, *arguments, at=(), **more):
    return gorilla(*arguments, **endpoints(nodes, *at), **more)


def status(nodes, *names):
    ran = run(nodes, "cluster", "status", "-o", "json", at=names)
    assert ran.code == 0, ran
    return json.loads(ran.out)


def leader_of(nodes):
    until(lambda: nodes.leader() is not None, "a leader")
    return nodes.leader()


def a_follower(nodes):
    leader = leader_of(nodes)
    return next(name for name in nodes.forming if name != leader)


def heard_s(nodes, name):
    """For how long a node has heard nobody."""
    members = nodes.ask(name, "/api/v1/cluster")["members"]
    return min(one["heard"] for one in members if one["name"] != name)


def place(nodes, name):
    body = nodes.body(name)
    return ("--peer", body["peer"], "--http", body["http"])


# -- looking


@pytest.mark.parametrize("columns", [80, 120])
def test_the_status_fits_the_terminal_and_says_who_leads(nodes, columns):
    text = at_terminal("cluster", "status", columns=columns, **endpoints(nodes))

    assert f"Leader     {leader_of(nodes)}, in term" in text
    assert "3 of 3 up, 2 needed: 1 more may fail" in text
    assert max(map(len, text.splitlines())) <= columns


def test_the_view_is_the_leaders_whoever_is_asked(nodes):
    for name in nodes.forming:
        told = status(nodes, name)

        assert told["cluster"]["role"] == "leader"
        assert all(member["lag"] is not None for member in told["cluster"]["members"])
        assert told["healthy"]
        assert (told["quorum"], told["tolerates"], told["mayFail"]) == (2, 1, 1)


def test_the_members_are_told_with_where_they_are(nodes):
    ran = run(nodes, "cluster", "members")
    text = at_terminal("cluster", "members", columns=80, **endpoints(nodes))

    for name in nodes.forming:
        body = nodes.body(name)
        assert body["peer"] in ran.out
        assert body["http"] in text
    assert max(map(len, text.splitlines())) <= 80


def test_a_watched_status_follows_what_happens_and_leaves_the_last_page(nodes):
    terminal = Terminal("cluster", "status", "--watch", "--interval", "0.2", **endpoints(nodes))
    terminal.wait_for(f"Leader     {leader_of(nodes)}")
    target = a_follower(nodes)
    assert run(nodes, "cluster", "transfer", target, "--yes").code == 0
    terminal.wait_for(f"Leader     {target}")

    terminal.type("\x03")

    assert terminal.end() == 130
    assert terminal.raw.rindex("\x1b[?1049l") < terminal.raw.rindex("MEMBER")


# -- what is not done


def test_a_dry_run_and_a_no_change_nothing(nodes):
    nodes.start("n4")
    until(lambda: "waiting to be added" in nodes.log("n4"), "n4 waits to be added")
    add = ("cluster", "add", "n4", *place(nodes, "n4"))

    dry = run(nodes, *add, "--dry-run")
    document = json.loads(run(nodes, *add, "--dry-run", "-o", "json").out)
    unasked = run(nodes, *add)
    terminal = Terminal(*add, **endpoints(nodes))
    terminal.wait_for(r"\[y/N\]")
    terminal.type("n\n")

    assert terminal.end() == 1
    assert "Nothing was done" in terminal.text
    assert dry.code == 0
    assert "after it  n1, n2, n3, n4  4 of 4       3         1" in dry.out
    assert "4 members tolerate the loss of 1, no more than 3 do" in dry.out
    assert document["steps"][-1] == "make n4 a member"
    assert [stage["mayFail"] for stage in document["stages"]] == [1, 1]
    assert (unasked.code, unasked.out) == (2, "")
    assert "--yes" in unasked.err
    assert [member["name"] for member in status(nodes)["cluster"]["members"]] == nodes.forming
    nodes.kill("n4")
    shutil.rmtree(nodes.data("n4"))


def test_what_would_break_the_quorum_is_refused_and_shown(nodes):
    down = a_follower(nodes)
    up = next(name for name in nodes.forming if name not in (down, leader_of(nodes)))
    nodes.kill(down)
    until(lambda: not status(nodes)["healthy"], "the loss is seen")

    ran = run(nodes, "cluster", "remove", up, "--yes")

    assert ran.code == 3
    assert "no quorum" in ran.err
    assert "start those that are down first" in ran.err
    assert f"{down} can't be reached: was that one meant?" in ran.err
    assert len(status(nodes)["cluster"]["members"]) == 3
    assert status(nodes)["alarms"] == [f"{down} can't be reached."]


def test_nothing_is_changed_without_a_leader_and_that_is_told_soon(nodes):
    alone = leader_of(nodes)
    others = [name for name in nodes.forming if name != alone]
    nodes.kill(*others)
    until(lambda: nodes.ask(alone, "/api/v1/cluster")["leader"] is None, "it stepped down")

    ran = run(nodes, "cluster", "transfer", "--yes")
    shown = run(nodes, "cluster", "status")

    assert ran.code == 69
    assert ran.took_s < 5
    assert "knows no leader" in ran.err
    assert "There is no quorum: 1 up, 2 needed. Nothing is answered." in shown.out
    assert shown.code == 69
    assert shown.took_s < SOON_S


def test_without_a_quorum_all_that_is_known_is_told_soon(nodes):
    """Whoever stands still takes requests and answers none: that must keep nobody waiting."""
    alone = leader_of(nodes)
    still = [name for name in nodes.forming if name != alone]
    for name in still:
        nodes.signal(name, signal.SIGSTOP)
    try:
        until(lambda: nodes.ask(alone, "/api/v1/cluster")["leader"] is None, "it stepped down")
        at_first = run(nodes, "cluster", "status")
        until(lambda: heard_s(nodes, alone) > SILENT_S_MAX, "it has heard nobody for a while")
        shown = run(nodes, "cluster", "status")
        told = run(nodes, "cluster", "status", "-o", "json")
        members = run(nodes, "cluster", "members")
        one_known = run(nodes, "cluster", "status", at=(alone,))
        terminal = at_terminal("cluster", "status", **endpoints(nodes))
    finally:
        for name in still:
            nodes.signal(name, signal.SIGCONT)

    for ran in (at_first, shown, told, members, one_known):
        assert ran.code == 69
        assert ran.took_s < SOON_S
    assert "1 of 3 up, 2 needed: no quorum" in shown.out
    for ran in (at_first, shown):
        assert f"start {' or '.join(still)}, or mend the way" in " ".join(ran.out.split())
    asked = {one["url"]: one for one in json.loads(told.out)["asked"]}
    assert asked[nodes.url(alone)]["node"] == alone
    assert all("no answer" in asked[nodes.url(name)]["failure"] for name in still)
    assert all(nodes.url(name) in one_known.out for name in nodes.forming)
    assert members.out.count("127.0.0.1") == 6
    assert "nobody leads" in members.err
    assert "Asking: 1 of 3 answered…" in terminal


def test_where_no_node_answers_that_is_told_soon_with_what_was_asked(nodes):
    ran = run(nodes, "cluster", "status", at=("n4", "n5"))

    assert ran.code == 69
    assert ran.took_s < SOON_S
    assert ran.out.count("no answer: connection refused") == 2
    assert ran.err.startswith("gorilla: No node answers")


def test_what_is_not_so_is_told_in_a_sentence(nodes):
    unknown = run(nodes, "cluster", "remove", "n9", "--yes")
    absent = run(nodes, "cluster", "add", "n4", *place(nodes, "n4"), "--yes")
    nobody = run(nodes, "cluster", "replace", "n9", "--yes")
    nothing = run(nodes, "cluster", "move", "n1", "--yes")
    garbled = run(nodes, "cluster", "add", "n4", "--peer", "x", "--http", "y", "--yes")
    soon = run(nodes, "cluster", "transfer", "--timeout", "0.5", "--yes")

    assert (unknown.code, nobody.code, absent.code) == (4, 2, 3)
    assert "there are n1, n2, n3" in nobody.err
    assert "start it first" in absent.err
    assert (nothing.code, garbled.code, soon.code) == (2, 2, 2)
    assert "peer: must be host:port" in garbled.err
    assert "must be 1 to 300 seconds" in soon.err


# -- what is done


def test_a_node_is_added_and_removed_again(nodes):
    nodes.start("n4")
    until(lambda: "waiting to be added" in nodes.log("n4"), "n4 waits to be added")
    terminal = Terminal("cluster", "add", "n4", *place(nodes, "n4"), "--watch", **endpoints(nodes))
    terminal.wait_for(r"Go on\? \[y/N\]")
    terminal.type("y\n")

    assert terminal.end(30) == 0
    assert "4 members, 3 needed: 1 may be down at once." in terminal.text
    assert "The cluster is healthy." in terminal.text
    assert status(nodes)["up"] == 4

    removed = run(nodes, "cluster", "remove", "n4", "--yes", "-o", "json")

    assert json.loads(removed.out)["steps"] == ["remove n4"]
    assert nodes.processes["n4"].wait(15) == EXIT_REMOVED
    shutil.rmtree(nodes.data("n4"))


def test_a_member_that_lost_its_disk_is_replaced_under_its_own_name(nodes):
    lost = a_follower(nodes)
    nodes.kill(lost)
    shutil.rmtree(nodes.data(lost))
    nodes.start(lost)
    until(lambda: "waiting to be added" in nodes.log(lost), f"{lost} waits to be added")

    # Asked of the newcomer first, which knows no cluster yet.
    ran = run(
        nodes, "cluster", "replace", lost, "--yes", "--watch",
        at=(lost, *(name for name in nodes.forming if name != lost)),
    )  # fmt: skip

    assert ran.code == 0, ran.err
    assert "for a moment" in ran.err
    assert f"make {lost} a member" in ran.out
    assert "The cluster is healthy." in ran.err


def test_leadership_goes_where_it_is_told_and_a_drained_leader_hands_over(nodes):
    target = a_follower(nodes)
    assert run(nodes, "cluster", "transfer", target, "--yes").code == 0
    assert leader_of(nodes) == target

    drained = run(nodes, "cluster", "drain", target, "--yes")

    assert "it hands over first" in drained.err
    until(lambda: not nodes.is_ready(target), "it takes no requests")
    told = status(nodes)
    assert [one["name"] for one in told["cluster"]["members"] if one["draining"]] == [target]
    assert told["cluster"]["leader"]["name"] != target

    assert run(nodes, "cluster", "undrain", target, "--yes").code == 0
    again = run(nodes, "cluster", "undrain", target)  # nothing to be done needs no yes
    assert again.code == 0
    assert "it was so already" in again.out


def test_handing_over_to_who_leads_already_is_done(nodes):
    leader = leader_of(nodes)

    shown = run(nodes, "cluster", "transfer", leader)  # nothing to be done needs no yes
    told = run(nodes, "cluster", "transfer", leader, "-o", "json")
    said = call(nodes.url(leader), "POST", "/api/v1/cluster/leader", {"to": leader})

    assert (shown.code, told.code, said.status) == (0, 0, 200)
    assert shown.out.startswith(f"Nothing was to be done: {leader} leads already.")
    for report in (json.loads(told.out), said.body):
        assert (report["done"], report["steps"]) == (True, [])
    assert leader_of(nodes) == leader


def test_a_member_moves(nodes):
    moving = a_follower(nodes)
    nodes.kill(moving)
    body = nodes.move(moving)

    ran = run(nodes, "cluster", "move", moving, "--peer", body["peer"], "--yes")

    assert ran.code == 0, ran.err
    assert body["peer"] in ran.out
    nodes.start(moving)
    asyncio.run(nodes.until_ready(moving))


# -- policies


def test_policies_are_set_listed_and_dropped_under_both_names(nodes):
    made = run(
        nodes, "policy", "set", "deploy/", "--max-timeout", "15m", "--owner", "ci-*",
        "--owner", "anna",
    )  # fmt: skip
    free = run(nodes, "cluster", "policy", "set", "deploy/free/", "--no-rules")
    listed = run(nodes, "cluster", "policy", "list")
    ruling = run(nodes, "policy", "list", "--resource", "deploy/shop", "-o", "json")
    dropped = [run(nodes, "policy", "drop", prefix) for prefix in ("deploy/", "deploy/free/")]
    again = run(nodes, "cluster", "policy", "drop", "deploy/")
    without = run(nodes, "policy", "set", "deploy/")

    assert (made.code, free.code) == (0, 0)
    rows = {line.split()[0]: " ".join(line.split()[1:]) for line in listed.out.splitlines()}
    assert rows["deploy/"] == "15m - - - - ci-*, anna"
    assert rows["deploy/free/"] == "- - - - - anybody"
    assert json.loads(ruling.out) == [
        {"prefix": "deploy/", "maxTimeout": 900, "owners": ["ci-*", "anna"]}
    ]
    assert [ran.code for ran in dropped] == [0, 0]
    assert again.code == 4
    assert without.code == 2
    assert run(nodes, "policy", "list").out == ""
