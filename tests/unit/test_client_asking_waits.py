"""Calls that wait for a lock: how patient each attempt is, and what another attempt asks for."""

import random

import msgspec
import pytest

from gorilla.client import errors
from gorilla.client.asking import Answered, ask
from gorilla.client.blocking import run_now
from gorilla.client.calls import groups, locks
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import OutcomeUnknown
from gorilla.wire.asking import AcquireAllBody, AcquireBody
from gorilla.wire.bodies import LockBody
from gorilla.wire.problems import ProblemCode as Code
from tests.support.scripted import Attempted, ScriptedIo, Step, lost, ok, problem, refused

LOCK = (
    b'{"id":7,"owner":"o","resource":"a","token":"t","timeout":30,"metadata":[],"createdAt":'
    b'"2025-05-04T10:11:12","updatedAt":"2025-05-04T10:11:12","expireAt":"2025-05-04T10:11:42",'
    b'"fencingToken":7}'
)
DEADLINE_S, ATTEMPT_S = 15.0, 6.0


def asked(io: ScriptedIo, wait_s: float, key: str | None = None) -> Answered[LockBody]:
    call = locks.acquire("a", AcquireBody(owner="o", timeout=30, wait=wait_s), key)
    nodes = Endpoints(["http://a:4000", "http://b:4000"], random.Random(7))
    return run_now(ask(io, nodes, call, DEADLINE_S, ATTEMPT_S))


def wait_of(attempt: Attempted) -> float:
    return msgspec.json.decode(attempt.call.body)["wait"]


def test_a_wait_comes_on_top_of_an_attempts_time():
    io = ScriptedIo([Step(ok(LOCK), 119.0)])

    assert asked(io, 120.0).value.fencing_token == 7

    assert io.attempts[0].timeout_s == 126.0


def test_a_node_that_refuses_a_wait_sends_on_what_is_left_of_it_as_a_request_of_its_own():
    io = ScriptedIo([Step(problem(Code.DRAINING), 45.0), ok(LOCK)])

    asked(io, 120.0)

    first, second = io.attempts
    assert (wait_of(first), wait_of(second)) == (120.0, 75.0)
    assert first.call.key != second.call.key
    assert second.timeout_s == 81.0


def test_a_wait_that_may_go_on_somewhere_is_asked_for_again_as_it_was():
    io = ScriptedIo([Step(lost(), 45.0), problem(Code.STARTING), ok(LOCK)])

    asked(io, 120.0)

    assert len({attempt.sent for attempt in io.attempts}) == 1
    assert io.attempts[1].timeout_s == 135.0 - 45.0, "it may wait there for all of it once more"


def test_a_wait_under_a_key_of_the_callers_own_is_never_made_another_request():
    io = ScriptedIo([Step(problem(Code.DRAINING), 45.0), ok(LOCK)])

    asked(io, 120.0, key="mine")

    assert [attempt.call.key for attempt in io.attempts] == ["mine", "mine"]
    assert [wait_of(attempt) for attempt in io.attempts] == [120.0, 120.0]


def test_a_wait_that_is_over_before_any_node_took_it_ends_as_one_that_ran_out():
    io = ScriptedIo([refused()] * 40 + [problem(Code.WAIT_TIMEOUT, waited=0.001)])

    with pytest.raises(errors.WaitTimeout):
        asked(io, 0.5)

    assert wait_of(io.attempts[-1]) == 0.001


def test_a_wait_that_is_asked_for_again_and_again_ends_with_its_deadline():
    io = ScriptedIo([Step(lost(), 25.0), Step(ok(LOCK), 1_000.0)])

    with pytest.raises(OutcomeUnknown):
        asked(io, 30.0)

    assert io.now_s() == pytest.approx(1_000.0 + 30.0 + DEADLINE_S, abs=0.51)


def test_several_locks_are_waited_for_in_the_same_way():
    body = AcquireAllBody(resources=("a", "b"), owner="o", timeout=30, wait=60)

    call = groups.acquire(body)
    shorter = call.shortened(20.0)

    assert call.wait_s == 60.0
    assert shorter.wait_s == 20.0
    assert shorter.key != call.key
    assert msgspec.json.decode(shorter.body or b"")["resources"] == ["a", "b"]


def test_a_call_without_a_wait_says_nothing_of_one():
    call = locks.acquire("a", AcquireBody(owner="o", timeout=30, wait=0))

    assert call.wait_s == 0
    assert msgspec.json.decode(call.body or b"") == {"owner": "o", "timeout": 30}


def test_a_wait_that_a_late_attempt_of_its_own_took_over_is_asked_for_again():
    replaced = problem(Code.WAIT_REPLACED)
    io = ScriptedIo([lost(), replaced, ok(LOCK)])

    assert asked(io, 10.0).value.fencing_token == 7

    assert len({attempt.call.key for attempt in io.attempts}) == 1


def test_a_wait_that_somebody_else_took_over_is_told_of():
    replaced = problem(Code.WAIT_REPLACED)

    with pytest.raises(errors.WaitReplaced):
        asked(ScriptedIo([replaced]), 10.0)
    # One attempt was given up, so only one of these may be its doing.
    with pytest.raises(OutcomeUnknown):
        asked(ScriptedIo([lost(), replaced, replaced]), 10.0)
