"""Bugs to plant in queues, modes, several at once, sessions and idempotency keys."""

from contextlib import AbstractContextManager
from typing import Any

from msgspec.structs import replace

from gorilla.domain import acquiring, granting, waiters
from gorilla.domain.book import Book
from gorilla.domain.commands import SHARED, Release, ReleaseAll
from gorilla.domain.key_memory import KeyMemory
from gorilla.domain.outcomes import Done, Granted, GrantedAll, Reserved, TimedOut, Turn
from gorilla.domain.snapshot_format import FrozenTable
from gorilla.domain.table import LockTable
from gorilla.domain.waiters import Waiters
from gorilla.service import locks, sessions
from gorilla.service.waits import Waits
from tests.support.sim.patching import both, replaced


def overtaking_in_the_queue() -> AbstractContextManager[None]:
    """Grant a free lock to whoever asks, also while others queue for it."""

    def blocked(*args: Any) -> Any:
        found = original(*args)
        return None if isinstance(found, Reserved) else found

    original = acquiring._blocked
    return replaced(acquiring, _blocked=blocked)


def sharer_beside_exclusive() -> AbstractContextManager[None]:
    """Let one more share a lock that somebody has, or wants, for itself."""

    def is_blocked(slots: int, before: int, most: int, *, before_alone: bool) -> bool:
        before_alone = before_alone and slots != SHARED
        return original(slots, before, most, before_alone=before_alone)

    original = waiters.is_blocked
    return both(
        replaced(waiters, is_blocked=is_blocked), replaced(acquiring, is_blocked=is_blocked)
    )


def claim_not_checked() -> AbstractContextManager[None]:
    """Grant whatever is claimed, and give a turn for the first of several locks that is free."""
    return replaced(Book, is_next=lambda *_args, **_more: True)


def waiters_lost_at_snapshot() -> AbstractContextManager[None]:
    """Leave those who queue out of every snapshot."""
    return frozen_without(waiters=[])


def keys_lost_at_snapshot() -> AbstractContextManager[None]:
    """Leave idempotency keys out of every snapshot."""
    return frozen_without(keys=[])


def frozen_without(**lost: Any) -> AbstractContextManager[None]:
    """Leave a part of the state out of every snapshot."""

    def freeze(self: Any) -> FrozenTable:
        return replace(original(self), **lost)

    original = LockTable.freeze
    return replaced(LockTable, freeze=freeze)


def session_end_forgets_waits() -> AbstractContextManager[None]:
    """End what a session holds, and let what it waits for stand."""

    def end_session(self: Any, *args: Any, **more: Any) -> int:
        with replaced(Waiters, of_party=lambda _self, _party: []):
            return original(self, *args, **more)

    original = Book.end_session
    return replaced(Book, end_session=end_session)


def several_in_part() -> AbstractContextManager[None]:
    """Grant all but the last of several locks."""

    def grant(book: Book, asked: Any) -> Granted | GrantedAll:
        if asked.is_group and len(asked.locks) > 1:
            asked = replace(asked, locks=asked.locks[:-1])
        return original(book, asked)

    original = granting.grant
    return both(replaced(granting, grant=grant), replaced(acquiring, grant=grant))


def hang_up_forgotten() -> AbstractContextManager[None]:
    """Let a waiter stand whose caller hung up, and its node not know that it did."""

    def on_turns(self: Any, turns: Any) -> None:
        for turn in turns:
            if turn.secret not in self._calls and turn.left is None:
                self._propose_quietly(granting.Claim(turn.ticket, turn.secret))
        original(self, turns)

    original = Waits._on_turns
    return both(
        replaced(granting, leave=lambda _book, _command: Done()),
        replaced(Waits, _on_turns=on_turns),
    )


def place_lost_at_renewal() -> AbstractContextManager[None]:
    """Let whoever asks again for what it queues for stand at the end."""
    return replaced(acquiring, _is_same=lambda _wait, _asked: False)


def place_given_up_at_once() -> AbstractContextManager[None]:
    """Tell a caller that its place is kept, and leave the queue."""

    def keep_place(self: Any, call: Any, _kept_ms: int) -> None:
        self._propose_quietly(granting.Leave(call.ticket, call.secret))

    return replaced(Waits, _keep_place=keep_place)


def key_forgotten_at_take_over() -> AbstractContextManager[None]:
    """Forget the key of a request whose place another one took on: a copy of it is a new one."""

    def settle(self: Any, key: str, fingerprint: Any, ticket: int, outcome: Any, at: int) -> None:
        if isinstance(outcome, TimedOut):
            self.forget_wait(key, ticket)
        else:
            settled(self, key, fingerprint, ticket, outcome, at)

    def take_place(*args: Any, **more: Any) -> Any:
        with replaced(KeyMemory, settle=settle):
            return taken(*args, **more)

    settled, taken = KeyMemory.settle, acquiring._take_place
    return replaced(acquiring, _take_place=take_place)


def place_kept_for_nobody() -> AbstractContextManager[None]:
    """Stand in for a caller who does not come back until the table has had enough."""
    return replaced(Waits, _on_kept=lambda _self, _call: None)


def turn_not_told() -> AbstractContextManager[None]:
    """Keep a lock for whoever is next without a word to its node."""

    def take_turns(self: Any) -> list[Turn]:
        return [turn for turn in original(self) if turn.left is not None]

    original = Book.take_turns
    return replaced(Book, take_turns=take_turns)


def taken_back_from_its_owner() -> AbstractContextManager[None]:
    """Release what was granted to a caller who had gone, whoever was told of it since."""

    def take_back(self: Any, call: Any, outcome: Any) -> None:
        if isinstance(outcome, Granted) and outcome.is_new and not call.has_key:
            self._propose_quietly(Release(outcome.lease.lock, outcome.lease.secret))
        elif isinstance(outcome, GrantedAll) and outcome.is_new and not call.has_key:
            self._propose_quietly(ReleaseAll(call.secret))

    return replaced(Waits, _take_back=take_back)


def time_promised_again() -> AbstractContextManager[None]:
    """Give an answer again without taking off what passed since the question."""

    def replayed_now(replayed: Any, _passed_s: float) -> Any:
        return replayed

    return both(
        replaced(locks, replayed_now=replayed_now), replaced(sessions, replayed_now=replayed_now)
    )
