"""Who may be linked to whom: decided by both sides at the end of every handshake.

Only peers that proved to know the cluster secret come this far. A node that belongs to the cluster
is let in although the roster of this node may lack it: the roster may be old, and what makes it
new could come from just that node. Only an id that was removed for good is kept out.
"""

from collections.abc import Callable, Sequence

from gorilla.consensus.peers.handshake import PeerInfo, Reason, Refusal
from gorilla.service.ports import Member


def decide(
    me: Member,
    cluster_id: str | None,
    members: Sequence[Member],
    peer: PeerInfo,
    removed: Callable[[str], bool] | None = None,
) -> Refusal | None:
    """Return why there must be no link between this node and ``peer``; None when there may.

    Args:
        me: This node.
        cluster_id: None as long as this node belongs to no cluster. It then knows the names of
            the members to be, not their ids.
        members: The roster, this node included.
        peer: The other side.
        removed: Tells whether a member of this id was removed for good; None as long as nobody
            knows (nobody was, then).

    """
    if peer.id == me.id or peer.name == me.name:
        return _namesake(me, peer)
    if cluster_id is None:
        # Whether a formed peer may teach this node its cluster is formation's to decide.
        is_known = peer.cluster_id is not None or _named(members, peer.name) is not None
        return None if is_known else _not_a_member(me, peer)
    if peer.cluster_id not in (None, cluster_id):
        return Refusal(
            Reason.OTHER_CLUSTER,
            f"{me.name} belongs to cluster {cluster_id}, {peer.name} to cluster {peer.cluster_id}: "
            f"one of them has the wrong data directory or the wrong address",
        )
    if removed is not None and removed(peer.id):
        return _removed(peer)
    return _contradiction(me, members, peer)


def _contradiction(me: Member, members: Sequence[Member], peer: PeerInfo) -> Refusal | None:
    """Return what can't be, going by the roster, even if that is old; None when all is well."""
    if any(member.id == peer.id and member.name != peer.name for member in members):
        return _not_a_member(me, peer)
    # One without a cluster is a member to be, or waits to be added; also in the place of a member
    # of its name whose data directory was lost.
    return None


def _named(members: Sequence[Member], name: str) -> Member | None:
    return next((member for member in members if member.name == name), None)


def _namesake(me: Member, peer: PeerInfo) -> Refusal:
    if peer.id == me.id and peer.name == me.name:
        return Refusal(
            Reason.SAME_NAME,
            f"both ends of the connection are {me.name} with the same data directory: its address "
            f"is listed for another member too, or a copy of the directory is in use",
        )
    if peer.id == me.id:
        return Refusal(
            Reason.SAME_NAME,
            f"{me.name} and {peer.name} use copies of one data directory: give each node its own",
        )
    return Refusal(
        Reason.SAME_NAME,
        f"two nodes with different data directories are both called {me.name}: stop or rename one",
    )


def _removed(peer: PeerInfo) -> Refusal:
    return Refusal(
        Reason.REMOVED,
        f"{peer.name} was removed from the cluster, and its data directory is no member's any "
        f"more. To have it back, set that directory aside, start {peer.name} with an empty one, "
        f"and add it",
    )


def _not_a_member(me: Member, peer: PeerInfo) -> Refusal:
    return Refusal(
        Reason.NOT_A_MEMBER,
        f"{peer.name} is not a member of the cluster that {me.name} knows: add it there, or "
        f"correct its list of members",
    )
