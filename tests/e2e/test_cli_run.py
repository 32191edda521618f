"""``gorilla run`` and ``gorilla elect`` on a real cluster: what they promise beside safety."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import threading

import pytest

from tests.support.guarded import beating, beats, is_alive, until
from tests.support.local_cluster import ROOT
from tests.support.real_cluster import acquire, call, running_nodes
from tests.support.terminals import CTRL_C, Terminal
from tests.support.tunnel import State, Tunnels

pytestmark = pytest.mark.e2e


@pytest.fixture(scope="module")
def nodes(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("nodes")) as nodes:
        yield nodes


@pytest.fixture
def gorilla(nodes, tmp_path):
    gorilla = Gorilla([nodes.url(name) for name in nodes.names], tmp_path)
    yield gorilla
    for process in gorilla.started:
        with process:
            process.kill()


class Gorilla:
    """Starts ``gorilla`` against a cluster, in a directory of its own."""

    def __init__(self, urls, directory):
        self.urls, self.directory = urls, directory
        self.started = []

    def start(self, *words, urls=None):
        process = subprocess.Popen(
            [sys.executable, "-m", "gorilla.cli", *map(str, words)],
            cwd=self.directory,
            env={
                **{k: v for k, v in os.environ.items() if not k.startswith("GORILLA_")},
                "GORILLA_ENDPOINTS": ",".join(urls or self.urls),
                "PYTHONPATH": str(ROOT),
            },
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        self.started.append(process)
        return process

    def __call__(self, *words):
        return ended(self.start(*words))

    def show(self, resource):
        return call(self.urls[0], "GET", f"/api/v1/locks/{resource}").body

    def until_held(self, resource):
        until(lambda: self.show(resource)["held"], f"{resource} is held")

    def until_queued(self, resource, count=1):
        until(lambda: len(self.show(resource)["waiters"]) == count, "it is waited for")


def ended(process, within_s=30):
    out, err = process.communicate(timeout=within_s)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


PRINTS = "import json, os; print(json.dumps(dict(os.environ)))"


def facts_of(done):
    assert done.returncode == 0, done.stderr
    return {k: v for k, v in json.loads(done.stdout).items() if k.startswith("GORILLA_")}


def test_the_lock_is_held_while_the_command_runs_and_its_exit_code_is_ours(gorilla):
    held = "from urllib.request import urlopen as get; import os, sys\n"
    held += "state = get(os.environ['GORILLA_ENDPOINTS'].split(',')[0] + '/api/v1/locks/a')\n"
    held += "sys.exit(7 if b'\"held\":true' in state.read() else 1)"

    done = gorilla("run", "a", "--", sys.executable, "-S", "-c", held)

    assert (done.returncode, done.stdout, done.stderr) == (7, "", "")
    assert gorilla.show("a")["held"] is False


def test_the_command_finds_the_lock_in_its_environment_and_no_secret(gorilla):
    facts = facts_of(gorilla("run", "facts", "--", sys.executable, "-S", "-c", PRINTS))

    assert facts.pop("GORILLA_FENCING_TOKEN") == str(gorilla.show("facts")["fencingToken"])
    assert re.fullmatch(r".+@.+:\d+-[0-9a-f]{6}", facts.pop("GORILLA_LOCK_OWNER"))
    del facts["GORILLA_ENDPOINTS"]
    assert facts == {"GORILLA_LOCK_RESOURCE": "facts"}


def test_in_a_session_the_command_may_take_more_locks_that_end_with_it(gorilla):
    script = (
        'test -n "$GORILLA_SESSION" && "$0" -m gorilla.cli lock acquire inner'
        ' --session "$GORILLA_SESSION" -q > inner'
    )

    done = gorilla("run", "outer", "--session", "--", "sh", "-c", script, sys.executable)

    assert done.returncode == 0, done.stderr
    assert len((gorilla.directory / "inner").read_text()) > 20
    assert gorilla.show("inner")["held"] is gorilla.show("outer")["held"] is False
    assert gorilla.show("inner")["fencingToken"] is not None


def test_the_secret_is_passed_only_when_that_is_asked_for(gorilla):
    script = '"$0" -m gorilla.cli lock status passed'

    done = gorilla("run", "passed", "--pass-token", "--", "sh", "-c", script, sys.executable)

    assert done.returncode == 0, done.stderr
    assert "passed" in done.stdout


@pytest.mark.parametrize("options", [["--no-wait"], ["--wait", "0.3"], ["--wait", "0"]])
def test_a_lock_that_another_holds_is_a_conflict_that_says_who(options, gorilla):
    acquire(gorilla.urls[0], "taken", owner="anna")

    done = gorilla("run", "taken", *options, "--", "touch", "ran")
    other = gorilla("run", "taken", *options, "--conflict-exit-code", "42", "--", "touch", "ran")

    assert (done.returncode, other.returncode) == (1, 42)
    assert "anna" in done.stderr
    assert not (gorilla.directory / "ran").exists()


def test_runs_wait_for_each_other_as_long_as_it_takes(gorilla):
    script = "mkdir busy || exit 9; sleep 0.05; rmdir busy"

    runs = [gorilla.start("run", "queue", "--", "sh", "-c", script) for _ in range(5)]

    assert [ended(run).returncode for run in runs] == [0] * 5


def test_runs_under_one_owner_exclude_each_other_too(gorilla):
    first = gorilla.start("run", "mine", "--owner", "cron", "--", "sh", "-c", "read x < pipe")
    os.mkfifo(gorilla.directory / "pipe")
    gorilla.until_held("mine")

    second = gorilla("run", "mine", "--owner", "cron", "--no-wait", "--", "true")
    (gorilla.directory / "pipe").write_text("go\n")

    assert second.returncode == 1
    assert ended(first).returncode == 0


@pytest.mark.parametrize("options", [[], ["--session"]])
def test_a_short_lease_that_was_waited_for_is_as_long_as_one_that_was_not(options, gorilla):
    name = f"waited-{len(options)}"
    lock = acquire(gorilla.urls[0], name)
    run = gorilla.start("run", name, *options, "--timeout", "2.5", "--", "sh", "-c", "sleep 3")
    gorilla.until_queued(name)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(2.2)  # so that the session has been kept alive for a while
    call(gorilla.urls[0], "DELETE", f"/api/v1/locks/{name}/{lock['token']}")

    assert (ended(run).returncode, gorilla.show(name)["held"]) == (0, False)


def test_sharers_run_together_and_a_limit_counts(gorilla):
    def together(*options):
        os.mkfifo(gorilla.directory / "pipe")
        words = ("run", f"sem{len(options)}", *options, "--")
        others = [gorilla.start(*words, "sh", "-c", "read x < pipe") for _ in range(2)]
        until(lambda: len(gorilla.show(words[1])["holders"]) == 2, "both hold it")
        third = gorilla(*words[:2], "--no-wait", *options, "--", "true").returncode
        with (gorilla.directory / "pipe").open("w") as pipe:
            pipe.write("go\ngo\n" * 10)
        for other in others:
            other.terminate()
            ended(other)
        (gorilla.directory / "pipe").unlink()
        return third

    assert together("--shared") == 0
    assert together("--limit", "2") == 1


@pytest.mark.parametrize("options", [[], ["--session"]])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_who_gives_up_waiting_leaves_the_queue_and_holds_nothing(number, options, gorilla):
    name = f"given-up-{number}-{len(options)}"
    lock = acquire(gorilla.urls[0], name)
    run = gorilla.start("run", name, *options, "--", "touch", "ran")
    gorilla.until_queued(name)

    run.send_signal(number)
    done = ended(run)
    call(gorilla.urls[0], "DELETE", f"/api/v1/locks/{name}/{lock['token']}")

    assert (done.returncode, done.stderr) == (128 + number, "")
    state = gorilla.show(name)
    assert (state["held"], state["waiters"]) == (False, [])
    assert not (gorilla.directory / "ran").exists()


@pytest.mark.parametrize("options", [[], ["--session"]])
def test_a_lock_that_is_forced_away_ends_the_command_at_the_next_extension(options, gorilla):
    name = f"forced-{len(options)}"
    command = beating(gorilla.directory, "stubborn", "daemon")
    words = ["run", name, *options, "--timeout", "4", "--kill-after", "0.5", "--", *command]
    run = gorilla.start(*words)
    until(lambda: len(beats(gorilla.directory)) == 2, "the command beats")

    call(gorilla.urls[1], "DELETE", f"/api/v1/locks/{name}?reason=night")
    done = ended(run)

    assert done.returncode == 79
    assert "the lock is lost; its command is told to end" in done.stderr
    assert "forced away; its command was ended" in done.stderr
    assert not any(map(is_alive, beats(gorilla.directory)))


def test_a_lock_that_was_lost_shortly_before_the_command_ended_is_told(gorilla):
    # So short a lease is not followed: only its next extension would tell.
    script = "while ! [ -e go ]; do sleep 0.02; done"
    words = ["run", "late", "--timeout", "5.9", "--", "sh", "-c", script]
    run = gorilla.start(*words)
    gorilla.until_held("late")
    call(gorilla.urls[1], "DELETE", "/api/v1/locks/late?reason=night")
    (gorilla.directory / "go").touch()
    done = ended(run)

    assert done.returncode == 79
    assert "its command had ended by itself by then, or shortly after, with 0" in done.stderr


def test_a_release_that_nobody_confirms_is_told_with_the_time_that_is_left(nodes, gorilla):
    tunnels = Tunnels(list(nodes.http.values()))
    script = "touch begun; while ! [ -e go ]; do sleep 0.02; done; exit 3"
    words = ["run", "unsure", "--timeout", "30", "--", "sh", "-c", script]
    run = gorilla.start(*words, urls=tunnels.urls)
    until((gorilla.directory / "begun").exists, "the command runs")
    tunnels.set(State.SHUT)
    (gorilla.directory / "go").touch()
    done = ended(run)
    tunnels.close()

    assert done.returncode == 3
    told = re.search(r"the release of unsure is not confirmed.* held for (\d+) s more", done.stderr)
    assert told is not None, done.stderr
    assert 15 <= int(told[1]) <= 30


def test_without_a_cluster_nothing_is_run(gorilla):
    run = gorilla.start(
        "run", "a", "--deadline", "1", "--", "touch", "ran", urls=["http://127.0.0.1:9"]
    )
    done = ended(run)

    assert done.returncode == 69
    assert "Traceback" not in done.stderr
    assert not (gorilla.directory / "ran").exists()


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        (["run", "a", "--", "no-such-program"], 127, "no-such-program: No such file or directory."),
        (["run", "a", "--", "/etc/passwd"], 126, "/etc/passwd: Permission denied."),
        (["run", "a", "--timeout", "1", "--", "true"], 2, "ask for 2.4 s or more"),
        (["run", "a", "--wait", "3", "--no-wait", "--", "true"], 2, "contradict each other"),
        (["run", "a", "--shared", "--limit", "3", "--", "true"], 2, "has no limit"),
        (["run", "a"], 2, "Missing argument"),
        (["elect", "a", "--timeout", "1", "--", "true"], 2, "ask for 2.4 s or more"),
    ],
)
def test_what_can_not_be_run_is_told_before_anything_is_asked_for(words, code, told, gorilla):
    done = gorilla(*words)

    assert done.returncode == code
    assert told in done.stderr
    assert gorilla.show("a")["waiters"] == []


def test_a_cluster_that_allows_short_leases_only_shortens_ours(gorilla):
    for prefix, seconds in (("short/", 4), ("tiny/", 1)):
        path = f"/api/v1/policies?prefix={prefix[:-1]}%2F"
        assert call(gorilla.urls[0], "PUT", path, {"maxTimeout": seconds}).status == 200

    short = gorilla("run", "short/a", "--", "sh", "-c", "sleep 5; exit 4")
    tiny = gorilla("run", "tiny/a", "--", "touch", "ran")

    assert short.returncode == 4, short.stderr
    assert tiny.returncode == 3
    assert "The cluster lets this lock be held for 1 s only" in tiny.stderr
    assert gorilla.show("tiny%2Fa")["held"] is False
    assert not (gorilla.directory / "ran").exists()


def test_ctrl_c_ends_the_command_and_the_script_that_it_stands_in(gorilla):
    script = '"$0" -m gorilla.cli run keys -- sh -c "echo ready; exec sleep 60"; echo went on'
    terminal = Terminal(
        gorilla.directory,
        *("bash", "-c", script, sys.executable),
        GORILLA_ENDPOINTS=",".join(gorilla.urls),
    )
    terminal.wait_for(b"ready")

    terminal.type(CTRL_C)

    assert terminal.ended() == -signal.SIGINT
    assert b"went on" not in terminal.output
    assert gorilla.show("keys")["held"] is False


# -- elections


def test_of_several_candidates_one_leads_and_the_next_one_follows_it(gorilla):
    script = "echo $$ >> leaders; exec sleep 60"
    candidates = [gorilla.start("elect", "office", "--", "sh", "-c", script) for _ in range(3)]
    path = gorilla.directory / "leaders"

    def leaders():
        return path.read_text().split() if path.exists() else []

    for count in (1, 2, 3):
        until(lambda: len(leaders()) == count, "one more leads")  # noqa: B023 - called at once
        gorilla.until_queued("elections%2Foffice", 3 - count)
        os.kill(int(leaders()[-1]), signal.SIGTERM)
    codes = [ended(candidate).returncode for candidate in candidates]

    assert codes == [128 + signal.SIGTERM] * 3


def test_who_loses_leadership_campaigns_again_and_leads_again(gorilla):
    script = "trap 'touch hup' HUP; echo $GORILLA_FENCING_TOKEN >> terms"
    command = ["sh", "-c", f"{script}; while :; do sleep 0.02; done"]
    run = gorilla.start("elect", "again", "--timeout", "3", "--", *command)
    path = gorilla.directory / "terms"
    until(lambda: path.exists() and path.read_text(), "it leads")
    run.send_signal(signal.SIGHUP)  # which is for the command
    until((gorilla.directory / "hup").exists, "the command got it")
    call(gorilla.urls[0], "DELETE", "/api/v1/locks/elections%2Fagain?reason=night")
    until(lambda: len(path.read_text().split()) == 2, "it leads again")
    run.terminate()
    done = ended(run)

    first, second = map(int, path.read_text().split())
    assert second > first
    assert done.returncode == 143
    assert "forced away; its command was ended" in done.stderr


def test_once_means_one_term(gorilla):
    run = gorilla.start("elect", "once", "--once", "--timeout", "3", "--", "sleep", "60")
    gorilla.until_held("elections%2Fonce")
    call(gorilla.urls[0], "DELETE", "/api/v1/locks/elections%2Fonce?reason=night")

    assert ended(run).returncode == 79


def test_a_command_that_ends_is_started_again_only_where_that_is_asked_for(gorilla):
    once = gorilla("elect", "ends", "--", "sh", "-c", "exit 5")
    run = gorilla.start("elect", "ends", "--restart", "--", "sh", "-c", "echo x >> ran; exit 5")
    path = gorilla.directory / "ran"
    until(lambda: path.exists() and len(path.read_text().split()) == 2, "it was started again")
    run.send_signal(signal.SIGINT)
    done = ended(run)

    assert once.returncode == 5
    assert done.returncode in {5, 130}


def test_a_candidate_waits_for_a_cluster_that_is_not_there_yet(nodes, gorilla):
    tunnels = Tunnels(list(nodes.http.values()))
    tunnels.set(State.SHUT)
    run = gorilla.start("elect", "early", "--deadline", "1", "--", "true", urls=tunnels.urls)
    with contextlib.suppress(subprocess.TimeoutExpired):
        run.wait(2.5)
    assert run.poll() is None
    threading.Timer(0.1, tunnels.set, [State.OPEN]).start()

    done = ended(run)
    tunnels.close()
    assert done.returncode == 0, done.stderr
