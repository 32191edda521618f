"""The real lock table; notes which command, or which passing of time, caused which events."""

from typing_extensions import override

from gorilla.domain import limits
from gorilla.domain.commands import Command, Entry
from gorilla.domain.limits import Bounds
from gorilla.domain.outcomes import Outcome
from gorilla.domain.snapshot_format import FrozenTable
from gorilla.domain.table import _EMPTY, Applied, LockTable
from tests.support.sim.history import Effects, History, Step


class ObservedTable(LockTable):
    """A lock table whose last entry can be looked at step by step."""

    usual_bounds = limits.BOUNDS
    """What limits every one of them, unless it is told otherwise."""

    last: Applied
    steps: list[Step]
    heard: tuple[str, ...]

    def __init__(self, frozen: FrozenTable = _EMPTY, bounds: Bounds = limits.BOUNDS) -> None:
        super().__init__(frozen, self.usual_bounds if bounds is limits.BOUNDS else bounds)

    @override
    def apply(self, entry: Entry) -> Applied:
        self.steps = []
        self.heard = tuple(batch.origin for batch in entry.batches)
        self._noted = 0
        self.last = super().apply(entry)
        self._note(None, "", None, len(self.last.events), self.last.events)
        return self.last

    @override
    def _execute(self, command: Command, origin: str) -> Outcome:
        events = self._book.events
        self._note(None, "", None, len(events), events)
        outcome = super()._execute(command, origin)
        self._note(command, origin, outcome, len(events), events)
        return outcome

    def _note(self, command, origin, outcome, until, events) -> None:
        caused = tuple(events[self._noted : until])
        self._noted = until
        if caused or command is not None:
            self.steps.append(Step(command, origin, outcome, caused))


def record(table: LockTable, index: int, at: float, history: History) -> None:
    """Take note of what the last entry caused, where nobody has applied it before."""
    assert isinstance(table, ObservedTable)
    if not history.effects or index > history.effects[-1].index:
        turns = tuple(table.last.turns)
        effects = Effects(at, index, table.now_ms, table.heard, tuple(table.steps), turns)
        history.effects.append(effects)
