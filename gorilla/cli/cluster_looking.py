"""Finds out how the cluster is: best from its leader, which alone knows how far each member is."""

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Final

from gorilla.client.errors import GorillaError
from gorilla.wire.bodies import ClusterBody

if TYPE_CHECKING:
    from gorilla.client import Client

LOOKS_MAX: Final = 6
"""How often the endpoints are asked when the leader can't be asked directly: one of them may be a
load balancer, and each of its answers another node's."""


def leaders_view(client: "Client") -> ClusterBody:
    """Return the leader's view of the cluster; another node's when the leader can't be asked.

    Raises:
        GorillaError: Nobody answered.

    """
    best = client.cluster.status()
    if best.role == "leader":
        return best
    for ask in _ways(client, best):
        try:
            view = ask()
        except GorillaError:
            continue  # any other view will do
        if view.role == "leader" and view.cluster_id == best.cluster_id:
            return view
    return best


def _ways(client: "Client", seen: ClusterBody) -> Iterator[Callable[[], ClusterBody]]:
    """Return the ways to the leader, the likely ones first."""
    if seen.leader is None:
        return
    endpoints = client.settings.endpoints
    leading = seen.leader.http
    direct = [url for url in endpoints if url.partition("://")[2] == leading]
    for url in dict.fromkeys((*direct, f"http://{leading}", *endpoints)):
        yield _asking(client, url)
    for _ in range(LOOKS_MAX):
        yield client.cluster.status


def _asking(client: "Client", url: str) -> Callable[[], ClusterBody]:
    return lambda: client.cluster.status(endpoint=url)
