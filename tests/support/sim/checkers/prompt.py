"""No lock operation waits for the database: while it stands still, all else goes on as ever.

Whoever asks for something then, and is not willing to wait for a lock, is answered within
``PROMPT_S_MAX``.
"""

from collections.abc import Iterator

from tests.support.sim.history import History, Result

PROMPT_S_MAX = 0.5


def check(history: History) -> Iterator[str]:
    """Yield every request that waited, or was refused for want of a node."""
    if history.recorded.hung is None:
        return
    since, until = history.recorded.hung
    for ask in history.asks:
        if ask.wish.wait_ms or not since <= ask.invoked_at <= until - PROMPT_S_MAX:
            continue
        is_late = ask.returned_at - ask.invoked_at > PROMPT_S_MAX
        if is_late or ask.result in {Result.UNKNOWN, Result.DEFINITE}:
            yield f"without the database it took too long, or came to nothing: {ask}"
