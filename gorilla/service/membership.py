"""Changes of the cluster itself: who is a member, who leads, who gets requests.

The rules are with the leader, behind the port. Here is what every caller may count on: an answer
within its time, one change at a time from each node, and the truth about one that got no answer.
"""

import asyncio
import logging
from typing import Final

from gorilla.service.errors import (
    DrainingError,
    NoLeaderError,
    OutcomeUnknownError,
    OverloadedError,
)
from gorilla.service.ports import Change, ChangeReport, Membership

log = logging.getLogger(__name__)

CHANGES_MAX: Final = 8
"""Changes that one node waits for at once; the leader makes one at a time anyway."""

ANSWER_S: Final = 1.0
"""How long after its deadline the port may take to say what became of a change."""


class MembershipService:
    """Asks the leader for changes of the cluster, and sees to it that callers get an answer."""

    def __init__(self, membership: Membership, loop: asyncio.AbstractEventLoop) -> None:
        """Ask through ``membership``; deadlines are in the time of ``loop``."""
        self._membership = membership
        self._loop = loop
        self._asked = 0
        self._stopping = False

    async def change(
        self, change: Change, *, timeout_s: float, force: bool = False, dry_run: bool = False
    ) -> ChangeReport:
        """Make a change, or find out what it would do.

        Args:
            change: What is wanted.
            timeout_s: How long the caller waits (seconds).
            force: Skip the checks that members are up and have caught up; no other.
            dry_run: Change nothing.

        Raises:
            MemberNotFoundError: No such member; nothing was done.
            ChangeRefusedError: It must not be made, or not now; nothing was done.
            NotServedError: No leader, the node stops, too many changes; nothing was done.
            OutcomeUnknownError: It may have been made, or may be yet.

        """
        if self._stopping:
            raise DrainingError("this node is stopping; ask another one")
        if self._asked >= CHANGES_MAX:
            message = f"{CHANGES_MAX} changes of the cluster wait on this node already"
            raise OverloadedError(message)
        self._asked += 1
        try:
            report = await self._asked_of_port(change, timeout_s, force=force, dry_run=dry_run)
        finally:
            self._asked -= 1
        if report.done and report.steps:
            log.info("the cluster was changed: %s", "; ".join(report.steps))
        return report

    def stop(self) -> None:
        """Take no more changes; those under way get their answers."""
        self._stopping = True

    async def _asked_of_port(
        self, change: Change, timeout_s: float, *, force: bool, dry_run: bool
    ) -> ChangeReport:
        deadline_s = self._loop.time() + timeout_s
        try:
            async with asyncio.timeout_at(deadline_s + ANSWER_S):
                return await self._membership.change(
                    change, force=force, dry_run=dry_run, deadline_s=deadline_s
                )
        except TimeoutError as error:
            if dry_run:
                raise NoLeaderError(f"no leader answered within {timeout_s:g} s") from error
            raise OutcomeUnknownError(timeout_s) from error
