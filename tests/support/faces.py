"""Both faces of the client, used by a test in one and the same way."""

import asyncio
import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from typing import Any, Final

from gorilla.client import AsyncClient, Client

FACES: Final = ("blocking", "async")


class Face:
    """A client, asked from an event loop whichever face it has."""

    def __init__(self, kind: str, *endpoints: str, **options: Any) -> None:
        self.is_blocking = kind == "blocking"
        face = Client if self.is_blocking else AsyncClient
        options.setdefault("attempt_s", 2.0)
        options.setdefault("deadline_s", 5.0)
        self.client: Any = face(*endpoints, **options)

    async def __call__(self, ask: Callable[[Any], Any]) -> Any:
        """Ask something of the client; a blocking one does it in a thread."""
        if self.is_blocking:
            return await asyncio.to_thread(ask, self.client)
        return await ask(self.client)

    async def each(self, ask: Callable[[Any], Any], count: int | None = None) -> list[Any]:
        """Take so many, or all, of what the client iterates over."""
        if self.is_blocking:
            return await asyncio.to_thread(lambda: list(itertools.islice(ask(self.client), count)))
        taken: list[Any] = []
        if count == 0:
            return taken
        async for one in ask(self.client):
            taken.append(one)
            if len(taken) == count:
                break
        return taken

    async def close(self) -> None:
        await self(lambda client: client.close())


@contextlib.asynccontextmanager
async def face_of(kind: str, *endpoints: str, **options: Any) -> AsyncIterator[Face]:
    """Make a client of a kind, and close it."""
    face = Face(kind, *endpoints, **options)
    try:
        yield face
    finally:
        await face.close()
