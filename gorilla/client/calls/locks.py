"""Calls on single locks."""

from collections.abc import Callable
from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from gorilla.client.calls.call import (
    Call,
    ask,
    decoder,
    never_twice,
    nothing,
    read,
    segment,
    waiting,
    write,
)
from gorilla.wire.asking import (
    AcquireAllBody,
    AcquireBody,
    AskedHoldersBody,
    AskReleaseBody,
    CheckFencingBody,
    ExtendBody,
)
from gorilla.wire.bodies import HeldLockBody, LockBody, LockListBody, LockStateBody
from gorilla.wire.looking import ExplanationBody, FencingBody, ForcedBody

LOCKS: Final = "/api/v1/locks"
STALE: Final = "stale"


def consistency(*, stale: bool) -> str | None:
    """Return what the query of a read says; None: linearizable."""
    return STALE if stale else None


def wait_of(body: AcquireBody | AcquireAllBody) -> float:
    """Return the wait that a request asks for (seconds)."""
    return 0.0 if body.wait is UNSET else float(body.wait)


def acquire(resource: str, body: AcquireBody, key: str | None = None) -> Call[LockBody]:
    """Ask for a lock, and queue for it as long as the body says."""

    def make(wait_s: float) -> Call[LockBody]:
        keep_place = body.keep_place if wait_s else UNSET
        asked = replace(body, wait=wait_s or UNSET, keep_place=keep_place)
        return write("POST", _lock(resource), decoder(LockBody), asked, key=key)

    return waiting(make, wait_of(body), fixed=key is not None)


def release(resource: str, token: str, key: str | None = None) -> Call[None]:
    """End the hold that ``token`` proves."""
    return write("DELETE", _lease(resource, token), nothing, key=key)


def extend(
    resource: str,
    token: str,
    timeout_s: float,
    owner: str | None = None,
    key: str | None = None,
) -> Call[LockBody]:
    """Let a hold last ``timeout_s`` from now on; its token is another one then."""
    body = ExtendBody(timeout=timeout_s, owner=UNSET if owner is None else owner)
    return write("PUT", _lease(resource, token), decoder(LockBody), body, key=key)


def status(resource: str, token: str) -> Call[LockBody]:
    """Ask how long a hold still lasts."""
    return read(_lease(resource, token), LockBody)


def show(resource: str, *, stale: bool = False) -> Call[LockStateBody]:
    """Ask who holds a lock and who queues for it."""
    return read(_lock(resource), LockStateBody, {"consistency": consistency(stale=stale)})


def explain(
    resource: str, owner: str | None = None, *, stale: bool = False
) -> Call[ExplanationBody]:
    """Ask why ``owner``, or a newcomer, can't have a lock just now."""
    query = {"owner": owner, "consistency": consistency(stale=stale)}
    return read(f"{_lock(resource)}/explain", ExplanationBody, query)


def page(
    *,
    prefix: str | None = None,
    owner: str | None = None,
    limit: int | None = None,
    cursor: str | None = None,
    stale: bool = False,
) -> Call[LockListBody]:
    """Ask for some held locks, in the order of their names."""
    query = {
        "prefix": prefix,
        "owner": owner,
        "limit": limit,
        "cursor": cursor,
        "consistency": consistency(stale=stale),
    }
    return read(LOCKS, LockListBody, query)


def pages(
    prefix: str | None, owner: str | None, limit: int | None, *, stale: bool
) -> Callable[[str | None], Call[LockListBody]]:
    """Return what makes the call for the page at a cursor."""
    return lambda cursor: page(prefix=prefix, owner=owner, limit=limit, cursor=cursor, stale=stale)


def on_page(body: LockListBody) -> tuple[tuple[HeldLockBody, ...], str | None]:
    """Return the locks of a page, and the cursor of the next one."""
    return body.locks, body.cursor


def force(
    resource: str, reason: str, by: str | None = None, key: str | None = None
) -> Call[ForcedBody]:
    """Make all holders of a lock let go."""
    query = {"reason": reason, "by": by}
    # The second time it might end the hold of whoever got it next.
    forced = decoder(ForcedBody)
    return never_twice(write("DELETE", _lock(resource), forced, key=key, query=query))


def request_release(
    resource: str, owner: str, reason: str | None = None, key: str | None = None
) -> Call[AskedHoldersBody]:
    """Ask the holders of a lock to let go."""
    body = AskReleaseBody(owner=owner, reason=UNSET if reason is None else reason)
    path = f"{_lock(resource)}/request-release"
    return write("POST", path, decoder(AskedHoldersBody), body, key=key)


def check_fencing(resource: str, fencing_token: int, *, stale: bool = False) -> Call[FencingBody]:
    """Ask whether a number is of a present holder; changes nothing."""
    return ask(
        f"/api/v1/fencing/{segment(resource)}",
        decoder(FencingBody),
        CheckFencingBody(fencing_token=fencing_token),
        {"consistency": consistency(stale=stale)},
    )


def _lock(resource: str) -> str:
    return f"{LOCKS}/{segment(resource)}"


def _lease(resource: str, token: str) -> str:
    return f"{_lock(resource)}/{segment(token)}"
