"""The verdict on those who queued: who held together, in which order, and who was forgotten."""

import itertools
from collections.abc import Iterable, Iterator, Sequence

from tests.support.chaos.queueing import Call
from tests.support.sim.history import Kind, Operation, Result

BLAMED_S = 5.0
"""A fault that went so shortly before may be why there was no answer."""


def judge_queues(calls: Sequence[Call], healed_at: float) -> Iterator[str]:
    """Yield what breaks a promise; ``healed_at`` is when the last fault had gone."""
    checks = [
        held_together(calls),
        overtaken(calls),
        told_twice(calls),
        forgotten(calls, healed_at),
    ]
    for text in itertools.chain(*checks):
        yield f"queue: {text}"


def grants(calls: Iterable[Call]) -> list[Operation]:
    """What was granted, as the rules of fencing numbers look at it."""
    return [
        Operation(
            number=number,
            client=call.owner,
            kind=Kind.ACQUIRE,
            resource=resource,
            node=call.node,
            invoked_at=call.sent_at,
            returned_at=call.answered_at,
            result=Result.GRANTED,
            fencing=fencing,
        )
        for number, call in enumerate(calls, start=1)
        if call.fencing
        for resource, fencing in zip(call.resources, call.fencing, strict=True)
    ]


def exclude(one: Call, two: Call) -> bool:
    """Whether the modes of two calls forbid that both hold one lock."""
    return not (one.is_shared and two.is_shared) and one.limit == 1 and two.limit == 1


def held_together(calls: Sequence[Call]) -> Iterator[str]:
    """Yield callers that were certain of one lock at one time against their modes."""
    for resource, own in _by_resource(call for call in calls if call.fencing):
        holding: list[Call] = []
        for call in sorted(own, key=lambda one: one.answered_at):
            holding = [one for one in holding if one.certain_until > call.answered_at]
            if call.certain_until <= call.answered_at:
                continue
            for other in holding:
                if exclude(other, call):
                    yield f"{resource}: two certain holders: {other} and {call}"
            holding.append(call)
            if call.limit > 1 and len(holding) > call.limit:
                yield f"{resource}: {len(holding)} certain holders of {call.limit}: {call}"


def ordered_pairs(calls: Iterable[Call]) -> Iterator[tuple[str, int, Call, int, Call]]:
    """Yield whose order is certain: resource, and number and call of the first and of the second.

    The first was seen in the queue before the second was sent, and both were answered on the
    connection that they began with. Those that may hold together come in any order.
    """
    steady = [call for call in calls if call.fencing and call.asked == 1]
    for resource, own in _by_resource(steady):
        seen = [call for call in own if resource in call.queued_at]
        for first, second in itertools.product(seen, own):
            if first.queued_at[resource] < second.sent_at and exclude(first, second):
                yield resource, _number(first, resource), first, _number(second, resource), second


def overtaken(calls: Iterable[Call]) -> Iterator[str]:
    """Yield who was granted a lock before somebody who certainly stood in the queue before it."""
    for resource, number, first, later, second in ordered_pairs(calls):
        if later < number:
            yield f"{resource}: {second} overtook {first}"


def told_twice(calls: Iterable[Call]) -> Iterator[str]:
    """Yield requests that were told different things under one key."""
    for call in calls:
        if len(set(call.answers)) > 1:
            yield f"one key, several answers: {call}"


def forgotten(calls: Iterable[Call], healed_at: float) -> Iterator[str]:
    """Yield who was neither served nor told in time, with no fault to blame at the end of it."""
    for call in calls:
        if call.overdue_at is not None and call.overdue_at > healed_at + BLAMED_S:
            yield f"neither served nor told: {call}"


def figures(calls: Sequence[Call]) -> dict[str, int]:
    """Count what the clients did and what it proved."""
    return {
        "calls": len(calls),
        "served": sum(bool(call.fencing) for call in calls),
        "served after waiting": sum(bool(call.fencing and call.queued_at) for call in calls),
        "refused": sum(call.status == 409 for call in calls),
        "hung up": sum(call.hung_up_at is not None for call in calls),
        "asked again under a key": sum(call.asked > 1 for call in calls),
        "without an answer": sum(
            call.status in {0, 503, 504} and call.hung_up_at is None for call in calls
        ),
        "pairs in order": sum(1 for _ in ordered_pairs(calls)),
    }


def _by_resource(calls: Iterable[Call]) -> Iterator[tuple[str, list[Call]]]:
    found: dict[str, list[Call]] = {}
    for call in calls:
        for resource in call.resources:
            found.setdefault(resource, []).append(call)
    yield from found.items()


def _number(call: Call, resource: str) -> int:
    return call.fencing[call.resources.index(resource)]
