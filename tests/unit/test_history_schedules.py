"""Two writers, any interleaving, any failure: each event is in the history once."""

import asyncio
from collections.abc import Sequence
from typing import Any

from hypothesis import given, settings, strategies as st

from gorilla.service.history import HistoryWriter
from gorilla.service.history_records import EndedBy, Retention
from gorilla.service.snapshots import StorageUnavailableError
from tests.support.history import MemoryHistory
from tests.support.history_events import EventMaker, HistoryNode
from tests.support.service import LoopClock, VirtualTimeLoop, turns

KEEP = Retention(days=30, rows=1_000_000)
SIDES = st.integers(0, 1)

EVENTS = st.tuples(st.just("event"), st.integers(0, 5), st.integers(0, 9))
ACTIONS = st.one_of(
    EVENTS,
    EVENTS,
    EVENTS,
    st.tuples(st.just("go"), SIDES, st.integers(1, 3)),
    st.tuples(st.just("go"), SIDES, st.integers(4, 12)),
    st.tuples(st.just("go"), SIDES, st.integers(4, 12)),
    st.tuples(st.just("lead"), SIDES, st.just(0)),
    st.tuples(st.just("hear"), SIDES, st.just(0)),
    st.tuples(st.just("break"), SIDES, st.integers(0, 1)),
)
Actions = list[tuple[str, int, int]]


class Gated:
    """A history whose calls stop before and after they are done, until they are let go on."""

    def __init__(self, history: MemoryHistory) -> None:
        self._history = history
        self._permits = asyncio.Semaphore(0)
        self.breaks: int | None = None
        """0: the next call fails before anything is done; 1: its answer is lost."""

    def let_go(self) -> None:
        self._permits.release()

    async def gate(self, place: int | None = None) -> None:
        await self._permits.acquire()
        if place is not None and self.breaks == place:
            self.breaks = None
            raise StorageUnavailableError("broken")

    def __getattr__(self, name: str) -> Any:
        async def call(*args: Any, **kwargs: Any) -> Any:
            await self.gate(0)
            answer = await getattr(self._history, name)(*args, **kwargs)
            await self.gate(1)
            return answer

        return call


class Side:
    """A node with its writer, whose every step is let go from outside."""

    def __init__(self, history: MemoryHistory, maker: EventMaker, kept: int) -> None:
        self.node = HistoryNode(maker)
        self.node.term = None
        self.node.seen = 0
        self.node.kept = kept
        self.gated = Gated(history)
        clock = LoopClock(asyncio.get_running_loop())
        self.writer = HistoryWriter(
            self.gated, self.node, self.node, clock, keep=KEEP, batch_max=3, jitter=lambda: 1.0
        )
        self.task = asyncio.create_task(self._work())

    async def _work(self) -> None:
        while True:
            await self.gated.gate()
            await self.writer.attempt()

    async def go(self, count: int) -> None:
        for _ in range(count):
            self.gated.let_go()
            await turns(4)


def make(maker: EventMaker, what: int, which: int) -> None:
    """Make one event that fits what is held."""
    held = sorted(maker.held)
    if what == 0 or not held:
        maker.acquired(f"lock-{which}", f"owner-{which % 3}")
    elif what == 1:
        maker.left(f"lock-{which}")
    else:
        change = (maker.extended, maker.released, maker.expired, maker.forced)[what - 2]
        change(held[which % len(held)])


async def played(actions: Actions, kept: int) -> tuple[MemoryHistory, EventMaker]:
    """Let it happen, then let one of the two lead and write all that is left."""
    history, maker, term = MemoryHistory(), EventMaker(), 0
    sides = [Side(history, maker, kept) for _ in range(2)]
    sides[0].node.term = 0
    for name, which, count in actions:
        if name == "event":
            make(maker, which, count)
            continue
        side = sides[which]
        if name == "go":
            await side.go(count)
        elif name == "lead":
            # Whoever is elected has everything that was committed; the other may not know of it.
            term += 1
            side.node.term, side.node.seen = term, None
            other = sides[1 - which].node
            other.seen = len(other.applied)
        elif name == "hear":
            side.node.term = None
        else:
            side.gated.breaks = count
    last = sides[term % 2]
    last.node.term, last.node.seen = term + 1, None
    for side in (last, sides[1 - term % 2], last):
        side.gated.breaks = None
        await side.go(200 + 3 * len(maker.made))
    for side in sides:
        side.task.cancel()
    return history, maker


async def written_by_one(maker: EventMaker) -> MemoryHistory:
    history = MemoryHistory()
    node = HistoryNode(maker)
    clock = LoopClock(asyncio.get_running_loop())
    writer = HistoryWriter(history, node, node, clock, keep=KEEP)
    await writer.step()
    await writer.step()
    return history


def numbers_of(runs: Sequence[tuple[int, int]]) -> list[int]:
    return [number for first, last in runs for number in range(first, last + 1)]


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, min_size=10, max_size=60))
def test_two_writers_give_the_rows_of_one(actions: Actions) -> None:
    async def check() -> None:
        history, maker = await played(actions, kept=10_000)
        expected = await written_by_one(maker)

        assert numbers_of(history.appended) == list(range(1, len(maker.made) + 1))
        assert history.holds == expected.holds
        assert history.waits == expected.waits
        assert history.gaps == []

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(check())


@settings(max_examples=300, deadline=None)
@given(st.lists(ACTIONS, min_size=10, max_size=80), st.integers(1, 6))
def test_with_a_short_memory_each_event_is_a_row_or_in_a_gap_and_no_hold_is_told_wrongly(
    actions: Actions, kept: int
) -> None:
    async def check() -> None:
        history, maker = await played(actions, kept)
        state = history.states["c1"]
        gaps = [(gap.first_number, gap.last_number) for gap in history.gaps]
        told = sorted(numbers_of(history.appended) + numbers_of(gaps))

        assert state.number == len(maker.made)
        assert told == list(range(state.began_number, len(maker.made) + 1))
        assert state.unsettled_ms is None
        open_now = {hold.fencing_token for hold in history.holds.values() if not hold.ended_by}
        assert open_now == set(maker.held)
        true = (await written_by_one(maker)).holds
        for key, hold in history.holds.items():
            if hold.ended_by is EndedBy.UNKNOWN:
                assert hold.last_seen_ms <= true[key].ended_ms <= hold.ended_ms
            else:
                assert hold.ended_by == true[key].ended_by
                assert hold.ended_ms == true[key].ended_ms
            assert hold.granted_ms >= true[key].granted_ms

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(check())
