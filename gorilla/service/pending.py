"""What :mod:`~gorilla.service.proposals` keeps of commands and offers without an outcome."""

import asyncio
from collections.abc import Callable, Sequence
from hashlib import blake2b

import msgspec

from gorilla.domain import limits
from gorilla.domain.commands import Command
from gorilla.domain.outcomes import Outcome
from gorilla.service.errors import (
    GorillaError,
    NoLeaderError,
    NotServedError,
    OverloadedError,
)
from gorilla.service.ports import ConsensusView

Done = Callable[[Outcome | GorillaError], None]
"""Told once what became of a command: its outcome, or why there is none."""

LeaderKey = tuple[int, str]
"""A leadership: its term and the leader's member id."""


class ProposalLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How long and how much; see each field."""

    pending_max: int = 10_000
    """Commands without an outcome; one more is refused at once."""
    ahead_max: int = limits.OUTCOMES_PER_ORIGIN_MAX
    """How far numbers may run ahead of the smallest one without an outcome: so many outcomes the
    table remembers."""
    leader_grace_s: float = 2.0
    """How long a command waits to be handed to a leader before it is given up, undone."""
    retry_s: float = 0.05
    """How often what could not be handed over is tried again."""
    resend_after_s: float = 1.0
    """Silence after which a command is offered again; doubled each time."""
    resend_after_s_max: float = 4.0
    copies_max: int = 16
    """Copies of one command that may be about at once; then it only waits for its deadline."""


class ProposalCounts(msgspec.Struct):
    """What happened since the process started, for metrics."""

    submitted: int = 0
    resolved: int = 0
    offers: int = 0
    """Batches handed to consensus."""
    offered_again: int = 0
    """Commands in them that an earlier batch had carried."""
    refused: int = 0
    """Batches of which the leader took nothing."""
    undone: int = 0
    """Commands given up as not done (definite)."""
    unknown: int = 0
    """Commands given up without knowing (indefinite)."""
    forgotten: int = 0
    """Commands that the table left alone because it no longer knew this origin."""


class Pending:
    """A command without an outcome."""

    __slots__ = (
        "command",
        "deadline_s",
        "done",
        "grace_ends_s",
        "number",
        "offers",
        "sent_to",
        "submitted_s",
    )

    def __init__(
        self, number: int, command: Command, submitted_s: float, deadline_s: float, done: Done
    ) -> None:
        """Wait for the outcome of ``command`` until ``deadline_s`` (loop time, seconds)."""
        self.number = number
        self.command = command
        self.submitted_s = submitted_s
        self.deadline_s = deadline_s
        self.done = done
        self.grace_ends_s = submitted_s
        self.offers: list[int] = []
        """Offers that carried it and were not refused: while there is one, it may be applied."""
        self.sent_to: LeaderKey | None = None

    @property
    def is_exposed(self) -> bool:
        """Whether a copy of it may be about."""
        return bool(self.offers)

    @property
    def give_up_s(self) -> float:
        """Loop time (seconds) at which it fails if nothing moves it."""
        return self.deadline_s if self.offers else min(self.deadline_s, self.grace_ends_s)


class Offer:
    """The commands of one offer, kept until the last of them is resolved."""

    __slots__ = ("commands", "unresolved")

    def __init__(self, commands: Sequence[Pending]) -> None:
        """Keep ``commands``, none of them resolved yet."""
        self.commands = commands
        self.unresolved = len(commands)


def first_offer_of(origin: str) -> int:
    """Return where a process begins to number its offers: far from where any other does.

    The leader may still answer an offer of the process that ran here before.
    """
    return int.from_bytes(blake2b(origin.encode(), digest_size=6).digest(), "big")


def why_undone(view: ConsensusView) -> NotServedError:
    """Return the failure of a command that no leader took in time; definite."""
    if view.leader is None:
        return NoLeaderError("no leader took the command in time; nothing was done")
    return OverloadedError("the leader took no more commands in time; nothing was done")


def pass_on(future: asyncio.Future[Outcome], what: Outcome | GorillaError) -> None:
    """Let ``future`` be what became of its command, unless its caller hung up."""
    if future.done():
        return
    if isinstance(what, GorillaError):
        future.set_exception(what)
    else:
        future.set_result(what)
