"""The leader's part in a change of the cluster: it looks, plans, and takes step after step."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

import msgspec

from gorilla.consensus.driver import Driver
from gorilla.consensus.engine import Engine
from gorilla.consensus.membership.draining import Draining
from gorilla.consensus.membership.messages import (
    Answer,
    Asked,
    Done,
    Moved,
    NotFound,
    NotLeading,
    Refused,
    Unsure,
)
from gorilla.consensus.membership.plan import (
    BEHIND_MAX,
    ClusterSight,
    HandOver,
    Learn,
    Plan,
    Propose,
    SetDraining,
    Standing,
    Step,
    as_resumed,
    is_in_force,
    plan,
)
from gorilla.consensus.peers.joining import InviteError, PeerAccess
from gorilla.consensus.roster import RosterRefusedError
from gorilla.service.errors import ChangeRefusal as Why, ChangeRefusedError, MemberNotFoundError
from gorilla.service.ports import AddMember, Change, Member, TransferLeadership

log = logging.getLogger(__name__)

NEWCOMER_S_MAX: Final = 3.0
"""How long to look for a newcomer before saying that it is not there."""

HAND_OVER_S_MAX: Final = 3.0
"""How long the successor has to take over; no command is taken meanwhile."""

SILENT_S_MAX: Final = 1.5
"""A member that was not heard for so long does not count as reachable."""


class LeaderChanges:
    """Makes one change of the cluster at a time, while this node leads."""

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        access: PeerAccess,
        draining: Draining,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        """Work on ``engine``; ``access`` brings newcomers in."""
        self._engine = engine
        self._driver = driver
        self._access = access
        self._draining = draining
        self._loop = loop
        self._current: tuple[Change, asyncio.Task[Answer]] | None = None

    async def make(self, asked: Asked) -> Answer:
        """Make a change, or say why not. It goes on if the caller is cancelled."""
        if not self._engine.roster.leads:
            return NotLeading()
        if self._current is not None:
            change, task = self._current
            if asked.resumed and change == asked.change:
                return await asyncio.shield(task)
            return Refused(
                Why.UNDER_WAY,
                "another change of the cluster is under way: ask again when it is done",
            )
        task = self._loop.create_task(self._make(asked))
        self._current = (asked.change, task)
        task.add_done_callback(self._finished)
        return await asyncio.shield(task)

    def _finished(self, task: asyncio.Task[Answer]) -> None:
        self._current = None
        if not task.cancelled() and task.exception() is not None:
            log.error("a change of the cluster failed", exc_info=task.exception())

    async def step_down(self) -> None:
        """Let another member lead, if this one drains, leads, and another one can."""
        busy = self._current is not None or not self._engine.roster.leads
        if busy or not self._draining.mine or not self._engine.roster.members[1:]:
            return
        others = [one for one in self._sight(None).members if one.member != self._engine.me]
        fit = [
            one for one in others if one.reachable and not one.draining and one.behind <= BEHIND_MAX
        ]
        if fit:
            best = min(fit, key=lambda one: (one.behind, one.member.name))
            change = TransferLeadership(to=best.member.id)
            answer = await self.make(
                Asked(change=change, force=False, dry_run=False, left_s=HAND_OVER_S_MAX)
            )
            if isinstance(answer, Refused):
                log.warning("this drained node leads, and can't hand over: %s", answer.message)

    async def _make(self, asked: Asked) -> Answer:
        deadline_s = self._loop.time() + asked.left_s
        try:
            return await self._planned(asked, deadline_s)
        except ChangeRefusedError as error:
            return Refused(error.reason, str(error))
        except MemberNotFoundError as error:
            return NotFound(str(error))

    async def _planned(self, asked: Asked, deadline_s: float) -> Answer:
        change = asked.change
        with self._looking_for(change):
            sight, done = self._sight(await self._newcomer(change, deadline_s)), tuple[str, ...]()
            if asked.resumed:
                if is_in_force(sight, change) or _has_moved(asked, sight):
                    members = tuple(one.member for one in sight.members)
                    return Done(Plan((), members).report(done=True))
                change, done = as_resumed(sight, change)
            try:
                plan_ = plan(sight, change, force=asked.force)
            except ChangeRefusedError as error:
                raise ChangeRefusedError(error.reason, with_done(error, done)) from error
            if asked.dry_run:
                return Done(plan_.report(done=False))
            return await self._carry_out(plan_, deadline_s, done)

    # -- looking

    @contextmanager
    def _looking_for(self, change: Change) -> Iterator[None]:
        """Dial the newcomer for as long as it takes."""
        if not isinstance(change, AddMember):
            yield
            return
        nobody = Member(id="", name=change.name, peer=change.peer, http=change.http)
        self._access.dial((nobody,))
        try:
            yield
        finally:
            self._access.dial(())

    async def _newcomer(self, change: Change, deadline_s: float) -> str | None:
        if not isinstance(change, AddMember):
            return None
        limit_s = min(deadline_s, self._loop.time() + NEWCOMER_S_MAX)
        name = change.name
        await self._driver.until(lambda: self._access.unformed(name) is not None, limit_s)
        info = self._access.unformed(name)
        return None if info is None else info.id

    def _sight(self, newcomer: str | None) -> ClusterSight:
        view, roster = self._driver.view(), self._engine.roster
        others = (
            Standing(
                one.member,
                reachable=one.connected and one.heard_s is not None and one.heard_s < SILENT_S_MAX,
                behind=view.last_index - (one.match_index or 0),
                draining=one.member.id in self._draining.others,
            )
            for one in view.progress
        )
        me = Standing(view.me, draining=self._draining.mine)
        return ClusterSight(
            leader=view.me.id,
            members=(me, *others),
            removed=roster.removed,
            under_way=roster.is_changing,
            newcomer=newcomer,
        )

    # -- doing

    async def _carry_out(self, plan_: Plan, deadline_s: float, done: tuple[str, ...]) -> Answer:
        """Take the steps; ``done`` were taken before, by another leader."""
        for number, step in enumerate(plan_.steps, 1):
            log.info("change of the cluster, step %d of %d: %s", number, len(plan_.steps), step)
            try:
                went = await self._take(step, deadline_s)
            except (ChangeRefusedError, RosterRefusedError) as error:
                if self._engine.roster.leads:
                    reason = getattr(error, "reason", Why.NOT_NOW)
                    raise ChangeRefusedError(reason, with_done(error, done)) from error
                went = False  # the next leader goes on
            if not went:
                return Unsure() if number > 1 or not isinstance(step, Learn) else NotLeading()
            done += (str(step),)
            if isinstance(step, HandOver) and number < len(plan_.steps):
                return Moved(done)
        return Done(msgspec.structs.replace(plan_.report(done=True), steps=done))

    async def _take(self, step: Step, deadline_s: float) -> bool:
        """Take a step; returns whether it was seen to the end."""
        match step:
            case Learn(member=member):
                return await self._learn(member, deadline_s)
            case Propose(kind=kind, member=member):
                return await self._propose(kind, member, deadline_s)
            case HandOver(to=to):
                return await self._hand_over(to, deadline_s)
            case SetDraining(member=member, draining=draining):
                return await self._set_draining(member, deadline_s, draining=draining)

    async def _learn(self, member: Member, deadline_s: float) -> bool:
        """Send a newcomer the log until it has nearly all of it."""
        roster, learned = self._engine.roster, False
        roster.add_learner(member)
        self._driver.wake()
        try:
            learned = await self._taught(member, deadline_s)
        finally:
            if not learned:
                roster.drop_learner(member.id)
        return learned

    async def _taught(self, member: Member, deadline_s: float) -> bool:
        roster = self._engine.roster
        try:
            await self._access.invite(member, roster.members, deadline_s)
        except InviteError as error:
            raise ChangeRefusedError(Why.NEWCOMER_DECLINED, str(error)) from error
        has_learned = await self._until_or_lost(
            lambda: roster.has_nearly_all(member.id, BEHIND_MAX), deadline_s
        )
        if roster.leads and not has_learned:
            raise ChangeRefusedError(
                Why.NOT_CAUGHT_UP,
                f"{member.name} did not get the data in time: ask again with a longer timeout;"
                " it goes on from where it is",
            )
        return has_learned

    async def _propose(self, kind: str, member: Member, deadline_s: float) -> bool:
        roster = self._engine.roster
        roster.change(kind, member)
        self._driver.wake()
        return await self._until_or_lost(lambda: roster.is_in_force(kind, member), deadline_s)

    async def _hand_over(self, to: Member, deadline_s: float) -> bool:
        """Let ``to`` lead; returns whether it does."""
        roster = self._engine.roster
        limit_s = min(deadline_s, self._loop.time() + HAND_OVER_S_MAX)
        roster.transfer(to.id)
        self._driver.wake()
        try:
            await self._driver.until(
                lambda: not roster.leads or not roster.is_linked(to.id), limit_s
            )
        finally:
            roster.keep()
        if roster.leads:
            raise ChangeRefusedError(
                Why.NOT_TAKEN_OVER,
                f"{to.name} did not take over in time: see in its log why, or name another member",
            )
        await self._driver.until(lambda: self._driver.view().leader is not None, limit_s)
        leader = self._driver.view().leader
        return leader is not None and leader.id == to.id

    async def _set_draining(self, member: Member, deadline_s: float, *, draining: bool) -> bool:
        if member.id == self._engine.me.id:
            self._draining.set(draining=draining)
            return True
        self._draining.ask(member.id, draining=draining)
        self._driver.wake()
        others = self._draining.others
        return await self._driver.until(lambda: (member.id in others) == draining, deadline_s)

    async def _until_or_lost(self, holds: Callable[[], bool], deadline_s: float) -> bool:
        """Wait for a condition, for as long as this node leads; returns whether it holds."""
        roster = self._engine.roster
        await self._driver.until(lambda: holds() or not roster.leads, deadline_s)
        return holds()


def _has_moved(asked: Asked, sight: ClusterSight) -> bool:
    """Return whether leadership, which was to go to anybody, has left whom was asked first."""
    wants_any = getattr(asked.change, "to", "") is None
    return wants_any and asked.led_by is not None and asked.led_by != sight.leader


def with_done(error: Exception | str, done: tuple[str, ...]) -> str:
    """Say what was done of a change that is refused."""
    return f"{error} (done before that: {'; '.join(done)})" if done else str(error)
