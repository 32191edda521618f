"""Latencies are counted in bounded memory, and no quantile is off by more than a hundredth."""

import math

import pytest
from hypothesis import given, strategies as st

from gorilla.cli.bench_figures import QUANTILES, Latencies, Tally

LENGTHS = st.lists(st.floats(1e-6, 900.0), min_size=1, max_size=200)


def counted(lengths):
    latencies = Latencies()
    for one in lengths:
        latencies.record(one)
    return latencies


@given(LENGTHS, st.sampled_from(QUANTILES))
def test_a_quantile_is_exact_to_a_hundredth_and_never_too_small(lengths, part):
    exact = sorted(lengths)[math.ceil(part * len(lengths)) - 1]

    told = counted(lengths).quantile(part)

    assert exact * 0.999999 <= told <= exact * 1.0101


@given(LENGTHS, LENGTHS)
def test_two_counts_that_are_added_are_one_count_of_both(some, others):
    added = counted(some)
    added.add(counted(others))

    both = counted(some + others)
    assert added.count == both.count
    assert added.total_s == pytest.approx(both.total_s)
    assert [added.quantile(p) for p in (*QUANTILES, 1)] == [
        both.quantile(p) for p in (*QUANTILES, 1)
    ]


def test_the_longest_is_exact_and_no_quantile_exceeds_it():
    latencies = counted([0.010, 0.0101, 0.0102])

    assert latencies.max_s == 0.0102
    assert latencies.quantile(1) == 0.0102
    assert latencies.quantile(0.999) == 0.0102


def test_lengths_out_of_bounds_are_counted_at_the_bounds():
    latencies = counted([0.0, -1.0, 1e9])

    assert latencies.count == 3
    assert latencies.quantile(0.5) <= 1e-6
    assert latencies.quantile(1) == 1e9
    assert latencies.total_s == 1e9


def test_nothing_counted_is_zero_everywhere():
    figures = Tally().figures("acquire-release", 8, 2.0)

    assert (figures.operations, figures.per_second, figures.p999_ms) == (0, 0.0, 0.0)


def test_the_warm_up_is_not_in_the_figures_but_its_failures_are():
    tally = Tally()
    tally.succeeded(5.0)
    tally.failed("no_quorum")
    tally.counting = True
    tally.succeeded(0.001)
    tally.succeeded(0.003)
    tally.failed("no_quorum")
    tally.failed("lock_held")

    figures = tally.figures("contended", 8, 2.0, complete=False)

    assert (figures.operations, figures.per_second, figures.max_ms) == (2, 1.0, 3.0)
    assert figures.p50_ms == pytest.approx(1.0, rel=0.01)
    assert figures.errors == {"lock_held": 1, "no_quorum": 2}
    assert not figures.complete
