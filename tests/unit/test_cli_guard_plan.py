"""When a command that runs under a lock is ended: worked out before anything runs."""

from math import inf

import pytest
from hypothesis import given, strategies as st

from gorilla.cli.guard_plan import Plan, Step, Why
from gorilla.cli.guard_timing import EXTENDING_S_MIN, Timing, timing_of
from gorilla.client.holding import EXTEND_AFTER

TIMING = Timing(kill_after_s=10, margin_s=1)


def test_a_minute_leaves_ten_seconds_to_end_and_one_for_the_clocks():
    timing = timing_of(60)

    assert (timing.kill_after_s, timing.margin_s) == (10, 1.2)
    assert timing.term_s(100) == pytest.approx(88.8)
    assert timing.kill_s(100) == pytest.approx(98.8)


def test_a_short_lease_leaves_a_quarter_of_it_to_end():
    assert timing_of(4) == Timing(kill_after_s=1, margin_s=0.5)


def test_a_day_has_a_margin_for_clocks_that_run_at_other_rates():
    assert timing_of(86_400).margin_s == pytest.approx(1728)


@pytest.mark.parametrize(("timeout_s", "kill_after_s"), [(1, None), (2, None), (10, 7), (60, 60)])
def test_a_lease_that_could_not_be_extended_in_time_is_refused_and_what_would_do_is_told(
    timeout_s, kill_after_s
):
    with pytest.raises(ValueError, match=r"ask for ([0-9.]+) s or more") as refused:
        timing_of(timeout_s, kill_after_s)

    least_s = float(str(refused.value).partition("ask for ")[2].split()[0])
    timing_of(least_s, kill_after_s)
    with pytest.raises(ValueError, match="ask for"):
        timing_of(least_s - 0.2, kill_after_s)


@given(timeout_s=st.floats(0.1, 100_000), kill_after_s=st.none() | st.floats(0, 100_000))
def test_what_is_accepted_leaves_time_to_extend_before_anything_is_ended(timeout_s, kill_after_s):
    try:
        timing = timing_of(timeout_s, kill_after_s)
    except ValueError:
        return
    extends_s = timeout_s * EXTEND_AFTER
    assert timing.term_s(timeout_s) - extends_s >= EXTENDING_S_MIN * 0.999
    assert timing.margin_s >= 0.02 * timeout_s


def test_nothing_is_done_while_the_lease_is_extended():
    plan = Plan(TIMING, deadline_s=60)

    for now_s in range(0, 1000, 20):
        plan.extend(now_s + 60)
        assert plan.due(now_s) is None
        assert plan.wake_s() == now_s + 49


def test_a_lease_that_is_not_extended_means_sigterm_once_and_then_sigkill_again_and_again():
    plan = Plan(TIMING, deadline_s=60)

    assert [plan.due(t) for t in (48.9, 49, 49.1, 58.9)] == [None, Step.TERM, None, None]
    assert plan.why is Why.DEADLINE
    assert plan.wake_s() == 59
    assert [plan.due(t) for t in (59, 59.1, 61)] == [Step.KILL] * 3


def test_who_was_told_to_end_must_end_even_if_the_lease_is_extended_after_all():
    plan = Plan(TIMING, deadline_s=60)
    plan.due(50)

    plan.extend(200)

    assert plan.due(59.9) is None
    assert plan.due(60) is Step.KILL


def test_a_loss_leaves_the_grace_that_was_asked_for():
    plan = Plan(TIMING, deadline_s=60)
    plan.end(5, Why.LOST)

    assert [plan.due(t) for t in (5, 14.9, 15)] == [Step.TERM, None, Step.KILL]


def test_a_loss_shortly_before_the_end_of_the_lease_leaves_what_is_left():
    plan = Plan(TIMING, deadline_s=60)
    plan.end(48, Why.WRAPPER_GONE)

    assert [plan.due(t) for t in (48, 57.9, 58)] == [Step.TERM, None, Step.KILL]


def test_who_wakes_up_too_late_kills_without_a_word():
    plan = Plan(TIMING, deadline_s=60)

    assert plan.due(59.5) is Step.KILL


def test_the_first_reason_is_the_one_that_is_told():
    plan = Plan(TIMING, deadline_s=60)
    plan.end(5, Why.LOST)
    plan.end(6, Why.WRAPPER_GONE)

    assert plan.why is Why.LOST


@given(
    events=st.lists(
        st.tuples(st.floats(0, 50), st.sampled_from(["extend", "look", "end"])), max_size=30
    )
)
def test_sigkill_is_due_before_the_end_of_every_lease_whatever_happened(events):
    plan = Plan(TIMING, deadline_s=60)
    now_s = 0.0
    for pause_s, what in events:
        now_s += pause_s
        if what == "extend" and plan.why is None and now_s < plan.deadline_s:
            plan.extend(now_s + 60)
        elif what == "end":
            plan.end(now_s, Why.LOST)
        step = plan.due(now_s)
        assert (step is Step.KILL) >= (now_s >= plan.deadline_s - TIMING.margin_s)
        assert plan.wake_s() <= plan.deadline_s - TIMING.margin_s < inf
