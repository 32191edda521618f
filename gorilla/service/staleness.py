"""How old a node's own copy of the state may be. For display: it rests on clocks and contacts."""

from gorilla.service.ports import ConsensusView, Role
from gorilla.service.replica import LockReplica


def age_ms(view: ConsensusView, replica: LockReplica) -> int:
    """Return about how long ago (milliseconds) this node's state was the cluster's.

    A leader knows by its latest contact with a majority, a follower that has applied all it heard
    of by its latest contact with the leader; whoever has neither goes by the latest stamp.
    """
    if view.role is Role.LEADER:
        contact_s = _majority_contact_s(view)
    elif view.leader is not None and view.caught_up and view.applied_index >= view.commit_index:
        contact_s = _contact_s(view, view.leader.id)
    else:
        contact_s = None
    return replica.stamped_ago_ms() if contact_s is None else int(contact_s * 1_000)


def _contact_s(view: ConsensusView, member_id: str) -> float | None:
    for progress in view.progress:
        if progress.member.id == member_id:
            return progress.heard_s
    return None


def _majority_contact_s(view: ConsensusView) -> float | None:
    """Return how long ago enough others were heard to make a majority with this node (seconds)."""
    others = [progress for progress in view.progress if progress.member.id != view.me.id]
    needed = (len(others) + 1) // 2
    if not needed:
        return 0.0
    heard_s = sorted(progress.heard_s for progress in others if progress.heard_s is not None)
    return heard_s[needed - 1] if len(heard_s) >= needed else None
