"""Watches what happens, and goes on at another node where a stream broke."""

from collections import deque
from collections.abc import Sequence
from typing import Any, Final

from typing_extensions import override

from gorilla.client.asking import Asker, ask
from gorilla.client.calls import Call
from gorilla.client.calls.events import EVENT_STREAM, watch
from gorilla.client.events_reading import EventReader, Told, TooLargeError
from gorilla.client.ports import AnswerLost, HttpAnswer, Io, Opened, Stream
from gorilla.wire.events import PositionEventBody, StreamBody

SILENCE_S: Final = 30.0
"""After so long without a word, not even a sign of life, a stream counts as broken (seconds)."""


class Following:
    """One watch, over any number of streams."""

    def __init__(
        self,
        asker: Asker,
        prefix: str | None,
        owner: str | None,
        types: Sequence[str] | None,
        after: int | None,
        *,
        positions: bool = False,
    ) -> None:
        """Watch from after the event of the number ``after``; None: from now on.

        With ``positions`` it is told, too, that nothing happened up to an event.
        """
        self.last_id = after
        self.is_closed = False
        self._asker = asker
        self._what = (prefix, owner, types)
        self._positions = positions
        self._told: deque[Told] = deque()
        self._reader = EventReader()
        self._stream: Stream | None = None
        self._endpoint = ""
        self._fruitless = 0
        self._pause_s = 0.0

    async def next_event(self) -> StreamBody | None:
        """Return the next event; None once it is closed.

        Raises:
            RequestRefused: The request was refused.
            Unavailable: No node could serve it in time. It may be called again, and resumes then.

        """
        while not self.is_closed:
            if self._told:
                event = self._take(self._told.popleft())
                if event is not None:
                    return event
            elif self._stream is None:
                await self._connect()
            else:
                await self._read(self._stream)
        return None

    async def close(self) -> None:
        """Hang up; may be called again."""
        self.is_closed = True
        await self._hang_up()

    def _take(self, told: Told) -> StreamBody | None:
        """Move on; None where that is all there is to tell."""
        is_known, self.last_id = told.number == self.last_id, told.number
        if isinstance(told.event, PositionEventBody) and (is_known or not self._positions):
            return None
        return told.event

    async def _connect(self) -> None:
        asker = self._asker
        if self._fruitless:
            self._pause_s = max(self._pause_s, asker.endpoints.pause_s(self._fruitless))
        if self._pause_s:
            await asker.pause(self._pause_s)
        self._pause_s = 0.0
        self._fruitless += 1
        opening = _Opening(asker.io)
        call = watch(*self._what, self.last_id)
        settings = asker.settings
        answered = await ask(
            opening, asker.endpoints, call, settings.deadline_s, settings.attempt_s
        )
        self._reader = EventReader()
        self._endpoint = answered.endpoint
        self._stream = opening.stream
        if self.is_closed:
            await self._hang_up()

    async def _read(self, stream: Stream) -> None:
        try:
            data = await stream.read(SILENCE_S)
            told = self._reader.feed(data)
        except (AnswerLost, TooLargeError):
            await self._leave()
            return
        self._told.extend(told)
        if any(not isinstance(one.event, PositionEventBody) for one in told):
            self._fruitless = 0
        if not data:
            # The node ended it, and says when to come back, so that not everyone does at once.
            self._pause_s = self._reader.retry_s
            await self._leave()

    async def _leave(self) -> None:
        """Go on elsewhere, if there is anywhere else."""
        self._asker.endpoints.failed(self._endpoint)
        await self._hang_up()

    async def _hang_up(self) -> None:
        stream, self._stream = self._stream, None
        if stream is not None:
            await stream.close()


class _Opening(Io):
    """Asks for a stream where an answer is asked for, and keeps it."""

    def __init__(self, io: Io) -> None:
        self.stream: Stream | None = None
        self._io = io

    @override
    def now_s(self) -> float:
        return self._io.now_s()

    @override
    async def pause(self, seconds: float) -> None:
        await self._io.pause(seconds)

    @override
    async def send(self, endpoint: str, call: Call[Any], timeout_s: float) -> HttpAnswer:
        opened = await self._io.open(endpoint, call, timeout_s)
        kind = opened.answer.headers.get("content-type", "")
        if opened.stream is not None and not kind.startswith(EVENT_STREAM):
            await opened.stream.close()
            raise AnswerLost(f"what answers is no stream of events but {kind!r}")
        self.stream = opened.stream
        return opened.answer

    @override
    async def open(self, endpoint: str, call: Call[Any], timeout_s: float) -> Opened:
        return await self._io.open(endpoint, call, timeout_s)
