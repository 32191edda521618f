"""Why an attempt failed, in a few words, whatever the libraries below call it."""

import os
import socket
import ssl
from collections.abc import Iterator
from typing import Final

HUNG_UP: Final = "it hung up without an answer"


def reason_of(error: BaseException, *, is_sent: bool) -> str:
    """Say why an attempt failed.

    Args:
        error: As it was caught; what it came from is looked at as well.
        is_sent: Whether the request was on its way.

    """
    causes = list(_causes(error))
    plain = next(filter(None, map(_of_system, causes)), None)
    if any(isinstance(cause, TimeoutError) for cause in causes) and plain is None:
        return "no answer in time" if is_sent else "no connection in time"
    if plain is not None:
        return plain
    if is_sent and any(isinstance(cause, ConnectionError | EOFError) for cause in causes):
        return HUNG_UP
    return " ".join(str(error).split()) or type(error).__name__


def _of_system(cause: BaseException) -> str | None:
    """Say what the system, or TLS, said; None when it said nothing of its own."""
    if isinstance(cause, ssl.SSLError):
        # Errors of libraries that derive from these have no words of their own.
        refused, reason = getattr(cause, "verify_message", ""), getattr(cause, "reason", "")
        if refused:
            return f"its certificate is not accepted: {refused}"
        return f"TLS failed: {reason.replace('_', ' ').lower()}" if reason else None
    if isinstance(cause, socket.gaierror):
        return "its name is not known"
    if isinstance(cause, OSError) and (cause.errno or 0) > 0:
        return os.strerror(cause.errno or 0).lower()
    return None


def _causes(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and everything that it came from, each once, the outermost first."""
    seen: set[int] = set()
    todo: list[BaseException | None] = [error]
    while todo:
        cause = todo.pop(0)
        if cause is None or id(cause) in seen:
            continue
        seen.add(id(cause))
        yield cause
        todo += [cause.__cause__, cause.__context__]
        todo += [one for one in cause.args if isinstance(one, BaseException)]
