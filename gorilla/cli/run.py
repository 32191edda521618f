"""``gorilla run``: a command that runs while a lock is held, and never longer."""

from typing import Final, TypedDict

import click
from typing_extensions import Unpack

from gorilla.cli.app import PROGRAM, Cli
from gorilla.cli.completing import LOCK
from gorilla.cli.failures import CommandError, Exit, explained
from gorilla.cli.guard_timing import TIMEOUT_S
from gorilla.cli.options import TIMEOUT, WAIT, Verb
from gorilla.cli.run_grip import Wish
from gorilla.cli.run_job import Job
from gorilla.cli.run_task import GivenUp
from gorilla.client.errors import GorillaError
from gorilla.wire.asking import EXCLUSIVE, SHARED
from gorilla.wire.bodies import HOLDERS_MAX

CODE_MAX: Final = 255


class _Asked(TypedDict):
    """Options of ``run``."""

    wait: float | None
    no_wait: bool
    timeout: float
    shared: bool
    limit: int | None
    owner: str | None
    reason: str | None
    session: bool
    kill_after: float | None
    conflict_exit_code: int
    pass_token: bool
    wait_all: bool


@click.command(
    "run",
    cls=Verb,
    examples=[
        "gorilla run nightly-backup --no-wait -- ./backup.sh",
        "gorilla run deploy/shop --wait 10m --reason 'release 4.2' -- ./deploy.sh shop",
        "gorilla run gpu --limit 4 -- python train.py",
    ],
)
@click.argument("resource", shell_complete=LOCK)
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--wait",
    metavar="SECONDS",
    type=WAIT,
    help="Queue for it so long at most; without it, as long as it takes.",
)
@click.option("--no-wait", is_flag=True, help="Don't queue for it.")
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=TIMEOUT,
    default=TIMEOUT_S,
    show_default=True,
    help="How long the lock outlives its last extension; it is extended by itself.",
)
@click.option(
    "--kill-after",
    metavar="SECONDS",
    type=WAIT,
    help="Between SIGTERM and SIGKILL when the lock is lost. [10, or a 4th of --timeout]",
)
@click.option("--shared", is_flag=True, help="Hold it with others who share it.")
@click.option(
    "--limit", metavar="N", type=click.IntRange(1, HOLDERS_MAX), help="So many may hold it at once."
)
@click.option(
    "--owner",
    metavar="NAME",
    help="Who holds it, for people and policies. Runs of one owner exclude each other too.",
)
@click.option("--reason", metavar="TEXT", help="What for; shown to those who wait.")
@click.option(
    "--session",
    is_flag=True,
    help="Hold it in a session; locks that the command acquires with it end with it.",
)
@click.option(
    "--pass-token",
    is_flag=True,
    help="Give the command the lock's secret, GORILLA_LOCK_TOKEN. Implies --session.",
)
@click.option(
    "--wait-all",
    is_flag=True,
    help="Hold it until everything that the command started has ended too.",
)
@click.option(
    "--conflict-exit-code",
    metavar="N",
    type=click.IntRange(0, CODE_MAX),
    default=int(Exit.CONFLICT),
    show_default=True,
    help="What to end with when somebody else holds it.",
)
@click.pass_obj
def run(cli: Cli, /, resource: str, command: tuple[str, ...], **asked: Unpack[_Asked]) -> int:
    """Run a command while a lock is held.

    If the lock is lost, or might be, the command and everything that it started are ended before
    anybody else can get it. The command finds GORILLA_FENCING_TOKEN, GORILLA_LOCK_RESOURCE and
    GORILLA_LOCK_OWNER in its environment. The exit code is the command's; 79: the lock was lost.
    """
    wish = _wish_of(cli, resource, asked)
    with Job(cli, command, wish) as job:
        try:
            grip = job.take()
        except GivenUp as signalled:
            return 128 + signalled.number
        except GorillaError as error:
            failure = explained(error)
            if failure.code is not Exit.CONFLICT:
                raise
            cli.out.say(f"{PROGRAM}: {failure.sentence}", "bad")
            return asked["conflict_exit_code"]
        return job.run(grip, with_token=asked["pass_token"], waits_for_all=asked["wait_all"]).code


def _wish_of(cli: Cli, resource: str, asked: _Asked) -> Wish:
    """Return which lock is wanted; refuse what can't be meant."""
    if asked["no_wait"] and asked["wait"]:
        raise CommandError("--wait and --no-wait contradict each other.")
    if asked["shared"] and (asked["limit"] or 1) > 1:
        raise CommandError("A shared lock has no limit: leave out --limit or --shared.")
    return Wish(
        resource=resource,
        timeout_s=asked["timeout"],
        wait_s=0 if asked["no_wait"] else asked["wait"],
        # Two sessions of one owner are two holders; two requests of one owner are a retry.
        in_session=asked["session"] or asked["pass_token"] or asked["owner"] is not None,
        owner=asked["owner"] or cli.owner(),
        mode=SHARED if asked["shared"] else EXCLUSIVE,
        limit=asked["limit"],
        reason=asked["reason"],
        kill_after_s=asked["kill_after"],
    )
