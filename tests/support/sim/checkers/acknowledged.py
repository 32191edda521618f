"""What was answered stays so: a grant until its end, a release and a dead token for ever.

Asked after the answer of a grant or renewal, and answered before it can have ended or been given
up, its token proves the hold. Asked after the answer of its release, or of the renewal that
replaced it, a token proves nothing. A token is given once.
"""

from collections.abc import Iterator

from tests.support.sim.history import History, Kind, Operation, Result

_PROVES = frozenset({Result.VALID, Result.RELEASED, Result.RENEWED, Result.TOO_SHORT})


def check(history: History) -> Iterator[str]:
    """Yield every answer that takes back an earlier one."""
    by_token: dict[str, list[Operation]] = {}
    for operation in history.operations:
        if operation.token is not None:
            by_token.setdefault(operation.token, []).append(operation)
    givers: dict[str, Operation] = {}
    for given in history.operations:
        token = given.given_token
        if token is None:
            continue
        shown = by_token.get(token, [])
        yield from _works_while_live(given, shown, history.operations)
        yield from _dead_after_end(token, shown)
        yield from _given_once(given, givers.setdefault(token, given))


def _given_once(given: Operation, first: Operation) -> Iterator[str]:
    if (first.client, first.resource) != (given.client, given.resource):
        yield f"one token, two owners: {first} and {given}"


def _works_while_live(
    given: Operation, shown: list[Operation], operations: list[Operation]
) -> Iterator[str]:
    """Only its owner shows a token, so only its own release or renewal can end it early."""
    given_up_at = min(
        (one.invoked_at for one in shown if one.kind in {Kind.RELEASE, Kind.RENEW}),
        default=given.certain_until,
    )
    live_until = min(given.certain_until, given_up_at)
    for one in shown:
        in_time = one.invoked_at >= given.returned_at and one.returned_at < given.certain_until
        is_refused = one.result is Result.NOT_FOUND and one.invoked_at <= live_until
        if is_refused and in_time and _nothing_else_pending(one, shown):
            yield f"the token of {given} is not known to {one}"
    for one in operations:
        if (
            one.resource == given.resource
            and one.kind in {Kind.LOOK, Kind.ACQUIRE}
            and one.invoked_at >= given.returned_at
            and one.returned_at < live_until
            and _contradicts(one, given)
        ):
            yield f"{given} is not seen by {one}"


def _nothing_else_pending(one: Operation, shown: list[Operation]) -> bool:
    return not any(
        other is not one
        and other.kind in {Kind.RELEASE, Kind.RENEW}
        and other.invoked_at < one.returned_at
        and other.result is not Result.DEFINITE
        for other in shown
    )


def _contradicts(one: Operation, given: Operation) -> bool:
    if one.result is Result.FREE:
        return True
    if one.result is Result.GRANTED:
        return (one.client, one.fencing) != (given.client, given.fencing)
    return one.result is Result.HELD and (one.holder, one.fencing) != (given.client, given.fencing)


def _dead_after_end(token: str, shown: list[Operation]) -> Iterator[str]:
    ended_at = min(
        (one.returned_at for one in shown if one.result in {Result.RELEASED, Result.RENEWED}),
        default=None,
    )
    if ended_at is None:
        return
    for one in shown:
        if one.invoked_at > ended_at and one.result in _PROVES:
            yield f"token {token} ended at {ended_at:.4f} and works again: {one}"
