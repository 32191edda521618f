"""What is noted of the history that simulated nodes keep: each write, each answer, what is left."""

import contextvars
from dataclasses import dataclass, field

from gorilla.service.history_reading import Told
from gorilla.service.history_records import Gap, HeldOnce, HistoryState, Question, WaitedOnce


@dataclass(slots=True, frozen=True)
class Write:
    """A transaction that the database committed, whether it changed anything or not."""

    at: float
    """True seconds."""
    node: str
    name: str
    """Of the port's method."""
    term: int
    """That its node claimed to lead."""
    first_kept: int
    """Number of the oldest event that the node had when it asked for this."""
    last_applied: int
    """Number of the last event that the node had applied then."""
    span: tuple[int, int]
    """Numbers of the first and last event that it was to add, or to skip."""
    before: HistoryState | None
    after: HistoryState
    is_changed: bool
    """Whether any row, or how far the history is, is another than before."""
    shown: frozenset[int]
    """Fencing tokens of the holds that have not ended afterwards."""


@dataclass(slots=True, kw_only=True)
class Reading:
    """A question about the past, and what it was told."""

    question: Question
    node: str
    number: int = 0
    """Of the last event that the node had applied when it asked the database."""
    term: int = 0
    """Of the last entry that it had applied then."""
    told: Told | None = None
    """None: no answer came."""

    def __str__(self) -> str:
        asked = self.question
        return f"{asked.kind} of {asked.resource} at {asked.at_ms}, asked at {self.node}"


asking: contextvars.ContextVar[Reading | None] = contextvars.ContextVar("reading")
"""The question that the running task serves."""


@dataclass(slots=True)
class Recorded:
    """The history as it was written, read and left."""

    writes: list[Write] = field(default_factory=list)
    readings: list[Reading] = field(default_factory=list)
    is_over: bool = False
    """Whether what follows is what was left, long after the last fault."""
    state: HistoryState | None = None
    holds: list[HeldOnce] = field(default_factory=list)
    waits: list[WaitedOnce] = field(default_factory=list)
    gaps: list[Gap] = field(default_factory=list)
    hung: tuple[float, float] | None = None
    """From when to when (true seconds) the database stood still while nothing else was wrong."""
