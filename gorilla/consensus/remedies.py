"""What an operator does about a member that can't go on with its data directory."""

import errno
import os
from typing import Final

MAKE_ANEW: Final = (
    "the other members go on without it: start the node with an empty directory and add it in the"
    " place of the lost member (docs/operations/membership.md)"
)
"""For a member whose data directory is lost."""

START_LATER: Final = "Start the version of Gorilla that wrote it, or a later one"
"""For a file of a format that this program does not know."""

SET_ASIDE: Final = f"Stop this node and set its data directory aside; {MAKE_ANEW}"
"""For a directory that can't be trusted."""

_FULL: Final = frozenset({errno.ENOSPC, errno.EDQUOT})

_MAKE_ROOM: Final = "Make room on its file system, outside the data directory, and start the node"
_FILE_SIZES: Final = "Raise the limit of file sizes (LimitFSIZE of its service), and start the node"
_MOUNT: Final = (
    "Errors of the disk make a file system read-only: look at the machine's own log for them, mend"
    " the disk, mount it for writing, and start the node"
)
_OWNER: Final = (
    "Run the node as the user that owns its data directory, and give that user the right to write"
    " to everything in it; gorillad doctor tells what is amiss"
)
_REPLACE: Final = (
    "Look at the machine's own log for errors of this disk, mend it, and start the node. A disk"
    f" that is lost is replaced: {MAKE_ANEW}"
)


def is_full(error: OSError) -> bool:
    """Whether the disk only lacks room: nothing of it is lost or in doubt."""
    return error.errno in _FULL


def remedy_for(error: OSError) -> str:
    """Say what to do about what the operating system refused on the data directory."""
    if is_full(error):
        return _MAKE_ROOM
    known = {
        errno.EFBIG: _FILE_SIZES,
        errno.EROFS: _MOUNT,
        errno.EACCES: _OWNER,
        errno.EPERM: _OWNER,
    }
    return known.get(error.errno or 0, _REPLACE)


def told(error: OSError) -> str:
    """Say what was refused, with its file if that is known, and what to do about it."""
    place = "" if error.filename is None else f"{os.fspath(error.filename)}: "
    return f"{place}{error.strerror or error}. {remedy_for(error)}"
