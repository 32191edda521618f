"""How a call is asked until its answer is definite: scripted nodes, virtual time."""

import random

import pytest

from gorilla.client import errors
from gorilla.client.asking import FAULTS_MAX, Answered, ask
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call, cluster, locks, sessions
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import OutcomeUnknown, Unavailable
from gorilla.wire.problems import ProblemCode as Code
from tests.support.scripted import ScriptedIo, Step, lost, ok, page, problem, refused

A, B, C = "http://a:4000", "http://b:4000", "http://c:4000"
NODES = (A, B, C)


def asked(
    io: ScriptedIo,
    call: Call[None] | None = None,
    nodes: tuple[str, ...] = NODES,
    deadline_s: float = 15.0,
    **options: bool,
) -> Answered[None]:
    return run_now(ask(io, endpoints(*nodes), call or write(), deadline_s, 6.0, **options))


def endpoints(*nodes: str) -> Endpoints:
    return Endpoints(nodes, random.Random(7))


def write() -> Call[None]:
    return locks.release("a", "secret")


def read() -> Call[None]:
    return Call(method="GET", path="/", decode=lambda _body: None)


def change() -> Call[None]:
    made = cluster.remove("n1", {})
    return Call(
        method=made.method,
        path=made.path,
        decode=lambda _body: None,
        writes=made.writes,
        repeatable=made.repeatable,
    )


def test_a_success_says_when_its_own_attempt_was_sent_and_who_answered():
    io = ScriptedIo([Step(refused(), 2.0), Step(ok(), 1.0)])

    answered = asked(io)

    assert answered.sent_s == io.attempts[1].at_s == 1_002.0
    assert answered.endpoint == io.attempts[1].endpoint
    assert answered.replayed is False


def test_a_node_that_cannot_be_reached_is_passed_over_at_once():
    io = ScriptedIo([refused(), refused(), ok()])

    asked(io)

    assert {attempt.endpoint for attempt in io.attempts} == set(NODES)
    assert io.pauses == []


def test_after_all_nodes_were_asked_it_pauses_longer_and_longer_and_at_random():
    io = ScriptedIo([refused()])

    with pytest.raises(Unavailable):
        asked(io)

    assert len(set(io.pauses)) == len(io.pauses) > 10
    assert io.pauses[0] <= 0.05
    assert 0.5 < max(io.pauses) <= 1.0


def test_a_node_that_is_not_fit_sends_on_to_the_others_before_anything_is_waited_for():
    io = ScriptedIo([problem(Code.DRAINING, retry_after=5), ok()])

    asked(io)

    assert len(io.attempts) == 2
    assert io.pauses == []


def test_retry_after_is_obeyed_once_every_node_said_no():
    io = ScriptedIo([problem(Code.NO_QUORUM, retry_after=2)] * 3 + [ok()])

    asked(io)

    assert io.pauses == [2.0]


def test_retry_after_beyond_the_deadline_leaves_time_for_a_last_attempt():
    io = ScriptedIo([problem(Code.RECOVERING, retry_after=300), ok()])

    asked(io, nodes=(A,))

    assert io.now_s() <= 1_015.0
    assert io.attempts[-1].timeout_s >= 0.5 - 1e-9


def test_what_no_node_did_is_unavailable_with_the_last_reason():
    io = ScriptedIo([refused(), problem(Code.NO_QUORUM, retry_after=1)])

    with pytest.raises(Unavailable) as caught:
        asked(io)

    assert caught.value.code == Code.NO_QUORUM
    assert caught.value.attempts == len(io.attempts)
    assert caught.value.problem is not None
    assert "no_quorum" in str(caught.value)
    assert io.now_s() <= 1_015.0


def test_a_lost_answer_is_asked_for_again_under_the_same_key_with_the_same_bytes():
    io = ScriptedIo([lost(), lost(), ok(idempotency_replayed="true")])
    call = locks.extend("a", "secret", 30)
    call = Call(method="PUT", path=call.path, body=call.body, key=call.key, writes=True,
                decode=lambda _body: None)  # fmt: skip

    answered = asked(io, call)

    assert answered.replayed
    assert len({attempt.sent for attempt in io.attempts}) == 1
    assert io.attempts[0].call.key


