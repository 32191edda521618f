"""How long a lock is asked for, and what of what is answered is a reason to ask again."""

from math import inf
from typing import TYPE_CHECKING, Final

from gorilla.client.asking import WAIT_S_MIN, Asker
from gorilla.client.errors import GorillaError, ModeConflict, WaitReplaced, WaitTimeout
from gorilla.wire.asking import RESOURCES_MAX

if TYPE_CHECKING:
    from gorilla.client.taking import Wanted

WAIT_S: Final = 300.0
"""Longest wait of one request: the default bound of a cluster. Whoever waits longer asks again."""

WAITED_S: Final = 0.1
"""What may be left of a wait that has come to its end (seconds)."""

PAUSE_S_MAX: Final = 5.0
"""Longest pause of those who wait as long as it takes, while there is no cluster (seconds)."""

REPLACED_MAX: Final = 8
"""How often a wait may be ended by requests of earlier calls that come late."""


class Patience:
    """Whether a lock is asked for once more after it was not given."""

    def __init__(self, asker: Asker, wanted: "Wanted") -> None:
        """Begin the wait."""
        self._asker = asker
        self._wanted = wanted
        self._until_s = inf if wanted.wait_s is None else asker.now_s() + wanted.wait_s
        self._replaced = 0
        self._cleared = 0
        self._pause_s = 0.1

    def wait_s(self) -> float:
        """Return how long to stand in the queue now."""
        least_s = 0.0 if self._wanted.wait_s == 0 else WAIT_S_MIN
        return max(least_s, min(self._until_s - self._asker.now_s(), WAIT_S))

    def is_left(self, error: GorillaError) -> bool:
        """Return whether to ask again after ``error``."""
        if isinstance(error, WaitReplaced):
            # Nobody else has an owner's name that is made here: it was a request of an earlier
            # call, whose answer nobody waits for any more, that has come late.
            self._replaced += 1
            return self._wanted.owner is None and self._replaced <= REPLACED_MAX
        if isinstance(error, WaitTimeout):
            # The cluster's bound on waits may be lower than ours.
            return self._until_s - self._asker.now_s() > WAITED_S
        return self._wanted.wait_s is None

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
