"""Clocks, and the agenda that keeps many due times behind one timer."""

import asyncio

from hypothesis import given, strategies as st

from gorilla.service.time import Agenda, ClusterClock, SystemClock
from tests.support.replicas import HandClock
from tests.support.service import VirtualTimeLoop, on_virtual_time


class Diary:
    """An agenda on the running loop, and when each number was due."""

    def __init__(self) -> None:
        self.loop = asyncio.get_running_loop()
        self.started_s = self.loop.time()
        self.rung: list[tuple[int, float]] = []
        self.agenda = Agenda(self.loop, self._ring)
        self.repeat_until_s = 0.0

    def set(self, number: int, in_s: float) -> None:
        self.agenda.set(number, self.started_s + in_s)

    def _ring(self) -> None:
        for number in self.agenda.take_due(self.loop.time()):
            self.rung.append((number, round(self.loop.time() - self.started_s, 3)))
            if self.loop.time() - self.started_s < self.repeat_until_s:
                self.set(number, len(self.rung) + 1.0)


@on_virtual_time
async def test_numbers_are_due_at_their_times_in_order():
    diary = Diary()
    for number, in_s in ((1, 3.0), (2, 1.0), (3, 2.0)):
        diary.set(number, in_s)

    await asyncio.sleep(10)

    assert diary.rung == [(2, 1.0), (3, 2.0), (1, 3.0)]
    assert len(diary.agenda) == 0


@on_virtual_time
async def test_a_time_set_again_replaces_the_former():
    diary = Diary()
    diary.set(1, 1.0)
    diary.set(2, 5.0)

    diary.set(1, 4.0)
    diary.set(2, 2.0)
    await asyncio.sleep(10)

    assert diary.rung == [(2, 2.0), (1, 4.0)]


@on_virtual_time
async def test_a_discarded_number_is_never_due():
    diary = Diary()
    diary.set(1, 1.0)
    diary.set(2, 2.0)

    diary.agenda.discard(1)
    diary.agenda.discard(99)
    await asyncio.sleep(10)

    assert diary.rung == [(2, 2.0)]


@on_virtual_time
async def test_a_number_may_be_set_again_while_it_is_due():
    diary = Diary()
    diary.repeat_until_s = 2.5
    diary.set(1, 1.0)

    await asyncio.sleep(10)

    assert diary.rung == [(1, 1.0), (1, 2.0), (1, 3.0)]


@on_virtual_time
async def test_a_closed_agenda_rings_no_more():
    diary = Diary()
    diary.set(1, 1.0)

    diary.agenda.close()
    await asyncio.sleep(5)

    assert diary.rung == []


@on_virtual_time
async def test_times_that_were_replaced_do_not_pile_up():
    diary = Diary()
    for round_number in range(20_000):
        diary.set(round_number % 10, 5.0 + round_number / 1_000)

    assert len(diary.agenda._heap) <= 2 * 10 + 1_025
    await asyncio.sleep(60)
    assert sorted(number for number, _ in diary.rung) == list(range(10))


@given(st.lists(st.tuples(st.integers(1, 5), st.one_of(st.none(), st.integers(0, 50)))))
def test_an_agenda_rings_exactly_what_was_set_last(changes):
    async def scenario() -> None:
        diary = Diary()
        expected: dict[int, float] = {}
        for number, tenths in changes:
            if tenths is None:
                diary.agenda.discard(number)
                expected.pop(number, None)
            else:
                diary.set(number, tenths / 10)
                expected[number] = tenths / 10
        await asyncio.sleep(10)
        assert sorted(diary.rung) == sorted(expected.items())

    with asyncio.Runner(loop_factory=VirtualTimeLoop) as runner:
        runner.run(scenario())


def test_a_cluster_clock_counts_from_its_base_and_never_back():
    hand = HandClock()
    clock = ClusterClock(hand)
    clock.start(7_000)
    shown = []
    for step_s in (0.0, 1.5, -1.0, 0.25, 3.0):
        hand.seconds += step_s
        shown.append(clock.now_ms())

    assert shown == [7_000, 8_500, 8_500, 8_500, 10_750]


def test_a_cluster_clock_that_starts_again_starts_from_its_new_base():
    hand = HandClock()
    clock = ClusterClock(hand)
    clock.start(50_000)
    hand.seconds += 100

    clock.stop()
    is_running = clock.is_running
    clock.start(60_000)

    assert not is_running
    assert clock.now_ms() == 60_000


def test_the_machines_clocks_are_in_seconds_and_milliseconds():
    clock = SystemClock()

    first, second = clock.monotonic(), clock.monotonic()

    assert 0 <= second - first < 60
    assert 1_600_000_000_000 < clock.wall_ms() < 10_000_000_000_000
