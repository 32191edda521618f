"""Runs and replays seeds: ``python -m tests.support.sim --profile crash --seed 7 [--count 100]``.

A seed that breaks a promise is run once more, with its trace, when it is the only one asked for.
"""

import argparse
import logging
import multiprocessing
import sys
import time

from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import Outcome, World


def run_one(job: tuple[str, int, bool]) -> Outcome:
    """Run one seed of a profile, with a trace or without."""
    name, seed, is_tracing = job
    logging.disable(logging.CRITICAL)
    return World(PROFILES[name], seed, is_tracing=is_tracing).run()


def main() -> int:
    """Run what the command line says; returns how many seeds broke a promise."""
    arguments = _arguments()
    if arguments.count == 1 and arguments.profile != "all":
        return _replay(arguments.profile, arguments.seed, is_wanted=arguments.trace)
    names = list(PROFILES) if arguments.profile == "all" else [arguments.profile]
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    jobs = [(name, seed, False) for name in names for seed in seeds]
    started, totals, broken = time.monotonic(), dict[str, int](), 0
    with multiprocessing.Pool(arguments.jobs) as pool:
        for outcome in pool.imap(run_one, jobs):
            broken += bool(outcome.violations)
            report(outcome)
            for kind, number in outcome.counts.items():
                totals[kind] = totals.get(kind, 0) + number
    print("  ".join(f"{kind}: {number}" for kind, number in sorted(totals.items())))
    print(f"{len(jobs)} runs in {time.monotonic() - started:.1f} s, {broken} broke a promise")
    return broken


def _replay(profile: str, seed: int, *, is_wanted: bool) -> int:
    outcome = run_one((profile, seed, True))
    if outcome.violations or is_wanted:
        print("\n".join(outcome.trace))
    report(outcome)
    print("  ".join(f"{kind}: {number}" for kind, number in sorted(outcome.counts.items())))
    print(f"{profile} {seed}: trace digest {outcome.trace_digest}")
    return len(outcome.violations)


def report(outcome: Outcome) -> None:
    """Say which promises a run broke, and how to see it again."""
    if outcome.violations:
        print(f"BROKEN  --profile {outcome.profile} --seed {outcome.seed}")
    for violation in outcome.violations[:5]:
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
