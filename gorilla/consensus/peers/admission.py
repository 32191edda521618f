"""Who may be linked to whom: decided by both sides at the end of every handshake.

Only peers that proved to know the cluster secret come this far.
"""

from collections.abc import Callable, Sequence

from gorilla.consensus.peers.handshake import PeerInfo, Reason, Refusal
from gorilla.consensus.remedies import MAKE_ANEW
from gorilla.service.ports import Member

AdmitStranger = Callable[[str, str], str | None]
"""Asked about the name and id of an authenticated peer that the roster does not have: None lets it
in (a node that is being added), a sentence refuses it."""


def decide(
    me: Member,
    cluster_id: str | None,
    members: Sequence[Member],
    peer: PeerInfo,
    admit: AdmitStranger | None = None,
) -> Refusal | None:
    """Return why there must be no link between this node and ``peer``; None when there may.

    Args:
        me: This node.
        cluster_id: None as long as this node belongs to no cluster. It then knows the names of
            the members to be, not their ids.
        members: The roster, this node included.
        peer: The other side.
        admit: Asked about a peer that the roster doesn't have; without it, it is refused.

    """
    if peer.id == me.id or peer.name == me.name:
        return _namesake(me, peer)
    if cluster_id is None:
        # Whether a formed peer may teach this node its cluster is formation's to decide.
        return None if _named(members, peer.name) else _not_a_member(me, peer)
    if peer.cluster_id is not None and peer.cluster_id != cluster_id:
        return Refusal(
            Reason.OTHER_CLUSTER,
            f"{me.name} belongs to cluster {cluster_id}, {peer.name} to cluster {peer.cluster_id}: "
            f"one of them has the wrong data directory or the wrong address",
        )
    if any(member.id == peer.id and member.name == peer.name for member in members):
        return None
    if admit is not None:
        sentence = admit(peer.name, peer.id)
        return None if sentence is None else Refusal(Reason.NOT_A_MEMBER, sentence)
    known = _named(members, peer.name)
    return _wrong_identity(peer, known) if known else _not_a_member(me, peer)


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


def _wrong_identity(peer: PeerInfo, known: Member) -> Refusal:
    return Refusal(
        Reason.WRONG_IDENTITY,
        f"this data directory is not the one that is a member: the cluster knows {peer.name} by "
        f"id {known.id}, it came with {peer.id}. Bring back the old directory; where "
        f"it is lost, {MAKE_ANEW}",
    )


def _not_a_member(me: Member, peer: PeerInfo) -> Refusal:
    return Refusal(
        Reason.NOT_A_MEMBER,
        f"{peer.name} is not a member of the cluster that {me.name} knows: add it there, or "
        f"correct its list of members",
    )
