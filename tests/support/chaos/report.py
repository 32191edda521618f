"""What runs showed: a table and JSON. Several files in one table, as the documentation has it:
``python -m tests.support.chaos.report a/report.json b/report.json``.
"""

import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from tests.support.chaos.round import Verdict

HEAD = (
    "fault", "rounds", "undecided", "faults", "operations",
    "longest gap (s)", "first success (s)", "overloaded", "violations",
)  # fmt: skip


class Report:
    """Verdicts of all rounds so far; the file is written anew after each."""

    def __init__(self, directory: Path, about: dict[str, Any]) -> None:
        """Write to ``directory``/report.json; ``about`` says what was run."""
        self.directory = directory
        self.path = directory / "report.json"
        self.about = about
        self.verdicts: list[Verdict] = []

    def add(self, verdict: Verdict) -> None:
        self._between_rounds(verdict)
        self.verdicts.append(verdict)
        self.path.write_text(json.dumps(self.document(), indent=1))

    def _between_rounds(self, verdict: Verdict) -> None:
        """Numbers of a later round are greater than those of an earlier one."""
        before = [one.fencing[1] for one in self.verdicts if one.fencing]
        if verdict.fencing and before and verdict.fencing[0] <= max(before):
            verdict.violations.append(
                f"fencing: {verdict.fencing[0]} in this round, {max(before)} in an earlier one"
            )

    def document(self) -> dict[str, Any]:
        return {**self.about, "rounds": [dataclasses.asdict(one) for one in self.verdicts]}

    @property
    def has_failed(self) -> bool:
        return any(one.violations for one in self.verdicts)

    @property
    def is_unsafe(self) -> bool:
        """Whether a promise about locks was broken: nothing after that would mean anything."""
        texts = [text for one in self.verdicts for text in one.violations]
        return any(not text.startswith("bound: ") for text in texts)

    def table(self) -> str:
        """For people: the faults, then the sums."""
        rounds = self.document()["rounds"]
        rows = [list(HEAD), *rows_of(rounds)]
        widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
        lines = (
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )
        return "\n".join([*lines, summary(rounds)])


def rows_of(rounds: list[dict[str, Any]]) -> list[list[str]]:
    """One row for every fault, and one for all."""
    names = sorted({one["nemesis"] for one in rounds})
    rows = [_row(name, [one for one in rounds if one["nemesis"] == name]) for name in names]
    return [*rows, _row("all", rounds)]


def _row(name: str, rounds: list[dict[str, Any]]) -> list[str]:
    acted = [one for one in rounds if one["proof"] is not None]
    firsts = [one["first_s"] for one in acted if one["first_s"] is not None]
    return [
        name,
        str(len(rounds)),
        str(sum(bool(one["undecided"]) for one in rounds)),
        str(sum(one["faults"] for one in rounds)),
        str(sum(one["operations"] for one in rounds)),
        _spread([one["gap_s"] for one in acted]),
        _spread(firsts),
        str(sum(one["is_overloaded"] for one in rounds)),
        str(sum(len(one["violations"]) for one in rounds)),
    ]


def _spread(values: list[float]) -> str:
    """Least, median, greatest."""
    if not values:
        return "-"
    return " / ".join(f"{v:.2f}" for v in (min(values), statistics.median(values), max(values)))


def summary(rounds: list[dict[str, Any]]) -> str:
    """Operations by status, what minorities said, and how busy the machine was otherwise."""
    statuses, minority = _added(rounds, "statuses"), _added(rounds, "minority")
    foreign = [one["business"]["foreign"] for one in rounds if one["business"]]
    lates = [one["business"]["late_s"] for one in rounds if one["business"]]
    late = [f"{one['nemesis']} {one['number']}: {text}" for one in rounds for text in one["late"]]
    lines = [
        f"{sum(one['took_s'] for one in rounds) / 60:.1f} minutes;"
        f" {sum(statuses.values())} operations by status: {_told(statuses)};"
        f" {sum(one.get('waited', 0) for one in rounds)} grants were queued for",
        f"nodes without a majority answered: {_told(minority)}",
        f"those who queued: {_queued(rounds)}",
        f"share of the processors that others had: {_spread(foreign)};"
        f" longest wait for one (s): {_spread(lates)}",
        *(f"not judged, the machine was overloaded: {text}" for text in late),
    ]
    return "\n".join(lines)


def _added(rounds: list[dict[str, Any]], key: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for one in rounds:
        for status, count in one[key].items():
            number = status.rpartition(" ")[2]
            found[number] = found.get(number, 0) + count
    return found


def _queued(rounds: list[dict[str, Any]]) -> str:
    """Sum up what they did; a report from before they were there says nothing of it."""
    found: dict[str, int] = {}
    for one in rounds:
        for what, count in one.get("queue", {}).items():
            found[what] = found.get(what, 0) + count
    return ", ".join(f"{what} {count}" for what, count in found.items()) or "nobody"


def _told(counts: dict[str, int]) -> str:
    said = ("none" if status == "0" else status for status in sorted(counts))
    return ", ".join(
        f"{name} {counts[status]}" for name, status in zip(said, sorted(counts), strict=True)
    )


def told(verdict: Verdict) -> str:
    """Say how one round went."""
    first = "" if verdict.first_s is None else f", first success after {verdict.first_s:.2f} s"
    minority = f", minority said {_told(verdict.minority)}" if verdict.minority else ""
    business = verdict.business
    load = f", others had {business.foreign:.0%}, waited {business.late_s} s" if business else ""
    overload = " OVERLOADED" if verdict.is_overloaded else ""
    lines = [
        f"{verdict.number:4} {verdict.nemesis}: {verdict.proof or 'no proof'};"
        f" {verdict.operations} operations, gap {verdict.gap_s:.2f} s{first}{minority},"
        f" took {verdict.took_s:.0f} s{load}{overload}"
    ]
    lines += [f"     UNDECIDED {text}" for text in verdict.undecided]
    lines += [f"     NOT JUDGED {text}" for text in verdict.late]
    lines += [f"     VIOLATION {text}" for text in verdict.violations]
    return "\n".join(lines)


def markdown(documents: list[dict[str, Any]]) -> str:
    """Several reports as one table of a page."""
    rounds = [one for document in documents for one in document["rounds"]]
    rows = [list(HEAD), ["---", *["---:"] * (len(HEAD) - 1)], *rows_of(rounds)]
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    runs = [
        f"seed {one['seed']}, {one['nodes']} nodes, {len(one['rounds'])} rounds"
        for one in documents
    ]
    return "\n".join([*lines, "", *runs, summary(rounds)])


if __name__ == "__main__":
    print(markdown([json.loads(Path(path).read_text()) for path in sys.argv[1:]]))
