"""Election safety and leader completeness.

A term has at most one leader, and a leader has every entry that was committed in an earlier term.
"""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every second leader of a term, also after a restart, and every one that lacks some."""
    leaders: dict[int, str] = {}
    for led in history.led:
        first = leaders.setdefault(led.term, led.node)
        if first != led.node:
            yield f"term {led.term} is led by {first} and, at {led.at:.3f}, by {led.node}"
        if led.lacks:
            yield (
                f"{led.node} leads term {led.term} at {led.at:.3f} without"
                f" {', '.join(map(str, led.lacks))}, committed in earlier terms"
            )
