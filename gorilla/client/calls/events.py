"""The call that watches what happens."""

from collections.abc import Sequence
from typing import Final

from gorilla.client.calls.call import Call, target

EVENT_STREAM: Final = "text/event-stream"
LAST_EVENT_ID: Final = "Last-Event-ID"


def watch(
    prefix: str | None = None,
    owner: str | None = None,
    types: Sequence[str] | None = None,
    after: int | None = None,
) -> Call[None]:
    """Ask for the stream of events after the one of a number; None: from now on."""
    kinds = types if types is None or isinstance(types, str) else ",".join(types)
    query = {"prefix": prefix, "owner": owner, "types": kinds}
    return Call(
        method="GET",
        path=target("/api/v1/events", query),
        decode=_ignored,
        accept=EVENT_STREAM,
        headers=None if after is None else {LAST_EVENT_ID: str(after)},
    )


def _ignored(_body: bytes) -> None:
    """Take what is read as a stream."""
