"""Whether a change of the cluster may be made now, and its steps: rules without any I/O."""

from collections.abc import Iterable
from typing import Final, NoReturn

import msgspec
from typing_extensions import override

from gorilla.service.errors import ChangeRefusal as Why, ChangeRefusedError, MemberNotFoundError
from gorilla.service.ports import (
    AddMember,
    Change,
    ChangeReport,
    DrainMember,
    Member,
    MoveMember,
    RemoveMember,
    TransferLeadership,
)

BEHIND_MAX: Final = 1000
"""How many entries the next leader, or a newcomer that is about to count, may lack."""


class Standing(msgspec.Struct, frozen=True):
    """A member as the leader sees it."""

    member: Member
    reachable: bool = True
    behind: int = 0
    """How many entries of the leader's log it lacks."""
    draining: bool = False
    """Whether an operator wants it to take no requests and not to lead."""


class ClusterSight(msgspec.Struct, frozen=True):
    """What the leader knows when it is asked for a change."""

    leader: str
    """Member id."""
    members: tuple[Standing, ...]
    removed: frozenset[str] = frozenset()
    under_way: bool = False
    """Whether another change is uncommitted."""
    newcomer: str | None = None
    """Id of the node that waits under the name to be added; None when there is none."""


class Learn(msgspec.Struct, frozen=True):
    """Invite a node, and send it the log until it has nearly all."""

    member: Member

    @override
    def __str__(self) -> str:
        """Say it to people."""
        return f"let {self.member.name} learn the log, without a vote"


class Propose(msgspec.Struct, frozen=True):
    """Write one change to the log, and wait until it is committed."""

    kind: str
    """``add``, ``rem`` or ``set``."""
    member: Member

    @override
    def __str__(self) -> str:
        """Say it to people."""
        name = self.member.name
        match self.kind:
            case "add":
                return f"make {name} a member"
            case "rem":
                return f"remove {name}"
            case _:
                return f"{name} is at {self.member.peer} and {self.member.http}"


class HandOver(msgspec.Struct, frozen=True):
    """Let another member lead; what follows is its."""

    to: Member

    @override
    def __str__(self) -> str:
        """Say it to people."""
        return f"hand leadership over to {self.to.name}"


class SetDraining(msgspec.Struct, frozen=True):
    """Tell a member to take requests no more, or again."""

    member: Member
    draining: bool

    @override
    def __str__(self) -> str:
        """Say it to people."""
        name = self.member.name
        return f"drain {name}" if self.draining else f"end the draining of {name}"


Step = Learn | Propose | HandOver | SetDraining


class Plan(msgspec.Struct, frozen=True):
    """What to do, and what the cluster is then."""

    steps: tuple[Step, ...]
    members: tuple[Member, ...]

    def report(self, *, done: bool) -> ChangeReport:
        """Say it to whoever asked."""
        count = len(self.members)
        return ChangeReport(
            done=done,
            steps=tuple(str(step) for step in self.steps),
            members=tuple(sorted(self.members, key=lambda member: member.name)),
            quorum=count // 2 + 1,
            tolerates=(count - 1) // 2,
        )


def plan(sight: ClusterSight, change: Change, *, force: bool) -> Plan:
    """Return the steps of a change.

    Args:
        sight: The cluster as its leader sees it.
        change: What is wanted.
        force: Skip what only protects availability: whether enough members are up and caught up.

    Raises:
        ChangeRefusedError: It must not be made now; the message says what to do.
        MemberNotFoundError: It is about a member that there is not.

    """
    if sight.under_way:
        _refuse(
            Why.UNDER_WAY, "another change of the cluster is under way: ask again when it is done"
        )
    match change:
        case AddMember():
            return _add(sight, change, force=force)
        case RemoveMember(member=key):
            return _remove(sight, find(sight, key), force=force)
        case MoveMember():
            return _move(sight, change)
        case TransferLeadership(to=to):
            return _transfer(sight, to, force=force)
        case DrainMember(member=key, draining=draining):
            return _drain(sight, find(sight, key), draining=draining)


def pinned(change: Change, members: Iterable[Member]) -> Change:
    """Return the change with the id of whom it replaces: the name may be its successor's, too."""
    match change:
        case AddMember(replaces=str() as key):
            ids = (one.id for one in members if key in (one.id, one.name))
            return msgspec.structs.replace(change, replaces=next(ids, key))
        case _:
            return change


def is_in_force(sight: ClusterSight, change: Change) -> bool:
    """Return whether a change that was asked for before needs no step any more.

    For those that can't be planned again once they are made.
    """
    match change:
        case AddMember(name=name, peer=peer, http=http, replaces=leaving):
            wanted = (name, peer, http)
            members = (one.member for one in sight.members)
            has_left = leaving is None or not _is_member(sight, leaving)
            return has_left and any((one.name, one.peer, one.http) == wanted for one in members)
        case RemoveMember(member=key):
            return not _is_member(sight, key)
        case _:
            return False


def as_resumed(sight: ClusterSight, change: Change) -> tuple[Change, tuple[str, ...]]:
    """Return what is left of a change, and in words what was made of it already."""
    match change:
        case AddMember(replaces=str() as leaving) if not _is_member(sight, leaving):
            return msgspec.structs.replace(change, replaces=None), (f"remove {leaving}",)
        case _:
            return change, ()


def _is_member(sight: ClusterSight, key: str) -> bool:
    return any(key in (one.member.id, one.member.name) for one in sight.members)


