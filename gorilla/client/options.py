"""What may be said of a lock when it is made: one list for both faces and for sessions."""

from typing import Any, Final, TypedDict

from gorilla.client.ending import OnExtended, OnLost, Wishes
from gorilla.client.session_life import SessionBase
from gorilla.client.taking import Wanted
from gorilla.wire.asking import EXCLUSIVE


class LockOptions(TypedDict, total=False):
    """How a lock is to be held; every one may be left out, but for ``timeout`` out of a session."""

    timeout: float | None
    """How long it outlives its last extension (seconds). In a session it may be left out: then it
    lives as long as that."""
    wait: float | None
    """How long to queue for it (seconds), first come, first served; 0, the default: not at all;
    None: as long as it takes."""
    mode: str
    """``exclusive``, the default, or ``shared``."""
    limit: int | None
    """How many may hold it at once; the same number from everyone."""
    owner: str | None
    """Under whom. Without it every thread, or task, is an owner of its own, and a session is one,
    whoever acquires in it. Whoever asks twice under one owner gets the same lock, so those who must
    exclude each other need two."""
    metadata: Any
    """What others may read of it: any JSON value of at most 4 KiB."""
    reason: str | None
    """What for, in words; those who wait see it."""
    session: SessionBase | None
    """In which it lives."""
    extend: bool
    """Whether it is extended in the background, as it is by default."""
    max_lifetime: float | None
    """How long it is extended at most (seconds); when it ends after that, it is lost."""
    on_lost: OnLost | None
    """Called once with the :class:`LockLost`, by the thread or task that extends it, or that finds
    it lost. What fails in it is logged."""
    on_extended: OnExtended | None
    """Called with what is held after every extension, by the thread or task that extended it; it
    may release it. What fails in it is logged."""


class AsyncLockOptions(LockOptions, total=False):
    """How a lock of an ``AsyncClient`` is to be held."""

    cancel_on_lost: bool
    """Whether the task that entered the block is cancelled when the lock is lost; the block then
    ends with :class:`LockLost`."""


ELECTIONS: Final = "elections/"
"""Beginning of the names of the locks that elections are about."""

ELECTION_S: Final = 10.0
"""How long a term outlives the last sign of life of its leader (seconds)."""

_NAMES: Final = {
    "timeout": "timeout_s",
    "wait": "wait_s",
    "extend": "extends",
    "max_lifetime": "max_lifetime_s",
    "mode": "mode",
    "limit": "limit",
    "owner": "owner",
    "metadata": "metadata",
    "reason": "reason",
}
_OTHERS: Final = ("session", "on_lost", "on_extended")


def described(
    resources: tuple[str, ...],
    options: LockOptions | AsyncLockOptions,
    within: SessionBase | None,
    *,
    is_group: bool = False,
) -> tuple[Wanted, Wishes, SessionBase | None]:
    """Return what is wanted, what the program wants to be told of, and the session.

    Raises:
        TypeError: There is no such option.
        ValueError: A value can't be; the message names it.

    """
    given: dict[str, Any] = dict(options)
    cancels = bool(given.pop("cancel_on_lost", False))
    unknown = given.keys() - _NAMES.keys() - set(_OTHERS)
    if unknown:
        known = ", ".join(sorted((*_NAMES, *_OTHERS)))
        raise TypeError(
            f"no such option of a lock: {', '.join(sorted(unknown))} (there are {known})"
        )
    session = given.pop("session", None) or within
    wishes = Wishes(given.pop("on_lost", None), given.pop("on_extended", None), cancels)
    fields = {_NAMES[name]: value for name, value in given.items()}
    fields.setdefault("timeout_s", None)
    fields.setdefault("mode", EXCLUSIVE)
    hold = None if session is None else session.hold
    wanted = Wanted(resources=resources, is_group=is_group, session=hold, **fields)
    return wanted, wishes, session
