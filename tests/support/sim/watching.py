"""Those who watch events: they stay with a stream, read it fast or slowly, and come back elsewhere.

Each follows what it got last, as the guide to events says: it asks the next node for what comes
after that. Some want everything and some a part; some begin now and some at the very first event.
Now and then one asks for a number that it has from nowhere.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from msgspec.structs import replace

from gorilla.api import feeding
from gorilla.api.event_frames import EventFilter
from gorilla.client.events_reading import EventReader
from gorilla.domain import limits
from tests.support.sim.observed_table import ObservedTable
from tests.support.sim.patching import replaced
from tests.support.sim.streaming import Stream, log_of
from tests.support.sim.watch_history import Line, Readiness, Watch
from tests.support.streams import Parser

if TYPE_CHECKING:
    from tests.support.sim.world import World

STEP_S = (0.01, 0.08)
"""How often a reader looks what has come, at least and at most."""
SLOW_STEP_S = (0.1, 0.5)
SLOW_BYTES = 700
"""What a slow reader takes in each time."""
SILENT_S_MAX = 2.5
"""How long a reader hears nothing at all before it goes elsewhere."""
BACK_S = (0.0, 0.4)
"""How long one is away between two streams."""
LEAVES = 0.006
"""Share of looks after which a reader goes elsewhere for no reason."""
GUESSES = 0.06
"""Share of requests for a number from nowhere."""
CATCH_UP_S_MAX = 4.0
"""How long, when all is whole, until everybody who watches has had the last event."""
PIECE_EVENTS = 8


class Watcher:
    """One reader; it has one stream at a time."""

    def __init__(self, world: "World", name: str) -> None:
        self.name = name
        self._world = world
        self._rng = rng = world.scheduler.random(f"watcher {name}")
        self.wanted = self._choose()
        self.last: int | None = rng.choice((None, 0, 0))
        """What it got last, and goes on after; None: it goes on from now."""
        self._is_slow = rng.random() < 0.3
        self._is_steady = False
        self._stream: Stream | None = None
        self._parser, self._reader = Parser(), EventReader()
        """What takes a stream apart: by the standard, and as the client does."""
        self._heard_at = 0.0
        self._streams = 0

    def begin(self) -> None:
        """Start watching."""
        self._world.scheduler.after(self._rng.uniform(0.0, 1.0), self._step)

    def hurry(self) -> None:
        """Stay, and read whatever comes, at once, from now on."""
        self._is_slow, self._is_steady = False, True

    def _choose(self) -> EventFilter:
        rng, world = self._rng, self._world
        match rng.randrange(6):
            case 0:
                return EventFilter(prefix=rng.choice(world.resources))
            case 1:
                return EventFilter(owner=f"owner-{rng.randrange(world.profile.clients)}")
            case 2:
                return EventFilter(types=frozenset({"acquired", "released", "member"}))
        return EventFilter()

    def _step(self) -> None:
        stream = self._stream
        if stream is None:
            self._ask()
        else:
            self._read(stream)
        pause_s = SLOW_STEP_S if self._is_slow else STEP_S
        if stream is not None and self._stream is None:
            pause_s = BACK_S
        self._world.scheduler.after(self._rng.uniform(*pause_s), self._step)

    def _ask(self) -> None:
        world, rng = self._world, self._rng
        up = [node for node in world.nodes.values() if node.is_up]
        node = rng.choice(up if up and rng.random() < 0.9 else list(world.nodes.values()))
        self._streams += 1
        watch = Watch(
            watcher=self.name,
            number=self._streams,
            node=node.id,
            wanted=self.wanted,
            after=self._after(),
            asked_at=world.scheduler.now,
            is_slow=self._is_slow,
        )
        world.history.watching.watches.append(watch)
        world.scheduler.note("watches", watch)
        self._parser, self._reader = Parser(), EventReader()
        self._heard_at = world.scheduler.now
        self._stream = Stream(world, node, watch)

    def _after(self) -> int | None:
        if self._rng.random() < GUESSES and not self._is_steady:
            return max(0, (self.last or 0) + self._rng.choice((-20, 1, 3, 200, 100_000)))
        return self.last

    def _read(self, stream: Stream) -> None:
        now = self._world.scheduler.now
        data = stream.read(SLOW_BYTES if self._is_slow else 1 << 20)
        if data:
            self._heard_at = now
        events, told = self._parser.feed(data), self._reader.feed(data)
        if [event.number for event in events] != [one.number for one in told if one.event]:
            self._world.history.mishaps.append(f"the client takes {data!r} for {told}")
        for event in events:
            line = Line(now, event.type, event.number, event.json)
            stream.watch.lines.append(line)
            self._world.happens(f"told: {_kind(line)}")
            self.last = line.number
        if stream.is_closed and not stream.arrived:
            self._stream = None
        elif self._goes(now):
            stream.leave()
            self._stream = None

    def _goes(self, now: float) -> bool:
        if now - self._heard_at > SILENT_S_MAX:
            return True
        return not self._is_steady and self._rng.random() < LEAVES


def _kind(line: Line) -> str:
    return f"gap, {line.body['reason']}" if line.kind == "gap" else line.kind


class Audience:
    """All who watch in a run, and what has to be known of the logs that they read from."""

    def __init__(self, world: "World") -> None:
        self.watchers = [Watcher(world, f"watcher-{n}") for n in range(world.profile.watchers)]
        self._world = world
        self._watching = world.history.watching
        self._watching.remembered_max = world.profile.events_remembered

    @contextmanager
    def gathered(self) -> Iterator[None]:
        """Let states remember few events for a while, and feeds write few at a time."""
        bounds = replace(limits.BOUNDS, events=self._world.profile.events_remembered)
        with (
            replaced(ObservedTable, usual_bounds=bounds),
            replaced(feeding, PIECE_EVENTS_MAX=PIECE_EVENTS),
        ):
            yield

    def look(self) -> None:
        """Note what the event logs of all nodes hold, and who is ready to serve events."""
        for node in self._world.nodes.values() if self.watchers else ():
            log, process = log_of(node, with_events=True), node.process
            if log is not None and process is not None and process.edge is not None:
                is_ready = node.is_paused or process.edge.cluster.readiness().ready
                self._watching.logs.append(log)
                self._watching.looks.append(Readiness(log.at, node.id, node.life, is_ready))

    def catch_up(self) -> None:
        """Give everybody the time to get the last event, and note who does not."""
        scheduler, nodes = self._world.scheduler, self._world.nodes.values()
        last = max((log.last for log in map(log_of, nodes) if log), default=0)
        end = scheduler.now + CATCH_UP_S_MAX
        for one in self.watchers:
            one.hurry()
        while scheduler.now < end and self._behind(last):
            scheduler.run(scheduler.now + STEP_S[1])
        self._watching.late += self._behind(last)

    def _behind(self, last: int) -> list[str]:
        behind = [one for one in self.watchers if one.last is None or one.last < last]
        members = tuple(sorted({node.machine.member.name for node in self._world.nodes.values()}))
        told = {
            node.process.replica.table.members
            for node in self._world.nodes.values()
            if node.process and self.watchers
        }
        wrong = [f"{one} are told as the members, not {members}" for one in told - {members}]
        return [f"{one.name} has had {one.last} of {last}" for one in behind] + sorted(wrong)
