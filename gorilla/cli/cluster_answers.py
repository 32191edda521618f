"""What all said who were asked how the cluster is, and what to do about it. No I/O."""

from collections.abc import Sequence

import msgspec

from gorilla.cli.cluster_outlook import is_up, knowledge, stage_of
from gorilla.cli.tables import Cell, Column, Styled, Table, counted
from gorilla.client.errors import GorillaError, Unavailable
from gorilla.wire.bodies import ClusterBody


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What came of asking one address."""

    url: str
    view: ClusterBody | None = None
    failure: str = ""
    """Why there is no view."""
    error: GorillaError | None = None
    """What was said instead of a view, if it was anything."""


class Around(msgspec.Struct, frozen=True, kw_only=True):
    """What all who were asked said."""

    answers: tuple[Answer, ...]

    @property
    def best(self) -> ClusterBody | None:
        """Return the view that is worth most; None: nobody answered."""
        return best_of(self.answers)

    @property
    def has_leader(self) -> bool:
        """Return whether whoever knows most knows of a leader."""
        return self.best is not None and self.best.leader is not None

    def no_answer(self) -> GorillaError:
        """Return what to raise where there is no view."""
        for one in self.answers:
            if one.error is not None:
                return one.error
        trouble = "; ".join(f"{one.url}: {one.failure}" for one in self.answers)
        return Unavailable(f"no node answers ({trouble})")


def best_of(answers: Sequence[Answer]) -> ClusterBody | None:
    """Return the view that is worth most."""
    views = (one.view for one in answers if one.view is not None)
    return max(views, key=knowledge, default=None)


class Asked(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One address that was asked, in ``-o json``."""

    url: str
    node: str | None = None
    """Who answered there; null: nobody did."""
    role: str | None = None
    term: int | None = None
    leader: str | None = None
    """Who leads, as this node believes."""
    failure: str | None = None


def asked_of(answers: Sequence[Answer]) -> tuple[Asked, ...]:
    """Return who answered, and who did not, for programs."""
    return tuple(map(_asked, answers))


def _asked(one: Answer) -> Asked:
    view = one.view
    if view is None:
        return Asked(url=one.url, failure=one.failure)
    leader = None if view.leader is None else view.leader.name
    return Asked(url=one.url, node=view.node, role=view.role, term=view.term, leader=leader)


def remedy_of(around: Around) -> str:
    """Say what to do where nobody leads; nothing where somebody does."""
    best = around.best
    if best is None:
        return (
            "No node answers. Are these its addresses, and is it running? What the endpoints are, "
            "and why: gorilla context show."
        )
    if around.has_leader:
        return ""
    if not best.cluster_id:
        return f"{best.node} belongs to no cluster yet; its log says what it waits for."
    answering = {one.view.node for one in around.answers if one.view is not None}
    # What a node says of the others is some seconds old.
    down = [one.name for one in best.members if one.name not in answering or not is_up(one)]
    missing = stage_of(best).quorum - (len(best.members) - len(down))
    if missing <= 0:
        return (
            "Enough members are up to elect a leader, which takes some seconds. If it stays so, "
            "look at their logs, and at gorilla doctor."
        )
    more = counted(missing, "more member")
    return (
        f"Without a quorum nothing is answered, and nothing is lost: start {_either(down)}, or "
        f"mend the way to it. {more} must be up. Only if their disks are lost for good: gorilla "
        "snapshot restore."
    )


def _either(names: Sequence[str]) -> str:
    return " or ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def answers_table(answers: Sequence[Answer]) -> Table:
    """Return who answered, and what they say of a leader."""
    columns = [
        Column("ASKED", flexible=True),
        Column("NODE"),
        Column("SAYS", flexible=True),
    ]
    return Table(columns, [_answer_row(one) for one in answers])


def _answer_row(one: Answer) -> list[Cell]:
    view = one.view
    if view is None:
        return [one.url, None, Styled(f"no answer: {one.failure.rstrip('.')}", "bad")]
    if view.leader is None:
        says = Styled(f"no leader in term {view.term}, {_up_in_words(view)}", "bad")
    elif view.role == "leader":
        says = Styled(f"it leads term {view.term}, {_up_in_words(view)}", "good")
    else:
        says = Styled(f"{view.leader.name} leads term {view.term}", "")
    return [one.url, view.node, says]


def _up_in_words(view: ClusterBody) -> str:
    stage = stage_of(view)
    return f"{stage.up} of {len(stage.members)} members up"
