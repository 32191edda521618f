"""What a change of the cluster means for its quorum: before, while it is made, after. No I/O."""

from collections.abc import Iterator
from enum import Enum
from typing import Final

import msgspec

from gorilla.wire.bodies import ClusterBody, MemberBody
from gorilla.wire.membership import ChangeReportBody

SILENT_S_MAX: Final = 2.0
"""A member that was not heard for longer is down, though its connection stands (seconds)."""

_PAIR: Final = 2


class Kind(Enum):
    """Which change it is."""

    ADD = "add"
    REPLACE = "replace"
    REMOVE = "remove"
    MOVE = "move"
    TRANSFER = "transfer"
    DRAIN = "drain"
    UNDRAIN = "undrain"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """A change that somebody asks for."""

    kind: Kind
    member: str
    """Name or id of whom it is about; of a replacement, the newcomer's name. A transfer to
    whoever is best has an empty one."""
    leaving: str = ""
    """Name or id of whom a newcomer replaces."""


class Stage(msgspec.Struct, frozen=True, kw_only=True):
    """How much the cluster bears at one time."""

    when: str
    members: tuple[str, ...]
    up: int
    """How many of them are linked with the answering node, itself included."""

    @property
    def quorum(self) -> int:
        """Return how many of them must be up."""
        return len(self.members) // 2 + 1

    @property
    def tolerates(self) -> int:
        """Return how many of them may be down at once."""
        return len(self.members) - self.quorum

    @property
    def spare(self) -> int:
        """Return how many more may fail now; below 0 there is no quorum."""
        return self.up - self.quorum


class Outlook(msgspec.Struct, frozen=True, kw_only=True):
    """What a change means, and what an operator must know before it is made."""

    stages: tuple[Stage, ...]
    warnings: tuple[str, ...]

    @property
    def loses_quorum(self) -> bool:
        """Return whether fewer than a majority would be up at some time."""
        return any(stage.spare < 0 for stage in self.stages[1:])

    @property
    def bears_less(self) -> bool:
        """Return whether fewer may fail after it than now."""
        return self.stages[-1].spare < self.stages[0].spare


def is_up(member: MemberBody) -> bool:
    """Return whether a member is linked with the answering node, and heard."""
    return member.connected and (member.heard is None or member.heard <= SILENT_S_MAX)


def knowledge(view: ClusterBody) -> tuple[bool, bool, int, bool]:
    """Say how much a view is worth: one of a node that waits to be added says nothing."""
    return bool(view.cluster_id), view.leader is not None, view.term, view.role == "leader"


def stage_of(view: ClusterBody, when: str = "now") -> Stage:
    """Return what a cluster bears as it is."""
    return Stage(
        when=when,
        members=tuple(one.name for one in view.members),
        up=sum(map(is_up, view.members)),
    )


def outlook(view: ClusterBody, wanted: Wanted, report: ChangeReportBody | None) -> Outlook:
    """Say what a change means.

    Args:
        view: The cluster before it, best as its leader sees it.
        wanted: The change.
        report: What the dry run said; None when it was refused.

    """
    before = stage_of(view)
    after = _after(view, wanted, report)
    between = _between(view, wanted)
    stages = (before, *between, after) if _counts(wanted) else (before,)
    warnings = (*_of_the_quorum(stages), *_of_the_change(view, wanted))
    return Outlook(stages=stages, warnings=warnings)


def _counts(wanted: Wanted) -> bool:
    """Return whether the change is one of who has a vote."""
    return wanted.kind in {Kind.ADD, Kind.REPLACE, Kind.REMOVE}


def _named(view: ClusterBody, key: str) -> str:
    """Return the name of a member that is given by id or name."""
    return next((one.name for one in view.members if key == one.id), key)


def _without(view: ClusterBody, key: str, when: str) -> Stage:
    name = _named(view, key)
    staying = [one for one in view.members if one.name != name]
    return Stage(
        when=when,
        members=tuple(one.name for one in staying),
        up=sum(map(is_up, staying)),
    )


