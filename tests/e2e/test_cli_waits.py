"""``gorilla`` waits for longer than a request may last, and keeps its place, on real nodes."""

import time

import pytest

from tests.support.cli import started
from tests.support.cli_shell import Shell
from tests.support.real_cluster import running_nodes, until

pytestmark = pytest.mark.e2e

SLICE_S = 0.5
FOR_A_JOB = (
    ("run", "job", "--timeout", "20", "--wait", "60", "--", "true"),
    ("lock", "acquire", "job", "--timeout", "2", "--wait", "60"),
    ("lock", "acquire", "job", "other", "--timeout", "2", "--wait", "60"),
    ("run", "job", "--timeout", "20", "--", "true"),
)
FOR_A_TERM = (("elect", "billing", "--timeout", "20", "--", "true"),) * 2


@pytest.fixture(scope="module")
def shell(tmp_path_factory):
    with running_nodes(tmp_path_factory.mktemp("cluster")) as nodes:
        made = Shell(*[nodes.url(name) for name in nodes.names])
        made.environment["GORILLA_WAIT_SLICE"] = str(SLICE_S)
        yield made


def waiters(shell: Shell, lock: str) -> list[tuple[str, str]]:
    seen = shell.json("lock", "show", lock)
    return [(one["owner"], one["since"]) for one in seen["waiters"]]


@pytest.mark.parametrize(
    ("lock", "commands"), [("job", FOR_A_JOB), ("elections/billing", FOR_A_TERM)]
)
def test_every_command_that_waits_keeps_its_place_over_many_requests(
    shell: Shell, lock: str, commands: tuple[tuple[str, ...], ...]
):
    token = shell.token(lock, timeout="60")
    waiting = []
    for number, command in enumerate(commands, 1):
        waiting.append(started(*command, **shell.environment))
        until(lambda count=number: len(waiters(shell, lock)) == count, "it waits")
    seen = waiters(shell, lock)
    time.sleep(6 * SLICE_S)

    assert waiters(shell, lock) == seen
    assert shell("lock", "release", lock, token).code == 0
    ended = [one.communicate(timeout=60) for one in waiting]
    assert [one.returncode for one in waiting] == [0] * len(waiting), ended
