"""Whole clusters in one process: some dozens of seeds over all profiles keep every promise.

``python -m tests.support.sim --profile P --seed N`` replays one with its trace; more seeds, with
``--count``, are for the night.
"""

import logging
import os
import re
import subprocess
import sys
from collections.abc import Iterator

import pytest

from gorilla.domain.table import LockTable
from tests.support.sim.__main__ import main
from tests.support.sim.mutants import MUTANTS, hunt
from tests.support.sim.observed_table import ObservedTable
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import World

SEEDS = {
    "calm": 2,
    "crash": 4,
    "crash5": 2,
    "partition": 3,
    "partition5": 2,
    "links": 3,
    "links5": 2,
    "power": 4,
    "snapshots": 4,
    "snapshots5": 1,
    "members": 5,
    "members5": 3,
    "member_storm": 4,
    "member_storm5": 2,
    "versions": 4,
    "backlog": 2,
    "waiting": 3,
    "queueing": 8,
    "queueing5": 3,
    "queueing_churn": 4,
    "watching": 3,
    "watching5": 1,
    "recording": 4,
    "recording5": 1,
    "late_writes": 1,
    "elections": 3,
    "reads": 2,
    "drift": 1,
    "handover": 2,
    "disks": 2,
    "late_acks": 1,
    "everything": 4,
    "everything5": 2,
}
# Of a checker that was too strict, and of a network that stayed slow when the faults were over.
ONCE_BROKEN = [("everything", 100_019), ("backlog5", 100_040), ("backlog", 100_530)]
RUNS = [(profile, seed) for profile, count in SEEDS.items() for seed in range(1, count + 1)]
RUNS += ONCE_BROKEN


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_every_profile_is_run_with_three_nodes_or_five():
    assert len(RUNS) >= 50
    assert {name.removesuffix("5") for name in SEEDS} == {
        name.removesuffix("5") for name in PROFILES
    }


@pytest.mark.parametrize(("profile", "seed"), RUNS)
def test_a_cluster_keeps_its_promises(profile: str, seed: int):
    outcome = World(PROFILES[profile], seed).run()

    replay = f"python -m tests.support.sim --profile {profile} --seed {seed}"
    assert not outcome.violations, [replay, *map(str, outcome.violations)]
    assert outcome.counts["operation: acquire granted"] > 0
    assert outcome.counts["leaderships"] > 0


def test_a_seed_gives_the_same_run_whatever_the_hash_seed_is():
    digests = {_trace_digest(hash_seed) for hash_seed in ("1", "2", "random")}

    assert len(digests) == 1


def _trace_digest(hash_seed: str) -> str:
    command = [sys.executable, "-m", "tests.support.sim", "--profile", "everything", "--seed", "3"]
    done = subprocess.run(
        command,
        env=os.environ | {"PYTHONHASHSEED": hash_seed},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stdout.splitlines()[-1]


def test_a_long_run_sums_up_what_happened(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    asked = ["--profile", "partition", "--seed", "1", "--count", "2"]
    monkeypatch.setattr(sys, "argv", ["sim", *asked])

    broken = main()

    told = capsys.readouterr().out
    assert broken == 0
    assert re.search(r"2 seeds of 1 profiles: [1-9][\d,]* operations of clients, [1-9]", told)
    assert re.search(r"fault:\n +[1-9]\d*  \w+", told)
    assert "2 runs in" in told


@pytest.mark.parametrize(
    "name",
    [
        "any-token-works",
        "early-expiry",
        "stale-reads",
        "old-roster-after-restart",
        "learner-counted",
        "overtaking-in-the-queue",
        "sharer-beside-exclusive",
        "claim-not-checked",
        "waiters-lost-at-snapshot",
        "keys-lost-at-snapshot",
        "session-end-forgets-waits",
        "several-in-part",
        "hang-up-forgotten",
        "turn-not-told",
        "extended-past-its-lifetime",
        "policy-not-asked-at-claim",
        "state-not-taken-over",
        "gap-not-told",
    ],
)
def test_a_planted_bug_is_found_within_five_seeds(name: str):
    assert hunt(name, seeds=5).caught is not None


def test_a_planted_bug_is_gone_when_its_run_is_over():
    with MUTANTS["fencing-lost-at-snapshot"].patch():
        pass

    assert isinstance(ObservedTable.load(LockTable().freeze().chunks()), ObservedTable)
