"""Calls on policies."""

from collections.abc import Sequence
from typing import Final, TypedDict

from gorilla.client.calls.call import Call, decoder, nothing, read, write
from gorilla.client.calls.locks import consistency
from gorilla.wire.policies import PolicyBody, PolicyListBody, SetPolicyBody

_POLICIES: Final = "/api/v1/policies"


class Rules(TypedDict, total=False):
    """The rules of a policy; what is left out, or None, is no rule. Lengths are seconds."""

    max_timeout: float | None
    """A longer timeout is lowered to it."""
    max_lifetime: float | None
    """No hold lasts longer from its grant on, however often it is extended."""
    max_wait: float | None
    """A longer wait is lowered to it."""
    max_holders: int | None
    """How many may hold a lock at once."""
    min_gap: float | None
    """Least time from one grant of a lock to its next."""
    owners: Sequence[str] | None
    """Who may take the locks: names, or beginnings of names that end in ``*``."""


def listed(resource: str | None = None, *, stale: bool = False) -> Call[PolicyListBody]:
    """Ask for all policies, or for the one that rules a lock."""
    query = {"resource": resource, "consistency": consistency(stale=stale)}
    return read(_POLICIES, PolicyListBody, query)


def put(prefix: str, rules: Rules, key: str | None = None) -> Call[PolicyBody]:
    """Rule the locks of a prefix from now on."""
    fields = {name: value for name, value in rules.items() if value is not None}
    if rules.get("owners") is not None:
        fields["owners"] = tuple(rules["owners"] or ())
    body = SetPolicyBody(**fields)  # type: ignore[arg-type]  # the cluster names what is wrong
    query = {"prefix": prefix}
    return write("PUT", _POLICIES, decoder(PolicyBody), body, key=key, query=query)


def drop(prefix: str, key: str | None = None) -> Call[None]:
    """Take back the policy of exactly this prefix."""
    return write("DELETE", _POLICIES, nothing, key=key, query={"prefix": prefix})
