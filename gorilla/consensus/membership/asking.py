"""Changes of the cluster, asked for at any node: it asks the leader until one has an answer."""

import asyncio
import logging
import random
from collections.abc import Callable
from typing import Final

import msgspec

from gorilla.consensus.driver import Driver
from gorilla.consensus.engine import Engine
from gorilla.consensus.membership.draining import Draining
from gorilla.consensus.membership.leading import LeaderChanges, with_done
from gorilla.consensus.membership.messages import (
    ANSWER,
    ASK,
    DRAIN,
    DRAINING,
    Answer,
    Asked,
    Done,
    Moved,
    NotFound,
    NotLeading,
    Refused,
    decode_answer,
    decode_asked,
    encode,
)
from gorilla.consensus.membership.plan import pinned
from gorilla.consensus.peers.joining import PeerAccess
from gorilla.consensus.ports import Message
from gorilla.service.errors import (
    ChangeRefusal as Why,
    ChangeRefusedError,
    MemberNotFoundError,
    NoLeaderError,
    OutcomeUnknownError,
)
from gorilla.service.ports import Change, ChangeReport, RemoveMember

log = logging.getLogger(__name__)

PAUSE_S: Final = 0.1
"""How long to wait before the leader is asked again."""

ANSWER_S: Final = 0.5
"""How long after the deadline the leader's last word is waited for."""

SERVED_MAX: Final = 16
"""Changes that other nodes ask this one for at once; more are refused."""

STEP_DOWN_EVERY_S: Final = 1.0
"""How often a drained node that leads all the same tries to hand over."""


