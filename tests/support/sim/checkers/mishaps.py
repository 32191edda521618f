"""No node stops, or loses an error, without a fault that explains it."""

from collections.abc import Iterator

from tests.support.sim.history import History


def check(history: History) -> Iterator[str]:
    """Yield every mishap."""
    yield from history.mishaps
