"""How a cluster is shown to people: tables, alarms, the plan of a change. No I/O."""

from collections.abc import Iterator, Sequence
from typing import Final

import msgspec

from gorilla.cli.cluster_answers import (
    Answer,
    Around,
    Asked,
    answers_table,
    asked_of,
    remedy_of,
)
from gorilla.cli.cluster_outlook import Outlook, Stage, is_up, stage_of
from gorilla.cli.tables import Cell, Column, Facts, Styled, Table, View, counted
from gorilla.wire.bodies import ClusterBody, MemberBody
from gorilla.wire.membership import ChangeReportBody

LAG_HEALTHY_MAX: Final = 1_000
"""Entries that a member may be behind and still count as healthy."""

_ID_CHARS: Final = 8


class Unanswered(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What ``-o json`` prints in place of a status when nobody answers."""

    unavailable: str
    asked: tuple[Asked, ...] = ()


class Status(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """The document that ``-o json`` prints: what is worked out, and all that the node said."""

    quorum: int
    up: int
    tolerates: int
    """How many may be down at once, of all."""
    may_fail: int
    """How many more may fail now; below 0 there is no quorum."""
    healthy: bool
    alarms: tuple[str, ...]
    cluster: ClusterBody
    asked: tuple[Asked, ...] = ()


def status_of(view: ClusterBody, answers: Sequence[Answer] = ()) -> Status:
    """Work out what a view comes to.

    Args:
        view: The one that is worth most.
        answers: What all who were asked said.

    """
    stage = stage_of(view)
    return Status(
        quorum=stage.quorum,
        up=stage.up,
        tolerates=stage.tolerates,
        may_fail=stage.spare,
        healthy=not any(True for _ in missing(view)),
        alarms=tuple(alarms(view)),
        cluster=view,
        asked=asked_of(answers),
    )


def missing(view: ClusterBody) -> Iterator[str]:
    """Say what keeps a cluster from being as it should be; the database is not part of that."""
    if view.leader is None:
        yield "no leader is known"
    for one in view.members:
        if not is_up(one):
            yield f"{one.name} can't be reached"
        elif one.lag is not None and one.lag > LAG_HEALTHY_MAX:
            yield f"{one.name} is {one.lag} entries behind"
    if not view.caught_up:
        yield f"{view.node} has not caught up"


def alarms(view: ClusterBody) -> Iterator[str]:
    """Say what somebody must look after."""
    stage = stage_of(view)
    if stage.spare < 0:
        yield f"There is no quorum: {stage.up} up, {stage.quorum} needed. Nothing is answered."
    for text in missing(view):
        yield f"{text.replace('no leader', 'No leader')}."
    if view.snapshots.failing_since is not None:
        yield f"Snapshots can't be stored since {view.snapshots.failing_since} UTC; locks go on."
    if view.history.failing_since is not None:
        yield f"The history can't be written since {view.history.failing_since} UTC; locks go on."
    versions = {one.version for one in view.members if one.version is not None}
    if len(versions) > 1:
        yield f"Versions are mixed ({', '.join(sorted(versions))}): finish the upgrade."


def around_views(around: Around) -> list[View]:
    """Return what ``gorilla cluster status`` shows of what all who were asked said."""
    best, answers = around.best, around.answers
    views = [] if best is None else status_views(best)
    if best is None or not around.has_leader or any(one.view is None for one in answers):
        views.append(answers_table(answers))
    remedy = remedy_of(around)
    return [*views, remedy] if remedy else views


def status_views(view: ClusterBody) -> list[View]:
    """Return what ``gorilla cluster status`` shows of a view."""
    raised = list(alarms(view))
    pairs: list[tuple[str, Cell]] = [
        ("Cluster", f"{view.name} ({view.cluster_id[:_ID_CHARS] or 'not formed'})"),
        ("Leader", _leader(view)),
        ("Members", _members_in_words(stage_of(view))),
        ("Locks", f"{view.held} held, {view.waiting} waiting, {counted(view.sessions, 'session')}"),
        ("Version", _version(view)),
        ("Snapshots", _snapshots(view)),
        ("History", _history(view)),
    ]
    pairs += [("Alarm" if not at else "", Styled(text, "bad")) for at, text in enumerate(raised)]
    note = _note(view)
    return [Facts(pairs), member_table(view.members, places=False), *([note] if note else [])]


def _leader(view: ClusterBody) -> Cell:
    if view.leader is None:
        return Styled(f"none, in term {view.term}", "bad")
    return f"{view.leader.name}, in term {view.term}"


def _members_in_words(stage: Stage) -> Cell:
    counted = f"{stage.up} of {len(stage.members)} up, {stage.quorum} needed"
    if stage.spare < 0:
        return Styled(f"{counted}: no quorum", "bad")
    if stage.spare == 0:
        return Styled(f"{counted}: no more may fail", "warn")
    return f"{counted}: {stage.spare} more may fail"


def _version(view: ClusterBody) -> str:
    levels = [one.feature_level for one in view.members]
    lowest = min((level for level in levels if level is not None), default=view.cluster_version)
    versions = sorted({one.version for one in view.members if one.version is not None})
    told = f"{', '.join(versions) or view.version}; cluster version {view.cluster_version}"
    if None not in levels and lowest > view.cluster_version:
        return f"{told}, can be finalised to {lowest} (cluster.finalise_level)"
    return told


def _snapshots(view: ClusterBody) -> Cell:
    health = view.snapshots
    if not health.configured:
        return Styled("no database is configured", "warn")
    if health.failing_since is not None:
        return Styled(f"failing since {_moment(health.failing_since)}", "bad")
    return "none yet" if health.stored_at is None else f"newest {_moment(health.stored_at)}"


def _history(view: ClusterBody) -> Cell:
    health = view.history
    if not health.configured:
        return "not kept"
    if health.failing_since is not None:
        return Styled(f"failing since {_moment(health.failing_since)}", "bad")
    behind = health.behind
    return "kept" if behind is None else f"kept, {counted(behind, 'event')} behind"


def _moment(stamp: str) -> str:
    return f"{stamp.replace('T', ' ')} UTC"


def _note(view: ClusterBody) -> str:
    if view.role == "leader":
        return ""
    return f"{view.node} says so, and does not lead: how far each member is, only the leader knows."


def member_table(members: Sequence[MemberBody], *, places: bool) -> Table:
    """Return the members as a table.

    Args:
        members: In their order.
        places: Where and who each is, instead of how it is.

    """
    columns = [Column("MEMBER"), Column("ROLE"), Column("STATE")]
    if places:
        columns += [Column("HTTP", flexible=True), Column("PEER", flexible=True), Column("ID")]
    else:
        columns += [
            Column("LAG", right=True),
            Column("HEARD", right=True),
            Column("VERSION"),
            Column("HTTP", flexible=True),
        ]
    return Table(columns, [_member_row(one, places=places) for one in members])


def _member_row(one: MemberBody, *, places: bool) -> list[Cell]:
    row: list[Cell] = [
        Styled(one.name, "strong") if one.role == "leader" else one.name,
        one.role,
        _state(one),
    ]
    if places:
        return [*row, one.http, one.peer, one.id[:_ID_CHARS]]
    heard = None if one.heard is None else f"{one.heard:.1f}s"
    return [*row, one.lag, heard, one.version, one.http]


def _state(one: MemberBody) -> Styled:
    if not is_up(one):
        return Styled("silent" if one.connected else "down", "bad")
    return Styled("drained", "warn") if one.draining else Styled("up", "good")


def plan_views(
    outlook: Outlook, report: ChangeReportBody | None, *, warnings: bool = True
) -> list[View]:
    """Return what is shown of a change before it is made, with its warnings or without."""
    views: list[View] = []
    if report is not None and report.steps:
        steps = [f"  {number}. {step}" for number, step in enumerate(report.steps, start=1)]
        views.append("\n".join(["What will be done:", *steps]))
    views.append(_stages(outlook.stages))
    if warnings and outlook.warnings:
        views.append("\n".join(f"! {text}" for text in outlook.warnings))
    return views


def _stages(stages: Sequence[Stage]) -> Table:
    columns = [
        Column(""),
        Column("MEMBERS", flexible=True),
        Column("UP", right=True),
        Column("NEEDED", right=True),
        Column("MAY FAIL", right=True),
    ]
    return Table(columns, [_stage_row(stage) for stage in stages])


def _stage_row(stage: Stage) -> list[Cell]:
    spare: Cell = stage.spare
    if stage.spare <= 0:
        spare = Styled(
            "none" if stage.spare == 0 else "no quorum", "bad" if stage.spare else "warn"
        )
    up = f"{stage.up} of {len(stage.members)}"
    return [stage.when, ", ".join(stage.members), up, stage.quorum, spare]


def report_views(report: ChangeReportBody, already: str = "it was so already") -> list[View]:
    """Return what is shown of a change that was made.

    Args:
        report: What was done.
        already: How it was, where nothing was to be done.

    """
    done = "\n".join(["Done:", *(f"  {step}" for step in report.steps)])
    columns = [
        Column("MEMBER"),
        Column("HTTP", flexible=True),
        Column("PEER", flexible=True),
        Column("ID"),
    ]
    rows: list[list[Cell]] = [
        [one.name, one.http, one.peer, one.id[:_ID_CHARS]] for one in report.members
    ]
    count = len(report.members)
    may = "none may be down" if not report.tolerates else f"{report.tolerates} may be down at once"
    return [
        done if report.steps else f"Nothing was to be done: {already}.",
        Table(columns, rows),
        f"{count} members, {report.quorum} needed: {may}.",
    ]
