"""``gorilla lock`` against the real API: what holders do, and those who wait."""

import re
import signal
import socket
import subprocess

import pytest

from gorilla.cli.failures import Exit
from tests.support.cli import PROGRAM, Terminal, clean, process, started

# -- a holder


def test_a_lock_is_acquired_extended_and_released_with_its_token(shell):
    lock = shell.json(
        "lock", "acquire", "a", "--timeout", "1m", "--owner", "me", "--reason", "why",
        "--metadata", '{"build": 7}',
    )  # fmt: skip
    token = shell.done("lock", "extend", "a", lock["token"], "--timeout", "2m", "-q").strip()
    status = shell.json("lock", "status", "a", token)
    released = shell("lock", "release", "a", token)

    assert (lock["owner"], lock["timeout"], lock["metadata"]) == ("me", 60, [{"build": 7}])
    assert (lock["reason"], lock["fencingToken"]) == ("why", 1)
    assert status["timeout"] > 100
    assert (released.code, released.out, released.err) == (0, "", "Released a.\n")
    assert shell("lock", "status", "a", token).code == Exit.NOT_FOUND


def test_the_answer_is_shown_to_people_with_what_they_need(shell):
    shown = shell.done("lock", "acquire", "a", "--timeout", "90", "--owner", "me", "--shared")

    lines = dict(re.split(r"  +", line, maxsplit=1) for line in shown.splitlines())
    assert lines.keys() == {"resource", "owner", "token", "fencing token", "left", "mode"}
    assert lines["left"].startswith("1m 30s, until 20")
    assert (lines["fencing token"], lines["mode"]) == ("1", "shared")


def test_a_token_need_not_stand_in_the_command_line(shell):
    first, second = shell.token("a"), shell.token("b")

    assert shell("lock", "release", "a", GORILLA_LOCK_TOKEN=first).code == 0
    assert shell("lock", "release", "b", "-", text=f"{second}\n").code == 0
    nowhere = shell("lock", "release", "b")

    assert nowhere.code == Exit.USAGE
    assert "with `-` on stdin, or in GORILLA_LOCK_TOKEN" in nowhere.err


def test_two_runs_without_an_owner_are_two_owners(shell):
    shell.token("a")

    refused = shell("lock", "acquire", "a", "--timeout", "60")

    assert refused.code == Exit.CONFLICT
    assert re.search(r"'\S+@\S+:\d+-\w{6}' holds 'a', for", refused.err)
    assert refused.out == ""


def test_a_run_that_is_repeated_under_one_key_gets_one_lock(shell):
    first = shell.token("a", "--owner", "me", "--idempotency-key", "k1")

    assert shell.token("a", "--owner", "me", "--idempotency-key", "k1") == first
    other = shell("lock", "acquire", "b", "--timeout", "60", "--idempotency-key", "k1")
    assert other.code == Exit.REFUSED


def test_several_locks_are_acquired_all_or_none(shell):
    shell.token("c")

    none = shell("lock", "acquire", "a", "b", "c", "--timeout", "60")
    held = shell.json("lock", "acquire", "a", "b", "--timeout", "60", "--owner", "me")
    table = shell.done("lock", "extend", "--group", held["group"], "--timeout", "90")
    group = re.search(r"group token +(\S+)", table)

    assert none.code == Exit.CONFLICT
    assert [one["resource"] for one in held["locks"]] == ["a", "b"]
    assert group is not None
    assert shell("lock", "release", "--group", group[1]).code == 0
    assert [one["resource"] for one in shell.json("lock", "list")] == ["c"]


def test_a_lock_is_counted_or_shared_when_that_is_asked_for(shell):
    shell.token("gpu", "--limit", "2")
    shell.token("gpu", "--limit", "2")

    full = shell("lock", "acquire", "gpu", "--limit", "2", "--timeout", "60")
    otherwise = shell("lock", "acquire", "gpu", "--shared", "--timeout", "60")

    assert (full.code, otherwise.code) == (Exit.CONFLICT, Exit.REFUSED)
    assert "held by 2 of 2" in shell.done("lock", "show", "gpu")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("a",), "Say how long to hold it with --timeout SECONDS, or give a --session."),
        (("a", "--timeout", "5", "--shared", "--limit", "4"), "A shared lock has no limit"),
        (("a", "--timeout", "5", "--shared", "--mode", "exclusive"), "contradict each other"),
        (("", "--timeout", "5"), "resource: must have 1 to 255 characters."),
        (("a\nb", "--timeout", "5"), "resource: must not contain control characters."),
        (("a", "--timeout", "5", "--owner", ""), "owner: must have 1 to 255 characters."),
        (("a", "a", "--timeout", "5"), "resources: must name each lock once."),
    ],
)
def test_what_can_not_be_meant_is_wrong_usage(shell, arguments, said):
    ran = shell("lock", "acquire", *arguments)

    assert (ran.code, ran.out) == (Exit.USAGE, "")
    assert said in ran.err


