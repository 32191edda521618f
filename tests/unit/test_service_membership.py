"""Changes of the cluster: answered in time, truthfully, and bounded in number."""

import asyncio
import logging

import pytest
from typing_extensions import override

from gorilla.service.errors import (
    ChangeRefusedError,
    DrainingError,
    MemberNotFoundError,
    NoLeaderError,
    OutcomeUnknownError,
    OverloadedError,
)
from gorilla.service.membership import ANSWER_S, CHANGES_MAX, MembershipService
from gorilla.service.ports import AddMember, Change, RemoveMember, TransferLeadership
from tests.support.membership import MemoryMembership
from tests.support.service import on_virtual_time, turns

ADD = AddMember(name="n4", peer="127.0.0.1:4104", http="127.0.0.1:4004")


def _service(membership: MemoryMembership) -> MembershipService:
    return MembershipService(membership, asyncio.get_running_loop())


@on_virtual_time
async def test_the_port_is_told_all_that_the_caller_said_and_when_to_give_up() -> None:
    membership = MemoryMembership()
    now_s = asyncio.get_running_loop().time()

    await _service(membership).change(ADD, timeout_s=30.0, force=True)
    await _service(membership).change(RemoveMember(member="n4"), timeout_s=5.0, dry_run=True)

    assert membership.asked == [
        (ADD, True, False, now_s + 30.0),
        (RemoveMember(member="n4"), False, True, now_s + 5.0),
    ]


@on_virtual_time
async def test_a_change_that_got_no_answer_in_time_is_unknown() -> None:
    membership = MemoryMembership()
    membership.hold.clear()
    loop = asyncio.get_running_loop()
    began_s = loop.time()

    with pytest.raises(OutcomeUnknownError):
        await _service(membership).change(ADD, timeout_s=30.0)

    assert loop.time() - began_s == pytest.approx(30.0 + ANSWER_S, abs=0.01)


@on_virtual_time
async def test_a_dry_run_that_got_no_answer_in_time_did_nothing() -> None:
    membership = MemoryMembership()
    membership.hold.clear()

    with pytest.raises(NoLeaderError):
        await _service(membership).change(ADD, timeout_s=30.0, dry_run=True)


@on_virtual_time
async def test_an_answer_right_at_the_deadline_is_still_given() -> None:
    membership = MemoryMembership()
    membership.hold.clear()
    asyncio.get_running_loop().call_later(30.0 + ANSWER_S / 2, membership.hold.set)

    report = await _service(membership).change(ADD, timeout_s=30.0)

    assert report.done


@on_virtual_time
async def test_changes_that_wait_are_bounded_and_make_room_when_they_end() -> None:
    membership = MemoryMembership()
    service = _service(membership)
    membership.hold.clear()
    waiting = [
        asyncio.ensure_future(service.change(TransferLeadership(), timeout_s=30.0))
        for _ in range(CHANGES_MAX)
    ]
    await turns()

    with pytest.raises(OverloadedError):
        await service.change(TransferLeadership(), timeout_s=30.0)
    membership.hold.set()
    await asyncio.gather(*waiting)

    assert (await service.change(TransferLeadership(), timeout_s=30.0)).done


@on_virtual_time
async def test_a_change_that_failed_makes_room_too() -> None:
    membership = MemoryMembership()
    service = _service(membership)

    for _ in range(CHANGES_MAX + 1):
        with pytest.raises(MemberNotFoundError):
            await service.change(RemoveMember(member="nobody"), timeout_s=30.0)


@on_virtual_time
async def test_a_stopping_node_takes_no_change_and_answers_those_under_way() -> None:
    membership = MemoryMembership()
    service = _service(membership)
    membership.hold.clear()
    under_way = asyncio.ensure_future(service.change(ADD, timeout_s=30.0))
    await turns()

    service.stop()
    with pytest.raises(DrainingError):
        await service.change(TransferLeadership(), timeout_s=30.0)
    membership.hold.set()

    assert (await under_way).done
    assert len(membership.asked) == 1


@on_virtual_time
async def test_refusals_come_through_as_they_are() -> None:
    membership = MemoryMembership(count=1)

    with pytest.raises(ChangeRefusedError) as refused:
        await _service(membership).change(RemoveMember(member="n1"), timeout_s=30.0)

    assert refused.value.reason == "last_member"


def test_what_was_changed_stands_in_the_log_and_a_dry_run_does_not(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def change() -> None:
        service = _service(MemoryMembership())
        await service.change(RemoveMember(member="n3"), timeout_s=30.0, dry_run=True)
        await service.change(RemoveMember(member="n2"), timeout_s=30.0)

    with caplog.at_level(logging.INFO, "gorilla.service.membership"):
        asyncio.run(change())

    assert [record.getMessage() for record in caplog.records] == [
        "the cluster was changed: n2 was removed"
    ]


def test_a_change_that_was_in_force_already_is_no_line_of_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    class InForce(MemoryMembership):
        @override
        def _steps(self, change: Change) -> tuple[str, ...]:
            return ()

    async def change() -> None:
        report = await _service(InForce()).change(RemoveMember(member="n2"), timeout_s=30.0)
        assert report.done

    with caplog.at_level(logging.INFO, "gorilla.service.membership"):
        asyncio.run(change())

    assert caplog.records == []