class ClusterChanges:
    """Changes who is in the cluster and who leads it. Implements ``service.ports.Membership``."""

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        access: PeerAccess,
        rng: random.Random,
        *,
        on_drain: Callable[[bool], None] = lambda _: None,
    ) -> None:
        """Work on ``engine``.

        Args:
            engine: Of this node.
            driver: That runs it.
            access: Brings newcomers in.
            rng: Numbers requests.
            on_drain: Told when this node begins or ends to be drained by an operator.

        """
        self._engine = engine
        self._driver = driver
        self._loop = asyncio.get_running_loop()
        self._numbers = rng.getrandbits(48)
        self._waiting: dict[int, tuple[str, Change, asyncio.Future[Answer | None]]] = {}
        self._serving: set[asyncio.Task[None]] = set()
        self.draining = Draining(engine.tell, engine.roster.drained, self._drained)
        self._on_drain = on_drain
        self._leading = LeaderChanges(engine, driver, access, self.draining, self._loop)
        engine.others |= {
            ASK: self._asked,
            ANSWER: self._answered,
            DRAIN: self.draining.asked,
            DRAINING: self.draining.said,
        }
        driver.follow_links(self.draining.connected, self._unlinked)
        driver.on_removed = self._removed

    async def run(self, stop: asyncio.Event) -> None:
        """Keep a drained node from leading, until ``stop`` is set or it is cancelled."""
        while not stop.is_set():
            await self._leading.step_down()
            try:
                await asyncio.wait_for(stop.wait(), STEP_DOWN_EVERY_S)
            except TimeoutError:
                continue

    async def change(
        self, change: Change, *, force: bool, dry_run: bool, deadline_s: float
    ) -> ChangeReport:
        """Make a change, and wait until it is committed: see ``service.ports.Membership``."""
        change = pinned(change, self._engine.roster.members)
        asked = Asked(change=change, force=force, dry_run=dry_run, left_s=0.0)
        began, steps = self._loop.time(), tuple[str, ...]()
        while (leader := await self._leader(deadline_s)) is not None:
            left_s = deadline_s - self._loop.time()
            asked = msgspec.structs.replace(asked, left_s=left_s, led_by=asked.led_by or leader)
            answer = await self._ask(leader, asked, deadline_s + ANSWER_S)
            report = _concluded(answer, steps)
            if report is not None:
                return report
            if isinstance(answer, Moved):
                steps += answer.steps
            if not isinstance(answer, NotLeading):
                asked = msgspec.structs.replace(asked, resumed=not dry_run)
            await self._pause(deadline_s)
        if asked.resumed:
            raise OutcomeUnknownError(self._loop.time() - began)
        raise NoLeaderError("no leader could be asked; nothing was changed")

    async def _leader(self, deadline_s: float) -> str | None:
        """Return the id of the leader, or None at the deadline."""
        if self._loop.time() >= deadline_s:
            return None
        await self._driver.until(lambda: self._driver.view().leader is not None, deadline_s)
        leader = self._driver.view().leader
        return None if leader is None else leader.id

    async def _pause(self, deadline_s: float) -> None:
        limit_s = min(deadline_s, self._loop.time() + PAUSE_S)
        await self._driver.until(lambda: False, limit_s)

    async def _ask(self, leader: str, asked: Asked, deadline_s: float) -> Answer | None:
        """Ask a node; None when no answer came and none will."""
        if leader == self._engine.me.id:
            try:
                async with asyncio.timeout_at(deadline_s):
                    return await self._leading.make(asked)
            except TimeoutError:
                return None
        self._numbers += 1
        number = self._numbers
        answer: asyncio.Future[Answer | None] = self._loop.create_future()
        self._waiting[number] = (leader, asked.change, answer)
        self._engine.tell(leader, {"type": ASK, "id": number, "asked": encode(asked)})
        self._driver.wake()
        try:
            async with asyncio.timeout_at(deadline_s):
                return await answer
        except TimeoutError:
            return None
        finally:
            del self._waiting[number]

    def _drained(self, draining: bool) -> None:  # noqa: FBT001  a callback's one argument
        self._engine.roster.drain(draining=draining)
        self._on_drain(draining)

    # -- messages and links

    def _asked(self, peer: str, message: Message) -> None:
        number = message["id"]
        try:
            asked = decode_asked(message["asked"])
        except msgspec.MsgspecError as error:
            self._answer(peer, number, Refused(Why.UNSUPPORTED, f"the leader can't do it: {error}"))
            return
        if len(self._serving) >= SERVED_MAX:
            self._answer(peer, number, Refused(Why.UNDER_WAY, "too many changes are asked for"))
            return
        task = self._loop.create_task(self._serve(peer, number, asked))
        self._serving.add(task)
        task.add_done_callback(self._serving.discard)

    async def _serve(self, peer: str, number: int, asked: Asked) -> None:
        self._answer(peer, number, await self._leading.make(asked))

    def _answer(self, peer: str, number: int, answer: Answer) -> None:
        self._engine.tell(peer, {"type": ANSWER, "id": number, "answer": encode(answer)})
        self._driver.wake()

    def _answered(self, _peer: str, message: Message) -> None:
        _, _, future = self._waiting.get(message["id"], ("", None, None))
        if future is None or future.done():
            return
        try:
            future.set_result(decode_answer(message["answer"]))
        except msgspec.MsgspecError as error:
            log.warning("the leader's answer is of a later release: %s", error)
            future.set_result(None)

    def _unlinked(self, peer: str) -> None:
        self.draining.disconnected(peer)
        for leader, _, future in self._waiting.values():
            if leader == peer and not future.done():
                future.set_result(None)

    def _removed(self) -> None:
        """This node was removed, which somebody may have asked for here: say so while it can."""
        view = self._driver.view()
        members = tuple(one.member for one in view.progress if one.member.id != view.me.id)
        report = ChangeReport(
            done=True,
            steps=(f"remove {view.me.name}",),
            members=members,
            quorum=len(members) // 2 + 1,
            tolerates=max(0, (len(members) - 1) // 2),
        )
        for _, change, future in self._waiting.values():
            is_mine = isinstance(change, RemoveMember) and change.member in {
                view.me.id,
                view.me.name,
            }
            if is_mine and not future.done():
                future.set_result(Done(report))


def _concluded(answer: Answer | None, steps: tuple[str, ...]) -> ChangeReport | None:
    """Return the report, or None when another answer is needed; ``steps`` were taken before.

    Raises:
        ChangeRefusedError: It must not be made.
        MemberNotFoundError: It is about a member that there is not.

    """
    match answer:
        case Done(report=report):
            return msgspec.structs.replace(report, steps=(*steps, *report.steps))
        case Refused(reason=reason, message=message):
            raise ChangeRefusedError(reason, with_done(message, steps))
        case NotFound(message=message):
            raise MemberNotFoundError(with_done(message, steps))
        case _:
            return None
