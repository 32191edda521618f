"""Every life of a node applies index after index: none twice, none left out, none backwards."""

from collections.abc import Iterator

from tests.support.sim.history import Applied, History, Loaded


def check(history: History) -> Iterator[str]:
    """Yield every step of a node that is not the next one."""
    last: dict[tuple[str, int], int] = {}
    events: list[Applied | Loaded] = sorted(
        [*history.applied, *history.loaded], key=lambda event: event.at
    )
    for event in events:
        before = last.get((event.node, event.life))
        last[event.node, event.life] = event.index
        if before is None:
            continue
        if isinstance(event, Loaded):
            if event.index < before:
                yield f"{event.node} goes back from {before} to a snapshot of {event.index}"
        elif event.index <= before:
            yield f"{event.node} applies {event.index} after {before} at {event.at:.3f}"
