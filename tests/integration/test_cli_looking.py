"""``gorilla lock list``, ``watch``, ``top`` and more, ``session``, ``history``, on the real API."""

import json
import re
import signal
import subprocess

import pytest
import yaml
from rich.cells import cell_len

from gorilla.cli.failures import Exit
from tests.support.cli import PROGRAM, Terminal, at_terminal, clean, process, started

LONG = "long/name/of/many/parts/that/fits/no/column/日本語のロック/" + "x" * 60
LONG_OWNER = "somebody-with-a-rather-long-name@some-host.example.internal:12345"
STEERING = "evil\u202etxt.exe"


# -- looking


def test_a_list_is_cut_where_it_is_asked_for_and_says_so(shell):
    for name in ("orders/1", "orders/2", "orders/3", "other"):
        shell.token(name, "--owner", "me")

    cut = shell("lock", "list", "--limit", "2")
    all_ = shell.json("lock", "list", "--all")
    some = shell.json("lock", "list", "--prefix", "orders/", "--limit", "3", "--stale")
    none = shell("lock", "list", "--owner", "nobody")

    assert cut.err == "These are the first 2; --limit N or --all shows more.\n"
    assert len(cut.out.splitlines()) == 3
    assert [one["resource"] for one in all_] == ["orders/1", "orders/2", "orders/3", "other"]
    assert [one["resource"] for one in some] == ["orders/1", "orders/2", "orders/3"]
    assert (none.code, none.out) == (0, "")


def test_the_same_lock_is_whole_in_json_and_yaml_and_a_line_in_a_pipe(shell):
    shell.token(LONG, "--owner", LONG_OWNER, "--reason", "because " * 20)

    (as_json,) = shell.json("lock", "list")
    (as_yaml,) = yaml.safe_load(shell.done("lock", "list", "-o", "yaml"))
    lines = shell.done("lock", "list").splitlines()

    assert (as_json["resource"], as_json["owner"]) == (LONG, LONG_OWNER)
    assert as_yaml["resource"] == LONG
    assert len(lines) == 2
    assert LONG in lines[1]
    assert LONG_OWNER in lines[1]


@pytest.mark.parametrize("columns", [80, 120])
@pytest.mark.parametrize(
    "command",
    [
        ("lock", "list"),
        ("lock", "show", LONG),
        ("lock", "explain", LONG),
        ("lock", "top", "--once"),
        ("lock", "watch", "--since", "0", "--count", "4"),
        ("history",),
        ("history", "--waits"),
        ("election", "list"),
        ("context", "show"),
    ],
    ids=" ".join,
)
def test_no_line_is_wider_than_the_terminal(served, shell, columns, command):
    shell.token(LONG, "--owner", LONG_OWNER, "--reason", "because it is needed " * 8)
    shell.token(STEERING, "--owner", "me")
    shell.token("elections/" + LONG[:200], "--owner", LONG_OWNER)
    assert shell("lock", "acquire", LONG, "--wait", "1ms", "--timeout", "5").code == 1
    waiter = shell.waiting(LONG, "--reason", "wanted " * 20)
    served.write_history()

    text = at_terminal(*command, columns=columns, **shell.environment)
    waiter.send_signal(signal.SIGINT)
    waiter.communicate(timeout=20)

    assert text.strip()
    assert "\u202e" not in text
    wide = [line for line in text.splitlines() if cell_len(line) > columns]
    assert wide == []


def test_a_lock_is_shown_with_holders_and_waiters_in_their_order(shell):
    shell.token("a", "--owner", "holder", "--reason", "deploy")
    waiters = [shell.waiting("a", "--owner", f"waiter-{n}") for n in (1, 2)]

    shown = shell.done("lock", "show", "a")
    listed = shell.done("lock", "list")
    for waiter in waiters:
        waiter.send_signal(signal.SIGINT)
        waiter.communicate(timeout=20)

    assert re.search(r"holder +1 .*deploy", shown)
    assert re.search(r"1  waiter-1 .*\n2  waiter-2 ", shown)
    assert re.search(r"a +holder +1 .* 2  deploy", listed)


