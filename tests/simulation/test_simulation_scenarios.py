"""Scenario files: every bug once found stays away, and a run shrinks to the faults it takes."""

import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from msgspec.structs import replace

from tests.support.sim import scenarios
from tests.support.sim.faults import Fault
from tests.support.sim.mutants import hunt
from tests.support.sim.scenarios import objection, shrink

FILES = sorted(scenarios.DIRECTORY.glob("*.json"))
FAULTS = [Fault(number, float(number), "crash") for number in range(12)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def numbers(faults: Sequence[Fault]) -> set[int]:
    return {fault.number for fault in faults}


def test_there_are_scenarios():
    assert FILES


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_bug_of_a_scenario_stays_away(path: Path):
    outcome = scenarios.load(path).run(with_bug=False)

    assert not outcome.violations, [path, *map(str, outcome.violations)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_scenario_of_a_planted_bug_still_finds_it(path: Path):
    scenario = scenarios.load(path)

    assert scenario.mutant is None or objection(scenario.run(), scenario.checker)


@pytest.mark.parametrize("needed", [{3}, {0, 11}, {2, 5, 7}, set(range(12)), set()])
def test_shrinking_leaves_exactly_the_faults_that_it_takes(needed: set[int]):
    left = shrink(FAULTS, lambda faults: needed <= numbers(faults))

    assert numbers(left) == needed


def test_shrinking_ends_after_so_many_runs_with_what_still_breaks():
    asked: list[int] = []

    def breaks(faults: Sequence[Fault]) -> bool:
        asked.append(len(faults))
        return {1, 10} <= numbers(faults)

    left = shrink(FAULTS, breaks, runs_max=3)

    assert len(asked) <= 4
    assert {1, 10} <= numbers(left)


def test_a_run_shrinks_to_a_file_that_replays_and_needs_every_fault(tmp_path: Path):
    caught = hunt("commit-index-beyond-proof").caught
    assert caught is not None

    found = scenarios.shrink_run(caught.profile, caught.seed, mutant="commit-index-beyond-proof")

    assert found is not None
    scenario = scenarios.load(found.save(tmp_path))
    assert scenario == found
    assert objection(scenario.run(), scenario.checker) == scenario.violation
    assert objection(scenario.run(with_bug=False), scenario.checker) is None
    for left_out in scenario.faults:
        fewer = tuple(fault for fault in scenario.faults if fault is not left_out)
        assert objection(replace(scenario, faults=fewer).run(), scenario.checker) is None
