"""What the log of the cluster says of each hold and each wait, to compare a history with.

Written anew from what the events promise, with nothing of how the history folds them.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from gorilla.domain.events import (
    Acquired,
    Event,
    Expired,
    Extended,
    Forced,
    LeftEvent,
    ReleasedEvent,
)
from tests.support.sim.history import History

CLOCK_MS_MAX = 1
"""How far two events' wall time may be from each other, measured by cluster time, if one clock
gave both."""

Ended = ReleasedEvent | Expired | Forced


@dataclass(slots=True)
class Story:
    """A hold from its grant on."""

    grant: Acquired
    extensions: list[Extended] = field(default_factory=list)
    end: Ended | None = None

    @property
    def token(self) -> int:
        """Its fencing token."""
        return self.grant.fencing_token

    @property
    def events(self) -> list[Acquired | Extended | Ended]:
        """All that is about it, in order."""
        return [self.grant, *self.extensions, *([self.end] if self.end else [])]

    @property
    def last_for(self) -> Acquired | Extended:
        """The event that says how long it may last."""
        return self.extensions[-1] if self.extensions else self.grant

    def is_held_at(self, number: int) -> bool:
        """Whether it goes on right after an event of that number."""
        return self.grant.number <= number and (self.end is None or self.end.number > number)


class Canon:
    """Every event of a run in its order, by what it is about."""

    def __init__(self, history: History) -> None:
        term_of = {one.index: one.term for one in history.commits}
        self.events: list[Event] = []
        self.terms: list[int] = []
        """Of the entry that brought the event of number ``at + 1``."""
        self.stories: dict[int, Story] = {}
        self.left: dict[int, LeftEvent] = {}
        for entry in history.effects:
            for step in entry.steps:
                for event in step.events:
                    assert event.number == len(self.events) + 1, event
                    self.events.append(event)
                    self.terms.append(term_of.get(entry.index, 0))
                    self._follow(event)

    @property
    def last(self) -> int:
        """Number of the last event."""
        return len(self.events)

    def term(self, number: int) -> int:
        """Return the term in which an event came about; 0 before the first one."""
        return self.terms[number - 1] if number else 0

    def is_at(self, number: int, wall_ms: int) -> bool:
        """Whether an event is of this time, by its own clock."""
        return number > 0 and self.events[number - 1].wall_ms == wall_ms

    def held_at(self, number: int) -> frozenset[int]:
        """Return the fencing tokens of what is held right after an event."""
        return frozenset(one.token for one in self.stories.values() if one.is_held_at(number))

    def after(self, number: int) -> Iterator[Event]:
        """Yield the events of larger numbers."""
        yield from self.events[number:]

    def is_one_clock(self, first: int, last: int) -> bool:
        """Whether the wall times of these events are of clocks that agree."""
        those = self.events[max(0, first - 1) : last]
        offsets = [one.wall_ms - one.now_ms for one in those] or [0]
        return max(offsets) - min(offsets) <= CLOCK_MS_MAX

    def _follow(self, event: Event) -> None:
        match event:
            case Acquired():
                self.stories[event.fencing_token] = Story(event)
            case Extended():
                self.stories[event.fencing_token].extensions.append(event)
            case ReleasedEvent() | Expired() | Forced():
                self.stories[event.fencing_token].end = event
            case LeftEvent():
                self.left[event.number] = event


class Missing:
    """The spans of events that a history says it does not have."""

    def __init__(self, history: History) -> None:
        recorded = history.recorded
        began = 1 if recorded.state is None else recorded.state.began_number
        before = [(1, began - 1)] if began > 1 else []
        self.spans = before + [(gap.first_number, gap.last_number) for gap in recorded.gaps]
        self._settled_at = dict.fromkeys(before, 0)
        settled_at = behind = 0
        for write in recorded.writes:
            if write.name == "skip" and write.is_changed and write.before is not None:
                # What stands right behind a gap has its time from before that, perhaps.
                if write.before.unsettled_ms is None and write.before.number != behind:
                    settled_at = write.before.number
                self._settled_at[write.span], behind = settled_at, write.span[1]

    def span_of(self, number: int) -> tuple[int, int] | None:
        """Return the span that an event is in."""
        return next((one for one in self.spans if one[0] <= number <= one[1]), None)

    def settled_before(self, story: Story) -> int:
        """Return the last event before the gaps that matter for a hold, and before its grant."""
        before = map(self.settled_before_span, self.touching(story))
        return min((story.grant.number, *before))

    def settled_before_span(self, span: tuple[int, int]) -> int:
        """Return the last event before it whose time the span begins with."""
        return self._settled_at.get(span, 0)

    def touching(self, story: Story) -> list[tuple[int, int]]:
        """Return the spans within the time of a hold: any event there may have been of it."""
        return [
            (first, last)
            for first, last in self.spans
            if last >= story.grant.number and (story.end is None or first <= story.end.number)
        ]
