"""Clients of both faces behind a real network that drops their packets without a word.

What is promised, and which test shows it: ``docs/reference/client-behaviours.md``. It needs Linux,
a C compiler, and root or unprivileged user namespaces, as the faults of `make test-chaos` do.
"""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.support.client_e2e import face
from tests.support.local_cluster import ROOT

__all__ = ["face"]
pytestmark = pytest.mark.e2e

RUN_S_MAX = 120.0


@pytest.fixture(scope="module")
def seen() -> dict[str, dict[str, Any]]:
    """What clients of both faces saw, in namespaces of their own."""
    command = [sys.executable, "-m", "tests.support.client_e2e_partition"]
    done = subprocess.run(
        command, cwd=ROOT, capture_output=True, text=True, timeout=RUN_S_MAX, check=False
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_packets_dropped_to_one_node_stop_no_lock(face: str, seen: dict[str, dict[str, Any]]):
    assert seen[face]["went on"]
    assert seen[face]["took_s"] < 10.0


def test_packets_dropped_to_all_nodes_end_a_lock_before_the_next_holder_has_it(
    face: str, seen: dict[str, dict[str, Any]]
):
    told = seen[face]
    assert told["ready"]
    assert told["lost before"], told
    assert told["told"] == 1
    assert told["numbers rise"]
    assert told["end"] == "expired"
    assert told["works again"]
