"""Commands of this node on their way into the log: numbered, batched, offered until resolved.

Exactly once, from both ends. The lock table applies a number of an origin at most once, and never
one that the origin has *confirmed*; this module sees to it that

* a command keeps its number for as long as a copy of it may be about, so offering it again is
  safe, whatever became of the first copy;
* ``confirmed`` passes a number only when nobody waits for it any more: it was resolved, or given
  up. A copy of a number given up that arrives before the table hears of it is applied once, one
  that arrives later never: both are within what its caller was told (*unknown*);
* a failure is called definite only while no copy can be about: the command was never handed to
  consensus, or every time it was, the leader said that it took nothing.

An origin that proposed nothing for long is forgotten by the table, which then refuses to guess
(:class:`~gorilla.domain.outcomes.Forgotten`). So after a long silence, and after such an answer,
the origin *opens* anew: only when no copy of anything unresolved can be about, and with all that
is queued numbered afresh, so that every earlier number is confirmed and dead.

What this rests on: no opening batch is on its way for as long as the table remembers an idle
origin (ten minutes of cluster time). One that were, and came twice, could repeat a command whose
caller was never answered.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from itertools import islice
from operator import attrgetter
from typing import Final

from gorilla.domain import codec, limits
from gorilla.domain.commands import Batch, Command
from gorilla.domain.outcomes import Forgotten, Outcome
from gorilla.service.errors import (
    DrainingError,
    OutcomeUnknownError,
    OverloadedError,
)
from gorilla.service.pending import (
    Done,
    LeaderKey,
    Offer,
    Pending,
    ProposalCounts,
    ProposalLimits,
    first_offer_of,
    pass_on,
    why_undone,
)
from gorilla.service.ports import Consensus
from gorilla.service.time import Agenda, EventLoop

BATCH_BYTES_MAX: Final = 192 * 1024
"""Encoded size of one batch; several of them fit one log entry."""

REOPEN_AFTER_S: Final = limits.ORIGIN_IDLE_MS_MAX / 2_000
"""Seconds without an outcome after which the table may be about to forget the origin: half of
what it waits, since the two count on different clocks."""

_RETRY: Final = 0
"""The agenda's entry for the queue as a whole; commands are numbered from 1."""


