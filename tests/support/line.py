"""Callers of a lock table that queue: one thing asked after the other."""

from gorilla.domain.commands import Acquire, AcquireAll, Claim
from gorilla.domain.outcomes import Queued
from gorilla.domain.table import Applied, LockTable
from tests.support.domain import Caller, release


def wants(holder: str, lock: str = "db", slots: int = 1, wait_ms: int = 60_000) -> Acquire:
    return Acquire(lock, holder, 10_000, f"s-{holder}-{lock}", slots=slots, wait_ms=wait_ms)


def wants_all(holder: str, *locks: str, wait_ms: int = 60_000) -> AcquireAll:
    return AcquireAll(locks, holder, 10_000, f"g-{holder}", wait_ms=wait_ms)


def let_go(holder: str, lock: str = "db"):
    return release(lock, f"s-{holder}-{lock}")


def ready(applied: Applied) -> list[str]:
    """Return the secrets of those whose turn has come."""
    return [turn.secret for turn in applied.turns if turn.left is None]


class Line:
    """A table, and a caller who asks one thing after the other a millisecond apart."""

    def __init__(self, table: LockTable | None = None) -> None:
        self.caller = Caller(table or LockTable())
        self.now_ms = 0
        self.tickets: dict[str, int] = {}

    @property
    def table(self) -> LockTable:
        return self.caller.table

    def do(self, command, after_ms: int = 1) -> Applied:
        self.now_ms += after_ms
        return self.caller.at(self.now_ms, command)

    def ask(self, command, after_ms: int = 1):
        ((_, _, outcome),) = self.do(command, after_ms).outcomes
        if isinstance(outcome, Queued):
            self.tickets[command.secret] = outcome.ticket
        return outcome

    def claim(self, secret: str):
        return self.ask(Claim(self.tickets[secret], secret))
