"""Runs the client's logic in the thread that calls it.

All logic is coroutines over :class:`~gorilla.client.ports.Io`. Where that never suspends, because
it blocks instead, a coroutine runs to its end as soon as it is started.
"""

from collections.abc import Coroutine, Iterator
from typing import Any, TypeVar

from gorilla.client.paging import Pages

T = TypeVar("T")


def run_now(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return what it returns."""
    try:
        coroutine.send(None)
    except StopIteration as stop:
        value: T = stop.value
        return value
    coroutine.close()
    raise AssertionError("a coroutine of the blocking client must not suspend")


def each_now(pages: Pages[T]) -> Iterator[T]:
    """Yield everything that comes in pages."""
    while (page := run_now(pages.next_page())) is not None:
        yield from page
