"""What services refuse, in the words of the contract."""

import json

import msgspec
import pytest

from gorilla.api.presenting import problem_answer
from gorilla.api.refusing import refusal, refused
from gorilla.domain import limits
from gorilla.domain.links import Link
from gorilla.domain.outcomes import (
    Clash,
    Cooling,
    Deadlock,
    Done,
    Full,
    Held,
    KeyConflict,
    Mismatch,
    NotFound,
    NotHolder,
    PolicyRefused,
    Recovering,
    Reserved,
    Rule,
    SessionNotFound,
    TimedOut,
    TtlTooShort,
)
from gorilla.wire.problem_body import ProblemBody
from gorilla.wire.problems import ProblemCode as Code

CIRCLE = Deadlock((Link("anna", "b", "bert", True), Link("bert", "a", "anna", False)))

REFUSALS: list[tuple[msgspec.Struct, Code]] = [
    (Held("anna", 41, 1_700_000_000_000, 12_500), Code.LOCK_HELD),
    (Held("anna", 41, 1_700_000_000_000, 12_500, "a"), Code.LOCK_HELD),
    (Reserved("a", "anna"), Code.LOCK_HELD),
    (NotFound(), Code.LOCK_NOT_FOUND),
    (NotHolder("anna"), Code.NOT_OWNER),
    (TtlTooShort(2_500), Code.TIMEOUT_TOO_SHORT),
    (Full("locks_max"), Code.OVERLOADED),
    (Full("fencing_token_max"), Code.OVERLOADED),
    (Full("waiters_max"), Code.QUOTA_EXCEEDED),
    (Full("idempotency_keys_max"), Code.QUOTA_EXCEEDED),
    (Recovering(2_500), Code.RECOVERING),
    (CIRCLE, Code.DEADLOCK),
    *((Mismatch("a", why, 0), Code.MODE_CONFLICT) for why in Clash),
    *((Mismatch("a", why, 7), Code.MODE_CONFLICT) for why in Clash),
    (PolicyRefused("a/", Rule.OWNERS), Code.FORBIDDEN),
    (PolicyRefused("a/", Rule.HOLDERS, 3), Code.POLICY_REFUSED),
    (Cooling("a", 2_500), Code.COOLING_DOWN),
    (SessionNotFound(), Code.SESSION_NOT_FOUND),
    (KeyConflict(), Code.IDEMPOTENCY_CONFLICT),
    (TimedOut(2_500), Code.WAIT_TIMEOUT),
]


@pytest.mark.parametrize(("outcome", "code"), REFUSALS, ids=repr)
def test_every_refusal_has_its_code_and_a_body_of_the_contract(outcome: msgspec.Struct, code: Code):
    problem = refusal(outcome)
    answer = problem_answer(problem, "id-1")

    assert problem.code is code
    body = msgspec.json.decode(answer.content, type=ProblemBody)
    assert json.loads(msgspec.json.encode(body)) == json.loads(answer.content)
    assert body.detail.endswith(".")
    retried = any(name == "Retry-After" for name, _ in answer.more_headers)
    assert retried == (answer.status in {429, 503})


def test_what_is_no_refusal_is_a_mistake():
    for outcome in (Done(), "text"):
        with pytest.raises(AssertionError):
            refusal(outcome)


def test_a_circle_is_told_in_words():
    assert str(refusal(CIRCLE)) == (
        "Waiting would close a circle: 'anna' waits for 'b', which 'bert' holds; 'bert' waits for "
        "'a', which 'anna' queued for before. Release what you hold, then start over."
    )


def test_a_conflict_says_how_the_lock_is_held_and_the_remedy():
    shared = refusal(Mismatch("a", Clash.SLOTS, 0))
    counted = refusal(Mismatch("a", Clash.SLOTS, 7))

    assert "mode shared" in str(shared)
    assert "a limit of 7" in str(counted)
    assert "release it first" in str(refusal(Mismatch("a", Clash.UPGRADE, 0)))
    conflict = msgspec.to_builtins(counted.extra["conflict"])
    assert conflict == {"resource": "a", "why": "slots", "mode": "exclusive", "limit": 7}


def test_an_answer_that_is_given_again_says_so():
    again = refused(NotFound(), replayed=True)
    first = refused(NotFound(), replayed=False)

    assert problem_answer(again, "id").more_headers == (("Idempotency-Replayed", "true"),)
    assert problem_answer(first, "id").more_headers == ()


def test_a_policy_names_its_rule_as_its_body_does():
    problem = refusal(PolicyRefused("a/", Rule.HOLDERS, limits.SLOTS_MAX))

    assert msgspec.to_builtins(problem.extra["policy"]) == {
        "prefix": "a/",
        "rule": "maxHolders",
        "allowed": limits.SLOTS_MAX,
    }
