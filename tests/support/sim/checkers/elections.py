"""Election safety: a term has at most one leader."""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every second leader of a term, also when it is the first one after a restart."""
    leaders: dict[int, str] = {}
    for led in history.led:
        first = leaders.setdefault(led.term, led.node)
        if first != led.node:
            yield f"term {led.term} is led by {first} and, at {led.at:.3f}, by {led.node}"
