"""What is noted of those who watch events, and of the event logs of nodes, for checkers."""

import math
from dataclasses import dataclass, field
from typing import Any

from gorilla.api.event_frames import EventFilter
from gorilla.domain.events import Event


@dataclass(slots=True, frozen=True, kw_only=True)
class LogKept:
    """What the event log of a node said of itself at an instant (true seconds)."""

    at: float
    node: str
    life: int
    index: int
    """What the node had applied."""
    first: int
    last: int
    kept_max: int
    """How many events it may keep."""
    events: tuple[Event, ...] = ()
    """What it gave when it was asked for all; nothing where it was not asked."""


@dataclass(slots=True, frozen=True)
class Line:
    """One event of a stream as its reader took it apart."""

    at: float
    kind: str
    number: int
    """Its id."""
    body: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.kind} {self.number} at {self.at:.3f}"


@dataclass(slots=True, kw_only=True)
class Watch:
    """One stream: what was asked for, and what its reader got. Times are true seconds."""

    watcher: str
    number: int
    node: str
    wanted: EventFilter
    after: int | None
    """The event to go on after; None: from now."""
    asked_at: float
    is_slow: bool = False
    """Whether its reader takes its time."""
    life: int = 0
    asked: LogKept | None = None
    """When the request was there."""
    opened: LogKept | None = None
    """When the stream began."""
    ended_at: float = math.inf
    """When the node ended it, or heard that its reader had gone, or died."""
    lines: list[Line] = field(default_factory=list)

    def __str__(self) -> str:
        wish = "now" if self.after is None else f"after {self.after}"
        return f"{self.watcher}'s stream {self.number} at {self.node}/{self.life} ({wish})"


@dataclass(slots=True, frozen=True)
class Readiness:
    """A look (true seconds) at a node that runs: is it ready to serve events?"""

    at: float
    node: str
    life: int
    is_ready: bool


@dataclass(slots=True)
class Watching:
    """Everything that the checkers of events look at, beside what entries caused."""

    remembered_max: int = 0
    """How many events a state remembers."""
    watches: list[Watch] = field(default_factory=list)
    logs: list[LogKept] = field(default_factory=list)
    looks: list[Readiness] = field(default_factory=list)
    late: list[str] = field(default_factory=list)
    """Who had not caught up in the end."""
