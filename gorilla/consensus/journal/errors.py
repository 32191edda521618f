"""Why a journal can't be used. Each is a reason to stop the node, never to go on without it."""

from gorilla.consensus.remedies import SET_ASIDE


class JournalError(Exception):
    """Base of what goes wrong with the journal."""


class CorruptJournalError(JournalError):
    """What is on disk is not what was written: the node must not start from it.

    Attributes:
        file: Name of the file in the data directory.
        offset: Where in the file the trouble starts (bytes).
        problem: What is wrong with it.
        remedy: What the operator does about it.
    """

    def __init__(self, file: str, offset: int, problem: str, remedy: str = SET_ASIDE) -> None:
        """Name the place, the problem and the remedy."""
        super().__init__(f"{file} at byte {offset}: {problem}. {remedy}.")
        self.file = file
        self.offset = offset
        self.problem = problem
        self.remedy = remedy


class JournalFailedError(JournalError):
    """Writing failed once, so nothing about the journal can be promised any more.

    A failed sync is never tried again: the operating system may have dropped the data and would
    report success the second time. The process stops; recovery at the next start finds out.
    """


class JournalInvariantError(JournalError):
    """The caller asked for something that no correct Raft node does. Nothing was recorded."""
