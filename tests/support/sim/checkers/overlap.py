"""No two owners are certain of one lock at once.

An owner is certain from the answer until request time + timeout on its own clock, or until it asks
for the release. It is not while an earlier release of the same token is without an answer: that one
may still take effect.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from tests.support.sim.history import History, Kind, Operation, Result


@dataclass(slots=True, frozen=True)
class Certain:
    """A span (true seconds) in which an owner relies on its lock."""

    since: float
    until: float
    operation: Operation


def check(history: History) -> Iterator[str]:
    """Yield every two spans of different owners of one resource that overlap."""
    by_resource: dict[str, list[Certain]] = {}
    for span in certain_spans(history):
        by_resource.setdefault(span.operation.resource, []).append(span)
    for spans in by_resource.values():
        yield from _overlapping(sorted(spans, key=lambda span: span.since))


def certain_spans(history: History) -> Iterator[Certain]:
    """Yield the span of every answered acquire and renewal."""
    releases = [one for one in history.operations if one.kind is Kind.RELEASE]
    for operation in history.operations:
        if operation.result not in {Result.GRANTED, Result.RENEWED}:
            continue
        own = [
            release
            for release in releases
            if release.client == operation.client and release.resource == operation.resource
        ]
        given_up_at = [one.invoked_at for one in own if one.invoked_at >= operation.returned_at]
        until = min(operation.certain_until, *given_up_at, math.inf)
        if until > operation.returned_at and not _may_still_end(operation, own):
            yield Certain(operation.returned_at, until, operation)


def _may_still_end(operation: Operation, releases: list[Operation]) -> bool:
    return any(
        release.token == operation.given_token
        and release.invoked_at < operation.returned_at
        and release.result is Result.UNKNOWN
        for release in releases
    )


def _overlapping(spans: list[Certain]) -> Iterator[str]:
    for position, one in enumerate(spans):
        for two in spans[position + 1 :]:
            if two.since >= one.until:
                break
            if one.operation.client != two.operation.client:
                yield (
                    f"two certain holders until {min(one.until, two.until):.4f}:"
                    f" {one.operation} (until {one.until:.4f}) and {two.operation}"
                )
