"""The call that watches events: parse, find where to begin, hand the stream to the feed."""

from typing import Final

from gorilla.api.answers import Answer
from gorilla.api.event_frames import EventFilter
from gorilla.api.feeding import EventFeed
from gorilla.api.requests import Call
from gorilla.api.routing import Parameter, Route, Success
from gorilla.api.streaming import EVENT_STREAM, StreamAnswer
from gorilla.wire.bodies import NO_CONTROL_CHARACTERS
from gorilla.wire.events import (
    EVENT_BODIES,
    EVENT_NUMBER_MAX,
    STREAM_BODIES,
    event_number_of,
    types_of,
)
from gorilla.wire.fields import NAME_CHARS_MAX, name_of, prefix_of
from gorilla.wire.problems import ProblemCode as Code

LAST_EVENT_ID: Final = "Last-Event-ID"

_NAME: Final[dict[str, object]] = {
    "type": "string",
    "maxLength": NAME_CHARS_MAX,
    "pattern": NO_CONTROL_CHARACTERS,
}
_NUMBER: Final[dict[str, object]] = {
    "type": "integer",
    "minimum": 0,
    "maximum": EVENT_NUMBER_MAX,
}
_TYPE: Final = f"({'|'.join(EVENT_BODIES)})"


class EventCalls:
    """Handler of ``/api/v1/events``."""

    def __init__(self, feed: EventFeed) -> None:
        """Take what feeds those who watch."""
        self._feed = feed

    async def watch(self, call: Call) -> Answer:
        """``GET /api/v1/events``: a stream without an end."""
        query = call.query()
        wanted = EventFilter(
            prefix=query.optional("prefix", prefix_of, ""),
            owner=query.optional("owner", name_of, ""),
            types=query.optional("types", types_of, None),
        )
        after = query.optional("lastEventId", event_number_of, None)
        # A browser repeats its URL when it connects again, so the header is the newer of the two.
        after = call.header(LAST_EVENT_ID, event_number_of, after)
        query.finish()
        self._feed.check_room()
        start = await self._feed.events.start(after)
        return StreamAnswer(
            EVENT_STREAM,
            opened=lambda stream: self._feed.open(stream, wanted, start),
            closed=self._feed.remove,
        )


def event_routes(feed: EventFeed | None) -> tuple[Route, ...]:
    """Return the routes of events; none where nothing feeds them."""
    return () if feed is None else (_route(EventCalls(feed)),)


def _route(calls: EventCalls) -> Route:
    return Route(
        method="GET",
        template="/api/v1/events",
        operation_id="watchEvents",
        handler=calls.watch,
        tag="events",
        summary="Watch what happens",
        description="Server-sent events without an end: everything that happens to locks, from now "
        "on or from after the event that Last-Event-ID names, in order and without a gap, on any "
        "node. The id of an event is its number, the same on every node. A gap event says which "
        "numbers can't be given any more; a position event says where to resume when nothing "
        "happened that was asked for. A comment comes at least every ten seconds. A reader that is "
        "too slow is cut off, and a stopping node ends its streams: connect again, to any node.",
        query=(
            Parameter(name="prefix", description="How the locks' names begin.", schema=_NAME),
            Parameter(
                name="owner",
                description="Whose holds and waits.",
                schema={**_NAME, "minLength": 1},
            ),
            Parameter(
                name="types",
                description="Types of events, separated by commas; without it all.",
                schema={"type": "string", "pattern": f"^{_TYPE}(,{_TYPE})*$"},
            ),
            Parameter(
                name="lastEventId",
                description="As the header Last-Event-ID, which goes before it: for readers that "
                "can't set headers.",
                schema=_NUMBER,
            ),
            Parameter(
                name=LAST_EVENT_ID,
                place="header",
                description="The id that was received last: go on after it. Without it: from now.",
                schema=_NUMBER,
            ),
        ),
        success=Success(
            status=200,
            description="Events, one after the other.",
            media_type=EVENT_STREAM,
            parts=tuple(STREAM_BODIES.values()),
        ),
        problems=(Code.NO_QUORUM, Code.STARTING, Code.DRAINING, Code.OVERLOADED),
    )
