"""Calls that look into the past."""

from collections.abc import Callable
from datetime import datetime
from typing import TypedDict

from gorilla.client.calls.call import Call, read
from gorilla.wire.history import HistoryBody, HoldEntryBody, WaitEntryBody

Entry = HoldEntryBody | WaitEntryBody
Moment = str | datetime


class HistoryQuery(TypedDict, total=False):
    """What is looked for; what is left out, or None, makes no difference.

    A moment is a string like ``2025-05-04T10:11:12``, in UTC unless it says its offset, or a
    ``datetime`` that has a time zone.
    """

    resource: str | None
    """The lock's name."""
    owner: str | None
    """Who held it, or waited."""
    prefix: str | None
    """How the locks' names begin."""
    at: Moment | None
    """What was going on at this moment."""
    since: Moment | None
    """What had not ended before this moment."""
    until: Moment | None
    """What had begun by this moment."""
    ended: str | None
    """``no``, ``yes``, or how it ended: ``released``, ``expired``, ``forced``, ``session`` or
    ``unknown``."""
    kind: str | None
    """``hold``, the default, or ``wait``: waits that ended without the lock."""


def page(query: HistoryQuery, limit: int | None, cursor: str | None) -> Call[HistoryBody]:
    """Ask for some entries, those that began last first.

    Raises:
        TypeError: There is no such field.
        ValueError: A moment has no time zone.

    """
    unknown = query.keys() - HistoryQuery.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such part of a question about the history: {', '.join(unknown)}")
    moments = {
        "at": _moment("at", query.get("at")),
        "from": _moment("since", query.get("since")),
        "to": _moment("until", query.get("until")),
    }
    others = {
        "resource": query.get("resource"),
        "owner": query.get("owner"),
        "prefix": query.get("prefix"),
        "ended": query.get("ended"),
        "kind": query.get("kind"),
    }
    asked = {**others, **moments, "limit": limit, "cursor": cursor}
    return read("/api/v1/history", HistoryBody, asked)


def pages(query: HistoryQuery, limit: int | None) -> Callable[[str | None], Call[HistoryBody]]:
    """Return what makes the call for the page at a cursor."""
    page(query, limit, None)
    return lambda cursor: page(query, limit, cursor)


def on_page(body: HistoryBody) -> tuple[tuple[Entry, ...], str | None]:
    """Return the entries of a page, and the cursor of the next one."""
    return body.entries, body.cursor


def _moment(name: str, moment: Moment | None) -> str | None:
    if not isinstance(moment, datetime):
        return moment
    if moment.tzinfo is None:
        raise ValueError(f"{name}: a datetime must have a time zone")
    return moment.isoformat()
