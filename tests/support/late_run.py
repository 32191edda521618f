"""``gorilla`` with a bug: it ends a command a moment too late, to see that it is found out."""

from gorilla.cli.__main__ import main
from gorilla.cli.guard_plan import Plan
from gorilla.cli.guard_timing import Timing

LATE_S = 1.0


def kill_s(_timing: Timing, deadline_s: float) -> float:
    return deadline_s + LATE_S


def late_kill_s(plan: Plan) -> float:
    return plan.deadline_s + LATE_S


if __name__ == "__main__":
    Timing.kill_s = kill_s
    Plan._kill_s = late_kill_s
    main()
