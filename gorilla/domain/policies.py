"""Rules by prefix of the lock's name: the longest prefix that fits rules alone."""

from collections.abc import Iterable, Iterator
from typing import Final

from gorilla.domain.commands import Policy

NO_POLICY: Final = Policy("")
"""What rules where no policy does: nothing."""


class Policies:
    """The policies by prefix. Costs nothing while there is none, else a look-up a length."""

    def __init__(self, policies: Iterable[Policy] = ()) -> None:
        """Take policies of different prefixes."""
        self._policies = {policy.prefix: policy for policy in policies}
        self._lengths: list[int] = []
        self._measure()

    def __len__(self) -> int:
        """Return how many policies there are."""
        return len(self._policies)

    def __iter__(self) -> Iterator[Policy]:
        """Yield the policies in order of their prefixes."""
        return (self._policies[prefix] for prefix in sorted(self._policies))

    def get(self, prefix: str) -> Policy | None:
        """Return the policy of exactly this prefix, or None."""
        return self._policies.get(prefix)

    def of(self, lock: str) -> Policy:
        """Return the policy that rules ``lock``."""
        for length in self._lengths:
            policy = self._policies.get(lock[:length])
            if policy is not None:
                return policy
        return NO_POLICY

    def set(self, policy: Policy) -> None:
        """Let ``policy`` rule its prefix."""
        self._policies[policy.prefix] = policy
        self._measure()

    def drop(self, prefix: str) -> None:
        """Forget the policy of ``prefix``, which there is."""
        del self._policies[prefix]
        self._measure()

    def _measure(self) -> None:
        self._lengths = sorted({len(prefix) for prefix in self._policies}, reverse=True)


def may(policy: Policy, owner: str) -> bool:
    """Return whether ``owner`` may take locks under ``policy``."""
    if not policy.owners:
        return True
    return any(
        owner.startswith(pattern[:-1]) if pattern.endswith("*") else owner == pattern
        for pattern in policy.owners
    )


def lowered(value: int, most: int) -> int:
    """Return ``value``, or the rule's ``most`` when that is less (0: no rule)."""
    return min(value, most) if most else value
