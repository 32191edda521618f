"""A cluster's membership in memory, behind the port that the service changes it through."""

import asyncio

from gorilla.service.errors import ChangeRefusal, ChangeRefusedError, MemberNotFoundError
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


def founder(number: int) -> Member:
    return Member(
        id=f"id-{number}",
        name=f"n{number}",
        peer=f"127.0.0.1:41{number:02}",
        http=f"127.0.0.1:40{number:02}",
    )


class MemoryMembership:
    """A ``Membership`` that obeys the rules of the roster; everybody is up, n1 leads.

    Attributes:
        asked: Every change that arrived, with force, dry_run and the deadline.
        failure: Raised instead of an answer.
        hold: An answer comes once this is set.

    """

    def __init__(self, count: int = 3) -> None:
        self.members = {member.id: member for member in map(founder, range(1, count + 1))}
        self.removed: set[str] = set()
        self.draining: set[str] = set()
        self.leader = "id-1"
        self.asked: list[tuple[Change, bool, bool, float]] = []
        self.failure: Exception | None = None
        self.hold = asyncio.Event()
        self.hold.set()

    async def change(
        self, change: Change, *, force: bool, dry_run: bool, deadline_s: float
    ) -> ChangeReport:
        self.asked.append((change, force, dry_run, deadline_s))
        await self.hold.wait()
        if self.failure is not None:
            raise self.failure
        before = self.members, self.removed, self.draining, self.leader
        self.members, self.removed, self.draining = (
            dict(self.members),
            set(self.removed),
            set(self.draining),
        )
        try:
            steps = self._steps(change)
        except Exception:
            self.members, self.removed, self.draining, self.leader = before
            raise
        members = tuple(self.members.values())
        if dry_run:
            self.members, self.removed, self.draining, self.leader = before
        quorum = len(members) // 2 + 1
        return ChangeReport(
            done=not dry_run,
            steps=steps,
            members=members,
            quorum=quorum,
            tolerates=len(members) - quorum,
        )

    def _steps(self, change: Change) -> tuple[str, ...]:
        match change:
            case AddMember():
                return self._add(change)
            case RemoveMember():
                return self._remove(self._member(change.member))
            case MoveMember():
                return self._move(self._member(change.member), change)
            case TransferLeadership():
                return self._transfer(change.to)
            case DrainMember():
                return self._drain(self._member(change.member), draining=change.draining)

    def _add(self, change: AddMember) -> tuple[str, ...]:
        steps: tuple[str, ...] = ()
        if change.replaces is not None:
            steps = self._remove(self._member(change.replaces))
        self._refuse_taken(change.name, change.peer, change.http)
        new = Member(
            id=f"id-of-{change.name}", name=change.name, peer=change.peer, http=change.http
        )
        if new.id in self.removed:
            raise ChangeRefusedError(
                ChangeRefusal.REMOVED, f"{new.name} was removed: wipe it first"
            )
        self.members[new.id] = new
        return (*steps, f"{new.name} caught up and votes")

    def _remove(self, member: Member) -> tuple[str, ...]:
        if len(self.members) == 1:
            raise ChangeRefusedError(ChangeRefusal.LAST_MEMBER, "the last member can't be removed")
        steps: tuple[str, ...] = ()
        if member.id == self.leader:
            steps = self._transfer(None)
        del self.members[member.id]
        self.removed.add(member.id)
        return (*steps, f"{member.name} was removed")

    def _move(self, member: Member, change: MoveMember) -> tuple[str, ...]:
        del self.members[member.id]
        peer, http = change.peer or member.peer, change.http or member.http
        self._refuse_taken(member.name, peer, http)
        self.members[member.id] = Member(id=member.id, name=member.name, peer=peer, http=http)
        return (f"{member.name} is at {peer} and {http}",)

    def _transfer(self, to: str | None) -> tuple[str, ...]:
        others = [member for member in self.members.values() if member.id != self.leader]
        if to is None and not others:
            raise ChangeRefusedError(ChangeRefusal.UNREACHABLE, "there is no other member to lead")
        target = others[0] if to is None else self._member(to)
        self.leader = target.id
        return (f"{target.name} leads",)

    def _drain(self, member: Member, *, draining: bool) -> tuple[str, ...]:
        (self.draining.add if draining else self.draining.discard)(member.id)
        return (f"drain {member.name}" if draining else f"end the draining of {member.name}",)

    def _member(self, key: str) -> Member:
        for member in self.members.values():
            if key in {member.id, member.name}:
                return member
        raise MemberNotFoundError(f"no member has the id or name {key}")

    def _refuse_taken(self, name: str, peer: str, http: str) -> None:
        for member in self.members.values():
            if member.name == name or {member.peer, member.http} & {peer, http}:
                raise ChangeRefusedError(
                    ChangeRefusal.EXISTS, f"{member.name} has that name or address"
                )
