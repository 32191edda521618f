"""How a command of ``gorillad`` fails: one clear line and an exit code, never a traceback."""

from enum import IntEnum


class Exit(IntEnum):
    """What the process ends with."""

    DONE = 0
    FAILED = 1
    """The command was understood and could not be carried out."""
    USAGE = 2
    """The command line, the configuration or the machine must be changed first."""
    STOPPED_ITSELF = 70
    """A node stopped rather than risk what it promised (EX_SOFTWARE)."""
    REMOVED = 71
    """A node was removed from its cluster: to start it again with the same data is of no use."""


class CommandError(Exception):
    """The command can't go on; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.FAILED) -> None:
        """Say it in one line."""
        super().__init__(message)
        self.code = code
