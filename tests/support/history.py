"""A history in memory: an honest double of the one in PostgreSQL."""

from collections.abc import Sequence
from typing import Any

import msgspec

from gorilla.service.history_records import (
    GAPS_MAX,
    Beginning,
    Changes,
    Claim,
    EndedBy,
    Found,
    Gap,
    HeldOnce,
    HistoryState,
    HoldChange,
    Kind,
    Question,
    Retention,
    WaitedOnce,
)
from gorilla.service.snapshots import StorageUnavailableError


class MemoryHistory:
    """Meets ``History`` for one cluster and its like, with the same words.

    Attributes:
        down: Makes every call fail with that text, before anything was done.
        loses_answers: How many of the next writes are done and fail all the same.
        appended: The numbers of every run of events that was applied, in order.

    """

    def __init__(self) -> None:
        self.down: str | None = None
        self.loses_answers = 0
        self.appended: list[tuple[int, int]] = []
        self.states: dict[str, HistoryState] = {}
        self.holds: dict[tuple[str, int], HeldOnce] = {}
        self.waits: dict[tuple[str, int], WaitedOnce] = {}
        self.gaps: list[Gap] = []

    async def state(self, cluster_id: str) -> HistoryState | None:
        self._check_up()
        return self.states.get(cluster_id)

    async def begin(self, claim: Claim, beginning: Beginning) -> HistoryState:
        self._check_up()
        began_ms = None if beginning.is_whole else beginning.at_ms
        made = HistoryState(
            number=beginning.number,
            at_ms=beginning.at_ms,
            term=claim.term,
            began_number=beginning.number + 1,
            began_ms=began_ms,
            unsettled_ms=began_ms,
        )
        self.states.setdefault(claim.cluster_id, made)
        return self._answer(self.states[claim.cluster_id])

    async def append(self, claim: Claim, after: int, changes: Changes) -> HistoryState:
        self._check_up()
        state = self.states[claim.cluster_id]
        if state.number != after or state.term > claim.term:
            return state
        for change in changes.holds:
            self._apply(claim.cluster_id, change, is_settled=state.unsettled_ms is None)
        for wait in changes.waits:
            key = (claim.cluster_id, wait.number)
            assert key not in self.waits
            self.waits[key] = WaitedOnce(
                cluster_id=claim.cluster_id, **msgspec.structs.asdict(wait)
            )
        self.appended.append((after + 1, changes.last_number))
        moved = {"number": changes.last_number, "at_ms": changes.last_ms}
        return self._answer(self._move(claim, **moved))

    async def skip(self, claim: Claim, gap: Gap) -> HistoryState:
        self._check_up()
        state = self.states[claim.cluster_id]
        if state.number != gap.first_number - 1 or state.term > claim.term:
            return state
        self.gaps.append(gap)
        since_ms = gap.from_ms if state.unsettled_ms is None else state.unsettled_ms
        moved = {"number": gap.last_number, "at_ms": gap.to_ms, "unsettled_ms": since_ms}
        return self._answer(self._move(claim, **moved))

    async def open_holds(
        self, cluster_id: str, after: int, limit: int
    ) -> Sequence[tuple[int, str]]:
        self._check_up()
        found = sorted(
            (hold.fencing_token, hold.resource)
            for hold in self.holds.values()
            if hold.cluster_id == cluster_id and hold.ended_ms is None
        )
        return [one for one in found if one[0] > after][:limit]

    async def settle(
        self,
        claim: Claim,
        *,
        seen: Sequence[HoldChange] = (),
        lost: Sequence[int] = (),
        now_ms: int = 0,
        is_done: bool = False,
    ) -> HistoryState:
        self._check_up()
        state = self.states[claim.cluster_id]
        if state.term > claim.term or state.unsettled_ms is None:
            return state
        for change in seen:
            key = (claim.cluster_id, change.fencing_token)
            known = self.holds.get(key)
            if known is None or known.ended_ms is None:
                self.holds[key] = _held(claim.cluster_id, change, None)
        for token in lost:
            hold = self.holds[claim.cluster_id, token]
            if hold.ended_ms is None:
                self._replace(
                    hold,
                    ended_ms=max(hold.granted_ms, now_ms, state.unsettled_ms),
                    ended_by=EndedBy.UNKNOWN,
                    last_seen_ms=max(hold.granted_ms, state.unsettled_ms),
                    extensions=None,
                )
        done = {"unsettled_ms": None} if is_done else {}
        return self._answer(self._move(claim, **done))

    async def prune(self, claim: Claim, keep: Retention, rows_max: int) -> int:
        self._check_up()
        if self.states[claim.cluster_id].term > claim.term:
            return 0
        rows = sorted([*self.holds.values(), *self.waits.values()], key=lambda row: row.place())
        ended = [row for row in rows if row.ended_ms is not None]
        surplus = ended[: max(0, min(rows_max, len(rows) - keep.rows))]
        for row in surplus:
            if isinstance(row, HeldOnce):
                del self.holds[row.cluster_id, row.fencing_token]
            else:
                del self.waits[row.cluster_id, row.number]
        self._move(Claim(claim.cluster_id, self.states[claim.cluster_id].term))
        return len(surplus)

    async def find(self, cluster_id: str, question: Question) -> Found:
        self._check_up()
        state = self.states.get(cluster_id)
        if state is None:
            return Found(state=None, entries=(), has_more=False, gaps=(), began_ms=None)
        rows: list[Any] = [
            row
            for row in (self.waits if question.kind is Kind.WAIT else self.holds).values()
            if row.cluster_id == cluster_id and _fits(row, question)
        ]
        rows.sort(key=lambda row: row.place(), reverse=True)
        low_ms = question.from_ms if question.at_ms is None else question.at_ms
        high_ms = question.to_ms if question.at_ms is None else question.at_ms
        gaps = [
            gap
            for gap in reversed(self.gaps)
            if (low_ms is None or gap.to_ms >= low_ms)
            and (high_ms is None or gap.from_ms <= high_ms)
        ]
        return Found(
            state=state,
            entries=tuple(rows[: question.limit]),
            has_more=len(rows) > question.limit,
            gaps=tuple(gaps[:GAPS_MAX]),
            began_ms=state.began_ms,
        )

    # Its own

    def _check_up(self) -> None:
        if self.down is not None:
            raise StorageUnavailableError(self.down)

    def _answer(self, state: HistoryState) -> HistoryState:
        if self.loses_answers:
            self.loses_answers -= 1
            raise StorageUnavailableError("the connection broke after the commit")
        return state

    def _move(self, claim: Claim, **fields: Any) -> HistoryState:
        cluster = claim.cluster_id
        fields |= {
            "term": claim.term,
            "hold_count": sum(key[0] == cluster for key in self.holds),
            "wait_count": sum(key[0] == cluster for key in self.waits),
        }
        self.states[cluster] = msgspec.structs.replace(self.states[cluster], **fields)
        return self.states[cluster]

    def _replace(self, hold: HeldOnce, **fields: Any) -> None:
        changed = msgspec.structs.replace(hold, **fields)
        self.holds[hold.cluster_id, hold.fencing_token] = changed

    def _apply(self, cluster_id: str, change: HoldChange, *, is_settled: bool) -> None:
        old = self.holds.get((cluster_id, change.fencing_token))
        if old is None or change.is_grant_known:
            extensions = change.extensions if change.is_grant_known else None
            made = _held(cluster_id, change, extensions)
            self.holds[cluster_id, change.fencing_token] = made
            return
        fields: dict[str, Any] = {} if is_settled else {"extensions": None}
        if not old.is_grant_known:
            fields["granted_ms"] = min(old.granted_ms, change.granted_ms)
        if change.extensions:
            if is_settled and old.extensions is not None:
                fields["extensions"] = old.extensions + change.extensions
            fields["until_ms"] = change.until_ms
        if change.ended_ms is not None:
            fields |= {
                "ended_ms": max(fields.get("granted_ms", old.granted_ms), change.ended_ms),
                "ended_by": change.ended_by,
                "end_reason": change.end_reason,
                "forced_by": change.forced_by,
                "held_ms": change.held_ms,
                "last_seen_ms": None,
            }
        self._replace(old, **fields)


def _held(cluster_id: str, change: HoldChange, extensions: int | None) -> HeldOnce:
    fields = {**msgspec.structs.asdict(change), "extensions": extensions}
    return HeldOnce(cluster_id=cluster_id, **fields)


def _fits(row: HeldOnce | WaitedOnce, question: Question) -> bool:
    began_ms, ended_ms = row.place()[0], row.ended_ms
    at_ms = question.at_ms
    by = row.ended_by if isinstance(row, HeldOnce) else None
    return (
        question.resource in {None, row.resource}
        and question.owner in {None, row.owner}
        and row.resource.startswith(question.prefix)
        and (question.to_ms is None or began_ms <= question.to_ms)
        and (question.from_ms is None or ended_ms is None or ended_ms >= question.from_ms)
        and (at_ms is None or (began_ms <= at_ms and (ended_ms is None or ended_ms > at_ms)))
        and question.is_ended in {None, ended_ms is not None}
        and question.ended_by in {None, by}
        and (question.before is None or row.place() < question.before)
    )
