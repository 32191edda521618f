"""What an operator does about a member that can't go on with its data directory."""

from typing import Final

MAKE_ANEW: Final = (
    "the other members go on without it, and a restore makes all of them anew"
    " (docs/operations/backup-and-restore.md)"
)
"""Members can't be added or removed yet: until they can, a lost one is made anew with the rest."""

SET_ASIDE: Final = f"Stop this node and set its data directory aside: {MAKE_ANEW}"
"""For a directory that can't be trusted."""
