"""Calls that wait for a lock, on the node that has the caller.

The table queues a call and gives its turn to this node (:class:`~gorilla.domain.outcomes.Turn`),
which *claims* it while the caller is still there; only the claim grants the lock. So nobody who
went away, and no node that died, is ever given a lock; and a node that never claims can tell its
caller for certain that nothing was done.

A caller may want its place to be *kept* for a while when its wait is over. Then the table is asked
for a wait that is longer by as much, and this node stands in for the caller: it claims nothing, and
gives the place up when nobody asked for it again (docs/adr/0017-places-kept-between-requests.md).
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    Claim,
    Command,
    Leave,
    Plain,
    TakeBack,
)
from gorilla.domain.events import Left
from gorilla.domain.outcomes import Gone, Granted, GrantedAll, Outcome, Queued, Turn
from gorilla.service.errors import DrainingError, GorillaError, NotServedError
from gorilla.service.keys import Key, once
from gorilla.service.pending import Done
from gorilla.service.proposals import Proposals
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop
from gorilla.service.waiting_calls import Place, WaitEnded, WaitingCall, WaitResult

__all__ = ["Place", "WaitEnded", "WaitResult", "Waits"]

BEAT_S: Final = 1.0
"""How often the table hears of a node that has callers waiting; see WAITER_ORIGIN_IDLE_MS_MAX."""

CLAIM_AGAIN_S: Final = 0.1
"""After a claim that could not be handed over: the turn is kept, as cluster time stands still."""


class Waits:
    """The calls of this node that wait, or may come to."""

    def __init__(
        self, proposals: Proposals, replica: LockReplica, loop: EventLoop, request_deadline_s: float
    ) -> None:
        """Command through ``proposals``; hear of turns from ``replica``."""
        self._proposals = proposals
        self._replica = replica
        self._loop = loop
        self._deadline_s = request_deadline_s
        self._calls: dict[str, WaitingCall] = {}
        self._kept: dict[str, WaitingCall] = {}
        """Calls that are over, and whose places are kept for who asks again."""
        self._is_beating = False
        self._is_closed = False
        replica.follow_turns(self._on_turns, self._on_adopted)

    def __len__(self) -> int:
        """Return how many callers wait here."""
        return len(self._calls)

    async def acquire(
        self,
        command: Acquire | AcquireAll,
        key: Key | None,
        hung_up: "asyncio.Future[None] | None",
        keep_ms: int = 0,
    ) -> WaitResult:
        """Propose ``command``, and wait for its turn as long as it says.

        Args:
            command: With a wait, and ``keep_ms`` on top.
            key: What the request is known again by.
            hung_up: Done when the caller has gone; then it leaves the queue at once.
            keep_ms: How long its place is kept when the wait is over.

        Raises:
            NotServedError: Nothing was done, and nothing will be.
            OutcomeUnknownError: It may have been granted.

        """
        if self._is_closed:
            raise DrainingError("this node is stopping: ask another one")
        future: asyncio.Future[Outcome | WaitEnded] = asyncio.get_running_loop().create_future()
        now_s, has_key = self._loop.time(), key is not None
        call = WaitingCall(command, future, now_s, keep_ms=keep_ms, has_key=has_key)
        self._calls[call.secret] = call
        try:
            self._propose(once(command, key), partial(self._on_answer, call))
            await self._until_done(call, hung_up)
            return WaitResult(future.result(), call.asked_s)
        except asyncio.CancelledError:
            if future.done() and not future.exception():
                self._take_back(call, future.result())
            self._give_up_place(call)
            raise
        finally:
            if not future.done():
                self._leave(call)
            elif not future.cancelled():
                # Looked at, so that an error nobody waits for is no news to the loop.
                future.exception()
            self._forget(call)

    async def _until_done(self, call: WaitingCall, hung_up: "asyncio.Future[None] | None") -> None:
        """Return once the call is decided; leave the queue when its caller or its time is gone."""
        patience_s = self._patient_until_s(call) - self._loop.time()
        awaited: list[asyncio.Future[Outcome | WaitEnded] | asyncio.Future[None]] = [call.future]
        if hung_up is not None:
            awaited.append(hung_up)
        await asyncio.wait(awaited, timeout=patience_s, return_when=asyncio.FIRST_COMPLETED)
        gone = hung_up is not None and hung_up.done()
        if call.future.done():
            if gone and not call.future.exception():
                self._take_back(call, call.future.result())
            if gone:
                self._give_up_place(call)
            return
        if gone or not call.is_claiming:
            self._leave(call)
            self._end(call, Left.HUNG_UP if gone else Left.TIMEOUT)
            return
        # Claimed at the last moment: the claim's own deadline ends this.
        await asyncio.wait([call.future])

    def _patient_until_s(self, call: WaitingCall) -> float:
        """Return when a call is given up; the table ends its wait in time, if word of it comes."""
        return call.ends_s + self._deadline_s

    def drain(self) -> None:
        """Refuse new calls and let those that wait go: another node may take them.

        Of those whose first answer is still to come nothing is known yet, so they wait for it.
        """
        self._is_closed = True
        for call in list(self._calls.values()):
            if not (call.ticket is None or call.is_claiming or call.future.done()):
                self._let_go(call)

    def _let_go(self, call: WaitingCall) -> None:
        if call.keep_ms:
            self._keep_place(call, call.keep_ms)
        else:
            self._leave(call)
        self._decide(call, DrainingError("this node is stopping; nothing was done: ask another"))

    # What the table says

    def _on_answer(self, call: WaitingCall, outcome: Outcome | GorillaError) -> None:
        """Take what the first command gave: an end, or a place in the queue."""
        if not isinstance(outcome, Queued):
            if call.is_left and isinstance(outcome, Granted | GrantedAll) and outcome.is_new:
                self._take_back(call, outcome)
            self._decide(call, outcome)
            return
        call.ticket = outcome.ticket
        if call.is_left:
            self._propose_quietly(Leave(outcome.ticket, call.secret))
            return
        self._note_place(call)
        if self._is_closed:
            self._let_go(call)
            return
        self._beat()
        # An answer that comes again may be older than the turn: the state knows.
        self._loop.call_soon(partial(self._look, call))

    def _note_place(self, call: WaitingCall) -> None:
        """See when the call is over, if its place is to be kept then."""
        assert call.ticket is not None
        now_s, table = self._loop.time(), self._replica.table
        waiter = table.wait(call.ticket, call.secret)
        if waiter is None:
            return  # It is looked for in a moment.
        call.queued(waiter, table.now_ms, now_s)
        if call.keep_ms and call.timer is None:
            call.timer = self._loop.call_at(max(now_s, call.ends_s), partial(self._on_over, call))

    def _on_over(self, call: WaitingCall) -> None:
        call.is_over = True
        self._look(call)

    def _on_turns(self, turns: Sequence[Turn]) -> None:
        for turn in turns:
            call = self._calls.get(turn.secret)
            if call is None:
                # Only who asks again claims what has a kept place.
                if turn.left is not None:
                    self._kept.pop(turn.secret, None)
                elif turn.secret not in self._kept:
                    self._propose_quietly(Leave(turn.ticket, turn.secret))
            elif turn.left is not None:
                self._end(call, turn.left)
            else:
                call.ticket = turn.ticket
                self._claim(call)

    def _on_adopted(self) -> None:
        """The state was replaced as a whole: what was told meanwhile is to be looked up."""
        for call in list(self._calls.values()):
            self._look(call)

    def _look(self, call: WaitingCall) -> None:
        if call.ticket is None or call.is_left or call.is_claiming or call.future.done():
            return
        waiter = self._replica.table.wait(call.ticket, call.secret)
        if waiter is None:
            self._end(call, Left.NODE_LOST)
        elif waiter.claim_by_ms:
            self._claim(call)
        elif call.is_over:
            # What the table gives it may be less than it asked for, if it comes to that.
            kept_ms = max(0, min(call.keep_ms, waiter.until_ms - self._replica.now_ms()))
            self._keep_place(call, kept_ms)
            self._end(call, Left.TIMEOUT, kept_ms)

    # Claiming, keeping a place, leaving

    def _claim(self, call: WaitingCall) -> None:
        if call.is_claiming or call.is_left or call.future.done():
            return
        assert call.ticket is not None
        call.is_claiming = True
        call.asked_s = self._loop.time()
        try:
            self._propose(Claim(call.ticket, call.secret), partial(self._on_claim, call))
        except NotServedError as error:
            self._claim_again(call, error)

    def _claim_again(self, call: WaitingCall, error: NotServedError) -> None:
        """After a claim that was not taken: try once more, as long as there is somebody to try."""
        call.is_claiming = False
        again_s = self._loop.time() + CLAIM_AGAIN_S
        if call.is_left or self._is_closed or again_s > self._patient_until_s(call):
            self._propose_quietly(Leave(call.ticket or 0, call.secret))
            self._decide(call, error)
            return
        self._loop.call_at(again_s, partial(self._look, call))

    def _on_claim(self, call: WaitingCall, outcome: Outcome | GorillaError) -> None:
        if isinstance(outcome, Granted | GrantedAll):
            if call.is_left or call.future.done():
                self._take_back(call, outcome)
            self._decide(call, outcome)
        elif isinstance(outcome, Queued):
            call.is_claiming = False
            if call.is_left:
                self._propose_quietly(Leave(outcome.ticket, call.secret))
            else:
                # Another turn may have come meanwhile, with a state that was adopted.
                self._loop.call_soon(partial(self._look, call))
        elif isinstance(outcome, NotServedError):
            self._claim_again(call, outcome)
        elif isinstance(outcome, Gone):
            # It passed before the claim came.
            self._end(call, Left.UNCLAIMED)
        else:
            self._decide(call, outcome)

    def _keep_place(self, call: WaitingCall, kept_ms: int) -> None:
        """Stand in for the caller until it asks again, or its time for that is over."""
        self._kept[call.secret] = call
        until_s = self._loop.time() + kept_ms / 1_000
        self._loop.call_at(until_s, partial(self._on_kept, call))

    def _on_kept(self, call: WaitingCall) -> None:
        """Give a place up that nobody came back to; without a turn the table ends it by now."""
        waiter = self._replica.table.wait(call.ticket or 0, call.secret)
        if waiter is not None and waiter.claim_by_ms:
            self._give_up_place(call)
        self._kept.pop(call.secret, None)

    def _give_up_place(self, call: WaitingCall) -> None:
        if self._kept.pop(call.secret, None) is not None:
            self._propose_quietly(Leave(call.ticket or 0, call.secret))

    def _leave(self, call: WaitingCall) -> None:
        """Nobody waits for it any more."""
        if call.is_left:
            return
        call.is_left = True
        if call.ticket is not None and not call.is_claiming:
            self._propose_quietly(Leave(call.ticket, call.secret))

    def _take_back(self, call: WaitingCall, outcome: Outcome | WaitEnded) -> None:
        """Let go of what was granted to somebody who is not there to hear of it.

        Under a key its caller may still ask for the answer, so the grant stays; as it does when
        its owner has asked again, anywhere, and was told of it.
        """
        if call.has_key:
            return
        if isinstance(outcome, Granted) and outcome.is_new:
            self._propose_quietly(TakeBack(outcome.lease.lock, outcome.lease.secret))
        elif isinstance(outcome, GrantedAll) and outcome.is_new:
            self._propose_quietly(TakeBack("", call.secret))

    def _end(self, call: WaitingCall, why: Left, kept_ms: int = 0) -> None:
        waited_ms, place = call.waited_ms(self._loop.time()), None
        if why is Left.TIMEOUT:
            # The table decided it by cluster time, which counts whole milliseconds.
            waited_ms = max(waited_ms, call.waited_before_ms + call.wait_ms)
            place = self._place(call, kept_ms)
        self._decide(call, WaitEnded(why, waited_ms, place))

    def _place(self, call: WaitingCall, kept_ms: int) -> Place | None:
        """Return where a call stands, or stood: those before it are still there."""
        if call.ticket is None:
            return None
        table, ticket = self._replica.table, call.ticket
        position = max(table.waiters.position(lock, ticket) for lock in call.locks)
        if not kept_ms:
            return Place(position)
        until_ms = self._replica.now_ms() + kept_ms
        return Place(position, kept_ms, until_ms + table.wall_offset_ms)

    def _decide(self, call: WaitingCall, what: Outcome | WaitEnded | GorillaError) -> None:
        if call.future.done():
            return
        if isinstance(what, GorillaError):
            call.future.set_exception(what)
        else:
            call.future.set_result(what)

    def _forget(self, call: WaitingCall) -> None:
        if self._calls.get(call.secret) is call:
            del self._calls[call.secret]
        if call.timer is not None:
            call.timer.cancel()

    def _propose(self, command: Command, done: Done) -> None:
        self._proposals.propose(command, self._loop.time() + self._deadline_s, done)

    def _propose_quietly(self, command: Plain) -> None:
        """Propose what nobody waits for; if it can't be, the table's own bounds do it later."""
        try:
            self._propose(command, _ignored)
        except NotServedError:
            return

    def _beat(self) -> None:
        """Let the table hear of this node now and then, as long as calls wait here."""
        if not self._is_beating:
            self._is_beating = True
            self._loop.call_at(self._loop.time() + BEAT_S, self._on_beat)

    def _on_beat(self) -> None:
        self._is_beating = False
        if self._kept or any(call.ticket is not None for call in self._calls.values()):
            self._proposals.touch()
            self._beat()


def _ignored(_outcome: Outcome | GorillaError) -> None:
    """Take what nobody waits for."""
