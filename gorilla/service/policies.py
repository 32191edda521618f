"""Policies as operators use them: rules for locks by the beginning of their names."""

import msgspec

from gorilla.domain.commands import DropPolicy, Plain, Policy, SetPolicy
from gorilla.domain.outcomes import Done, Full, NotFound, Outcome, Replayed
from gorilla.service.keys import Key, once
from gorilla.service.locks import LockSettings
from gorilla.service.moments import Moments
from gorilla.service.proposals import Proposals
from gorilla.service.repairs import KeyRefusal
from gorilla.service.replica import LockReplica
from gorilla.service.time import EventLoop


class PolicyList(msgspec.Struct, frozen=True):
    """Policies as of one moment, in order of their prefixes."""

    policies: tuple[Policy, ...]
    age_ms: int | None = None
    """Of a stale read, about how old the state is; None when it is linearizable."""


class PolicyService:
    """Set, drop and list policies. Raises as the lock service does."""

    def __init__(
        self,
        proposals: Proposals,
        moments: Moments,
        replica: LockReplica,
        loop: EventLoop,
        settings: LockSettings | None = None,
    ) -> None:
        """Command through ``proposals``; read from ``replica`` at the right ``moments``."""
        self._proposals = proposals
        self._moments = moments
        self._replica = replica
        self._loop = loop
        self._settings = settings or LockSettings()

    async def set(
        self, policy: Policy, *, key: Key | None = None
    ) -> Done | Full | Replayed | KeyRefusal:
        """Rule the locks of ``policy.prefix`` by it; what is held stays as it was granted."""
        outcome = await self._submit(SetPolicy(policy), key)
        assert isinstance(outcome, Done | Replayed | KeyRefusal)
        return outcome

    async def drop(
        self, prefix: str, *, key: Key | None = None
    ) -> Done | NotFound | Replayed | KeyRefusal:
        """Take back the policy of exactly this prefix."""
        outcome = await self._submit(DropPolicy(prefix), key)
        assert isinstance(outcome, Done | NotFound | Replayed | KeyRefusal)
        return outcome

    async def list(self, *, lock: str | None = None, stale: bool = False) -> PolicyList:
        """Return all policies, or the one that rules ``lock`` (none: no policies)."""
        _, age_ms = await self._moments.moment(stale=stale)
        table = self._replica.table
        found = table.policies
        if lock is not None:
            ruling = table.policy_of(lock)
            found = [policy for policy in found if policy is ruling]
        return PolicyList(tuple(found), age_ms)

    async def _submit(self, command: Plain, key: Key | None) -> Outcome:
        deadline_s = self._loop.time() + self._settings.request_deadline_s
        return await self._proposals.submit(once(command, key), deadline_s)
