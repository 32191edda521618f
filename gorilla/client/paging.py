"""What comes in pages, followed from one to the next."""

from collections.abc import AsyncIterator, Callable
from typing import Generic, Protocol, TypeVar

from gorilla.client.asking import Asker
from gorilla.client.calls import Call

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
B = TypeVar("B")


class Pages(Protocol[T_co]):
    """Something that comes in pages."""

    async def next_page(self) -> tuple[T_co, ...] | None:
        """Return some more, maybe none; None at the end."""


class Cursor(Generic[B, T]):
    """Follows the cursors of a listing to its end."""

    def __init__(
        self,
        asker: Asker,
        page: Callable[[str | None], Call[B]],
        read: Callable[[B], tuple[tuple[T, ...], str | None]],
    ) -> None:
        """Begin before the first page.

        Args:
            asker: Whom to ask.
            page: Returns the call for the page at a cursor; None: the first one.
            read: Returns what is on a page, and the cursor of the next one, if there is one.

        """
        self._asker = asker
        self._page = page
        self._read = read
        self._cursor: str | None = None
        self._is_over = False

    async def next_page(self) -> tuple[T, ...] | None:
        """Return what is on the next page, maybe nothing; None after the last one."""
        if self._is_over:
            return None
        body = await self._asker.value(self._page(self._cursor))
        items, self._cursor = self._read(body)
        self._is_over = self._cursor is None
        return items


async def each(pages: Pages[T]) -> AsyncIterator[T]:
    """Yield everything that comes in pages."""
    while (page := await pages.next_page()) is not None:
        for one in page:
            yield one
