"""Calls on the cluster: its members, its leader, its snapshots.

Changes take no idempotency key. One that would be another change when it is made twice is not asked
again once it may have been made; what became of it is seen in the cluster's status.
"""

from dataclasses import replace
from typing import Final, TypedDict

import msgspec
from msgspec import UNSET

from gorilla.client.calls.call import Call, change, read, segment
from gorilla.wire.bodies import ClusterBody, SnapshotBody, SnapshotListBody
from gorilla.wire.membership import (
    CHANGE_S_DEFAULT,
    AddMemberBody,
    ChangeReportBody,
    MoveMemberBody,
    TransferBody,
)

SNAPSHOT_S: Final = 600.0
"""How long a node may take to store a snapshot (seconds); a million locks over a slow line."""

_CLUSTER: Final = "/api/v1/cluster"
_MEMBERS: Final = f"{_CLUSTER}/members"
_SNAPSHOTS: Final = "/api/v1/snapshots"


class ChangeOptions(TypedDict, total=False):
    """How a change of the cluster is made."""

    dry_run: bool
    """Change nothing: say what would be done, or why it would be refused."""
    force: bool
    """Skip the checks that members are up and have caught up. It can leave the cluster without a
    quorum."""
    timeout: float | None
    """How long to wait for it (seconds); 30 by default."""


def status() -> Call[ClusterBody]:
    """Ask a node how it sees the cluster."""
    return read(_CLUSTER, ClusterBody)


def add(
    name: str, peer: str, http: str, replaces: str | None, options: ChangeOptions
) -> Call[ChangeReportBody]:
    """Take a node into the cluster, maybe for another one."""
    body = AddMemberBody(
        name=name, peer=peer, http=http, replaces=UNSET if replaces is None else replaces
    )
    return _change("POST", _MEMBERS, body, options)


def remove(member: str, options: ChangeOptions) -> Call[ChangeReportBody]:
    """Take a member out of the cluster."""
    return _change("DELETE", _member(member), None, options)


def move(
    member: str, peer: str | None, http: str | None, options: ChangeOptions
) -> Call[ChangeReportBody]:
    """Change a member's addresses; None: as it is."""
    body = MoveMemberBody(
        peer=UNSET if peer is None else peer, http=UNSET if http is None else http
    )
    return _change("PUT", _member(member), body, options)


def transfer(to: str | None, options: ChangeOptions) -> Call[ChangeReportBody]:
    """Let the leader hand its office over; None: to whoever is fittest."""
    body = TransferBody(to=UNSET if to is None else to)
    return _change("POST", f"{_CLUSTER}/leader", body, options)


def drain(member: str, options: ChangeOptions, *, draining: bool) -> Call[ChangeReportBody]:
    """Let a member take no more requests, or take them again: asked twice it is the same."""
    method = "POST" if draining else "DELETE"
    call = _change(method, f"{_member(member)}/drain", None, options)
    return replace(call, repeatable=True)


def snapshots(limit: int | None = None) -> Call[SnapshotListBody]:
    """Ask for the snapshots in the database, the last one first."""
    return read(_SNAPSHOTS, SnapshotListBody, {"limit": limit})


def take_snapshot() -> Call[SnapshotBody]:
    """Store a node's state in the database now. Storing it twice does no harm."""
    call = change("POST", _SNAPSHOTS, SnapshotBody, None)
    return replace(call, repeatable=True, wait_s=SNAPSHOT_S)


def _change(
    method: str, path: str, body: msgspec.Struct | None, options: ChangeOptions
) -> Call[ChangeReportBody]:
    unknown = options.keys() - ChangeOptions.__annotations__.keys()
    if unknown:
        raise TypeError(f"no such option of a change: {', '.join(unknown)}")
    dry_run, timeout_s = options.get("dry_run") or None, options.get("timeout")
    query = {"dry_run": dry_run, "force": options.get("force") or None, "timeout": timeout_s}
    call = change(method, path, ChangeReportBody, body, query)
    wait_s = CHANGE_S_DEFAULT if timeout_s is None else float(timeout_s)
    return replace(call, writes=not dry_run, repeatable=bool(dry_run), wait_s=wait_s)


def _member(member: str) -> str:
    return f"{_MEMBERS}/{segment(member)}"
