"""How long a lock is asked for, and what of what is answered is a reason to ask again."""

from typing import TYPE_CHECKING, Final

from gorilla.client.asking import Asker
from gorilla.client.errors import (
    GorillaError,
    ModeConflict,
    OutcomeUnknown,
    Unavailable,
    WaitReplaced,
)
from gorilla.client.slices import Slice, Slices
from gorilla.wire.asking import RESOURCES_MAX

if TYPE_CHECKING:
    from gorilla.client.taking import Wanted

PAUSE_S_MAX: Final = 5.0
"""Longest pause of those who wait as long as it takes, while there is no cluster (seconds)."""

REPLACED_MAX: Final = 8
"""How often a wait may be ended by requests of earlier calls that come late."""


class Patience:
    """Whether a lock is asked for once more after it was not given."""

    def __init__(self, asker: Asker, wanted: "Wanted") -> None:
        """Begin the wait."""
        self._wanted = wanted
        self._slices = Slices(asker, wanted.wait_s)
        self._replaced = 0
        self._cleared = 0
        self._pause_s = 0.1

    def slice(self) -> Slice:
        """Return how long to stand in the queue now, and what becomes of the place then."""
        return self._slices.next()

    def is_left(self, error: GorillaError) -> bool:
        """Return whether to ask again after ``error``."""
        if self._slices.go_on(error):
            return True
        if isinstance(error, WaitReplaced):
            # Nobody else has an owner's name that is made here: it was a request of an earlier
            # call, whose answer nobody waits for any more, that has come late.
            self._replaced += 1
            return self._wanted.owner is None and self._replaced <= REPLACED_MAX
        is_outage = isinstance(error, Unavailable | OutcomeUnknown)
        return is_outage and self._wanted.wait_s is None

    def is_own(self, error: ModeConflict) -> bool:
        """Return whether nothing but what is left over of this very owner is in the way.

        The client knows what it holds, and nobody else has an owner's name that is made here.
        """
        self._cleared += 1
        conflict = error.conflict
        is_own = conflict is not None and conflict.why != "slots"
        return is_own and self._wanted.owner is None and self._cleared <= RESOURCES_MAX

    def pause_s(self) -> float:
        """Return how long to pause while there is no cluster."""
        pause_s, self._pause_s = self._pause_s, min(PAUSE_S_MAX, 2 * self._pause_s)
        return pause_s
