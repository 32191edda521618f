"""Events as an iterator for asyncio."""

from types import TracebackType
from typing import NoReturn, Self

from typing_extensions import override

from gorilla.client.events_following import Following
from gorilla.wire.events import StreamBody


class AsyncEvents:
    """What happens, one event after the other, without an end.

    Where a connection breaks it goes on after the last event, at any node. Where events are missing
    it says so with a :class:`GapEventBody`. Only :meth:`close` may be called by another
    task.
    """

    def __init__(self, following: Following) -> None:
        """Connect to nothing yet."""
        self._following = following

    @property
    def last_id(self) -> int | None:
        """Number of the last event that was told, or passed over: what to come back ``after``."""
        return self._following.last_id

    def __aiter__(self) -> Self:
        """Return itself."""
        return self

    async def __anext__(self) -> StreamBody:
        """Return the next event.

        Raises:
            RequestRefused: The request was refused.
            Unavailable: No node could serve it before the deadline. The next call tries again.

        """
        event = await self._following.next_event()
        if event is None:
            raise StopAsyncIteration
        return event

    async def close(self) -> None:
        """Hang up: there are no more events. May be called again."""
        await self._following.close()

    async def __aenter__(self) -> Self:
        """Return itself; it is closed at the end of the block."""
        return self

    async def __aexit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        await self.close()

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied."""
        raise TypeError("a watch can't be pickled or copied: pass on its last_id")
