"""Every event of a run, as the entries of the log caused them: what streams have to say."""

from bisect import bisect_right
from dataclasses import dataclass, field

from gorilla.domain.events import Event
from tests.support.sim.history import History
from tests.support.sim.watch_history import LogKept


@dataclass(slots=True)
class Happened:
    """The events of a run by number, and when (true seconds) each was applied first."""

    history: History
    events: list[Event] = field(init=False)
    """Event 1 stands first, whatever number it carries."""
    times: list[float] = field(init=False)
    indices: list[int] = field(init=False)
    """Of the entries that caused them."""
    loads: dict[tuple[str, int], list[tuple[float, int]]] = field(default_factory=dict)
    """By node and life: when a state was taken over, and of which index."""

    def __post_init__(self) -> None:
        """Collect them."""
        found = [
            (event, entry.at, entry.index)
            for entry in self.history.effects
            for step in entry.steps
            for event in step.events
        ]
        self.events = [event for event, _, _ in found]
        self.times = [at for _, at, _ in found]
        self.indices = [index for _, _, index in found]
        for loaded in self.history.loaded:
            lives = self.loads.setdefault((loaded.node, loaded.life), [])
            lives.append((loaded.at, loaded.index))

    def event(self, number: int) -> Event | None:
        """Return the event of a number."""
        return self.events[number - 1] if 1 <= number <= len(self.events) else None

    def until(self, at: float) -> int:
        """Return how many had been given at an instant."""
        return bisect_right(self.times, at)

    def at_index(self, index: int) -> int:
        """Return how many entries up to this one caused."""
        return bisect_right(self.indices, index)

    def first_at_most(self, log: LogKept) -> int:
        """Return the number from which on a node must have events.

        It has the latest that its log may hold; of those from before the state that it took over
        last, at least what the state remembers.
        """
        loads = [index for at, index in self.loads.get((log.node, log.life), []) if at <= log.at]
        loaded = self.at_index(loads[-1]) if loads else 0
        remembered = loaded - self.history.watching.remembered_max + 1
        return max(1, log.last - log.kept_max + 1, remembered)
