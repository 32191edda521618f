"""Whatever fails, a command is over before a rival has its lock: real nodes, real processes.

``make test-run-safety ROUNDS=100`` does many rounds. Each strikes three commands; a failure names
the seed, which repeats the faults and their moments (not the scheduling of the machine).
"""

import os
import random
import secrets

import pytest

from tests.support.real_cluster import running_nodes
from tests.support.run_safety import FAULTS, Safety, table

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("GORILLA_TEST_ROUNDS", "4"))
SEED = os.environ.get("GORILLA_TEST_SEED") or secrets.token_hex(4)
LEASE_S = 3.0
ROUND_S_MAX = 120


@pytest.mark.timeout(120 + ROUNDS * ROUND_S_MAX)
def test_a_command_is_over_before_a_rival_has_its_lock_whatever_fails(tmp_path):
    rng = random.Random(SEED)
    faults = list(FAULTS)
    measured = []
    with running_nodes(tmp_path) as nodes:
        safety = Safety(tmp_path, nodes, rng, LEASE_S)
        try:
            for number in range(ROUNDS):
                if number % len(faults) == 0 and len(faults) < ROUNDS:
                    rng.shuffle(faults)
                measured += safety.round(faults[number % len(faults)])
                print(f"\nround {number + 1} of {ROUNDS}: {measured[-1].fault}", flush=True)
        finally:
            safety.close()
            print(f"\nseed {SEED}\n{table(measured)}")

    assert too_late(measured) == [], f"a command outlived its lock; seed {SEED}"


def test_a_command_that_is_ended_a_moment_too_late_is_found_out(tmp_path):
    with running_nodes(tmp_path) as nodes:
        program = "tests.support.late_run"
        safety = Safety(tmp_path, nodes, random.Random(SEED), LEASE_S, program)
        try:
            measured = safety.round("wrapper stopped")
        finally:
            safety.close()

    print(f"\n{table(measured)}")
    assert {one.kind for one in too_late(measured)} & {"stubborn", "tree"}


def too_late(measured):
    return [one for one in measured if min(one.after_beat_s, one.after_end_s) <= 0]