# -- waiting


def test_a_wait_gets_the_lock_when_it_becomes_free(shell):
    token = shell.token("a")
    waiter = shell.waiting("a")

    shell.done("lock", "release", "a", token)
    out, err = waiter.communicate(timeout=20)

    assert (waiter.returncode, err) == (0, "")
    assert shell.json("lock", "status", "a", out.strip())["waited"] > 0


def test_a_wait_that_runs_out_says_who_was_in_the_way(shell):
    shell.token("a", "--owner", "holder")

    ran = shell("lock", "acquire", "a", "--timeout", "5", "--wait", "300ms")

    assert ran.code == Exit.CONFLICT
    assert "'holder' holds 'a'" in ran.err


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["Ctrl-C", "SIGTERM"]
)
def test_whoever_stops_to_wait_leaves_the_queue(shell, number, code):
    shell.token("a")
    waiter = shell.waiting("a")

    waiter.send_signal(number)
    out, err = waiter.communicate(timeout=20)

    assert (waiter.returncode, out) == (code, "")
    assert "Traceback" not in err
    while shell.json("lock", "show", "a")["waiters"]:
        continue


def test_who_waits_at_a_terminal_is_told_so(shell):
    token = shell.token("a")
    terminal = Terminal(
        "lock", "acquire", "a", "--timeout", "60", "--wait", "60", **shell.environment
    )
    terminal.wait_for("Waiting for a, up to 1m 00s.")

    shell.done("lock", "release", "a", token)

    assert terminal.end() == 0
    assert "fencing token  2" in terminal.text


def test_a_circle_of_waits_is_refused_with_the_circle(shell):
    shell.token("a", "--owner", "anna")
    shell.token("b", "--owner", "bert")
    waiter = shell.waiting("b", "--owner", "anna")

    ran = shell("lock", "acquire", "a", "--timeout", "60", "--wait", "60", "--owner", "bert")
    waiter.send_signal(signal.SIGINT)
    waiter.communicate(timeout=20)

    assert ran.code == Exit.CONFLICT
    assert "bert waits for a of anna" in ran.err


def test_the_token_of_a_lock_is_never_sent_as_whoever_asks():
    heard: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        url = f"http://127.0.0.1:{server.getsockname()[1]}"
        asking = started(
            "lock", "release", "a", "secret-of-the-lock", "--token", "me", "--endpoint", url,
            "--deadline", "1",
        )  # fmt: skip
        connection, _ = server.accept()
        with connection:
            heard.append(connection.recv(65_536))
        asking.communicate(timeout=20)

    (request,) = heard
    assert request.startswith(b"DELETE /api/v1/locks/a/secret-of-the-lock HTTP/1.1")
    assert b"Authorization: Bearer me\r\n" in request


@pytest.mark.parametrize("resources", [("a",), ("a", "b")], ids=["one", "several"])
def test_a_lock_whose_token_reaches_nobody_is_released(shell, resources):
    with open("/dev/full", "w") as full:  # noqa: PTH123 - a device
        done = subprocess.run(
            [*PROGRAM, "lock", "acquire", *resources, "--timeout", "600"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            env=clean(shell.environment),
            check=False,
        )

    assert (done.returncode, shell.json("lock", "list")) == (Exit.IO, [])
    assert done.stderr == "gorilla: The output can't be written: No space left on device.\n"


def test_who_does_not_know_whether_it_has_a_lock_is_told_how_to_ask_again():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        ran = process(
            "lock", "acquire", "a", "--timeout", "60", "--deadline", "1",
            "--endpoint", f"http://127.0.0.1:{port}",
        )  # fmt: skip

    first, second = ran.err.splitlines()
    assert ran.code == Exit.UNKNOWN
    owner = re.fullmatch(r"If it was acquired, (\S+) has it: ask again with --owner \1", first)
    assert owner is not None
    assert second.endswith("Look, or ask again: that is safe.")