def test_why_a_lock_can_not_be_had_is_a_sentence_and_a_tree(shell):
    shell.token("a", "--owner", "anna")
    shell.token("b", "--owner", "bert")
    waiter = shell.waiting("b", "--owner", "anna")

    shown = shell.done("lock", "explain", "a")
    free = shell.done("lock", "explain", "free")
    waiter.send_signal(signal.SIGINT)
    waiter.communicate(timeout=20)

    assert shown.startswith("'anna' holds 'a'")
    assert "└─ held by anna since" in shown
    assert "   └─ anna waits for b, held by bert" in shown
    assert "'free'" in free


# -- repairs


def test_a_holder_is_asked_to_let_go_and_sees_it(shell):
    token = shell.token("a", "--owner", "holder")

    asked = shell("lock", "request-release", "a", "--owner", "boss", "--reason", "a release waits")
    status = shell.done("lock", "status", "a", token)

    assert asked.out == "ASKED\nholder\n"
    assert asked.err == "Asked 1 holder of a to let go.\n"
    assert re.search(r"asked to let go +by boss, .* UTC: a release waits", status)
    assert "asked to let go by boss" in shell.done("lock", "list")


def test_a_lock_is_taken_away_only_after_a_yes(shell):
    token = shell.token("a", "--owner", "holder")
    command = ("lock", "force-release", "a", "--reason", "burned down")

    silent = shell(*command)
    terminal = Terminal(*command, **shell.environment)
    terminal.wait_for(r"Take a away from holder \(.* left\)\? \[y/N\]")
    terminal.type("n\n")
    said_no = terminal.end()
    still = shell("lock", "status", "a", token)
    forced = shell(*command, "--yes", "--by", "me")

    assert (silent.code, said_no, still.code) == (Exit.USAGE, Exit.CONFLICT, 0)
    assert "Nothing was done." in terminal.text
    assert (forced.code, forced.err) == (0, "Took a away from 1 holder.\n")
    assert shell("lock", "status", "a", token).code == Exit.NOT_FOUND


# -- events


def test_what_happens_is_watched_line_by_line(shell):
    watcher = started("lock", "watch", "--since", "0", "--count", "3", **shell.environment)
    token = shell.token("a", "--owner", "me", "--reason", "why")
    shell.done("lock", "extend", "a", token, "--timeout", "90")
    shell.done("lock", "force-release", "a", "--reason", "r", "--by", "boss", "--yes")

    out, err = watcher.communicate(timeout=20)

    assert (watcher.returncode, err) == (0, "")
    first, second, third = out.splitlines()
    assert re.fullmatch(
        r"20\d\d-\d\d-\d\d \d\d:\d\d:\d\d  acquired  a  me  #1, for 1m 00s, why", first
    )
    assert second.endswith("extended  a  me  #1, for 1m 30s")
    assert re.search(r"forced  a  me  #1, held \S+, by boss, r$", third)


def test_events_are_chosen_and_are_a_line_of_json_each(shell):
    token = shell.token("orders/1", "--owner", "me")
    shell.token("other", "--owner", "me")
    shell.done("lock", "release", "orders/1", token)

    out = shell.done(
        "lock", "watch", "--since", "0", "--prefix", "orders/", "--type", "released",
        "--type", "forced", "--count", "1", "-o", "json",
    )  # fmt: skip

    (line,) = out.splitlines()
    assert json.loads(line)["type"] == "released"
    assert shell("lock", "watch", "--type", "nonsense").code == Exit.USAGE


def test_a_watch_ends_with_ctrl_c_and_says_how_to_go_on(shell):
    shell.token("a", "--owner", "me")
    terminal = Terminal("lock", "watch", "--since", "0", **shell.environment)
    terminal.wait_for("acquired")

    terminal.type("\x03")

    assert terminal.end() == Exit.INTERRUPTED
    assert "Stopped. --since 1 goes on from here." in terminal.text


def test_a_live_page_renews_itself_and_leaves_the_screen_as_it_was(shell):
    shell.token("first")
    terminal = Terminal("lock", "top", "--interval", "0.2", **shell.environment)
    terminal.wait_for("first")
    shell.token("second")
    terminal.wait_for("second")

    terminal.type("\x03")

    assert terminal.end() == Exit.INTERRUPTED, terminal.text
    assert terminal.raw.index("\x1b[?1049h") < terminal.raw.index("\x1b[?1049l")