class Proposals:
    """Numbers, batches and offers the commands of one origin (this process) until resolved."""

    def __init__(
        self,
        consensus: Consensus,
        loop: EventLoop,
        origin: str,
        bounds: ProposalLimits | None = None,
    ) -> None:
        """Propose as ``origin``, a name that no other process has or had."""
        self.origin = origin
        self.counts = ProposalCounts()
        self._consensus = consensus
        self._loop = loop
        self._bounds = bounds or ProposalLimits()
        self._agenda = Agenda(loop, self._on_due)
        self._next_number = 1
        self._confirmed = 0
        self._pending: dict[int, Pending] = {}
        self._queue: dict[int, Pending] = {}
        self._exposed = 0
        self._next_offer = first_offer_of(origin)
        self._offers: dict[int, Offer] = {}
        self._leader: LeaderKey | None = None
        self._flush_is_scheduled = False
        self._blocked = False
        self._opening = True
        self._forgotten = False
        self._resolved_s = loop.time()
        self._draining = False
        self._drained: asyncio.Future[None] | None = None

    @property
    def pending(self) -> int:
        """How many commands have no outcome yet."""
        return len(self._pending)

    @property
    def is_draining(self) -> bool:
        """Whether new commands are refused because the node is stopping."""
        return self._draining

    async def submit(self, command: Command, deadline_s: float) -> Outcome:
        """Propose ``command`` and return what applying it gave.

        Args:
            command: Within ``limits`` (ValueError otherwise).
            deadline_s: Loop time (seconds) at which to give up.

        Raises:
            DrainingError: The node is stopping. Definite.
            OverloadedError: Too many wait, here or at the leader, or it is too late. Definite.
            NoLeaderError: No leader took it in time. Definite.
            OutcomeUnknownError: It was handed over and no answer came in time. It may have been
                applied, or be applied later; offering it again under another number is not safe.

        """
        future: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()
        pending = self.propose(command, deadline_s, partial(pass_on, future))
        try:
            return await future
        finally:
            self.abandon(pending)

    def propose(self, command: Command, deadline_s: float, done: Done) -> Pending:
        """Do as :meth:`submit`, for callers that are told rather than wait.

        What can be said at once is raised; everything else comes by ``done``.
        """
        now_s = self._loop.time()
        self._admit(command, now_s, deadline_s)
        number, self._next_number = self._next_number, self._next_number + 1
        pending = Pending(number, command, now_s, deadline_s, done)
        pending.grace_ends_s = now_s + self._bounds.leader_grace_s
        self._pending[number] = pending
        self._enqueue(pending)
        self.counts.submitted += 1
        if not self._blocked:
            self._schedule_flush()
        return pending

    def abandon(self, pending: Pending) -> None:
        """Take note that nobody waits for the outcome any more; it may have come already.

        What was handed over may still be applied; what was not never will be.
        """
        if self._pending.get(pending.number) is pending:
            self._settle(pending)

    def touch(self) -> None:
        """Let the table hear that this origin lives; what becomes of that does not matter."""
        if self._draining or self._forgotten or self._open_anew_is_due():
            return
        offer, self._next_offer = self._next_offer, self._next_offer + 1
        batch = Batch(self.origin, self._advance_confirmed(), self._opening, ())
        self._consensus.offer(offer, codec.encode_batch(batch))

    def poke(self) -> None:
        """Tell that the leader, or the link to it, may have changed."""
        self._queue_for_new_leader()
        self._schedule_flush()

    def resolve(self, number: int, outcome: Outcome) -> None:
        """Take the outcome of a command of this origin, once its entry is applied."""
        pending = self._pending.get(number)
        if isinstance(outcome, Forgotten):
            if pending is not None:
                self._reconsider(pending)
            return
        self._opening = False
        self._resolved_s = self._loop.time()
        if pending is None:
            return
        self.counts.resolved += 1
        self._settle(pending)
        pending.done(outcome)

    def refused(self, offer: int) -> None:
        """Take note that the leader appended nothing of ``offer``."""
        refused = self._offers.pop(offer, None)
        if refused is None:
            return
        self.counts.refused += 1
        now_s = self._loop.time()
        for pending in refused.commands:
            if offer not in pending.offers:
                continue
            pending.offers.remove(offer)
            if not pending.offers:
                self._exposed -= 1
                pending.grace_ends_s = now_s + self._bounds.leader_grace_s
            if pending.number not in self._queue:
                again_s = min(now_s + self._bounds.retry_s, pending.give_up_s)
                self._agenda.set(pending.number, again_s)

    async def drain(self, timeout_s: float) -> int:
        """Refuse new commands and wait for the pending ones, at most ``timeout_s`` seconds.

        Returns:
            How many commands are still pending.

        """
        self._draining = True
        if self._pending:
            self._drained = self._drained or asyncio.get_running_loop().create_future()
            await asyncio.wait([self._drained], timeout=timeout_s)
        return len(self._pending)

    def close(self) -> None:
        """Give up whatever is still pending and leave no timer behind."""
        self._draining = True
        for pending in list(self._pending.values()):
            self._give_up(pending)
        self._agenda.close()

    def _admit(self, command: Command, now_s: float, deadline_s: float) -> None:
        fault = codec.validate_batch(Batch(self.origin, 0, opens=False, commands=((1, command),)))
        if fault is not None:
            # It would take everything else in its batch with it.
            raise ValueError(fault)
        if self._draining:
            raise DrainingError("this node is stopping: ask another one")
        if deadline_s <= now_s:
            raise OverloadedError("the deadline was over before the command could be proposed")
        if len(self._pending) >= self._bounds.pending_max:
            raise OverloadedError(f"{len(self._pending)} commands are waiting for their outcome")
        if self._next_number - self._advance_confirmed() > self._bounds.ahead_max:
            raise OverloadedError("an early command still waits for its outcome")

    # Sending

    def _enqueue(self, pending: Pending) -> None:
        self._queue[pending.number] = pending
        self._agenda.set(pending.number, pending.give_up_s)

    def _schedule_flush(self) -> None:
        if self._queue and not self._flush_is_scheduled:
            self._flush_is_scheduled = True
            self._loop.call_soon(self._flush)

    def _flush(self) -> None:
        """Offer everything queued, in as few batches as the bounds allow."""
        self._flush_is_scheduled = False
        if self._leader is None:
            self._queue_for_new_leader()
        self._open_anew_if_due()
        # While it must open anew, nothing goes out before everything exposed has an outcome.
        self._blocked = self._forgotten
        while self._queue and not self._blocked:
            commands = list(islice(self._queue.values(), limits.COMMANDS_PER_BATCH_MAX))
            self._blocked = not self._offer(commands)
        if self._blocked:
            self._agenda.set(_RETRY, self._loop.time() + self._bounds.retry_s)

    def _offer(self, commands: Sequence[Pending]) -> bool:
        """Offer ``commands`` in one batch, or in halves if that is too large; say if all went."""
        commands = sorted(commands, key=attrgetter("number"))
        numbered = tuple((pending.number, pending.command) for pending in commands)
        batch = Batch(self.origin, self._advance_confirmed(), self._opening, numbered)
        payload = codec.encode_batch(batch)
        if len(payload) > BATCH_BYTES_MAX and len(commands) > 1:
            half = len(commands) // 2
            return self._offer(commands[:half]) and self._offer(commands[half:])
        offer, self._next_offer = self._next_offer, self._next_offer + 1
        # Exposed before it is handed over: consensus may answer from within the call.
        self._expose(offer, commands)
        if not self._consensus.offer(offer, payload):
            self._take_back(offer)
            return False
        self.counts.offers += 1
        return True

    def _expose(self, offer: int, commands: Sequence[Pending]) -> None:
        now_s = self._loop.time()
        self._offers[offer] = Offer(commands)
        for pending in commands:
            del self._queue[pending.number]
            if pending.offers:
                self.counts.offered_again += 1
            else:
                self._exposed += 1
            pending.offers.append(offer)
            pending.sent_to = self._leader
            # Doubled with each copy that may be about.
            silence_s = self._bounds.resend_after_s * 2 ** (len(pending.offers) - 1)
            resend_s = now_s + min(silence_s, self._bounds.resend_after_s_max)
            self._agenda.set(pending.number, min(resend_s, pending.deadline_s))

    def _take_back(self, offer: int) -> None:
        """Undo :meth:`_expose`: it was not sent."""
        for pending in self._offers.pop(offer).commands:
            pending.offers.remove(offer)
            if pending.offers:
                self.counts.offered_again -= 1
            else:
                self._exposed -= 1
            self._enqueue(pending)

    def _queue_for_new_leader(self) -> None:
        """Queue what was sent to a former leader: its copy may be lost, or cut from its log."""
        view = self._consensus.view()
        if view.leader is None or (view.term, view.leader.id) == self._leader:
            return
        self._leader = (view.term, view.leader.id)
        for pending in self._pending.values():
            if pending.offers and pending.sent_to != self._leader:
                self._offer_again(pending)

    def _offer_again(self, pending: Pending) -> None:
        if len(pending.offers) < self._bounds.copies_max:
            self._enqueue(pending)
        else:
            self._agenda.set(pending.number, pending.give_up_s)

    def _advance_confirmed(self) -> int:
        while self._confirmed + 1 < self._next_number and self._confirmed + 1 not in self._pending:
            self._confirmed += 1
        return self._confirmed

    # Opening anew

    def _reconsider(self, pending: Pending) -> None:
        """The table does not know this origin, so it has not applied this copy of the command."""
        self.counts.forgotten += 1
        self._forgotten = True
        if len(pending.offers) > 1:
            self._give_up(pending)
            return
        self._conceal(pending)
        pending.grace_ends_s = self._loop.time() + self._bounds.leader_grace_s
        self._enqueue(pending)
        self._schedule_flush()

    def _open_anew_is_due(self) -> bool:
        return self._loop.time() - self._resolved_s > REOPEN_AFTER_S

    def _open_anew_if_due(self) -> None:
        if self._exposed or not (self._forgotten or self._open_anew_is_due()):
            return
        renumbered = list(self._pending.values())
        self._pending.clear()
        self._queue.clear()
        for pending in renumbered:
            self._agenda.discard(pending.number)
            pending.number, self._next_number = self._next_number, self._next_number + 1
            self._pending[pending.number] = pending
            self._enqueue(pending)
        self._opening = True
        self._forgotten = False
        # It stays open until an outcome comes; the silence counts anew.
        self._resolved_s = self._loop.time()

    # Ending

    def _on_due(self) -> None:
        now_s = self._loop.time()
        for number in self._agenda.take_due(now_s):
            pending = self._pending.get(number)
            if pending is None:
                continue
            if now_s >= pending.give_up_s:
                self._give_up(pending)
            else:
                self._offer_again(pending)
        self._queue_for_new_leader()
        self._flush()

    def _give_up(self, pending: Pending) -> None:
        """Fail it as what it is: undone while no copy is about, unknown otherwise."""
        exposed = pending.is_exposed
        self._settle(pending)
        if exposed:
            self.counts.unknown += 1
            pending.done(OutcomeUnknownError(self._loop.time() - pending.submitted_s))
        else:
            self.counts.undone += 1
            pending.done(why_undone(self._consensus.view()))

    def _settle(self, pending: Pending) -> None:
        """Nobody waits for it any more: forget it; its number may be confirmed from now on."""
        self._conceal(pending)
        del self._pending[pending.number]
        self._queue.pop(pending.number, None)
        self._agenda.discard(pending.number)
        if self._drained is not None and not self._pending and not self._drained.done():
            self._drained.set_result(None)

    def _conceal(self, pending: Pending) -> None:
        """Take it out of its offers, which are forgotten when they hold nothing else."""
        self._exposed -= bool(pending.offers)
        for number in pending.offers:
            offer = self._offers[number]
            offer.unresolved -= 1
            if not offer.unresolved:
                del self._offers[number]
        pending.offers.clear()
