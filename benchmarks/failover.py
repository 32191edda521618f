"""How long a cluster answers nothing when its leader fails: ``make bench-failover ROUNDS=100``.

Three real nodes on this machine, and on each of the two that survive two clients that acquire and
release, one request after the other. In each round the leader is killed (``kill -9``), or with
``--fault pause`` stopped for two seconds (SIGSTOP); then it comes back, and the next round begins
when all three are ready.

The gap of a round is the longest time without a success at one of the survivors, from the last
answer before the fault on: what the worst served client saw. Detection, election, the first entry
of the new leader and one request are in it.
"""

import argparse
import asyncio
import itertools
import math
import secrets
import signal
import statistics
import sys
import time
from pathlib import Path

import aiohttp

from benchmarks.machine import description, fdatasync_ms
from benchmarks.started import say, started_nodes, working_directory
from tests.support.nodes import Nodes
from tests.support.real_cluster import until_equal

CLIENTS = 2
CALL_S_MAX = 10.0
BEFORE_S = 0.5
"""How long the clients are at work before the fault."""
AFTER_S = 3.5
"""How long they go on after it; a gap is no longer than this."""
PAUSE_S = 2.0


def main() -> int:
    """Measure and print; returns the exit code."""
    arguments = parse()
    try:
        with working_directory() as directory:
            measure(arguments.rounds, arguments.fault, directory)
    except KeyboardInterrupt:
        say("interrupted")
        return 130
    return 0


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.failover",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--rounds", type=int, default=20, help="how often (default 20)")
    parser.add_argument("--fault", choices=["kill", "pause"], default="kill")
    return parser.parse_args()


def measure(rounds: int, fault: str, directory: Path) -> None:
    print(f"{description()}; fdatasync {fdatasync_ms(directory):.2f} ms (median)", flush=True)
    gaps: list[float] = []
    with started_nodes(directory) as nodes:
        for number in range(1, rounds + 1):
            gaps.append(asyncio.run(one_round(nodes, fault)))
            say(f"round {number}: {gaps[-1]:.3f} s")
    print(f"{fault} of the leader, {rounds} rounds: {figures(gaps)}", flush=True)


def figures(gaps: list[float]) -> str:
    """Say what the gaps (seconds) were."""
    ordered = sorted(gaps)
    p99 = ordered[math.ceil(0.99 * len(ordered)) - 1]
    return f"gap p50 {statistics.median(ordered):.2f} s  p99 {p99:.2f} s  max {ordered[-1]:.2f} s"


async def one_round(nodes: Nodes, fault: str) -> float:
    """Let the leader fail once; returns the gap (seconds)."""
    await nodes.until_ready()
    await until_equal(nodes)
    leader = await asyncio.to_thread(nodes.leader)
    assert leader is not None, "ready nodes know their leader"
    successes: dict[str, list[float]] = {name: [] for name in nodes.names if name != leader}
    stop = asyncio.Event()
    timeout = aiohttp.ClientTimeout(total=CALL_S_MAX)
    async with aiohttp.ClientSession(timeout=timeout) as session:
        clients = [
            asyncio.create_task(work(session, nodes.url(name), times, stop))
            for name, times in successes.items()
            for _ in range(CLIENTS)
        ]
        await asyncio.sleep(BEFORE_S)
        failed_s = time.monotonic()
        await fail(nodes, leader, fault)
        await asyncio.sleep(failed_s + AFTER_S - time.monotonic())
        stop.set()
        ended_s = time.monotonic()
        await asyncio.gather(*clients)
    if fault == "kill":
        nodes.start(leader)
    return max(gap(times, failed_s, ended_s) for times in successes.values())


async def fail(nodes: Nodes, leader: str, fault: str) -> None:
    if fault == "kill":
        nodes.kill(leader)
        return
    nodes.signal(leader, signal.SIGSTOP)
    try:
        await asyncio.sleep(PAUSE_S)
    finally:
        nodes.signal(leader, signal.SIGCONT)


async def work(
    session: aiohttp.ClientSession, url: str, successes: list[float], stop: asyncio.Event
) -> None:
    """Acquire and release fresh locks until ``stop``, noting when each answer came."""
    while not stop.is_set():
        lock = f"{url}/api/v1/locks/{secrets.token_hex(8)}"
        token = None
        try:
            async with session.post(lock, json={"owner": "bench", "timeout": 30}) as answer:
                if answer.status == 200:
                    successes.append(time.monotonic())
                    token = (await answer.json())["token"]
            if token is not None:
                async with session.delete(f"{lock}/{token}") as answer:
                    if answer.status == 204:
                        successes.append(time.monotonic())
        except (aiohttp.ClientError, TimeoutError):
            await asyncio.sleep(0.01)


def gap(successes: list[float], failed_s: float, ended_s: float) -> float:
    """Longest time without a success between the last one before the fault and the end."""
    before = max((at for at in successes if at <= failed_s), default=failed_s)
    after = sorted(at for at in successes if failed_s < at < ended_s)
    return max(later - at for at, later in itertools.pairwise([before, *after, ended_s]))


if __name__ == "__main__":
    sys.exit(main())
