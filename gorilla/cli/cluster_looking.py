"""Finds out how the cluster is: best from its leader, which alone knows how far each member is."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from gorilla.cli.cluster_outlook import knowledge
from gorilla.client.errors import GorillaError
from gorilla.wire.bodies import ClusterBody

if TYPE_CHECKING:
    from gorilla.client import Client

LOOKS_MAX: Final = 6
"""How often the endpoints are asked when the leader can't be asked directly: one of them may be a
load balancer, and each of its answers another node's."""


def leaders_view(client: "Client") -> ClusterBody:
    """Return the leader's view of the cluster; when it can't be asked, the one that knows most.

    Raises:
        GorillaError: Nobody answered.

    """
    best = client.cluster.status()
    for ask in _ways(client, best):
        if best.role == "leader":
            break
        try:
            view = ask()
        except GorillaError:
            continue  # any other view will do
        best = max(best, view, key=knowledge)
    return best


def _ways(client: "Client", seen: ClusterBody) -> Iterator[Callable[[], ClusterBody]]:
    """Return the ways to the leader, the likely ones first."""
    endpoints = client.settings.endpoints
    leading = "" if seen.leader is None else seen.leader.http
    for url in sorted(endpoints, key=lambda url: url.partition("://")[2] != leading):
        yield _asking(client, url)
    if leading:
        for _ in range(LOOKS_MAX):
            yield client.cluster.status
        # Last: it may be an address of a network that this machine is not in.
        yield _asking(client, f"http://{leading}")


def _asking(client: "Client", url: str) -> Callable[[], ClusterBody]:
    return lambda: client.cluster.status(endpoint=url)
