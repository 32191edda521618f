"""The doctor's checks of each node's machine: its clocks, its disk, what it is short of. No I/O."""

import math
from collections.abc import Iterator
from typing import Final, NamedTuple

from gorilla.cli.doctor_evidence import Address, Evidence, Look
from gorilla.cli.doctor_findings import Check, Finding, bad, ok, warning

RATE_ERROR_MAX: Final = 0.001
"""How far the rates of two clocks may be apart: a lease is kept so much longer than promised."""

RATE_KNOWN_TO: Final = 0.003
"""What is known less exactly is told with how exactly."""

UPTIME_STEP_S: Final = 0.001
"""Uptimes are told in milliseconds."""

DATE_STEP_S: Final = 2.0
"""A ``Date`` has whole seconds, and a node makes a new one about every second."""

WALL_OFFSET_S_MAX: Final = 2.0

FREE_BYTES_MIN: Final = 256 * 1024 * 1024
"""Less free space on the disk of a node's data is trouble, as ``gorillad doctor`` says too."""

FREE_BYTES_LOW: Final = 1024 * 1024 * 1024
SYNC_S_MAX: Final = 0.05
"""A disk that takes longer to make a write durable, on average, is told as slow."""

FILES_PART_MAX: Final = 0.8
"""How much of its open files a process may use before it is told."""

_MEBI: Final = 1024 * 1024


class Span(NamedTuple):
    """What a figure surely lies between."""

    low: float
    high: float


def check_machines(evidence: Evidence) -> Iterator[Finding]:
    """Say all about the machines of the members that answer themselves."""
    for address in evidence.nodes:
        yield from _clock(address)
        yield from _wall_clock(address)
        yield from _disk(address)
        yield from _resources(address)


def rate_of(first: Look, last: Look) -> Span | None:
    """Return how fast a node's clock goes by this machine's; None when it was started meanwhile.

    Nobody knows when between question and answer the node looked at its clock, so it is a span.
    """
    gone_s = last.view.uptime - first.view.uptime
    shortest_s, longest_s = last.asked_s - first.answered_s, last.answered_s - first.asked_s
    if gone_s < 0 or shortest_s <= 0:
        return None
    return Span((gone_s - UPTIME_STEP_S) / longest_s, (gone_s + UPTIME_STEP_S) / shortest_s)


def wall_offset_of(looks: tuple[Look, ...]) -> Span | None:
    """Return how far a node's wall clock is ahead of this machine's (seconds)."""
    low, high = -float("inf"), float("inf")
    for look in looks:
        if look.date_s is not None:
            low = max(low, look.date_s - look.answered_at_s)
            high = min(high, look.date_s + DATE_STEP_S - look.asked_at_s)
    return None if low == -float("inf") else Span(low, high)


def _clock(address: Address) -> Iterator[Finding]:
    if len(address.looks) < 2:  # noqa: PLR2004 - a rate is between two points
        return
    first, last = address.looks[0], address.looks[-1]
    if last.view.uptime < first.view.uptime:
        yield warning(
            Check.CLOCK,
            address.label,
            "It was started again while it was looked at.",
            "If nobody did that on purpose, look at its log.",
        )
        return
    rate = rate_of(first, last)
    if rate is None:
        return
    if rate.low > 1 + RATE_ERROR_MAX or rate.high < 1 - RATE_ERROR_MAX:
        nearest = rate.low if rate.low > 1 else rate.high
        yield bad(
            Check.CLOCK,
            address.label,
            f"Its clock runs at {nearest:.4f} of this machine's: more than a thousandth off.",
            "A lease may end early by the other's clock: mend the clock of whichever is wrong.",
        )
        return
    off = max(abs(rate.low - 1), abs(rate.high - 1))
    exact = "" if off <= RATE_KNOWN_TO else f", as far as can be told: within {off:.1%}"
    yield ok(Check.CLOCK, address.label, f"Its clock runs as this machine's{exact}.")


def _wall_clock(address: Address) -> Iterator[Finding]:
    offset = wall_offset_of(address.looks)
    if offset is None or (offset.low <= WALL_OFFSET_S_MAX and offset.high >= -WALL_OFFSET_S_MAX):
        return
    ahead = offset.low > 0
    seconds = offset.low if ahead else -offset.high
    yield warning(
        Check.CLOCK,
        address.label,
        f"Its wall clock is {seconds:.0f} s {'ahead of' if ahead else 'behind'} this machine's.",
        "No lock depends on it, dates in answers do: let both follow a time server.",
    )


def _disk(address: Address) -> Iterator[Finding]:
    metrics = address.metrics or {}
    free = metrics.get("gorilla_data_free_bytes")
    if free is not None and not math.isnan(free):
        text = f"{free / _MEBI:,.0f} MiB are free where its data is."
        remedy = "Make room outside the data directory (docs/operations/disk-trouble.md)."
        if free < FREE_BYTES_MIN:
            yield bad(Check.DISK, address.label, text, remedy)
        elif free < FREE_BYTES_LOW:
            yield warning(Check.DISK, address.label, text, remedy)
        else:
            yield ok(Check.DISK, address.label, text)
    count = metrics.get("gorilla_journal_sync_seconds_count", 0)
    mean_s = metrics.get("gorilla_journal_sync_seconds_sum", 0) / count if count else 0.0
    if mean_s > SYNC_S_MAX:
        yield warning(
            Check.DISK,
            address.label,
            f"Its disk takes {mean_s * 1e3:.0f} ms on average to make a write durable.",
            "Every change of a lock waits for that: use a faster disk, or nothing else on it.",
        )


def _resources(address: Address) -> Iterator[Finding]:
    metrics = address.metrics or {}
    used, most = metrics.get("process_open_fds"), metrics.get("process_max_fds")
    if used is not None and most and used > FILES_PART_MAX * most:
        yield warning(
            Check.RESOURCES,
            address.label,
            f"It has {used:.0f} of {most:.0f} files and connections open that it may have.",
            "Raise LimitNOFILE of its service, or find out who opens so many connections.",
        )
