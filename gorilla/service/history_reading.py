"""Answers questions about the past, and says how far each answer can be relied on."""

import asyncio
from typing import Final

import msgspec

from gorilla.service.errors import OverloadedError, StartingError
from gorilla.service.history import HistorySource
from gorilla.service.history_records import Found, History, Question
from gorilla.service.ports import EventSource
from gorilla.service.snapshots import ArchiveNotConfiguredError, StorageUnavailableError

ANSWER_S_MAX: Final = 5.0
"""How long an answer may take; a question for which it is not enough is too broad."""

AT_ONCE_MAX: Final = 2
"""Questions that the database is asked at once, so that the writer has a connection too."""

WAITING_MAX: Final = 64
"""Questions that wait for their turn."""

NOT_CONFIGURED: Final = (
    "no database is configured, so there is no history: set database.url (GORILLA_DATABASE_URL)"
)
SWITCHED_OFF: Final = "the history is switched off: set history.enabled (GORILLA_HISTORY_ENABLED)"


class Completeness(msgspec.Struct, frozen=True, kw_only=True):
    """How far the history is: of all until then, only what its gaps say is missing."""

    number: int
    """The last event that is in it."""
    at_ms: int
    """Wall time."""
    behind: int
    """Events that the node which answers has applied, and the history does not have yet."""


class Told(msgspec.Struct, frozen=True, kw_only=True):
    """An answer."""

    found: Found
    complete: Completeness | None
    """None: nothing was ever written."""


class HistoryService:
    """Looks into the history, from any node."""

    def __init__(
        self,
        history: History | None,
        events: EventSource,
        source: HistorySource,
        *,
        why_none: str = NOT_CONFIGURED,
    ) -> None:
        """Ask ``history``.

        Args:
            history: None when there is none; then ``why_none`` is the answer to everything.
            events: This node's event log.
            source: The rest of the node.
            why_none: Why there is none, with the remedy.

        """
        self._history = history
        self._events = events
        self._source = source
        self._why_none = why_none
        self._turns = asyncio.Semaphore(AT_ONCE_MAX)
        self._waiting = 0

    async def ask(self, question: Question) -> Told:
        """Answer a question.

        Raises:
            ArchiveError: There is no history, or it did not answer in time.
            NotServedError: This node belongs to no cluster yet, or too many ask at once.

        """
        if self._history is None:
            raise ArchiveNotConfiguredError(self._why_none)
        cluster_id = self._source.cluster_id()
        if not cluster_id:
            raise StartingError("this node belongs to no cluster yet, so it has no history")
        if self._waiting >= WAITING_MAX:
            raise OverloadedError("too many ask for the history at once")
        self._waiting += 1
        try:
            async with asyncio.timeout(ANSWER_S_MAX), self._turns:
                # Both before the question: what happens meanwhile may or may not be in the answer.
                number, at_ms = self._events.last_number, self._source.stamped_wall_ms()
                found = await self._history.find(cluster_id, question)
        except TimeoutError as error:
            raise StorageUnavailableError(
                f"the database had no answer within {ANSWER_S_MAX:.0f} s; a question about one"
                " resource or owner, or a shorter time, is answered faster"
            ) from error
        finally:
            self._waiting -= 1
        return Told(found=found, complete=_completeness(found, number, at_ms))


def _completeness(found: Found, number: int, at_ms: int) -> Completeness | None:
    state = found.state
    if state is None:
        return None
    # With nothing left to write, nothing happened until the last entry that this node applied. That
    # may be of a leader whose clock is behind: it has yet to stamp times beyond it.
    until_ms = at_ms if number == state.number else state.at_ms
    if state.unsettled_ms is not None:
        until_ms = min(until_ms, state.unsettled_ms)
    behind = max(0, number - state.number)
    return Completeness(number=state.number, at_ms=until_ms, behind=behind)
