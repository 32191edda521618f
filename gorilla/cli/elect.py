"""``gorilla elect``: a command that runs while this process leads, and never longer."""

from typing import Final, TypedDict

import click
from typing_extensions import Unpack

from gorilla.cli.app import Cli
from gorilla.cli.failures import explained
from gorilla.cli.options import TIMEOUT, Verb
from gorilla.cli.run_grip import Wish
from gorilla.cli.run_job import Job, Ran
from gorilla.cli.run_task import GivenUp
from gorilla.client.clock import now_s
from gorilla.client.errors import LockLost, OutcomeUnknown, Unavailable
from gorilla.client.options import ELECTION_S, ELECTIONS
from gorilla.wire.asking import EXCLUSIVE

AGAIN_S_MIN: Final = 1.0
AGAIN_S_MAX: Final = 30.0
"""Before who has led for a short time only campaigns again: twice as long each time."""


class _Asked(TypedDict):
    """Options of ``elect``."""

    timeout: float
    kill_after: float | None
    owner: str | None
    reason: str | None
    once: bool
    restart: bool


@click.command(
    "elect",
    cls=Verb,
    examples=[
        "gorilla elect scheduler -- ./scheduler",
        "gorilla elect billing --restart --timeout 30 -- ./bill --all",
    ],
)
@click.argument("name")
@click.argument("command", metavar="-- COMMAND...", nargs=-1, required=True, type=click.UNPROCESSED)
@click.option(
    "--timeout",
    metavar="SECONDS",
    type=TIMEOUT,
    default=ELECTION_S,
    show_default=True,
    help="How long a term outlives the last sign of life of its leader.",
)
@click.option(
    "--kill-after",
    metavar="SECONDS",
    type=TIMEOUT,
    help="Between SIGTERM and SIGKILL when leadership is lost. [a 4th of --timeout]",
)
@click.option("--owner", metavar="NAME", help="Who leads, for people and policies.")
@click.option("--reason", metavar="TEXT", help="What for; shown to those who wait.")
@click.option("--once", is_flag=True, help="End when leadership is lost; don't campaign again.")
@click.option("--restart", is_flag=True, help="Campaign again when the command ends by itself.")
@click.pass_obj
def elect(cli: Cli, /, name: str, command: tuple[str, ...], **asked: Unpack[_Asked]) -> int:
    """Run a command while leading: of all who ask for NAME, one at a time does.

    It campaigns for as long as it takes, whether nodes can be reached or not. When leadership is
    lost, or might be, the command and everything that it started are ended before anybody else can
    lead, and it campaigns again. When the command ends by itself, its exit code is ours.
    """
    wish = Wish(
        resource=ELECTIONS + name,
        timeout_s=asked["timeout"],
        wait_s=None,
        outlives_outages=True,
        owner=asked["owner"] or cli.owner(),
        in_session=asked["owner"] is not None,
        mode=EXCLUSIVE,
        reason=asked["reason"],
        kill_after_s=asked["kill_after"],
    )
    with Job(cli, command, wish) as job:
        return _campaign(cli, job, asked)


def _campaign(cli: Cli, job: Job, asked: _Asked) -> int:
    """Lead as often as it comes to that; return what to end with."""
    pause_s = AGAIN_S_MIN
    try:
        while True:
            began_s = now_s()
            ran = _term(cli, job)
            if ran is not None and _is_over(job, ran, asked):
                return ran.code
            pause_s = AGAIN_S_MIN if now_s() - began_s > AGAIN_S_MAX else pause_s
            job.wrapper.pause(pause_s)
            pause_s = min(AGAIN_S_MAX, 2 * pause_s)
    except GivenUp as signalled:
        return 128 + signalled.number


def _term(cli: Cli, job: Job) -> Ran | None:
    """Campaign, and lead once; None: it came to nothing, for a reason that may pass."""
    cli.out.remark("Campaigning.")
    try:
        grip = job.take()
    except (Unavailable, OutcomeUnknown, LockLost) as error:
        cli.out.warn(explained(error).sentence)
        return None
    cli.out.remark(f"Leading, term {grip.fencing_token}.")
    return job.run(grip)


def _is_over(job: Job, ran: Ran, asked: _Asked) -> bool:
    if job.wrapper.asked_to_end is not None or job.wrapper.is_unguarded:
        return True
    return asked["once"] if ran.was_lost else not asked["restart"]
