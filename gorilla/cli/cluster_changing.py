"""Makes a change of the cluster: shows what it means, asks, does it once, tells what was done."""

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from gorilla.cli.cluster_looking import Looker, leaders_view
from gorilla.cli.cluster_outlook import Kind, Outlook, Stage, Wanted, outlook
from gorilla.cli.cluster_shown import plan_views, report_views
from gorilla.cli.cluster_watching import until_healthy
from gorilla.cli.output import terminal_width
from gorilla.cli.tables import laid_out
from gorilla.client.errors import ChangeRefused, OutcomeUnknown, Unavailable
from gorilla.wire.bodies import ClusterBody
from gorilla.wire.membership import ChangeReportBody

if TYPE_CHECKING:
    from gorilla.cli.app import Cli

_STERN: Final = (
    "--force skips the checks that members are up and have caught up. If the cluster is left "
    "without a quorum, it answers nothing, and nothing but a restore brings it back."
)


_NO_QUORUM: Final = "no_quorum"
"""The one reason to refuse that the outlook explains."""


class How(msgspec.Struct, frozen=True, kw_only=True):
    """What the options of every change say."""

    dry_run: bool
    yes: bool
    force: bool
    watch: bool
    timeout_s: float


class StageBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One time of a change, in ``-o json``."""

    when: str
    members: tuple[str, ...]
    up: int
    quorum: int
    may_fail: int


class PlanBody(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What ``--dry-run -o json`` prints."""

    steps: tuple[str, ...]
    stages: tuple[StageBody, ...]
    warnings: tuple[str, ...]


class Ask(Protocol):
    """Asks for the change."""

    def __call__(self, *, dry_run: bool) -> ChangeReportBody:
        """Ask once."""


def change(cli: "Cli", looker: Looker, wanted: Wanted, how: How, ask: Ask) -> None:
    """Make a change.

    It is asked for once: a failure is shown to whoever asked, and repeated by nobody else.

    Args:
        cli: Of this command line.
        looker: Finds out how the cluster is.
        wanted: Which change, for the outlook.
        how: What the options say.
        ask: Asks for it.

    Raises:
        CommandError: Nobody said yes, or the cluster was not healthy in time.
        GorillaError: There is no leader, it was refused, or nobody knows.

    """
    view = leaders_view(looker)
    if view.leader is None:
        raise Unavailable(f"{view.node} knows no leader, and without one nothing can be changed")
    try:
        report = ask(dry_run=True)
    except ChangeRefused as error:
        if error.reason == _NO_QUORUM:
            _tell(cli, outlook(view, wanted, None), None)
        raise
    found = outlook(view, wanted, report)
    if how.dry_run:
        cli.out.show(_plan_body(found, report), *plan_views(found, report))
        return
    if report.steps:
        _tell(cli, found, report)
        if how.force:
            cli.out.say(_STERN, "bad")
        cli.confirm(_question(found), yes=how.yes)
        cli.out.say(f"Making the change, within {how.timeout_s:g} s…", "dim")
        report = _made(cli, ask)
    else:
        # What is wanted is so: nobody is asked, and nothing is left to be done.
        report = msgspec.structs.replace(report, done=True)
    cli.out.show(report, *report_views(report, _already(view, wanted)))
    if how.watch:
        until_healthy(looker, cli.out)


def _already(view: ClusterBody, wanted: Wanted) -> str:
    """Say how it was, where nothing was to be done."""
    if wanted.kind is Kind.TRANSFER and view.leader is not None:
        return f"{view.leader.name} leads already"
    return "it was so already"


def _made(cli: "Cli", ask: Ask) -> ChangeReportBody:
    try:
        return ask(dry_run=False)
    except OutcomeUnknown:
        cli.out.say(
            "It may have been made, or may be yet. Look at gorilla cluster status; the same change "
            "may be asked for again, and what is done already is done.",
            "warn",
        )
        raise


def _tell(cli: "Cli", found: Outlook, report: ChangeReportBody | None) -> None:
    for view in plan_views(found, report, warnings=False):
        cli.out.say("\n".join([*laid_out(view, terminal_width()), ""]))
    for text in found.warnings:
        cli.out.say("\n".join(laid_out(f"! {text}", terminal_width())), "warn")


def _question(found: Outlook) -> str:
    if found.loses_quorum:
        return "The cluster will have NO QUORUM. Go on all the same?"
    return "Fewer may fail after it. Go on?" if found.bears_less else "Go on?"


def _plan_body(found: Outlook, report: ChangeReportBody) -> PlanBody:
    return PlanBody(
        steps=report.steps, stages=tuple(map(_stage_body, found.stages)), warnings=found.warnings
    )


def _stage_body(stage: Stage) -> StageBody:
    return StageBody(
        when=stage.when,
        members=stage.members,
        up=stage.up,
        quorum=stage.quorum,
        may_fail=stage.spare,
    )
