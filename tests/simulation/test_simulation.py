"""Whole clusters in one process: fifty seeds over all profiles keep every promise.

``python -m tests.support.sim --profile P --seed N`` replays one with its trace; more seeds, with
``--count``, are for the night.
"""

import logging
import os
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.support.sim.mutants import hunt
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import World

SEEDS = {
    "calm": 3,
    "crash": 5,
    "crash5": 2,
    "partition": 6,
    "partition5": 2,
    "power": 5,
    "snapshots": 5,
    "snapshots5": 1,
    "backlog": 3,
    "elections": 4,
    "reads": 2,
    "drift": 1,
    "handover": 2,
    "disks": 2,
    "late_acks": 1,
    "everything": 5,
    "everything5": 1,
}
RUNS = [(profile, seed) for profile, count in SEEDS.items() for seed in range(1, count + 1)]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    logging.disable(logging.CRITICAL)
    yield
    logging.disable(logging.NOTSET)


def test_fifty_seeds_are_run():
    assert len(RUNS) == 50
    assert SEEDS.keys() <= PROFILES.keys()


@pytest.mark.parametrize(("profile", "seed"), RUNS)
def test_a_cluster_keeps_its_promises(profile: str, seed: int):
    outcome = World(PROFILES[profile], seed).run()

    replay = f"python -m tests.support.sim --profile {profile} --seed {seed}"
    assert not outcome.violations, [replay, *map(str, outcome.violations)]
    assert outcome.counts["acquire granted"] > 0
    assert outcome.counts["led"] > 0


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


@pytest.mark.parametrize(
    "name", ["any-token-works", "early-expiry", "stale-reads", "journal-cleared-at-start"]
)
def test_a_planted_bug_is_found_within_five_seeds(name: str):
    assert hunt(name, seeds=5).caught is not None
