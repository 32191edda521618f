"""Calls on several locks that are held at once."""

from typing import Final

from msgspec import UNSET
from msgspec.structs import replace

from gorilla.client.calls.call import Call, decoder, nothing, segment, waiting, write
from gorilla.client.calls.locks import LOCKS, wait_of
from gorilla.wire.asking import AcquireAllBody, ExtendBody, GroupBody

_GROUPS: Final = "/api/v1/groups"


def acquire(body: AcquireAllBody, key: str | None = None) -> Call[GroupBody]:
    """Ask for several locks, all or none, and queue for them as long as the body says."""

    def make(wait_s: float) -> Call[GroupBody]:
        keep_place = body.keep_place if wait_s else UNSET
        asked = replace(body, wait=wait_s or UNSET, keep_place=keep_place)
        return write("POST", LOCKS, decoder(GroupBody), asked, key=key)

    return waiting(make, wait_of(body), fixed=key is not None)


def extend(
    group: str, timeout_s: float, owner: str | None = None, key: str | None = None
) -> Call[GroupBody]:
    """Let what is left of a group last ``timeout_s`` from now on; all secrets are others then."""
    body = ExtendBody(timeout=timeout_s, owner=UNSET if owner is None else owner)
    return write("PUT", f"{_GROUPS}/{segment(group)}", decoder(GroupBody), body, key=key)


def release(group: str, key: str | None = None) -> Call[None]:
    """End what is left of a group."""
    return write("DELETE", f"{_GROUPS}/{segment(group)}", nothing, key=key)
