"""How a command fails: one or two sentences on stderr and an exit code, never a traceback.

The only place that knows exit codes. :func:`explained` turns whatever was raised into words that
say what to do.
"""

from enum import IntEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from gorilla.client.errors import (
        Deadlock,
        GorillaError,
        InvalidRequest,
        LockHeld,
        OutcomeUnknown,
        RequestRefused,
        Unavailable,
        WaitTimeout,
    )


from gorilla.wire.problems import ProblemCode


class Exit(IntEnum):
    """What a command ends with."""

    OK = 0
    CONFLICT = 1
    USAGE = 2
    REFUSED = 3
    NOT_FOUND = 4
    UNAVAILABLE = 69
    SOFTWARE = 70
    IO = 74
    UNKNOWN = 75
    DENIED = 77
    LOST = 79
    NOT_EXECUTABLE = 126
    NOT_COMMAND = 127
    INTERRUPTED = 130
    CLOSED_PIPE = 141

    @property
    def meaning(self) -> str:
        """What it says, for the reference page."""
        return _MEANINGS[self]


_MEANINGS: Final = {
    Exit.OK: "Done.",
    Exit.CONFLICT: "The lock is held, it was waited for in vain, or what was asked is not so.",
    Exit.USAGE: "The command line, a setting or a value of the request must be changed first.",
    Exit.REFUSED: "The cluster refused, for another reason than those above and below.",
    Exit.NOT_FOUND: "There is no such lock, token, session or member.",
    Exit.UNAVAILABLE: "No node could do it before the deadline; nothing was done.",
    Exit.SOFTWARE: "The program itself failed, which is a bug.",
    Exit.IO: "The output or a file of this machine could not be written or read.",
    Exit.UNKNOWN: "Nobody knows whether it was done; asking again is safe.",
    Exit.DENIED: "The cluster does not know who asks, or does not let them.",
    Exit.LOST: "The lock was lost while the command ran, and the command was ended.",
    Exit.NOT_EXECUTABLE: "The command that was to be run can't be executed.",
    Exit.NOT_COMMAND: "The command that was to be run was not found.",
    Exit.INTERRUPTED: "Ctrl-C.",
    Exit.CLOSED_PIPE: "Whoever read the output closed it (`gorilla lock list | head -1`).",
}


class CommandError(Exception):
    """The command can't go on; the message says why and what to do."""

    def __init__(self, message: str, code: Exit = Exit.USAGE) -> None:
        """Say it in a sentence or two."""
        super().__init__(message)
        self.code = code


class OutputClosed(Exception):  # noqa: N818 - nobody did anything wrong
    """Nobody reads the output any more."""


class Failure(NamedTuple):
    """What is told of an error."""

    sentence: str
    code: Exit


def explained(error: BaseException) -> Failure:
    """Say in a sentence or two what went wrong and what to do, and the exit code."""
    # Errors of the client come last: a command that fails before it asks anything loads none.
    if isinstance(error, CommandError):
        return Failure(str(error), error.code)
    if isinstance(error, KeyboardInterrupt):
        return Failure("Interrupted.", Exit.INTERRUPTED)
    if isinstance(error, OutputClosed | BrokenPipeError):
        return Failure("", Exit.CLOSED_PIPE)
    if isinstance(error, OSError):
        return Failure(_of_system(error), Exit.IO)
    if isinstance(error, UnicodeEncodeError) and not error.object.isprintable():
        # What is given on a command line may be any bytes; what is asked of a cluster is text.
        return Failure(f"{error.object!a} can't be sent: it is no UTF-8.", Exit.USAGE)
    return _of_client(error) or Failure(
        f"This is a bug: {type(error).__name__}: {error}. GORILLA_DEBUG=1 shows where.",
        Exit.SOFTWARE,
    )


def _of_system(error: OSError) -> str:
    why = error.strerror or str(error) or type(error).__name__
    return f"{error.filename}: {why}." if error.filename is not None else f"{why}."


def _of_client(error: BaseException) -> Failure | None:
    from gorilla.client import errors  # noqa: PLC0415 - see explained

    if not isinstance(error, errors.GorillaError):
        return None
    table: list[tuple[type[GorillaError], Exit, Callable[..., str]]] = [
        (errors.LockLost, Exit.LOST, _plain),
        (errors.Unavailable, Exit.UNAVAILABLE, _unavailable),
        (errors.OutcomeUnknown, Exit.UNKNOWN, _unknown),
        (errors.AlreadyHeld, Exit.CONFLICT, _plain),
        (errors.InvalidRequest, Exit.USAGE, _invalid),
        (errors.Unauthenticated, Exit.DENIED, _unauthenticated),
        (errors.Forbidden, Exit.DENIED, _refused),
        (errors.NotFound, Exit.NOT_FOUND, _refused),
        (errors.LockHeld, Exit.CONFLICT, _held),
        (errors.WaitTimeout, Exit.CONFLICT, _held),
        (errors.Deadlock, Exit.CONFLICT, _deadlock),
        (errors.CoolingDown, Exit.CONFLICT, _refused),
        (errors.WaitReplaced, Exit.CONFLICT, _refused),
        (errors.ServerError, Exit.REFUSED, _internal),
        (errors.UnexpectedAnswer, Exit.REFUSED, _unexpected),
        (errors.RequestRefused, Exit.REFUSED, _refused),
    ]
    for kind, code, words in table:
        if isinstance(error, kind):
            return Failure(words(error), code)
    return None


def _plain(error: "GorillaError") -> str:
    return _sentence(str(error))


def _refused(error: "RequestRefused") -> str:
    return _sentence(error.detail or f"The cluster refused: {error.code}")


def _unexpected(error: "RequestRefused") -> str:
    return f"{_refused(error)} Is the endpoint right?"


def _invalid(error: "InvalidRequest") -> str:
    told = "; ".join(f"{one.field}: {one.message}" for one in error.errors)
    return f"{told}." if told else _refused(error)


def _unauthenticated(error: "RequestRefused") -> str:
    return f"{_refused(error)} Give a token with --token, GORILLA_TOKEN or a context."


def _held(error: "LockHeld | WaitTimeout") -> str:
    explanation = error.explain
    if explanation is None:
        return _refused(error)
    # A wait that ran out tells of itself first; that a lock is held is in the sentence.
    detail = f"{_refused(error)} " if error.code == ProblemCode.WAIT_TIMEOUT else ""
    return f"{detail}{explanation.sentence}"


def _deadlock(error: "Deadlock") -> str:
    circle = ", ".join(
        f"{one.owner} waits for {one.waits_for} of {one.held_by}" for one in error.cycle
    )
    return f"{_refused(error)} {circle}." if circle else _refused(error)


def _internal(error: "RequestRefused") -> str:
    return f"{_refused(error)} Its requestId: {error.request_id}."


def _unavailable(error: "Unavailable") -> str:
    return f"{_sentence(str(error))} Nothing was done."


def _unknown(error: "OutcomeUnknown") -> str:
    return f"{_sentence(str(error))} Look, or ask again: that is safe."


def _sentence(text: str) -> str:
    """Return it with a capital letter and a full stop; a name like ``n1`` stays as it is."""
    first = text.partition(" ")[0]
    capital = text[:1].upper() if first.isalpha() else text[:1]
    return f"{capital}{text[1:].rstrip('.')}."
