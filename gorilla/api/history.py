"""The call that looks into the past: parse, ask, present."""

from typing import Final

from msgspec import UNSET

from gorilla.api.answers import Answer, answer_json
from gorilla.api.requests import Call
from gorilla.api.route_parts import NOT_SERVED, PAGE_DEFAULT, PAGE_MAX, page_size
from gorilla.api.routing import Parameter, Route, Success
from gorilla.service.history_reading import NOT_CONFIGURED, HistoryService, Told
from gorilla.service.history_records import (
    EndedBy,
    Gap,
    HeldOnce,
    Kind,
    Question,
    WaitedOnce,
)
from gorilla.service.snapshots import ArchiveNotConfiguredError
from gorilla.wire.bodies import NO_CONTROL_CHARACTERS
from gorilla.wire.fields import NAME_CHARS_MAX, bounded_int, name_of, one_of, prefix_of
from gorilla.wire.history import (
    PLACE_PATTERN,
    TIME_PATTERN,
    CompleteUpToBody,
    HistoryBody,
    HistoryGapBody,
    HoldEntryBody,
    WaitEntryBody,
    cursor_of,
    instant_of,
    place_of,
)
from gorilla.wire.problems import ProblemCode as Code
from gorilla.wire.times import seconds, timestamp

_NO: Final = "no"
_YES: Final = "yes"
_ENDED: Final = (_NO, _YES, *(way.value for way in EndedBy))
_KINDS: Final = tuple(kind.value for kind in Kind)

_limit_of = bounded_int(1, PAGE_MAX)
_ended_of = one_of(*_ENDED)
_kind_of = one_of(*_KINDS)


class HistoryCalls:
    """Handler of ``/api/v1/history``."""

    def __init__(self, history: HistoryService | None) -> None:
        """Take what answers; None when no database is configured."""
        self._history = history

    async def list(self, call: Call) -> Answer:
        """``GET /api/v1/history``."""
        question = _question_of(call)
        if self._history is None:
            raise ArchiveNotConfiguredError(NOT_CONFIGURED)
        told = await self._history.ask(question)
        return answer_json(_body_of(told, question))


def _question_of(call: Call) -> Question:
    query = call.query()
    from_ms = query.optional("from", instant_of, None)
    to_ms = query.optional("to", instant_of, None)
    ended = query.optional("ended", _ended_of, "")
    question = Question(
        kind=Kind(query.optional("kind", _kind_of, Kind.HOLD)),
        resource=query.optional("resource", name_of, None),
        owner=query.optional("owner", name_of, None),
        prefix=query.optional("prefix", prefix_of, ""),
        from_ms=from_ms,
        to_ms=to_ms,
        at_ms=query.optional("at", instant_of, None),
        is_ended=ended != _NO if ended else None,
        ended_by=EndedBy(ended) if ended not in {"", _NO, _YES} else None,
        limit=query.optional("limit", _limit_of, PAGE_DEFAULT),
        before=query.optional("cursor", place_of, None),
    )
    if from_ms is not None and to_ms is not None and from_ms > to_ms:
        call.errors.add("from", "must not be after to")
    query.finish()
    return question


def _body_of(told: Told, question: Question) -> HistoryBody:
    found, complete = told.found, told.complete
    last = found.entries[-1] if found.has_more else None
    return HistoryBody(
        entries=tuple(
            _hold_body(one, question.at_ms) if isinstance(one, HeldOnce) else _wait_body(one)
            for one in found.entries
        ),
        cursor=None if last is None else cursor_of(last.place()),
        complete_up_to=None
        if complete is None
        else CompleteUpToBody(
            event=complete.number,
            at=timestamp(complete.at_ms),
            at_ms=complete.at_ms,
            behind=complete.behind,
        ),
        since=_optional(found.began_ms),
        gaps=tuple(map(_gap_body, found.gaps)),
    )


