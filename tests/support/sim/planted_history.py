"""Bugs to plant in the history: in who writes it, in where it is kept, in what is told of it."""

from contextlib import AbstractContextManager, suppress
from typing import Any

from msgspec.structs import replace

from gorilla.service import history, history_reading
from gorilla.service.history import HistoryWriter
from gorilla.service.history_reading import Completeness
from gorilla.service.history_records import Claim, Gap
from gorilla.service.snapshots import ArchiveError, StorageUnavailableError
from tests.support.history import MemoryHistory
from tests.support.sim import parts
from tests.support.sim.parts import CLUSTER_ID
from tests.support.sim.patching import both, replaced


def events_added_anywhere() -> AbstractContextManager[None]:
    """Add events whatever the last one is that the history has."""

    async def append(self: Any, claim: Claim, _after: int, changes: Any) -> Any:
        return await original(self, claim, self.states[claim.cluster_id].number, changes)

    original = MemoryHistory.append
    return replaced(MemoryHistory, append=append)


def terms_not_compared() -> AbstractContextManager[None]:
    """Let a leader of an earlier term write when a later one has."""

    def planted(name: str) -> AbstractContextManager[None]:
        async def write(self: Any, claim: Claim, *given: Any, **more: Any) -> Any:
            term = max(claim.term, self.states[claim.cluster_id].term)
            return await original(self, replace(claim, term=term), *given, **more)

        original = getattr(MemoryHistory, name)
        return replaced(MemoryHistory, **{name: write})

    return both(planted("append"), planted("skip"), planted("settle"))


def gap_not_told() -> AbstractContextManager[None]:
    """Go on behind events that are missing, and say nothing of them."""

    async def skip(self: Any, *given: Any) -> Any:
        before = list(self.gaps)
        state = await original(self, *given)
        self.gaps = before
        return state

    original = MemoryHistory.skip
    return replaced(MemoryHistory, skip=skip)


def gap_of_what_is_there() -> AbstractContextManager[None]:
    """Tell some more events to be missing than were forgotten."""

    def gap(**fields: Any) -> Gap:
        return Gap(**fields | {"last_number": fields["last_number"] + 3})

    return replaced(history, Gap=gap)


def holds_not_looked_through() -> AbstractContextManager[None]:
    """Call the holds settled after a gap without a look at them."""

    async def settle(_self: Any, rows: Any, claim: Claim) -> Any:
        return await rows.settle(claim, is_done=True)

    return replaced(HistoryWriter, _settle=settle)


def only_the_first_holds_looked_through() -> AbstractContextManager[None]:
    """Look after a gap only through as many holds as are looked at in one step."""

    async def settle_open(self: Any, rows: Any, at: Any) -> Any:
        state = await original(self, rows, at)
        at.is_past_open = True
        return state

    original = HistoryWriter._settle_open
    return replaced(HistoryWriter, _settle_open=settle_open)


def holds_looked_through_first() -> AbstractContextManager[None]:
    """Look through the holds while the next events are about to be forgotten."""

    async def skip(self: Any, *given: Any) -> Any:
        with replaced(self._events, after=lambda *_: ()):
            return await original(self, *given)

    def first_ms(self: Any) -> int:
        return int(self._source.stamped_wall_ms())

    original = HistoryWriter._skip
    return replaced(
        HistoryWriter, _skip=skip, _first_ms=first_ms, _is_pressed=lambda *_given: False
    )


def written_again_after_no_answer() -> AbstractContextManager[None]:
    """Take a write that got no answer for one that was not done."""

    async def add(self: Any, rows: Any, claim: Claim, state: Any, events: Any) -> Any:
        try:
            return await original(self, rows, claim, state, events)
        except StorageUnavailableError:
            now = await rows.state(claim.cluster_id)
            changes = replace(history.fold(events), last_number=now.number + len(events))
            return await rows.append(claim, now.number, replace(changes, waits=()))

    original = HistoryWriter._add
    return replaced(HistoryWriter, _add=add)


def extensions_counted_behind_a_gap() -> AbstractContextManager[None]:
    """Count a hold's extensions as if none had been missed."""

    async def settle(self: Any, claim: Claim, **more: Any) -> Any:
        before = {key: row.extensions for key, row in self.holds.items()}
        state = await original(self, claim, **more)
        for key, extensions in before.items():
            self._replace(self.holds[key], extensions=extensions)
        return state

    original = MemoryHistory.settle
    return replaced(MemoryHistory, settle=settle)


def complete_up_to_now() -> AbstractContextManager[None]:
    """Say that an answer is complete up to what the node has applied, written or not."""

    def completeness(found: Any, number: int, at_ms: int) -> Completeness | None:
        complete = original(found, number, at_ms)
        return None if complete is None else replace(complete, at_ms=at_ms)

    original = history_reading._completeness
    return replaced(history_reading, _completeness=completeness)


def releases_wait_for_the_database() -> AbstractContextManager[None]:
    """Ask the database for something before a lock is released."""

    def record(node: Any, process: Any) -> Any:
        service = original(node, process)
        release = process.locks.release

        async def wait_and_release(*given: Any, **more: Any) -> Any:
            with suppress(ArchiveError):
                await service._history.state(CLUSTER_ID)
            return await release(*given, **more)

        process.locks.release = wait_and_release
        return service

    original = parts.record
    return replaced(parts, record=record)
