"""What is wrong with a configuration, told all at once and in the operator's words."""

import difflib
from collections.abc import Iterable, Sequence

import msgspec
from typing_extensions import override


class Problem(msgspec.Struct, frozen=True):
    """One thing to mend. ``value`` is empty where it must not be shown, or there is none."""

    key: str
    """Where it stands: ``section.key``, or the environment variable that set it."""
    value: str
    remedy: str
    """What is wrong and what to write instead; one sentence."""

    @override
    def __str__(self) -> str:
        """Say it in one line."""
        return (
            f"{self.key} = {self.value}: {self.remedy}"
            if self.value
            else f"{self.key}: {self.remedy}"
        )


class ConfigError(Exception):
    """The configuration can't be used; every problem found is in ``problems``."""

    def __init__(self, problems: Sequence[Problem], source: str = "") -> None:
        """List ``problems`` of ``source`` (a file, or empty for the environment alone)."""
        self.problems = tuple(problems)
        where = f" in {source}" if source else ""
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__("\n".join([f"{count}{where}", *(f"  {p}" for p in problems)]))


def unknown_key(key: str, name: str, known: Iterable[str]) -> Problem:
    """Refuse a key that nothing reads, with the nearest one that something does."""
    candidates = sorted(known)
    near = difflib.get_close_matches(name, candidates, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]}?" if near else f"known are {', '.join(candidates)}"
    return Problem(key, "", f"there is no such key; {hint}")
