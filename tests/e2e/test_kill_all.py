"""All nodes are killed at once while 16 clients write, again and again: nothing is lost.

``make test-kill-all`` does 50 rounds. A failure names its seed; GORILLA_TEST_SEED repeats the
moments (not the scheduling of the machine).
"""

import asyncio
import os
import random
import secrets
import time

import pytest

from tests.support.clients import fencing_faults
from tests.support.nodes import Nodes
from tests.support.writers import (
    Account,
    Session,
    Writers,
    ask_again,
    lost,
    missing_from_lists,
    undone,
)

pytestmark = pytest.mark.e2e

ROUNDS = int(os.environ.get("GORILLA_TEST_ROUNDS", "4"))
SEED = os.environ.get("GORILLA_TEST_SEED") or secrets.token_hex(4)
CLIENTS = 16
WRITING_S = (0.2, 1.0)
STARTING_S = (0.3, 1.5)
"""When a starting cluster is killed once more."""

# Small, so that rounds also meet compaction and a follower that needs a snapshot.
SETTINGS = {"GORILLA_JOURNAL_COMPACT_ENTRIES": "100", "GORILLA_JOURNAL_RETAIN_ENTRIES": "20"}


async def test_nothing_acknowledged_is_lost_when_all_nodes_are_killed_while_writing(tmp_path):
    rng = random.Random(SEED)
    nodes = Nodes(tmp_path, **SETTINGS)
    account = Account()
    urls = [nodes.url(name) for name in nodes.names]
    try:
        nodes.start()
        await nodes.until_ready()
        for number in range(1, ROUNDS + 1):
            before = set(account.held)
            started_s = time.monotonic()
            await write_until_killed(nodes, account, rng, f"{SEED}-{number}")
            await start_again(nodes, rng)
            async with Session(urls) as session:
                await check_round(session, account, before)
            print(
                f"\nround {number}: {len(account.holds)} grants, {len(account.held)} held, "
                f"{time.monotonic() - started_s:.1f} s"
            )
        async with Session(urls) as session:
            assert await lost(session, account, account.held.values()) == [], SEED
            assert await undone(session, account.released[-1000:]) == [], SEED
    finally:
        nodes.close()
    assert len(account.holds) > 20 * ROUNDS


async def write_until_killed(nodes: Nodes, account: Account, rng: random.Random, seed: str) -> None:
    urls = [nodes.url(name) for name in nodes.names]
    largest = account.largest
    async with Session(urls) as session, Writers(session, account, count=CLIENTS, seed=seed):
        deadline_s = time.monotonic() + 10
        while account.largest == largest and time.monotonic() < deadline_s:
            await asyncio.sleep(0.01)
        await asyncio.sleep(rng.uniform(*WRITING_S))
        names = list(nodes.names)
        rng.shuffle(names)
        nodes.kill(*names)
    assert account.largest > largest, "nothing was written in this round"


async def start_again(nodes: Nodes, rng: random.Random) -> None:
    """Start all; sometimes they are killed once more on the way."""
    if rng.random() < 0.25:
        nodes.start()
        await asyncio.sleep(rng.uniform(*STARTING_S))
        nodes.kill(*nodes.names)
    nodes.start()
    await nodes.until_ready()


async def check_round(session: Session, account: Account, before: set[str]) -> None:
    """Those of this round by their tokens, those of earlier rounds in the lists."""
    new = [grant for resource, grant in account.held.items() if resource not in before]
    released, extending = account.released[-200:], account.extending
    problems = await lost(session, account, new)
    problems += await undone(session, released)
    problems += await missing_from_lists(session, account)
    await ask_again(session, account)
    problems += [*account.unexpected, *fencing_faults(account.holds)]
    assert problems == [], f"seed {SEED}, {len(extending)} extensions without an answer"
