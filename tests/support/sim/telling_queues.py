"""Small logs of locks, written by hand: what the tests of the checkers of queues feed them."""

from typing import Any

from gorilla.domain.commands import (
    Acquire,
    AcquireAll,
    Claim,
    Command,
    EndSession,
    Leave,
    Once,
    OpenSession,
    Plain,
    Release,
)
from gorilla.domain.events import Acquired, Event, Left, LeftEvent, QueuedEvent, ReleasedEvent
from gorilla.domain.outcomes import (
    Done,
    Granted,
    GrantedAll,
    Lease,
    Outcome,
    Queued,
    Released,
    Session,
    SessionAlive,
    SessionEnded,
    Turn,
)
from tests.support.sim.history import Ask, Asked, Effects, History, Hold, Result, Step, Wish

Asking = Acquire | AcquireAll
TTL_MS = 1_000
"""Of every grant."""


def acquire(holder: str, *locks: str, slots: int = 1, **more: Any) -> Asking:
    """Return what asks for one lock, or for several."""
    more = {"wait_ms": 5_000} | more
    secret = more.pop("secret", f"s-{holder}")
    if len(locks) > 1:
        return AcquireAll(locks, holder, TTL_MS, secret, slots=slots, **more)
    return Acquire(locks[0] if locks else "r", holder, TTL_MS, secret, slots=slots, **more)


def named(command: Asking) -> tuple[str, ...]:
    return command.locks if isinstance(command, AcquireAll) else (command.lock,)


def lease_of(command: Asking, lock: str, number: int, session: int = 0) -> Lease:
    group = command.secret if isinstance(command, AcquireAll) else ""
    at = (9_000, b"[]", 0, 0, 0)
    more = {"slots": command.slots, "session": session, "group": group}
    return Lease(lock, command.holder, command.secret, number, TTL_MS, *at, **more)


class Log:
    """Takes down one entry after the other; each does one thing, a millisecond apart."""

    def __init__(self) -> None:
        self.history = History()
        self.asked: dict[int, Asking] = {}
        self.number = 0

    def entry(self, *steps: Step, turns: tuple[int, ...] = (), after_ms: int = 1) -> None:
        effects = self.history.effects
        now_ms = after_ms + (effects[-1].now_ms if effects else 0)
        told = tuple(Turn("n0/1", ticket, f"s-{ticket}", None) for ticket in turns)
        heard = ("n0/1",) if steps and steps[0].command is not None else ()
        effects.append(Effects(now_ms / 1_000, len(effects) + 1, now_ms, heard, steps, told))

    def do(self, command: Plain, outcome: Outcome, *events: Event, **more: Any) -> None:
        key = more.pop("key", "")
        asked: Command = Once(key, b"f", command) if key else command
        self.entry(Step(asked, "n0/1", outcome, events), **more)

    def fields(self, lock: str, holder: str) -> tuple[int, int, int, str, str]:
        self.number += 1
        return (self.number, 0, 0, lock, holder)

    def grant(
        self, command: Asking, *numbers: int, by: Plain | None = None, session: int = 0, **more: Any
    ) -> None:
        """Grant what ``command`` asks for under ``numbers``, by itself or by a claim."""
        leases = tuple(
            lease_of(command, lock, number, session)
            for lock, number in zip(named(command), numbers, strict=False)
        )
        begun = [
            Acquired(
                *self.fields(one.lock, one.holder), one.fencing_token, TTL_MS, one.slots, session
            )
            for one in leases
        ]
        outcome = (
            GrantedAll(leases, TTL_MS, is_new=True)
            if isinstance(command, AcquireAll)
            else Granted(leases[0], TTL_MS, is_new=True)
        )
        self.do(by or command, outcome, *begun, **more)

    def queue(
        self, command: Asking, ticket: int, position: int = 1, replaces: int = 0, **more: Any
    ) -> None:
        self.asked[ticket] = command
        queued: list[Event] = self._left(replaces, Left.REPLACED) if replaces else []
        queued += [
            QueuedEvent(
                *self.fields(lock, command.holder),
                ticket,
                command.slots,
                position,
                command.wait_ms,
                (),
            )
            for lock in named(command)
        ]
        self.do(command, Queued(ticket, position), *queued, **more)

    def claim(self, ticket: int, *numbers: int, **more: Any) -> None:
        command = self.asked[ticket]
        self.grant(command, *numbers, by=Claim(ticket, more.pop("secret", command.secret)), **more)

    def leave(self, ticket: int, why: Left = Left.HUNG_UP, **more: Any) -> None:
        left = self._left(ticket, why)
        self.do(Leave(ticket, self.asked[ticket].secret), Done(), *left, **more)

    def again(self, command: Asking, ticket: int) -> None:
        """Let an owner ask again for what it queues for."""
        self.asked[ticket] = command
        self.do(command, Queued(ticket, 1))

    def _left(self, ticket: int, why: Left) -> list[Event]:
        command = self.asked[ticket]
        return [
            LeftEvent(*self.fields(lock, command.holder), ticket, 0, why) for lock in named(command)
        ]

    def release(self, command: Asking, *numbers: int, session: int = 0, **more: Any) -> None:
        ended = [
            ReleasedEvent(*self.fields(lock, command.holder), number, 0, session)
            for lock, number in zip(named(command), numbers, strict=True)
        ]
        self.do(Release(named(command)[0], "s"), Released(numbers[0]), *ended, **more)

    def open(self, session_id: str, number: int, expires_at_ms: int = 9_000) -> None:
        session = Session(session_id, number, "ann", 1_000, expires_at_ms, b"[]", 0, 0, 0)
        self.do(OpenSession(session_id, "ann", 1_000), SessionAlive(session, 1_000))

    def end(self, session_id: str, *events: Event) -> None:
        self.do(EndSession(session_id), SessionEnded(len(events)), *events)

    # What clients were told

    def told(self, client: str, result: Result, *locks: str, **values: Any) -> Ask:
        kind = Asked.SEVERAL if len(locks) > 1 else Asked.ACQUIRE
        wish = Wish(kind, locks or ("r",), key=values.pop("key", ""))
        number = len(self.history.asks)
        values = {"invoked_at": 0.0, "returned_at": 1.0} | values
        ask = Ask(number=number, client=client, wish=wish, node="n0", result=result, **values)
        self.history.asks.append(ask)
        return ask

    def hold(self, client: str, number: int, since: float, until: float, slots: int = 1) -> None:
        self.history.holds.append(Hold(client, "", "r", slots, number, since, until))
