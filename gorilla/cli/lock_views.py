"""How locks, their holders and who waits for them are shown to people: pure."""

from collections.abc import Sequence
from typing import Final, TypeVar

import msgspec
from msgspec import UnsetType

from gorilla.cli.tables import Cell, Column, Facts, Styled, Table, View
from gorilla.cli.times import between, shown, told
from gorilla.wire.asking import SHARED, GroupBody
from gorilla.wire.bodies import HeldLockBody, LockBody, LockStateBody, WaiterBody
from gorilla.wire.looking import ExplanationBody, LinkBody

_T = TypeVar("_T")

_SOON_S: Final = 10
"""A hold that has less left than this is shown as one that ends soon."""

LIST_COLUMNS: Final = (
    Column("RESOURCE", flexible=True),
    Column("OWNER", flexible=True),
    Column("FENCING", right=True),
    Column("HELD", right=True),
    Column("LEFT", right=True),
    Column("QUEUE", right=True),
    Column("NOTE", flexible=True),
)


def given(value: _T | UnsetType | None) -> _T | None:
    """Return what an answer says, or None when it says nothing."""
    return None if isinstance(value, UnsetType) else value


def owned(lock: LockBody, *, with_token: bool = True) -> Facts:
    """Show a lock to its owner."""
    return Facts(
        [
            ("resource", lock.resource),
            ("owner", lock.owner),
            ("token", lock.token if with_token else None),
            ("fencing token", lock.fencing_token),
            ("left", _left(lock)),
            ("mode", _mode(lock)),
            ("session", given(lock.session)),
            ("waited", _length(given(lock.waited))),
            ("reason", given(lock.reason)),
            ("metadata", metadata_text(lock.metadata)),
            ("asked to let go", _asked(lock)),
        ]
    )


def group(body: GroupBody) -> tuple[View, ...]:
    """Show several locks to their owner."""
    columns = (
        Column("RESOURCE", flexible=True),
        Column("FENCING", right=True),
        Column("LEFT", right=True),
        Column("TOKEN"),
    )
    rows: list[list[Cell]] = [
        [one.resource, one.fencing_token, told(one.timeout), one.token] for one in body.locks
    ]
    first = body.locks[0]
    return Facts([("owner", first.owner), ("group token", body.group)]), Table(columns, rows)


def list_row(lock: HeldLockBody) -> Sequence[Cell]:
    """Show a lock in a list."""
    return (
        lock.resource,
        lock.owner,
        lock.fencing_token,
        told(held_s(lock)),
        time_left(lock.timeout),
        given(lock.waiting) or "",
        _note(lock),
    )


def held_s(lock: HeldLockBody | LockBody) -> float:
    """Return for how long it has been held (seconds), whatever this machine's clock says."""
    return max(between(lock.created_at, lock.expire_at) - lock.timeout, 0.0)


def time_left(seconds: float) -> Cell:
    """Show how long a hold has left; what ends soon stands out."""
    text = told(seconds)
    return Styled(text, "warn") if seconds < _SOON_S else text


def state(body: LockStateBody) -> tuple[View, ...]:
    """Show all about one lock."""
    views: list[View] = [
        Facts(
            [
                ("resource", body.resource),
                ("state", _state(body)),
                ("largest fencing token", body.fencing_token or "none is remembered"),
            ]
        )
    ]
    if body.holders:
        views.append(_holders(body.holders))
    if body.waiters:
        views.append(_waiters(body.waiters))
    if more := given(body.more_waiters):
        views.append(f"{more} more wait behind these.")
    return tuple(views)


def _state(body: LockStateBody) -> Cell:
    if not body.held:
        return (
            Styled("free", "good") if not body.waiters else Styled("free, and waited for", "warn")
        )
    count = len(body.holders)
    if body.mode == SHARED:
        return f"shared by {count}"
    return f"held by {count} of {body.limit}" if body.limit > 1 else "held"


