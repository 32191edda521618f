"""Calls that change the cluster: parse, call the membership service, present."""

from typing import Final

import msgspec

from gorilla.api.answers import Answer, answer_json
from gorilla.api.requests import Call
from gorilla.api.routing import Parameter, Route, Success
from gorilla.service.membership import MembershipService
from gorilla.service.ports import (
    AddMember,
    Change,
    ChangeReport,
    DrainMember,
    MoveMember,
    RemoveMember,
    TransferLeadership,
)
from gorilla.wire.membership import (
    CHANGE_S_DEFAULT,
    CHANGE_S_MAX,
    CHANGE_S_MIN,
    AddMemberBody,
    ChangeReportBody,
    MoveMemberBody,
    RosterMemberBody,
    TransferBody,
    address_of,
    flag_of,
    member_key_of,
    member_name_of,
    optional_address_of,
    seconds_of,
)
from gorilla.wire.problems import ProblemCode as Code

_MEMBERS: Final = "/api/v1/cluster/members"
_MEMBER: Final = f"{_MEMBERS}/{{id}}"
_DRAIN: Final = f"{_MEMBER}/drain"
_LEADER: Final = "/api/v1/cluster/leader"

_timeout_of = seconds_of(CHANGE_S_MIN, CHANGE_S_MAX)

_BODY: Final = (Code.INVALID_JSON, Code.BODY_TOO_LARGE, Code.UNSUPPORTED_MEDIA_TYPE)
_PROBLEMS: Final = (
    Code.CHANGE_REFUSED,
    Code.MEMBER_NOT_FOUND,
    Code.NO_QUORUM,
    Code.STARTING,
    Code.DRAINING,
    Code.OVERLOADED,
    Code.OUTCOME_UNKNOWN,
)
_FLAG: Final[dict[str, object]] = {"type": "boolean", "default": False}
_QUERY: Final = (
    Parameter(
        name="dry_run",
        description="true: change nothing, say what would be done, or why it would be refused.",
        schema=_FLAG,
    ),
    Parameter(
        name="force",
        description="true: skip the checks that members are up and have caught up. It can leave "
        "the cluster without a quorum; no other check is skipped.",
        schema=_FLAG,
    ),
    Parameter(
        name="timeout",
        description="How long to wait for the change (seconds). A new member needs it to catch up.",
        schema={
            "type": "number",
            "minimum": CHANGE_S_MIN,
            "maximum": CHANGE_S_MAX,
            "default": CHANGE_S_DEFAULT,
        },
    ),
)
_SUCCESS: Final = Success(
    status=200, description="What was done, and the cluster after it.", body=ChangeReportBody
)


class _Asked(msgspec.Struct, frozen=True, kw_only=True):
    """What the query of every change says."""

    dry_run: bool
    force: bool
    timeout_s: float


class MembershipCalls:
    """Handlers of ``/api/v1/cluster/members`` and ``/api/v1/cluster/leader``."""

    def __init__(self, membership: MembershipService) -> None:
        """Take the service that they call."""
        self._membership = membership

    async def add(self, call: Call) -> Answer:
        """``POST /api/v1/cluster/members``."""
        asked = _asked(call)
        body = await call.body()
        name = body.required("name", member_name_of)
        peer = body.required("peer", address_of)
        http = body.required("http", address_of)
        replaces = body.optional("replaces", member_key_of, None)
        body.finish()
        assert name is not None
        assert peer is not None
        assert http is not None
        return await self._make(
            AddMember(name=name, peer=peer, http=http, replaces=replaces), asked
        )

    async def remove(self, call: Call) -> Answer:
        """``DELETE /api/v1/cluster/members/{id}``; a body is not read."""
        member, asked = call.member(), _asked(call)
        call.errors.raise_if_any()
        return await self._make(RemoveMember(member=member), asked)

    async def move(self, call: Call) -> Answer:
        """``PUT /api/v1/cluster/members/{id}``."""
        member, asked = call.member(), _asked(call)
        body = await call.body()
        if body.is_empty:
            call.errors.add("peer", "is required, or http")
        peer = body.optional("peer", optional_address_of, None)
        http = body.optional("http", optional_address_of, None)
        body.finish()
        return await self._make(MoveMember(member=member, peer=peer, http=http), asked)

    async def transfer(self, call: Call) -> Answer:
        """``POST /api/v1/cluster/leader``; the body may be left out."""
        asked = _asked(call)
        body = await call.optional_body()
        to = body.optional("to", member_key_of, None)
        body.finish()
        return await self._make(TransferLeadership(to=to), asked)

    async def drain(self, call: Call) -> Answer:
        """``POST /api/v1/cluster/members/{id}/drain``; a body is not read."""
        return await self._set_draining(call, draining=True)

    async def undrain(self, call: Call) -> Answer:
        """``DELETE /api/v1/cluster/members/{id}/drain``; a body is not read."""
        return await self._set_draining(call, draining=False)

    async def _set_draining(self, call: Call, *, draining: bool) -> Answer:
        member, asked = call.member(), _asked(call)
        call.errors.raise_if_any()
        return await self._make(DrainMember(member=member, draining=draining), asked)

    async def _make(self, change: Change, asked: _Asked) -> Answer:
        report = await self._membership.change(
            change, timeout_s=asked.timeout_s, force=asked.force, dry_run=asked.dry_run
        )
        return answer_json(_report_body(report))


