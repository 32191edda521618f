"""How a node comes into a cluster that there is already: it is invited, and writes that down.

An empty node that meets members of a cluster waits. A member that was told to add it sends it an
invitation. The node makes durable that it belongs to that cluster before it answers: from then on
it follows nobody else. It counts for nothing until the log says that it is a member.
"""

from collections.abc import Iterable

import msgspec

from gorilla.consensus.formation_actions import Waiting
from gorilla.consensus.formation_messages import Formed, Invite
from gorilla.consensus.identity import GenesisRef, Identity
from gorilla.consensus.peers.handshake import PeerInfo
from gorilla.service.ports import Member


def why_not_join(
    me: Identity, genesis: GenesisRef | None, inviter: PeerInfo, invite: Invite
) -> str | None:
    """Return why this node must not accept an invitation; None when it may.

    Args:
        me: This node.
        genesis: The state that lies here for a new cluster to begin with, if any.
        inviter: Who invites.
        invite: To what.

    """
    if me.formed:
        again = me.joining and me.cluster_id == invite.cluster_id
        return None if again else f"{me.name} belongs to cluster {me.cluster_id} already"
    if (invite.joiner.id, invite.joiner.name) != (me.node_id, me.name):
        return (
            f"the invitation is meant for {invite.joiner.name} ({invite.joiner.id}), this is "
            f"{me.name} ({me.node_id})"
        )
    ids = {member.id for member in invite.members}
    if inviter.cluster_id != invite.cluster_id or inviter.id not in ids or me.node_id in ids:
        return (
            f"{me.name} follows an invitation of a member of the cluster only, and only as long "
            f"as it is none itself"
        )
    return _why_taken(me, genesis)


def _why_taken(me: Identity, genesis: GenesisRef | None) -> str | None:
    if me.promised_to is not None:
        return (
            f"{me.name} has promised to form another cluster; empty its data directory (it holds "
            f"nothing yet) and start it again"
        )
    if genesis is not None:
        return (
            f"a snapshot was restored on {me.name}, for a new cluster to begin with; empty its "
            f"data directory and start it again"
        )
    return None


def joined(me: Identity, invite: Invite) -> Identity:
    """Return the identity of a node that accepts."""
    return msgspec.structs.replace(
        me, cluster_id=invite.cluster_id, members=invite.members, joining=True
    )


def waiting_to_be_added(me: Identity, clusters: Iterable[tuple[str, Formed]]) -> Waiting:
    """Say that a cluster is there and this node is not in it.

    Args:
        me: This node.
        clusters: Names of the nodes it is linked with that are members, and what they said.

    """
    known = sorted(clusters, key=lambda one: one[0])
    ids = sorted({formed.cluster_id for _, formed in known})
    names = ", ".join(name for name, _ in known)
    if len(ids) > 1:
        return Waiting(
            "the cluster",
            f"{names} belong to different clusters ({', '.join(ids)}): correct the list of "
            f"members of {me.name}",
        )
    lost = next((m for _, one in known for m in one.members if m.name == me.name), None)
    return Waiting(
        "the cluster",
        f"{me.name} is waiting to be added: it is not a member of cluster {ids[0]}, which is "
        f"there already. Add it at one of its nodes ({names})"
        + ("" if lost is None else _instead_of(me, lost)),
    )


def _instead_of(me: Identity, lost: Member) -> str:
    return (
        f". The cluster knows {me.name} by another data directory ({lost.id}; this one is "
        f'{me.node_id}): bring that one back, or, where it is lost, add this one with "replaces"'
    )
