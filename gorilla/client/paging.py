"""What comes in pages, followed from one to the next."""

from collections.abc import Callable
from typing import Generic, TypeVar

from gorilla.client.asking import Asker
from gorilla.client.calls import Call

T = TypeVar("T")
B = TypeVar("B")


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