def _asked(call: Call) -> _Asked:
    """Take the query; what is wrong with it is noted, to be told with the body's faults."""
    query = call.query()
    asked = _Asked(
        dry_run=query.optional("dry_run", flag_of, default=False),
        force=query.optional("force", flag_of, default=False),
        timeout_s=query.optional("timeout", _timeout_of, CHANGE_S_DEFAULT),
    )
    query.note_unknown()
    return asked


def _report_body(report: ChangeReport) -> ChangeReportBody:
    members = sorted(report.members, key=lambda member: member.name)
    return ChangeReportBody(
        done=report.done,
        steps=report.steps,
        members=tuple(
            RosterMemberBody(id=member.id, name=member.name, http=member.http, peer=member.peer)
            for member in members
        ),
        quorum=report.quorum,
        tolerates=report.tolerates,
    )


def membership_routes(calls: MembershipCalls) -> tuple[Route, ...]:
    """Return the routes that change the cluster."""
    return (*_roster_routes(calls), *_office_routes(calls))


def _roster_routes(calls: MembershipCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            template=_MEMBERS,
            operation_id="addMember",
            handler=calls.add,
            tag="cluster",
            summary="Add a member, or replace one",
            description="Takes in a node that is started and waits to be added. It gets the data "
            "first and a vote once it has caught up. With replaces, that member is removed before "
            "the new one votes.",
            query=_QUERY,
            body=AddMemberBody,
            example={"name": "n4", "peer": "10.0.0.7:4100", "http": "10.0.0.7:4000"},
            success=_SUCCESS,
            problems=(*_BODY, *_PROBLEMS),
        ),
        Route(
            method="DELETE",
            template=_MEMBER,
            operation_id="removeMember",
            handler=calls.remove,
            tag="cluster",
            summary="Remove a member",
            description="Takes its vote; its node stops, and its id is never a member again. A "
            "leader hands over first.",
            query=_QUERY,
            success=_SUCCESS,
            problems=_PROBLEMS,
        ),
        Route(
            method="PUT",
            template=_MEMBER,
            operation_id="moveMember",
            handler=calls.move,
            tag="cluster",
            summary="Change a member's addresses",
            description="Tells every member where it is reached from now on; nobody's vote "
            "changes.",
            query=_QUERY,
            body=MoveMemberBody,
            body_fields_min=1,
            example={"peer": "10.0.0.8:4100"},
            success=_SUCCESS,
            problems=(*_BODY, *_PROBLEMS),
        ),
    )


def _office_routes(calls: MembershipCalls) -> tuple[Route, ...]:
    return (
        Route(
            method="POST",
            template=_LEADER,
            operation_id="transferLeadership",
            handler=calls.transfer,
            tag="cluster",
            summary="Hand leadership over",
            description="Lets another member lead. No answered request is lost; writes wait for "
            "the moment that it takes.",
            query=_QUERY,
            body=TransferBody,
            body_required=False,
            example={"to": "n2"},
            success=_SUCCESS,
            problems=(*_BODY, *_PROBLEMS),
        ),
        Route(
            method="POST",
            template=_DRAIN,
            operation_id="drainMember",
            handler=calls.drain,
            tag="cluster",
            summary="Drain a member",
            description="Its /_ready says no, so that load balancers send it nothing, and it does "
            "not lead; it still votes and still serves what reaches it.",
            query=_QUERY,
            success=_SUCCESS,
            problems=_PROBLEMS,
        ),
        Route(
            method="DELETE",
            template=_DRAIN,
            operation_id="undrainMember",
            handler=calls.undrain,
            tag="cluster",
            summary="End draining a member",
            description="Its /_ready is as ever again.",
            query=_QUERY,
            success=_SUCCESS,
            problems=_PROBLEMS,
        ),
    )
