"""Replays seeds: ``python -m tests.support.sim --profile everything --seed 7 [--count 100]``."""

import argparse
import logging
import multiprocessing
import sys
import time

from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import Outcome, World


def run_one(job: tuple[str, int]) -> Outcome:
    """Run one seed of a profile."""
    name, seed = job
    logging.disable(logging.CRITICAL)
    return World(PROFILES[name], seed).run()


def main() -> int:
    """Run what the command line says; returns how many seeds broke a promise."""
    arguments = _arguments()
    names = list(PROFILES) if arguments.profile == "all" else [arguments.profile]
    first, count = arguments.seed, arguments.count
    jobs = [(name, seed) for name in names for seed in range(first, first + count)]
    started = time.monotonic()
    totals: dict[str, int] = {}
    broken: list[Outcome] = []
    with multiprocessing.Pool(arguments.jobs) as pool:
        for outcome in pool.imap(run_one, jobs):
            for kind, number in outcome.counts.items():
                totals[kind] = totals.get(kind, 0) + number
            if outcome.violations:
                broken.append(outcome)
                _report(outcome)
    if (broken and len(jobs) == 1) or arguments.trace:
        print("\n".join(broken[0].trace if broken else outcome.trace))
        for violation in outcome.violations:
            print(violation)
    took_s = time.monotonic() - started
    print(f"{len(jobs)} runs in {took_s:.1f} s, {len(broken)} with violations")
    print("  ".join(f"{kind}: {number}" for kind, number in sorted(totals.items())))
    if len(jobs) == 1:
        print(f"trace digest {outcome.trace_digest}")
    return len(broken)


def _report(outcome: Outcome) -> None:
    print(f"VIOLATION  --profile {outcome.profile} --seed {outcome.seed}")
    for violation in outcome.violations[:3]:
        print(f"  {violation}", flush=True)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.support.sim", description=__doc__)
    parser.add_argument("--profile", default="everything", choices=[*PROFILES, "all"])
    parser.add_argument("--seed", type=int, default=1, help="the (first) seed")
    parser.add_argument("--count", type=int, default=1, help="how many seeds, from the first on")
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument(
        "--trace", action="store_true", help="print the trace also when all is well"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(min(main(), 1))
