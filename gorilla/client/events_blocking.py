"""Events as an iterator that blocks."""

from types import TracebackType
from typing import NoReturn, Self

from typing_extensions import override

from gorilla.client.blocking import run_now
from gorilla.client.events_following import Following
from gorilla.wire.events import StreamBody


class Events:
    """What happens, one event after the other, without an end.

    Where a connection breaks it goes on after the last event, at any node. Where events are missing
    it says so with a :class:`GapEventBody`. Only :meth:`close` may be called by another thread.
    """

    def __init__(self, following: Following) -> None:
        """Connect to nothing yet."""
        self._following = following

    @property
    def last_id(self) -> int | None:
        """Number of the last event that was told, or passed over: what to come back ``after``."""
        return self._following.last_id

    def __iter__(self) -> Self:
        """Return itself."""
        return self

    def __next__(self) -> StreamBody:
        """Return the next event.

        Raises:
            RequestRefused: The request was refused.
            Unavailable: No node could serve it before the deadline. The next call tries again.

        """
        event = run_now(self._following.next_event())
        if event is None:
            raise StopIteration
        return event

    def close(self) -> None:
        """Hang up: there are no more events. May be called again."""
        run_now(self._following.close())

    def __enter__(self) -> Self:
        """Return itself; it is closed at the end of the block."""
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Hang up."""
        self.close()

    @override
    def __reduce__(self) -> NoReturn:
        """Refuse to be copied."""
        raise TypeError("a watch can't be pickled or copied: pass on its last_id")
