"""Calls that ask one node about itself."""

from gorilla.client.calls.call import Call, read, target
from gorilla.wire.bodies import HealthBody, ReadyBody


def health() -> Call[HealthBody]:
    """Ask whether a node lives."""
    return read("/_health", HealthBody)


def ready(*, verbose: bool = False, leader: bool = False) -> Call[ReadyBody]:
    """Ask whether a node serves, or whether it leads; with ``verbose`` which checks it made."""
    query = {"verbose": "" if verbose else None, "role": "leader" if leader else None}
    return read("/_ready", ReadyBody, query)


def metrics() -> Call[str]:
    """Ask what a node counts, as Prometheus reads it."""
    return Call(method="GET", path=target("/metrics"), decode=bytes.decode, accept="text/plain")
