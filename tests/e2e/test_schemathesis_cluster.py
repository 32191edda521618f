"""Property test: made-up requests to a follower of a real cluster get documented answers only.

The same as against one node in memory, with fewer examples: what differs here is that each answer
comes from the leader, over the peer link, and that time passes.
"""

import os
import subprocess
import sys

import pytest

from tests.support.local_cluster import ROOT
from tests.support.real_cluster import running_nodes

pytestmark = pytest.mark.e2e

EXAMPLES_MAX = int(os.environ.get("GORILLA_SCHEMATHESIS_CLUSTER_EXAMPLES", "8"))
"""Examples for each operation; more of them at night."""

SEED = os.environ.get("GORILLA_SCHEMATHESIS_SEED", "1")
TIME_S_MAX = 300.0

# A follower that is asked whether it leads says so with 503, which is documented, and no failure.
SETTINGS = """
[[operations]]
include-path = "/_ready"

[operations.checks.not_a_server_error]
expected-statuses = ["2xx", "3xx", "4xx", "503"]
"""


def test_no_made_up_request_gets_an_undocumented_answer_from_a_cluster(tmp_path, database):
    (tmp_path / "schemathesis.toml").write_text(SETTINGS)
    with running_nodes(tmp_path, GORILLA_DATABASE_URL=database) as nodes:
        leader = nodes.leader()
        follower = next(name for name in nodes.names if name != leader)
        ran = subprocess.run(
            [
                sys.executable,
                "-m",
                "schemathesis.cli",
                "run",
                f"{nodes.url(follower)}/openapi.json",
                "--checks=all",
                "--mode=all",
                "--exclude-operation-id=watchEvents",  # its answer has no end
                "--exclude-operation-id=addMember",  # it dials the address that it is given
                f"--max-examples={EXAMPLES_MAX}",
                f"--seed={SEED}",
                "--generation-database=none",
                "--request-timeout=20",
                "--continue-on-failure",
                "--no-color",
            ],
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(ROOT),
                "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            timeout=TIME_S_MAX,
            check=False,
        )
        still_ready = [nodes.is_ready(name) for name in nodes.names]

    assert ran.returncode == 0, ran.stdout.decode(errors="replace")
    assert still_ready == [True] * 3