def _drain(sight: ClusterSight, standing: Standing, *, draining: bool) -> Plan:
    members = tuple(one.member for one in sight.members)
    name = standing.member.name
    if standing.draining == draining:
        return Plan((), members)
    if not standing.reachable:
        _refuse(
            Why.UNREACHABLE, f"{name} is not reachable from the leader: it takes no requests now"
        )
    if not draining:
        return Plan((SetDraining(standing.member, draining=False),), members)
    others = (one for one in sight.members if one is not standing)
    if not any(one.reachable and not one.draining for one in others):
        _refuse(
            Why.LAST_SERVING, f"no member but {name} takes requests: let another one do so first"
        )
    handing_over = _hand_over_of(sight, standing, force=False)
    return Plan((SetDraining(standing.member, draining=True), *handing_over), members)


def find(sight: ClusterSight, key: str) -> Standing:
    """Return the member of an id or a name.

    Raises:
        MemberNotFoundError: There is none.

    """
    for attribute in ("id", "name"):
        for one in sight.members:
            if getattr(one.member, attribute) == key:
                return one
    raise MemberNotFoundError(f"no member has the id or the name {key!r}")


def _add(sight: ClusterSight, change: AddMember, *, force: bool) -> Plan:
    leaving = None if change.replaces is None else find(sight, change.replaces)
    staying = tuple(one for one in sight.members if one is not leaving)
    _check_unused(staying, name=change.name, peer=change.peer, http=change.http)
    if sight.newcomer is None:
        _refuse(
            Why.NEWCOMER_NOT_UP,
            f"{change.name} does not wait to be added at {change.peer}: start it first, with an"
            f" empty data directory (gorillad run --node {change.name})",
        )
    if sight.newcomer in sight.removed:
        _refuse(
            Why.REMOVED,
            f"{change.name} was removed for good: start it with an empty data directory",
        )
    if any(one.member.id == sight.newcomer for one in sight.members):
        _refuse(Why.EXISTS, f"{change.name} is a member already")
    new = Member(id=sight.newcomer, name=change.name, peer=change.peer, http=change.http)
    steps: list[Step] = []
    if leaving is not None:
        if not staying:
            _refuse(Why.LAST_MEMBER, "the only member can't be replaced: add the other one first")
        _check_quorum(staying, force=force)
        steps += _hand_over_of(sight, leaving, force=force)
    steps.append(Learn(new))
    if leaving is not None:
        steps.append(Propose("rem", leaving.member))
    steps.append(Propose("add", new))
    _check_quorum((*staying, Standing(new)), force=force)
    return Plan(tuple(steps), (*(one.member for one in staying), new))


def _remove(sight: ClusterSight, leaving: Standing, *, force: bool) -> Plan:
    staying = tuple(one for one in sight.members if one is not leaving)
    if not staying:
        _refuse(Why.LAST_MEMBER, "the last member can't be removed: stop the node instead")
    _check_quorum(staying, force=force)
    steps = (*_hand_over_of(sight, leaving, force=force), Propose("rem", leaving.member))
    return Plan(steps, tuple(one.member for one in staying))


def _move(sight: ClusterSight, change: MoveMember) -> Plan:
    moving = find(sight, change.member).member
    peer, http = change.peer or moving.peer, change.http or moving.http
    others = tuple(one for one in sight.members if one.member is not moving)
    _check_unused(others, name=moving.name, peer=peer, http=http)
    moved = msgspec.structs.replace(moving, peer=peer, http=http)
    steps = () if moved == moving else (Propose("set", moved),)
    return Plan(steps, (*(one.member for one in others), moved))


def _transfer(sight: ClusterSight, to: str | None, *, force: bool) -> Plan:
    members = tuple(one.member for one in sight.members)
    target = None if to is None else find(sight, to)
    if target is not None and target.member.id == sight.leader:
        return Plan((), members)
    return Plan((HandOver(_successor(sight, target, force=force)),), members)


def _hand_over_of(sight: ClusterSight, leaving: Standing, *, force: bool) -> tuple[Step, ...]:
    if leaving.member.id != sight.leader:
        return ()
    return (HandOver(_successor(sight, None, force=force)),)


def _successor(sight: ClusterSight, target: Standing | None, *, force: bool) -> Member:
    """Return who is to lead next: the target, or whoever is nearest to the leader's log."""
    others = [one for one in sight.members if one.member.id != sight.leader]
    if target is None:
        reachable = [one for one in others if one.reachable]
        if not reachable:
            _refuse(Why.UNREACHABLE, "no other member is reachable: nobody could lead; start one")
        target = min(reachable, key=lambda one: (one.draining, one.behind, one.member.name))
    name = target.member.name
    if not target.reachable:
        _refuse(
            Why.UNREACHABLE, f"{name} is not reachable from the leader: it can't lead; start it"
        )
    if target.behind > BEHIND_MAX and not force:
        _refuse(
            Why.NOT_CAUGHT_UP,
            f"{name} lacks {target.behind} entries of the log: wait until it has them",
        )
    return target.member


def _check_unused(members: tuple[Standing, ...], *, name: str, peer: str, http: str) -> None:
    if peer == http:
        _refuse(Why.EXISTS, f"peer and http are both {peer}: a member needs an address for each")
    for one in (standing.member for standing in members):
        if one.name == name:
            _refuse(Why.EXISTS, f"{name} is the name of a member already: choose another one")
        if peer in (one.peer, one.http) or http in (one.peer, one.http):
            _refuse(Why.EXISTS, f"{one.name} has one of these addresses already: choose others")


def _check_quorum(members: tuple[Standing, ...], *, force: bool) -> None:
    reachable = sum(one.reachable for one in members)
    quorum = len(members) // 2 + 1
    if reachable < quorum and not force:
        _refuse(
            Why.NO_QUORUM,
            f"{reachable} of {len(members)} members would be up, and {quorum} are needed: start"
            " those that are down first, or remove them",
        )


def _refuse(reason: Why, message: str) -> NoReturn:
    raise ChangeRefusedError(reason, message)
