"""The clock that leaves out the time in which its own process stood still."""

from hypothesis import given, strategies as st

from gorilla.consensus.pauses import STOOD_STILL_S, TURN_S_MAX, RunningClock


class Hand:
    def __init__(self):
        self.at = 1_000.0

    def __call__(self):
        return self.at


def test_looked_at_often_it_shows_what_the_real_clock_shows():
    hand = Hand()
    clock = RunningClock(hand)
    for _ in range(100):
        hand.at += 2 * TURN_S_MAX
        assert clock() == hand.at
    assert clock.missed == 0


def test_of_a_pause_it_counts_no_more_than_a_late_turn():
    hand = Hand()
    clock = RunningClock(hand)
    hand.at += 10
    assert clock() == 1_000 + STOOD_STILL_S
    hand.at += 0.1
    assert clock() == 1_000.1 + STOOD_STILL_S


def test_of_a_process_that_is_always_slow_it_counts_most():
    hand = Hand()
    clock = RunningClock(hand)
    for _ in range(10):
        hand.at += STOOD_STILL_S + 0.05
        clock()
    assert clock() - 1_000 > 10 * STOOD_STILL_S - 1e-6


@given(st.lists(st.floats(0, 100), max_size=20))
def test_it_never_goes_back_nor_ahead_of_the_real_clock(steps):
    hand = Hand()
    clock = RunningClock(hand)
    before = clock()
    for step in steps:
        hand.at += step
        shown = clock()
        assert before <= shown + 1e-9
        assert shown - before <= min(step, STOOD_STILL_S) + 1e-9
        assert abs(shown + clock.missed - hand.at) < 1e-6
        before = shown