def _between(view: ClusterBody, wanted: Wanted) -> tuple[Stage, ...]:
    """Return the time between the old member's going and the new one's coming."""
    if wanted.kind is Kind.REPLACE:
        return (_without(view, wanted.leaving, "for a moment"),)
    return ()


def _after(view: ClusterBody, wanted: Wanted, report: ChangeReportBody | None) -> Stage:
    when = "after it"
    match wanted.kind:
        case Kind.ADD:
            staying = stage_of(view, when)
        case Kind.REPLACE:
            staying = _without(view, wanted.leaving, when)
        case Kind.REMOVE:
            return _without(view, wanted.member, when)
        case _:
            return stage_of(view, when)
    if report is not None and len(report.members) == len(staying.members):
        return staying  # it is a member already, and nothing is to be done
    # A newcomer has the data before it counts, so it is up.
    members = (*staying.members, wanted.member)
    return Stage(when=when, members=tuple(sorted(members)), up=staying.up + 1)


def _of_the_quorum(stages: tuple[Stage, ...]) -> Iterator[str]:
    if len(stages) == 1:
        return
    before, *between, after = stages
    for stage in between:
        if stage.spare <= 0 < before.spare:
            yield (
                f"Between the two steps, for the time of one commit, {_all_of(stage)} must be up."
            )
    if after.spare < 0:
        yield (
            f"{after.up} of {len(after.members)} members would be up, and {after.quorum} are "
            "needed: the cluster would answer nothing, and could not be changed back."
        )
    elif after.spare < before.spare:
        yield f"Fewer may fail than now: {_may_fail(after)}, instead of {before.spare}."
    yield from _of_the_size(before, after)


def _all_of(stage: Stage) -> str:
    return (
        " and ".join(stage.members)
        if len(stage.members) <= _PAIR
        else (f"{stage.quorum} of {', '.join(stage.members)}")
    )


def _may_fail(stage: Stage) -> str:
    return "none" if stage.spare == 0 else str(stage.spare)


def _of_the_size(before: Stage, after: Stage) -> Iterator[str]:
    count = len(after.members)
    if count == len(before.members):
        return
    if count == 1:
        yield "One member is left: its disk is the only copy of the locks."
    elif count == _PAIR:
        yield "Two members tolerate no loss: both must be up. Add a third one at once."
    elif count % 2 == 0:
        yield (
            f"{count} members tolerate the loss of {after.tolerates}, no more than "
            f"{count - 1} do. Go on to {count + 1}, or stay at an odd number."
        )


def _of_the_change(view: ClusterBody, wanted: Wanted) -> Iterator[str]:
    name = _named(view, wanted.leaving or wanted.member)
    about = next((one for one in view.members if one.name == name), None)
    if about is None:
        return
    leads = view.leader is not None and view.leader.id == about.id
    if leads and wanted.kind in {Kind.REMOVE, Kind.REPLACE, Kind.DRAIN}:
        yield f"{name} leads: it hands over first, and requests wait for a moment."
    if wanted.kind in {Kind.REMOVE, Kind.REPLACE} and is_up(about):
        yield f"{name} is up: its process ends, and its data directory is no member's any more."
        down = [one.name for one in view.members if not is_up(one)]
        if down:
            yield f"{', '.join(down)} can't be reached: was that one meant?"
    if wanted.kind is Kind.MOVE and is_up(about):
        yield (
            f"{name} is up: the others look for it at its new address from now on. Stop it first, "
            "and start it with that address."
        )
    if wanted.kind is Kind.DRAIN:
        yield from _of_draining(view, name)


def _of_draining(view: ClusterBody, name: str) -> Iterator[str]:
    serving = [
        one.name for one in view.members if is_up(one) and not one.draining and one.name != name
    ]
    if len(serving) == 1:
        yield f"Only {serving[0]} takes new requests then."
