"""What the client raises: one class for every code, attributes that may be absent, and copies."""

import pickle

import pytest

from gorilla.client import errors
from gorilla.client.errors import (
    AlreadyHeld,
    ClosedError,
    ForkedError,
    GorillaError,
    LockLost,
    LossReason,
    OutcomeUnknown,
    RequestRefused,
    SessionLost,
    Unavailable,
)
from gorilla.client.refusals import KINDS, raised, refusal_of
from gorilla.wire.problems import PROBLEMS, ProblemCode as Code
from tests.support.scripted import page, problem


def refused(code: Code, **extra: object) -> RequestRefused:
    refusal = refusal_of(problem(code, **extra))
    assert refusal is not None
    return raised(refusal)


def test_every_code_has_a_class_that_says_whether_anything_was_done():
    assert set(KINDS) == set(Code)
    for code, kind in KINDS.items():
        status = PROBLEMS[code].status
        assert issubclass(kind, GorillaError)
        assert (kind is Unavailable) == (status == 503)
        assert (kind is OutcomeUnknown) == (status == 504)
        assert issubclass(kind, errors.Conflict) == (status == 409)
        assert issubclass(kind, errors.NotFound) == (status == 404)


@pytest.mark.parametrize("code", [code for code in Code if PROBLEMS[code].status < 500])
def test_a_refusal_has_the_code_the_words_and_the_request_of_its_answer(code):
    error = refused(code)

    assert type(error) is KINDS[code]
    assert (error.code, error.status) == (code, PROBLEMS[code].status)
    assert str(error) == error.detail == f"about {code}"
    assert error.request_id == "r-1"
    assert error.problem is not None


def test_what_an_answer_does_not_say_is_none_or_empty():
    held = refused(Code.LOCK_HELD)
    assert isinstance(held, errors.LockHeld)
    assert (held.holder, held.explain, held.reserved_for, held.resource) == (None,) * 4
    assert held.retry_after_s is None
    circle = refused(Code.DEADLOCK)
    assert isinstance(circle, errors.Deadlock)
    assert circle.cycle == ()
    invalid = refused(Code.INVALID_REQUEST)
    assert isinstance(invalid, errors.InvalidRequest)
    assert invalid.errors == ()


def test_what_an_answer_says_is_an_attribute():
    holder = {"owner": "anna", "expireAt": "2025-05-04T10:11:12", "fencingToken": 4}
    held = refused(Code.LOCK_HELD, holder=holder, retryAfter=2.5, reservedFor="bert", resource="a")
    assert isinstance(held, errors.LockHeld)
    assert held.holder is not None
    assert held.holder.fencing_token == 4
    assert (held.retry_after_s, held.reserved_for, held.resource) == (2.5, "bert", "a")

    link = {"owner": "a", "waitsFor": "x", "heldBy": "b", "holds": True}
    circle = refused(Code.DEADLOCK, cycle=[link])
    assert isinstance(circle, errors.Deadlock)
    assert circle.cycle[0].waits_for == "x"

    short = refused(Code.TIMEOUT_TOO_SHORT, remaining=7)
    assert isinstance(short, errors.TimeoutTooShort)
    assert short.remaining_s == 7

    change = refused(Code.CHANGE_REFUSED, reason="not_ready")
    assert isinstance(change, errors.ChangeRefused)
    assert (change.reason, change.checks) == ("not_ready", ())

    rule = {"prefix": "p", "rule": "maxHolders", "allowed": 2}
    policy = refused(Code.POLICY_REFUSED, policy=rule)
    assert isinstance(policy, errors.PolicyRefused)
    assert policy.policy is not None
    assert policy.policy.allowed == 2


def test_retry_after_of_a_header_counts_where_the_answer_says_nothing():
    refusal = refusal_of(problem(Code.RATE_LIMITED, retry_after=7))

    assert refusal is not None
    assert refusal.retry_after_s == 7.0


@pytest.mark.parametrize("text", ["Wed, 21 Oct 2015 07:28:00 GMT", "-1", "1e9", "", "²"])
def test_a_retry_after_that_is_no_number_of_seconds_is_none(text):
    answer = problem(Code.RATE_LIMITED)
    answer.headers["retry-after"] = text  # type: ignore[index]

    refusal = refusal_of(answer)

    assert refusal is not None
    assert refusal.retry_after_s is None


@pytest.mark.parametrize(
    "answer",
    [
        page(409, b'{"code": "lock_held", "status": 409}'),
        problem(Code.LOCK_HELD, status=403),
        problem("", 409),
    ],
    ids=["another media type", "another status", "no code"],
)
def test_what_does_not_say_what_a_problem_says_is_none_of_gorillas(answer):
    if answer.status == 403:
        answer = type(answer)(409, answer.headers, answer.body)

    assert refusal_of(answer) is None


@pytest.mark.parametrize(
    "error",
    [
        refused(Code.LOCK_HELD, retryAfter=1),
        Unavailable("no node", refused(Code.DEADLOCK).refusal, 3),
        OutcomeUnknown("nobody knows", None, 2),
        LockLost("a", 7, LossReason.EXPIRED),
        SessionLost("s", 0, LossReason.NOT_FOUND),
        AlreadyHeld("a", "anna"),
        ForkedError(),
        ClosedError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_an_error_comes_out_of_a_pool_of_processes_as_it_went_in(error):
    copy = pickle.loads(pickle.dumps(error))

    assert type(copy) is type(error)
    assert str(copy) == str(error) != ""
    assert copy.args == error.args
    assert repr(copy) == f"{type(error).__name__}({str(error)!r})"


def test_a_lost_lock_says_which_it_was_and_why():
    error = LockLost("orders/42", 7, LossReason.EXPIRED)

    assert str(error) == (
        "'orders/42' (fencing token 7) is not held any more: its time is over, and it could not be "
        "extended"
    )
    assert {reason.value for reason in LossReason} == {
        "expired", "not_found", "session", "lifetime", "released", "closed",
    }  # fmt: skip
