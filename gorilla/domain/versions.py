"""Which features this software has, and which the cluster may use.

A *feature level* is a number that grows by one with each release that changes what is replicated:
a command, a field, a rule by which an entry is applied. Each node says the highest level that it
supports; the *cluster version*, part of the replicated state, is the level in use. It only grows,
by an entry of the leader, once every member supports it. Until then nothing of a higher level is
written, so every release that supports the cluster version may run any member.
"""

from collections.abc import Mapping
from typing import Final

from gorilla.domain.codec import FormatError
from gorilla.domain.commands import Batch, Command, Once

FIRST_LEVEL: Final = 1
"""The level of a new cluster, of a state that names none, and of a node that tells none."""

FEATURE_LEVEL: Final = 1
"""The highest level that this software supports."""

COMMAND_LEVELS: Final[Mapping[type[Command], int]] = {}
"""The level that brought each command; those not listed are of the first."""


class ClusterVersionError(FormatError):
    """The cluster uses features that this software doesn't have."""

    def __init__(self, cluster_version: int, level: int) -> None:
        """Record the version in use, and the highest level supported here."""
        super().__init__(
            f"the cluster version is {cluster_version}, and this release of Gorilla supports"
            f" feature level {level} at most. An upgrade that was finalised can't be rolled back:"
            f" start a release on this node that supports level {cluster_version}; its data"
            " directory is as good as it was (docs/operations/upgrading.md)"
        )
        self.cluster_version = cluster_version


def require_support(cluster_version: int, level: int) -> None:
    """Refuse a cluster version above ``level``.

    Raises:
        ClusterVersionError: It is.

    """
    if cluster_version > level:
        raise ClusterVersionError(cluster_version, level)


def batch_level(batch: Batch, levels: Mapping[type[Command], int] = COMMAND_LEVELS) -> int:
    """Return the cluster version that it takes to write ``batch``."""
    if not levels:
        return FIRST_LEVEL
    plain = (each.command if isinstance(each, Once) else each for _, each in batch.commands)
    needed = (levels.get(type(command), FIRST_LEVEL) for command in plain)
    return max(needed, default=FIRST_LEVEL)
