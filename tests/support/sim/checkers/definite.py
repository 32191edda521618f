"""A definite failure promises that nothing was done: its command is in nobody's applied log."""

from collections.abc import Iterator

from tests.support.sim.history import History, Kind, Result


def check(history: History) -> Iterator[str]:
    """Yield every operation that failed definitely and was applied all the same."""
    # A release is like any other of the same token, so its bytes don't tell which one it is.
    marks = {
        operation.mark: operation
        for operation in history.operations
        if operation.result is Result.DEFINITE
        and operation.mark is not None
        and operation.kind is not Kind.RELEASE
    }
    if not marks:
        return
    payloads = {applied.index: applied.payload for applied in history.applied}
    for index, payload in sorted(payloads.items()):
        for mark, operation in marks.items():
            if mark in payload:
                yield f"answered as not done, applied at index {index}: {operation}"
