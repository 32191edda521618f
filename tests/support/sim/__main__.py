"""Runs and replays seeds: ``python -m tests.support.sim --profile crash --seed 7 [--count 100]``.

A seed that breaks a promise is run once more, with its trace, when it is the only one asked for;
with ``--shrink`` it becomes a scenario file of the fewest faults that still break it.
"""

import argparse
import logging
import multiprocessing
import sys
import time
from pathlib import Path

from tests.support.sim import scenarios
from tests.support.sim.mutants import MUTANTS
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import Outcome, World

SHRUNK_MAX = 3
"""So many of the seeds that broke a promise are shrunk after a long run."""

Job = tuple[str, int, bool, str | None]


def run_one(job: Job) -> Outcome:
    """Run one seed of a profile, with a trace or without, and with a planted bug or without."""
    name, seed, is_tracing, mutant = job
    logging.disable(logging.CRITICAL)
    with scenarios.planted(mutant):
        return World(PROFILES[name], seed, is_tracing=is_tracing).run()


def main() -> int:
    """Run what the command line says; returns how many seeds broke a promise."""
    arguments = _arguments()
    if arguments.scenario is not None:
        scenario = scenarios.load(arguments.scenario)
        return _tell(scenario.run(is_tracing=True), is_wanted=arguments.trace)
    if arguments.count == 1 and arguments.profile != "all":
        job = (arguments.profile, arguments.seed, True, arguments.mutant)
        broken = [outcome] if _tell(outcome := run_one(job), is_wanted=arguments.trace) else []
    else:
        broken = _run_many(arguments)
    if arguments.shrink:
        _shrink(broken[:SHRUNK_MAX], arguments.mutant)
    return len(broken)


def _run_many(arguments: argparse.Namespace) -> list[Outcome]:
    names = list(PROFILES) if arguments.profile == "all" else [arguments.profile]
    seeds = range(arguments.seed, arguments.seed + arguments.count)
    jobs = [(name, seed, False, arguments.mutant) for seed in seeds for name in names]
    started, totals, broken = time.monotonic(), dict[str, int](), list[Outcome]()
    with multiprocessing.Pool(arguments.jobs) as pool:
        for done, outcome in enumerate(pool.imap(run_one, jobs), 1):
            if outcome.violations:
                broken.append(outcome)
            report(outcome)
            for kind, number in outcome.counts.items():
                totals[kind] = totals.get(kind, 0) + number
            _progress(done, len(jobs), len(broken), started)
    _tell_totals(totals, names, arguments.count)
    took_s = time.monotonic() - started
    print(f"{len(jobs)} runs in {took_s:.0f} s, {len(broken)} broke a promise")
    return broken


def _tell_totals(totals: dict[str, int], names: list[str], seeds: int) -> None:
    """Say what happened in all runs together: what there was of each kind, and sums of kinds."""
    parts: dict[str, dict[str, int]] = {}
    for kind, number in sorted(totals.items()):
        part, _, rest = kind.rpartition(": ")
        parts.setdefault(part or "happened", {})[rest] = number
    for part, numbers in parts.items():
        print(f"{part}:")
        for kind, number in sorted(numbers.items(), key=lambda item: -item[1]):
            print(f"  {number:12,}  {kind}")
    faults = sum(parts.get("fault", {}).values())
    print(
        f"{seeds} seeds of {len(names)} profiles: {totals.get('operations', 0):,} operations of"
        f" clients, {faults:,} faults, {totals.get('leaderships', 0):,} elections,"
        f" {totals.get('roster changes', 0):,} membership changes,"
        f" {totals.get('snapshots begun', 0):,} snapshots begun and"
        f" {totals.get('snapshots installed', 0):,} installed,"
        f" {totals.get('restarts', 0):,} restarts"
    )


def _progress(done: int, total: int, broken: int, started: float) -> None:
    """Draw how far it is, for whoever looks at it."""
    if sys.stderr.isatty():
        left_s = (time.monotonic() - started) / done * (total - done)
        bar = "#" * (30 * done // total)
        end = "\n" if done == total else ""
        text = f"\r[{bar:30}] {done}/{total} runs, {broken} broken, {left_s:.0f} s to go "
        print(text, end=end, file=sys.stderr, flush=True)


def _shrink(broken: list[Outcome], mutant: str | None) -> None:
    for outcome in broken:
        scenario = scenarios.shrink_run(outcome.profile, outcome.seed, mutant=mutant)
        if scenario is not None:
            path = scenario.save(scenarios.DIRECTORY)
            print(f"{path}: {len(scenario.faults)} faults are left: {scenario.violation}")


def _tell(outcome: Outcome, *, is_wanted: bool) -> int:
    if outcome.violations or is_wanted:
        print("\n".join(outcome.trace))
    report(outcome)
    print("  ".join(f"{kind}: {number}" for kind, number in sorted(outcome.counts.items())))
    print(f"{outcome.profile} {outcome.seed}: trace digest {outcome.trace_digest}")
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
    parser.add_argument("--mutant", choices=list(MUTANTS), help="plant this bug")
    parser.add_argument("--scenario", type=Path, help="replay this file instead")
    parser.add_argument("--shrink", action="store_true", help="make scenario files of what broke")
    parser.add_argument(
        "--trace", action="store_true", help="print the trace also when all is well"
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(min(main(), 1))
