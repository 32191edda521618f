"""Linearizable reads without writing to the log: ReadIndex (Ongaro, Raft dissertation 6.4).

The leader notes its commit index; when a majority has answered an append that was sent later in
the same term, it was still the leader then, and whoever has applied that index may answer. All
reads of a turn share one round. A read is also held until an expiry that is due has been applied,
so that it never says of a lease what a later read takes back.
"""

from collections.abc import Callable, Sequence

import msgspec

from gorilla.consensus.guards import is_majority
from gorilla.service.ports import ReadPoint

Done = Callable[[ReadPoint | None], None]
Confirm = Callable[[ReadPoint | None], None]

RESEND_S = 0.5
"""A request to the leader that got no answer for so long is sent again (seconds)."""
WAITING_MAX = 100_000


class _Round:
    def __init__(self, term: int, sent: int, index: int, confirms: list[Confirm]) -> None:
        self.term = term
        self.sent = sent
        self.index = index
        self.confirms = confirms
        self.acked: set[str] = set()


class LeaderRounds:
    """The leader's side: which reads are confirmed."""

    def __init__(self) -> None:
        self._waiting: list[Confirm] = []
        self._rounds: list[_Round] = []

    def ask(self, confirm: Confirm) -> None:
        """Ask for a read; ``confirm`` gets the point, or None when leadership was lost."""
        if len(self._waiting) >= WAITING_MAX:
            confirm(None)
        else:
            self._waiting.append(confirm)

    @property
    def waiting(self) -> bool:
        """Whether reads wait for a round."""
        return bool(self._waiting)

    @property
    def running(self) -> bool:
        """Whether rounds wait for acknowledgements."""
        return bool(self._rounds)

    def open(self, term: int, sent: int, index: int) -> None:
        """Start a round for all that wait; ``sent`` is the number of the newest append so far."""
        self._rounds.append(_Round(term, sent, index, self._waiting))
        self._waiting = []

    def acked(self, peer: str, term: int, echo: int) -> None:
        """Note that ``peer`` answered the append of number ``echo``."""
        for round_ in self._rounds:
            if round_.term == term and echo > round_.sent:
                round_.acked.add(peer)

    def forget(self, peer: str) -> None:
        """Let the answers of ``peer`` count no more: it is no voter any longer."""
        for round_ in self._rounds:
            round_.acked.discard(peer)

    def close(self, members: int, now_ms: Callable[[], int]) -> None:
        """Confirm the rounds that a majority has answered."""
        left = []
        for round_ in self._rounds:
            if not is_majority(len(round_.acked) + 1, members):
                left.append(round_)
                continue
            point = ReadPoint(round_.index, now_ms())
            for confirm in round_.confirms:
                confirm(point)
        self._rounds = left

    def abandon(self) -> None:
        """Leadership is lost: nothing that waits is confirmed."""
        confirms = [*self._waiting, *(c for round_ in self._rounds for c in round_.confirms)]
        self._waiting, self._rounds = [], []
        for confirm in confirms:
            confirm(None)


class _Request(msgspec.Struct):
    done: Done
    deadline: float


class PendingReads:
    """The asking side, on every node: waits for the leader's word, then for its own state."""

    def __init__(self, first_number: int) -> None:
        """Number requests from a random ``first_number``: no answer to an earlier process fits."""
        self._unsent: list[_Request] = []
        self._sent: dict[int, tuple[float, list[_Request]]] = {}
        self._confirmed: list[tuple[ReadPoint, _Request]] = []
        self._number = first_number

    def add(self, done: Done, deadline: float) -> None:
        """Ask for a read point until ``deadline`` (this node's monotonic clock, seconds)."""
        sent = sum(len(requests) for _, requests in self._sent.values())
        count = len(self._unsent) + sent + len(self._confirmed)
        if count >= WAITING_MAX:
            done(None)
        else:
            self._unsent.append(_Request(done, deadline))

    @property
    def unsent(self) -> bool:
        """Whether something is to be sent to the leader."""
        return bool(self._unsent)

    @property
    def any(self) -> bool:
        """Whether anything waits at all."""
        return bool(self._unsent or self._sent or self._confirmed)

    def take(self, now: float) -> int:
        """Mark all that is unsent as sent, and return the number of that request."""
        self._number += 1
        self._sent[self._number] = (now, self._unsent)
        self._unsent = []
        return self._number

    def answered(self, number: int, point: ReadPoint | None) -> None:
        """Take the leader's answer; None puts the reads back."""
        _, requests = self._sent.pop(number, (0.0, []))
        if point is None:
            self._unsent.extend(requests)
        else:
            self._confirmed.extend((point, request) for request in requests)

    def put_back(self, now: float, *, everything: bool) -> None:
        """Put back what was sent too long ago, or everything after a change of leader."""
        for number, (at, requests) in list(self._sent.items()):
            if everything or now - at > RESEND_S:
                del self._sent[number]
                self._unsent.extend(requests)

    def resolve(self, applied: int) -> None:
        """Answer every confirmed read whose index is applied here."""
        if not self._confirmed:
            return
        ready = [pair for pair in self._confirmed if pair[0].index <= applied]
        self._confirmed = [pair for pair in self._confirmed if pair[0].index > applied]
        for point, request in ready:
            request.done(point)

    def expire(self, now: float) -> None:
        """Give up what is past its deadline."""
        late: list[_Request] = []

        def keep(requests: Sequence[_Request]) -> list[_Request]:
            late.extend(request for request in requests if request.deadline <= now)
            return [request for request in requests if request.deadline > now]

        self._unsent = keep(self._unsent)
        self._sent = {n: (at, kept) for n, (at, r) in self._sent.items() if (kept := keep(r))}
        late.extend(request for _, request in self._confirmed if request.deadline <= now)
        self._confirmed = [pair for pair in self._confirmed if pair[1].deadline > now]
        for request in late:
            request.done(None)