def _holders(holders: Sequence[HeldLockBody]) -> Table:
    columns = (
        Column("HOLDER", flexible=True),
        Column("FENCING", right=True),
        Column("HELD", right=True),
        Column("LEFT", right=True),
        Column("ENDS (UTC)"),
        Column("NOTE", flexible=True),
    )
    return Table(
        columns,
        [
            [
                one.owner,
                one.fencing_token,
                told(held_s(one)),
                time_left(one.timeout),
                shown(one.expire_at),
                _note(one, of_holder=True),
            ]
            for one in holders
        ],
    )


def _waiters(waiters: Sequence[WaiterBody]) -> Table:
    columns = (
        Column("#", right=True),
        Column("WAITER", flexible=True),
        Column("SINCE (UTC)"),
        Column("NOTE", flexible=True),
    )
    return Table(
        columns, [[one.position, one.owner, shown(one.since), _waiter_note(one)] for one in waiters]
    )


def _waiter_note(waiter: WaiterBody) -> str:
    limit, mode, several = given(waiter.limit), given(waiter.mode), given(waiter.resources)
    parts = [
        "its turn has come" if given(waiter.ready) else "",
        "wants to share" if mode == SHARED else "",
        f"limit {limit}" if limit else "",
        f"for {len(several)} locks at once: {', '.join(several)}" if several else "",
        f"session {waiter.session}" if given(waiter.session) else "",
        waiter.reason or "",
    ]
    return "; ".join(part for part in parts if part)


def _note(lock: HeldLockBody, *, of_holder: bool = False) -> Cell:
    holders, limit, asked = given(lock.holders), given(lock.limit), given(lock.release_requested)
    parts = [
        "shared" if given(lock.mode) == SHARED else "",
        f"limit {limit}" if limit and not of_holder else "",
        f"{holders} hold it" if holders else "",
        f"session {lock.session}" if given(lock.session) else "",
        given(lock.reason) or "",
        f"asked to let go by {asked.by}" if asked is not None else "",
    ]
    text = "; ".join(part for part in parts if part)
    return Styled(text, "warn") if asked is not None else text


def _left(lock: LockBody) -> Cell:
    if given(lock.session) is not None and not lock.timeout:
        return None
    return f"{told(lock.timeout)}, until {shown(lock.expire_at)} UTC"


def _mode(lock: LockBody) -> str | None:
    if given(lock.mode) == SHARED:
        return SHARED
    limit = given(lock.limit)
    return f"one of {limit}" if limit else None


def _length(seconds: float | None) -> str | None:
    return None if seconds is None else told(seconds)


def metadata_text(metadata: msgspec.Raw) -> str | None:
    """Return what an owner attached, or None."""
    text = bytes(metadata).decode()
    return None if text == "[]" else text


def _asked(lock: LockBody) -> Cell:
    asked = given(lock.release_requested)
    if asked is None:
        return None
    reason = given(asked.reason)
    return Styled(
        f"by {asked.by}, {shown(asked.at)} UTC" + (f": {reason}" if reason else ""), "warn"
    )


def explanation(body: ExplanationBody) -> str:
    """Draw who keeps a lock, and what each of them waits for, as a tree."""
    branches: list[list[str]] = []
    for holder in body.holders:
        reason = given(holder.reason)
        held = f"held by {holder.owner} since {shown(holder.since)}, {told(holder.remaining)} left"
        branches.append([held + (f" ({reason})" if reason else ""), *_chain(holder.waits_for)])
    if body.ahead:
        branches.append(
            [f"{body.ahead} ahead in the queue", *_chain(given(body.first_waits_for) or ())]
        )
    if cooling := given(body.cooling):
        branches.append([f"kept free by its policy for {told(cooling)}"])
    lines = [body.resource]
    for number, branch in enumerate(branches, start=1):
        lines += _branch(branch, last=number == len(branches))
    return "\n".join(lines)


def _branch(branch: Sequence[str], *, last: bool) -> list[str]:
    head, *rest = branch
    return [("└─ " if last else "├─ ") + head, *(("   " if last else "│  ") + one for one in rest)]


def _chain(links: Sequence[LinkBody]) -> list[str]:
    return [
        f"{'   ' * depth}└─ {one.owner} waits for {one.waits_for}, "
        f"{'held by' if one.holds else 'behind'} {one.held_by}"
        for depth, one in enumerate(links)
    ]
