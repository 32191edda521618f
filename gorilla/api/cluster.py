"""The call that shows the cluster: call, present."""

from typing import Literal

from gorilla.api.answers import Answer, answer_json
from gorilla.api.requests import Call
from gorilla.service.cluster import ClusterService, ClusterStatus
from gorilla.service.ports import ConsensusView, Member, MemberProgress
from gorilla.wire.bodies import (
    ClusterBody,
    HistoryHealthBody,
    LeaderBody,
    MemberBody,
    SnapshotHealthBody,
)
from gorilla.wire.times import timestamp_of

Role = Literal["leader", "follower", "candidate", "unknown"]


class ClusterCalls:
    """Handler of ``/api/v1/cluster``."""

    def __init__(self, cluster: ClusterService) -> None:
        """Take the service that it calls."""
        self._cluster = cluster

    async def view(self, _call: Call) -> Answer:
        """``GET /api/v1/cluster``; answered from what this node knows, also without a quorum."""
        return answer_json(_cluster_body(self._cluster.view()))


def _cluster_body(status: ClusterStatus) -> ClusterBody:
    view = status.consensus
    others = (_other_member(view, progress) for progress in view.progress)
    members = sorted((_this_member(status), *others), key=lambda body: body.name)
    newest, failing = status.snapshots.last_stored, status.snapshots.failing_since
    unwritten_since = status.history.failing_since
    return ClusterBody(
        cluster_id=view.cluster_id,
        name=status.name,
        node=view.me.name,
        role=view.role.value,
        term=view.term,
        leader=None if view.leader is None else _leader_body(view.leader),
        commit_index=view.commit_index,
        applied_index=view.applied_index,
        last_index=view.last_index,
        snapshot_index=view.snapshot_index,
        caught_up=view.caught_up,
        draining=status.is_draining,
        held=status.held,
        waiting=status.waiting,
        sessions=status.sessions,
        fencing_counter=status.fencing_counter,
        chain=status.chain,
        uptime=round(status.uptime_s, 3),
        version=status.version,
        cluster_version=status.cluster_version,
        snapshots=SnapshotHealthBody(
            configured=status.snapshots.configured,
            stored_at=None if newest is None else timestamp_of(newest.taken_at),
            failing_since=None if failing is None else timestamp_of(failing),
        ),
        history=HistoryHealthBody(
            configured=status.history.configured,
            behind=status.history.behind,
            failing_since=None if unwritten_since is None else timestamp_of(unwritten_since),
        ),
        members=tuple(members),
    )


def _leader_body(leader: Member) -> LeaderBody:
    return LeaderBody(id=leader.id, name=leader.name, http=leader.http)


def _this_member(status: ClusterStatus) -> MemberBody:
    view = status.consensus
    return MemberBody(
        id=view.me.id,
        name=view.me.name,
        http=view.me.http,
        peer=view.me.peer,
        role=view.role.value,
        connected=True,
        match_index=view.last_index,
        lag=max(0, view.commit_index - view.applied_index),
        heard=0.0,
        version=status.version,
        feature_level=status.level,
        draining=status.is_draining,
    )


def _other_member(view: ConsensusView, progress: MemberProgress) -> MemberBody:
    member, match = progress.member, progress.match_index
    return MemberBody(
        id=member.id,
        name=member.name,
        http=member.http,
        peer=member.peer,
        role=_role_of_other(view, progress),
        connected=progress.connected,
        match_index=match,
        lag=None if match is None else max(0, view.last_index - match),
        heard=None if progress.heard_s is None else round(progress.heard_s, 3),
        version=progress.version,
        feature_level=progress.level,
        draining=progress.draining,
    )


def _role_of_other(view: ConsensusView, progress: MemberProgress) -> Role:
    """Say what another member is, as far as it can be known from here."""
    if view.leader is not None and view.leader.id == progress.member.id:
        return "leader"
    return "follower" if progress.connected and view.leader is not None else "unknown"
