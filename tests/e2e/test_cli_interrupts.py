"""Ctrl-C ends a command at whatever moment it comes: at once, without a traceback, not as a bug."""

import signal
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from gorilla.cli.failures import Exit
from tests.support.cli import Terminal
from tests.support.cli_shell import Shell
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

MOMENTS_MS = range(0, 620, 30)
AT_A_TIME = 2
BEGUN_S = 3.0
ENDED = {Exit.INTERRUPTED, -signal.SIGINT}
"""By its own decision, or by the signal itself: to a shell both are 130."""

ENDLESS = {
    "top": ("lock", "top", "--interval", "0.2"),
    "watch": ("lock", "watch", "--since", "0"),
    "status": ("cluster", "status", "--watch", "--interval", "0.1"),
    "acquire": ("lock", "acquire", "held", "--wait", "60", "--timeout", "60"),
    "run": ("run", "held", "--", "true"),
    "running": ("run", "free-{moment}", "--", "sleep", "60"),
    "elect": ("elect", "held-{moment}", "--", "sleep", "60"),
    "session": ("session", "keep", "--watch"),
    "bench": ("bench", "--yes", "--seconds", "60", "--connections", "4"),
    "doctor": ("doctor", "--seconds", "60"),
}
ENDING = {
    "list": ("lock", "list"),
    "look": ("cluster", "status"),
    "history": ("history", "held"),
}
"""They may be done before."""


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("node"), count=1) as nodes:
        made = Shell(nodes.url("n1"))
        for name in ("held", *(f"other/{number}" for number in range(20))):
            made.token(name, timeout="1h")
        made.environment["GORILLA_SESSION"] = made.json("session", "open", "--ttl", "1h")["id"]
        yield made


def is_heard(pid: int) -> bool | None:
    """Whether a process has a handler for Ctrl-C; None: it is no gorilla yet."""
    if b"gorilla.cli" not in Path(f"/proc/{pid}/cmdline").read_bytes():
        return None
    status = Path(f"/proc/{pid}/status").read_text()
    caught = int(status.partition("SigCgt:")[2].split()[0], 16)
    return bool(caught >> (signal.SIGINT - 1) & 1)


def started(*arguments: str, **environment: str) -> Terminal:
    """Start a command; return when the interpreter, whose Ctrl-C is not ours, has begun with it."""
    terminal = Terminal(*arguments, **environment)
    deadline_s = time.monotonic() + 20
    while not is_heard(terminal._pid) and not terminal.text:
        assert time.monotonic() < deadline_s
        time.sleep(0.0005)
    # Who looks at a busy machine may miss that moment: what is heard for so long is heard by us.
    deadline_s = time.monotonic() + BEGUN_S
    while is_heard(terminal._pid) and not terminal.text and time.monotonic() < deadline_s:
        time.sleep(0.0005)
    return terminal


def interrupted(arguments: tuple[str, ...], shell: Shell, moment_ms: int) -> tuple[int, str, str]:
    words = [word.format(moment=moment_ms) for word in arguments]
    terminal = started(*words, **shell.environment)
    time.sleep(moment_ms / 1000)
    terminal.type("\x03")
    return terminal.end(), terminal.text, terminal.raw


def check(arguments: tuple[str, ...], shell: Shell, allowed: set[int]) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        ends = list(pool.map(lambda ms: interrupted(arguments, shell, ms), MOMENTS_MS))
    for moment_ms, (code, text, raw) in zip(MOMENTS_MS, ends, strict=True):
        said = f"{' '.join(arguments)} after {moment_ms} ms: {code}\n{text}"
        assert code in allowed, said
        assert "Traceback" not in text, said
        assert "ignored" not in text, said
        assert "bug" not in text, said
        # The terminal is as it was: on its first screen, with its cursor. To say so once more where
        # Ctrl-C came just before the other screen, does no harm.
        assert raw.count("\x1b[?1049h") <= raw.count("\x1b[?1049l"), said
        assert raw.count("\x1b[?25l") <= raw.count("\x1b[?25h"), said


@pytest.mark.parametrize("name", ENDLESS)
def test_what_goes_on_until_ctrl_c_ends_by_it(name, shell):
    check(ENDLESS[name], shell, ENDED)


@pytest.mark.parametrize("name", ENDING)
def test_what_ends_by_itself_ends_by_ctrl_c_too(name, shell):
    # Without a database there is no history, which is told.
    check(ENDING[name], shell, {*ENDED, Exit.OK, Exit.UNAVAILABLE})


def test_nobody_who_was_interrupted_is_left_in_a_queue(shell):
    interrupted(ENDLESS["acquire"], shell, 600)
    interrupted(ENDLESS["run"], shell, 600)

    assert shell.json("lock", "show", "held")["waiters"] == []