@pytest.mark.parametrize(
    "uncertain",
    [
        lost(),
        problem(Code.OUTCOME_UNKNOWN),
        problem(Code.INTERNAL),
        problem("brand_new", 507),
        page(500),
        page(502),
        page(503, retry_after="1"),
        page(504),
        ok(b"<html>"),
    ],
    ids=["lost", "504", "internal", "507", "500", "502", "503 of a proxy", "504 of one", "garbage"],
)
def test_once_nobody_knows_a_write_never_counts_as_not_done(uncertain):
    io = ScriptedIo([uncertain, problem(Code.NO_QUORUM, retry_after=1)])

    with pytest.raises(OutcomeUnknown) as caught:
        asked(io)

    assert caught.value.attempts == len(io.attempts) > 3


def test_a_read_that_nobody_answered_is_unavailable():
    with pytest.raises(Unavailable):
        asked(ScriptedIo([lost()]), read())


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (Code.LOCK_HELD, errors.LockHeld),
        (Code.LOCK_NOT_FOUND, errors.LockNotFound),
        (Code.WAIT_TIMEOUT, errors.WaitTimeout),
        (Code.DEADLOCK, errors.Deadlock),
        (Code.IDEMPOTENCY_CONFLICT, errors.IdempotencyConflict),
    ],
)
def test_a_refusal_under_the_key_is_definite_though_an_answer_was_lost_before(code, kind):
    with pytest.raises(kind):
        asked(ScriptedIo([lost(), problem(code)]))


@pytest.mark.parametrize(
    "refusal",
    [
        problem(Code.UNAUTHENTICATED),
        problem(Code.FORBIDDEN),
        problem(Code.INVALID_REQUEST),
        problem(Code.BODY_TOO_LARGE),
        problem(Code.QUOTA_EXCEEDED, retry_after=60),
        problem("brand_new", 409),
    ],
)
def test_a_refusal_of_one_attempt_says_nothing_of_an_earlier_one(refusal):
    io = ScriptedIo([lost(), refusal])

    with pytest.raises(OutcomeUnknown) as caught:
        asked(io)

    assert caught.value.refusal is not None
    assert len(io.attempts) == 2


def test_a_policy_that_refuses_is_an_answer_under_the_key():
    refusal = problem(Code.FORBIDDEN, policy={"prefix": "a", "rule": "owners"})

    with pytest.raises(errors.Forbidden) as caught:
        asked(ScriptedIo([lost(), refusal]))

    assert caught.value.policy is not None


def test_a_change_without_a_key_is_not_asked_again_once_it_may_have_been_made():
    io = ScriptedIo([refused(), problem(Code.STARTING), lost(), ok()])

    with pytest.raises(OutcomeUnknown):
        asked(io, change())

    assert len(io.attempts) == 3


def test_draining_a_member_is_the_same_when_it_is_asked_twice():
    assert cluster.drain("n1", {}, draining=True).repeatable
    assert cluster.remove("n1", {"dry_run": True}).repeatable
    assert not cluster.remove("n1", {}).repeatable
    assert not cluster.add("n4", "h:1", "h:2", None, {}).repeatable


def test_too_many_requests_are_asked_again_as_late_as_the_cluster_says():
    io = ScriptedIo([problem(Code.RATE_LIMITED, retry_after=3), ok()])

    asked(io)

    assert io.pauses == [3.0]


def test_a_quota_that_lasts_longer_than_the_deadline_is_told_at_once():
    io = ScriptedIo([problem(Code.QUOTA_EXCEEDED, retry_after=60, bound="sessions_max")])

    with pytest.raises(errors.QuotaExceeded) as caught:
        asked(io)

    assert caught.value.bound == "sessions_max"
    assert len(io.attempts) == 1


def test_a_quota_that_stays_full_until_the_deadline_is_told_as_that():
    with pytest.raises(errors.QuotaExceeded):
        asked(ScriptedIo([problem(Code.QUOTA_EXCEEDED, retry_after=5)]))


@pytest.mark.parametrize(
    ("call", "kind"), [(write(), OutcomeUnknown), (read(), errors.ServerError)]
)
def test_a_fault_in_the_nodes_is_not_asked_for_ever(call, kind):
    io = ScriptedIo([problem(Code.INTERNAL)])

    with pytest.raises(kind):
        asked(io, call)

    assert len(io.attempts) == FAULTS_MAX