def _hold_body(hold: HeldOnce, at_ms: int | None) -> HoldEntryBody:
    slots, seen_ms = hold.slots, hold.last_seen_ms
    return HoldEntryBody(
        resource=hold.resource,
        owner=hold.owner,
        fencing_token=hold.fencing_token,
        cluster_id=hold.cluster_id,
        granted_at=timestamp(hold.granted_ms),
        granted_at_ms=hold.granted_ms,
        grant_missed=UNSET if hold.is_grant_known else True,
        mode=UNSET if slots is None else "exclusive" if slots else "shared",
        limit=slots if slots is not None and slots > 1 else UNSET,
        session=hold.session or UNSET,
        waited=seconds(hold.waited_ms) if hold.waited_ms else UNSET,
        reason=hold.reason or UNSET,
        extensions=hold.extensions,
        expire_at=UNSET if hold.until_ms is None else timestamp(hold.until_ms),
        ended_at=_optional(hold.ended_ms),
        ended_at_ms=hold.ended_ms,
        ended_by=None if hold.ended_by is None else hold.ended_by.value,
        end_reason=hold.end_reason or UNSET,
        forced_by=hold.forced_by or UNSET,
        held=UNSET if hold.held_ms is None else seconds(hold.held_ms),
        last_seen_at=UNSET if seen_ms is None else timestamp(seen_ms),
        uncertain=True if at_ms is not None and seen_ms is not None and at_ms > seen_ms else UNSET,
    )


def _wait_body(wait: WaitedOnce) -> WaitEntryBody:
    return WaitEntryBody(
        resource=wait.resource,
        owner=wait.owner,
        cluster_id=wait.cluster_id,
        number=wait.number,
        ticket=wait.ticket,
        began_at=timestamp(wait.began_ms),
        began_at_ms=wait.began_ms,
        ended_at=timestamp(wait.ended_ms),
        ended_at_ms=wait.ended_ms,
        waited=seconds(wait.waited_ms),
        why=wait.why.value,
    )


def _gap_body(gap: Gap) -> HistoryGapBody:
    return HistoryGapBody(
        from_=timestamp(gap.from_ms),
        to=timestamp(gap.to_ms),
        from_event=gap.first_number,
        to_event=gap.last_number,
    )


def _optional(wall_ms: int | None) -> str | None:
    return None if wall_ms is None else timestamp(wall_ms)


def history_routes(calls: HistoryCalls) -> tuple[Route, ...]:
    """Return the routes of the history."""
    prefix: dict[str, object] = {
        "type": "string",
        "maxLength": NAME_CHARS_MAX,
        "pattern": NO_CONTROL_CHARACTERS,
    }
    name = {**prefix, "minLength": 1}
    time: dict[str, object] = {"type": "string", "pattern": TIME_PATTERN}
    parameters: tuple[tuple[str, str, dict[str, object]], ...] = (
        ("resource", "The lock's name.", name),
        ("owner", "Who held it, or waited.", name),
        ("prefix", "How the locks' names begin.", prefix),
        ("at", "What was going on at this instant. UTC, unless it says its offset.", time),
        ("from", "What had not ended before this time.", time),
        ("to", "What had begun by this time.", time),
        (
            "ended",
            "no: what goes on still. yes: what has ended. Else: what ended in this way.",
            {"type": "string", "enum": list(_ENDED)},
        ),
        (
            "kind",
            "hold: holds of locks. wait: waits that ended without the lock.",
            {"type": "string", "enum": list(_KINDS), "default": Kind.HOLD.value},
        ),
        (
            "cursor",
            "The cursor of the page before, as it was given.",
            {"type": "string", "pattern": PLACE_PATTERN},
        ),
    )
    route = Route(
        method="GET",
        template="/api/v1/history",
        operation_id="listHistory",
        handler=calls.list,
        tag="locks",
        summary="Look into the past",
        description="Who held what, when, why it ended, and who waited in vain: what all the "
        "parameters say, those that began last first. It is kept in the database, seconds behind; "
        "completeUpTo says how far it is and gaps what is missing. Times are the leaders' wall "
        "clocks.",
        query=(
            *(Parameter(name=n, description=d, schema=s) for n, d, s in parameters),
            page_size("entries"),
        ),
        success=Success(status=200, description="Some entries.", body=HistoryBody),
        problems=(Code.ARCHIVE_UNAVAILABLE, *NOT_SERVED),
    )
    return (route,)