def test_in_a_pipe_one_page_follows_the_other(shell):
    shell.token("a", "--owner", "me")
    pages = started("lock", "top", "--interval", "0.2", "-o", "json", **shell.environment)
    assert pages.stdout is not None
    found = [json.loads(pages.stdout.readline()) for _ in range(2)]

    pages.send_signal(signal.SIGINT)
    pages.communicate(timeout=20)

    assert pages.returncode == Exit.INTERRUPTED
    assert [page["holds"][0]["resource"] for page in found] == ["a", "a"]


# -- sessions, elections, history


def test_a_session_holds_locks_until_it_is_ended(shell):
    session = shell.done("session", "open", "--ttl", "30", "--owner", "me", "--quiet").strip()
    shell.done("lock", "acquire", "a", "--session", session, "--reason", "why")

    shown = shell.done("session", "show", session)
    kept = shell.json("session", "keep", session)
    ended = shell("session", "end", GORILLA_SESSION=session)
    gone = shell("session", "keep", session)

    assert re.search(r"HOLDS +FENCING +HELD +REASON\na +1 +\S+ +why", shown)
    assert kept["remaining"] > 29
    assert (ended.code, ended.err) == (0, "Ended.\n")
    assert shell.json("lock", "show", "a")["held"] is False
    assert gone.code == Exit.NOT_FOUND


def test_a_session_is_kept_until_it_is_over(shell):
    session = shell.done("session", "open", "--ttl", "3", "--quiet").strip()
    keeper = started("session", "keep", session, "--watch", **shell.environment)
    lock = shell.json("session", "show", session)
    while shell.json("session", "show", session)["updatedAt"] <= lock["createdAt"]:
        assert keeper.poll() is None

    shell.done("session", "end", session)
    _, err = keeper.communicate(timeout=20)

    assert keeper.returncode == Exit.LOST
    assert "There is no live session of that id" in err


def test_who_leads_is_listed_and_shown(shell):
    shell.token("elections/scheduler", "--owner", "n1")

    listed = shell.done("election", "list")

    assert re.search(r"ELECTION +LEADER +TERM .*\nscheduler +n1 +1 ", listed)
    assert shell.json("election", "show", "scheduler")["holders"][0]["owner"] == "n1"


def test_the_history_says_who_held_a_lock_and_how_it_ended(served, shell):
    shell.token("a", "--owner", "first", "--reason", "why")
    shell.done("lock", "force-release", "a", "--reason", "stuck", "--by", "boss", "--yes")
    shell.token("a", "--owner", "second")
    served.write_history()

    all_ = shell("history", "a")
    forced = shell.json("history", "--ended", "forced", "--since", "2020-01-01")
    now = shell.json("history", "a", "--at", "now")
    past = shell("history", "a", "--at", "2020-01-01")
    cut = shell("history", "--limit", "1")

    lines = all_.out.splitlines()
    assert re.search(r" still +still +a +second +2", lines[1])
    assert re.search(r"a +first +1 +forced; by boss; stuck; for: why$", lines[2])
    assert [one["owner"] for one in forced] == ["first"]
    assert [one["owner"] for one in now] == ["second"]
    assert (past.code, past.err) == (0, "There is nothing of that in the history.\n")
    assert cut.err == "These are the latest 1; --limit N shows more.\n"


# -- whoever reads


def test_a_reader_who_has_enough_ends_the_command_without_a_word(shell):
    for number in range(30):
        shell.token(f"lock-{number}")
    script = f"{' '.join(PROGRAM)} lock list -o json --all | head -1; echo ${{PIPESTATUS[0]}}"

    done = subprocess.run(
        ["bash", "-c", script],
        capture_output=True,
        text=True,
        env=clean(shell.environment),
        check=False,
    )

    first, code = done.stdout.splitlines()
    assert (first, code in {"0", "141"}, done.stderr) == ("[", True, "")


def test_a_command_needs_no_stdin(shell):
    assert process("lock", "list", **shell.environment).code == 0
