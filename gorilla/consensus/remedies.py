"""What an operator does about a member that can't go on with its data directory."""

from typing import Final

MAKE_ANEW: Final = (
    "the other members go on without it: start the node with an empty directory and add it in the"
    " place of the lost member (docs/operations/membership.md)"
)
"""For a member whose data directory is lost."""

SET_ASIDE: Final = f"Stop this node and set its data directory aside; {MAKE_ANEW}"
"""For a directory that can't be trusted."""
