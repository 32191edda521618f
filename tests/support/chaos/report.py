"""What a run showed: a table, and the same as JSON."""

import json
from pathlib import Path
from typing import Any

from tests.support.chaos.round import Verdict

HEAD = ("fault", "acted", "undecided", "operations", "violations", "too slow", "longest gap")


class Report:
    """Verdicts of all rounds so far; the file is written anew after each."""

    def __init__(self, directory: Path, about: dict[str, Any]) -> None:
        """Write to ``directory``/report.json; ``about`` says what was run."""
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
        return {
            **self.about,
            "faults": self.faults(),
            "rounds": [
                {**vars(one), "too_slow": one.is_slow, "acted": one.proof is not None}
                for one in self.verdicts
            ],
        }

    def faults(self) -> dict[str, dict[str, Any]]:
        """One row for every fault."""
        rows: dict[str, dict[str, Any]] = {}
        for one in self.verdicts:
            row = rows.setdefault(one.nemesis, dict.fromkeys(HEAD[1:], 0))
            row["acted"] += one.proof is not None
            row["undecided"] += one.proof is None or bool(one.undecided)
            row["operations"] += one.operations
            row["violations"] += len(one.violations)
            row["too slow"] += one.is_slow
            row["longest gap"] = max(row["longest gap"], round(one.gap_s, 2))
        return rows

    @property
    def has_failed(self) -> bool:
        return any(one.violations for one in self.verdicts)

    def table(self) -> str:
        """For people."""
        rows = [list(HEAD)]
        rows += [[name, *map(str, row.values())] for name, row in sorted(self.faults().items())]
        columns = range(1, len(HEAD))
        total = [str(sum(int(float(row[at])) for row in rows[1:])) for at in columns]
        total[-1] = max((row[-1] for row in rows[1:]), key=float, default="0")
        rows.append(["all", *total])
        widths = [max(len(row[at]) for row in rows) for at in range(len(HEAD))]
        return "\n".join(
            "  ".join(
                cell.ljust(width) if at == 0 else cell.rjust(width)
                for at, (cell, width) in enumerate(zip(row, widths, strict=True))
            )
            for row in rows
        )


def told(verdict: Verdict) -> str:
    """Say how one round went."""
    lines = [
        f"{verdict.number:4} {verdict.nemesis}: {verdict.proof or 'UNDECIDED: it did not act'}; "
        f"{verdict.operations} operations, gap {verdict.gap_s:.2f} s, took {verdict.took_s:.0f} s"
        + (" TOO LONG A GAP" if verdict.is_slow else "")
    ]
    lines += [f"     UNDECIDED {text}" for text in verdict.undecided]
    lines += [f"     VIOLATION {text}" for text in verdict.violations]
    return "\n".join(lines)
