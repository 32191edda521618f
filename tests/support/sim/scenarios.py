"""Scenario files: the fewest faults of a run that break a promise, kept for ever.

A failing run is shrunk by leaving faults out (delta debugging: halves, then quarters, and so on,
until no single one can go) as long as the same checker objects. The file names profile, seed and
the faults that are left; ``make sim SCENARIO=file`` replays it.
"""

import logging
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import msgspec

from tests.support.sim.faults import Fault
from tests.support.sim.mutants import MUTANTS
from tests.support.sim.profiles import PROFILES
from tests.support.sim.world import Outcome, World

DIRECTORY = Path(__file__).parents[2] / "simulation" / "scenarios"
SHRINK_RUNS_MAX = 150

Breaks = Callable[[Sequence[Fault]], bool]


class Scenario(msgspec.Struct, kw_only=True, frozen=True):
    """A run with a list of faults of its own."""

    profile: str
    seed: int
    faults: tuple[Fault, ...]
    checker: str
    """Which one objects, or objected when the bug was there."""
    violation: str
    mutant: str | None = None
    """The planted bug that it takes; None for one that was really there."""

    @property
    def name(self) -> str:
        """What its file is called."""
        return "-".join(filter(None, (self.mutant, self.profile, str(self.seed)))) + ".json"

    def run(self, *, is_tracing: bool = False, with_bug: bool = True) -> Outcome:
        """Replay it, with its planted bug (if it is of one) or on the code as it is."""
        logging.disable(logging.CRITICAL)
        with planted(self.mutant if with_bug else None):
            world = World(
                PROFILES[self.profile], self.seed, is_tracing=is_tracing, faults=self.faults
            )
            return world.run()

    def save(self, directory: Path) -> Path:
        """Write it to a file of its own; returns which."""
        directory.mkdir(parents=True, exist_ok=True)
        path = directory / self.name
        path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n")
        return path


def load(path: Path) -> Scenario:
    """Read a scenario file."""
    return msgspec.json.decode(path.read_bytes(), type=Scenario)


def planted(mutant: str | None) -> AbstractContextManager[None]:
    """Plant a bug for a while, or none."""
    return MUTANTS[mutant].patch() if mutant else nullcontext()


def shrink_run(profile: str, seed: int, *, mutant: str | None = None) -> Scenario | None:
    """Return the smallest scenario found of a run, None when the run keeps its promises."""
    with planted(mutant):
        world = World(PROFILES[profile], seed)
        outcome = world.run()
    if not outcome.violations:
        return None
    first = outcome.violations[0]

    def with_faults(faults: Sequence[Fault]) -> Scenario:
        return Scenario(
            profile=profile,
            seed=seed,
            faults=tuple(faults),
            checker=first.checker,
            violation=first.text,
            mutant=mutant,
        )

    def breaks(faults: Sequence[Fault]) -> bool:
        return objection(with_faults(faults).run(), first.checker) is not None

    smallest = with_faults(shrink(world.faults, breaks))
    text = objection(smallest.run(), first.checker)
    assert text is not None, "a run with the same seed and faults went another way"
    return msgspec.structs.replace(smallest, violation=text)


def objection(outcome: Outcome, checker: str) -> str | None:
    """Return the first objection of a checker to a run."""
    return next((one.text for one in outcome.violations if one.checker == checker), None)


def shrink(faults: Sequence[Fault], breaks: Breaks, runs_max: int = SHRINK_RUNS_MAX) -> list[Fault]:
    """Return a part of ``faults`` that still breaks it, and of which no single one can go.

    Args:
        faults: They break it.
        breaks: Tells whether these do.
        runs_max: After so many questions what has been reached is good enough.

    """
    left, pieces, runs = list(faults), 2, 0
    if left and breaks([]):
        return []
    while len(left) >= 2 and pieces <= len(left):
        size = -(-len(left) // pieces)
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            runs += 1
            if runs > runs_max:
                return left
            if breaks(rest):
                left, pieces = rest, max(2, pieces - 1)
                break
        else:
            if size == 1:
                break
            pieces = min(len(left), 2 * pieces)
    return left
