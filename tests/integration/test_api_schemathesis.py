"""Property test: whatever a client makes up from the API document, the answer is documented.

Schemathesis runs as the program that it is, with every check that it has: no 5xx, documented
statuses, media types, headers and bodies, bad input refused, good input taken, methods that are
not served refused with their Allow header.
"""

import asyncio
import os
import sys
from pathlib import Path

from tests.support.api import Snapshots, changeable_api
from tests.support.history import MemoryHistory
from tests.support.history_api import history_of
from tests.support.membership import MemoryMembership
from tests.support.service import Node

EXAMPLES_MAX = int(os.environ.get("GORILLA_SCHEMATHESIS_EXAMPLES", "30"))
"""Examples for each operation; more of them at night."""

SEED = os.environ.get("GORILLA_SCHEMATHESIS_SEED", "1")
TIME_S_MAX = 300.0


async def test_no_made_up_request_gets_an_undocumented_answer(tmp_path: Path) -> None:
    node = Node()
    # Cluster time stands still, as it does without a leader: a lock that was asked for a
    # microsecond is then still there when the next made-up request wants it.
    standing_s = node.clock.monotonic()
    node.clock.monotonic = lambda: standing_s  # type: ignore[method-assign]
    _, history = history_of(node, MemoryHistory())
    async with changeable_api(
        MemoryMembership(), node=node, snapshots=Snapshots(), history=history
    ) as api:
        program = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "schemathesis.cli",
            "run",
            f"{api.base_url}/openapi.json",
            "--checks=all",
            "--mode=all",
            "--exclude-operation-id=watchEvents",  # its answer has no end: see test_api_events.py
            f"--max-examples={EXAMPLES_MAX}",
            f"--seed={SEED}",
            "--generation-database=none",
            "--request-timeout=10",
            "--continue-on-failure",
            "--no-color",
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(Path(__file__).parents[2]),
                "SCHEMATHESIS_HOOKS": "tests.support.schemathesis_hooks",
            },
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        try:
            async with asyncio.timeout(TIME_S_MAX):
                output, _ = await program.communicate()
        finally:
            if program.returncode is None:
                program.kill()
                await program.wait()

    assert program.returncode == 0, output.decode(errors="replace")