def test_a_database_that_no_node_has_is_not_waited_for():
    io = ScriptedIo([problem(Code.ARCHIVE_UNAVAILABLE, retry_after=1)])

    with pytest.raises(Unavailable) as caught:
        asked(io, read())

    assert caught.value.code == Code.ARCHIVE_UNAVAILABLE
    assert len(io.attempts) == len(NODES)


def test_a_call_for_one_node_is_asked_there_and_once():
    io = ScriptedIo([problem(Code.STARTING, retry_after=1)])

    with pytest.raises(Unavailable):
        asked(io, read(), nodes=(B,), once=True)

    assert [attempt.endpoint for attempt in io.attempts] == [B]


def test_the_node_that_answered_is_asked_first_and_the_one_that_failed_last():
    nodes = endpoints(*NODES)
    first, second, third = nodes.order()
    nodes.good(third)
    assert nodes.order() == [third, first, second]

    nodes.failed(third)
    assert nodes.order() == [first, second, third]
    nodes.failed(first)
    assert nodes.order() == [second, third, first]
    nodes.good("http://another:1")
    assert sorted(nodes.order()) == sorted(NODES)


def test_a_node_that_failed_is_not_asked_first_again_as_long_as_another_one_serves():
    io = ScriptedIo([lost(), ok(), ok()])
    nodes = endpoints(A, B)

    for _ in range(3):
        run_now(ask(io, nodes, write(), 15.0, 6.0))
        io.pass_time(60.0)

    first, *others = [attempt.endpoint for attempt in io.attempts]
    assert first not in others


def test_many_clients_begin_at_different_nodes():
    first = {Endpoints(NODES, random.Random(seed)).order()[0] for seed in range(20)}

    assert first == set(NODES)


NO_ROOM = problem(Code.QUOTA_EXCEEDED, retry_after=5, bound="idempotency_keys_max")


def test_a_cluster_that_remembers_no_more_keys_is_asked_without_one_for_a_while(caplog):
    io = ScriptedIo([NO_ROOM, ok()])
    nodes = endpoints(A)

    run_now(ask(io, nodes, write(), 15.0, 6.0))
    run_now(ask(io, nodes, write(), 15.0, 6.0))
    io.pass_time(30.0)
    run_now(ask(io, nodes, write(), 15.0, 6.0))

    assert [attempt.call.key is not None for attempt in io.attempts] == [True, False, False, True]
    assert sum(io.pauses) < 0.1
    assert caplog.messages == [
        "the cluster remembers no more idempotency keys (idempotency_keys_max): writes go without"
    ]


def test_without_a_key_only_a_success_is_definite_once_an_answer_was_lost():
    with pytest.raises(OutcomeUnknown):
        asked(ScriptedIo([NO_ROOM, lost(), problem(Code.LOCK_NOT_FOUND)]))

    assert asked(ScriptedIo([NO_ROOM, lost(), ok()])).value is None


def test_what_must_not_be_done_twice_is_not_repeated_without_a_key():
    for call in (locks.force("a", "why"), sessions.open("o", 3)):
        io = ScriptedIo([NO_ROOM, lost(), ok()])
        with pytest.raises(OutcomeUnknown):
            asked(io, call)
        assert len(io.attempts) == 2


@pytest.mark.parametrize(
    ("script", "call"),
    [([lost(), NO_ROOM], write()), ([NO_ROOM], locks.release("a", "secret", key="mine"))],
    ids=["after an uncertain attempt", "a key of the caller's own"],
)
def test_a_key_that_may_stand_for_something_is_never_left_out(script, call):
    io = ScriptedIo(script)

    with pytest.raises((OutcomeUnknown, errors.QuotaExceeded)):
        asked(io, call)

    assert {attempt.call.key for attempt in io.attempts} == {call.key}


def test_a_problem_of_a_newer_cluster_keeps_its_code_and_its_words():
    io = ScriptedIo([problem("brand_new", 409, something={"new": 1})])

    with pytest.raises(errors.Conflict) as caught:
        asked(io)

    assert caught.value.code == "brand_new"
    assert str(caught.value) == "about brand_new"
    assert caught.value.request_id == "r-1"
    assert caught.value.problem is None


def test_what_a_newer_cluster_adds_to_an_answer_is_left_out():
    body = b'{"locks": [], "cursor": null, "brandNew": {"a": 1}}'

    answered = run_now(ask(ScriptedIo([ok(body)]), endpoints(A), locks.page(), 15.0))

    assert answered.value.locks == ()
