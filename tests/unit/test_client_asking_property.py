"""Whatever nodes do: a write is never told to have failed when it may not have.

Proved by hand: each of these, put into ``gorilla.client.asking``, is found. Every refusal counts as
kept, or those without a key do; a lost answer does not count as uncertain, nor does a 502, a 503
of a proxy, or a garbled success; a wait is shortened after an uncertain attempt; an attempt, or a
pause, takes longer than what is left; a change without a key is asked again; ``sent_s`` is late.
"""

import random
from dataclasses import replace
from typing import Any

from hypothesis import given, settings, strategies as st

from gorilla.client.asking import KEPT, Answered, ask
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call, cluster, locks
from gorilla.client.calls.call import decoder
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import GorillaError, OutcomeUnknown, RequestRefused, Unavailable
from gorilla.client.ports import HttpAnswer, NotSent
from gorilla.wire.asking import AcquireBody
from gorilla.wire.bodies import LockBody
from gorilla.wire.problems import PROBLEMS, ProblemCode as Code
from tests.support.scripted import Outcome, ScriptedIo, Step, lost, ok, page, problem, refused
from tests.unit.test_client_asking_waits import LOCK

COMMON: list[Outcome] = [
    ok(LOCK),
    ok(b'{"members": "garbled'),
    lost(),
    refused(),
    page(503),
    problem(Code.NO_QUORUM, retry_after=1),
    problem(Code.LOCK_HELD),
    problem(Code.OUTCOME_UNKNOWN),
    problem(Code.QUOTA_EXCEEDED, retry_after=5, bound="idempotency_keys_max"),
]
RARE: list[Outcome] = [
    *(page(status) for status in (302, 404, 500, 502, 504)),
    problem("brand_new", 409),
    problem("brand_new", 503),
    problem(Code.QUOTA_EXCEEDED, retry_after=5),
    *map(problem, Code),
]
times = st.one_of(st.just(0.01), st.floats(0.0, 30.0))
steps = st.builds(Step, st.one_of(st.sampled_from(COMMON), st.sampled_from(RARE)), times)


def is_success(outcome: Outcome) -> bool:
    return isinstance(outcome, HttpAnswer) and outcome.body == LOCK


def may_have_acted(outcome: Outcome) -> bool:
    """Return what the contract says of an answer alone."""
    if isinstance(outcome, NotSent):
        return False
    if not isinstance(outcome, HttpAnswer):
        return True
    is_problem = outcome.headers.get("content-type") == "application/problem+json"
    if outcome.status == 503:
        return not is_problem
    return outcome.status >= 500 or (outcome.status == 200 and not is_success(outcome))


def call_of(kind: str, wait_s: float) -> Call[LockBody]:
    body = AcquireBody(owner="o", timeout=30, wait=wait_s)
    calls: dict[str, Call[Any]] = {
        "acquire": locks.acquire("a", body),
        "own key": locks.acquire("a", body, "mine"),
        "change": replace(cluster.transfer(None, {}), decode=decoder(LockBody)),
        "drain": replace(cluster.drain("n", {}, draining=True), decode=decoder(LockBody)),
        "read": locks.status("a", "t"),
    }
    return calls[kind]


def what_became_of(script: list[Step], io: ScriptedIo) -> list[Outcome]:
    """Each attempt's step, unless that took longer than the attempt had."""
    became: list[Outcome] = []
    for number, attempt in enumerate(io.attempts):
        step = script[min(number, len(script) - 1)]
        became.append(lost() if step.took_s > attempt.timeout_s else step.outcome)
    return became


@settings(max_examples=500, deadline=None)
@given(
    script=st.lists(steps, min_size=1, max_size=25),
    kind=st.sampled_from(["acquire", "own key", "change", "drain", "read"]),
    wait_s=st.sampled_from([0.0, 5.0, 40.0]),
    deadline_s=st.floats(0.05, 30.0),
    nodes=st.integers(1, 3),
    seed=st.integers(0, 1_000),
)
def test_what_is_told_of_a_call_is_so(script, kind, wait_s, deadline_s, nodes, seed):
    io, call = ScriptedIo(script), call_of(kind, wait_s)
    endpoints = Endpoints([f"http://n{number}" for number in range(nodes)], random.Random(seed))
    started_s = io.now_s()
    result: Answered[LockBody] | GorillaError
    try:
        result = run_now(ask(io, endpoints, call, deadline_s, 6.0))
    except GorillaError as error:
        result = error

    became = what_became_of(script, io)
    uncertain = [number for number, one in enumerate(became) if may_have_acted(one)]

    asked_last = io.attempts[-1].call
    check_told(result, asked_last, became[-1], is_uncertain=bool(uncertain) and call.writes)
    if isinstance(result, Answered):
        assert result.sent_s == io.attempts[-1].at_s
    check_requests(io, uncertain, kind, wait_s)
    assert io.now_s() <= started_s + deadline_s + call.wait_s + 1e-6


def check_told(
    result: Answered[LockBody] | GorillaError,
    call: Call[LockBody],
    last: Outcome,
    *,
    is_uncertain: bool,
) -> None:
    if isinstance(result, Answered):
        assert is_success(last)
    elif not is_uncertain:
        assert isinstance(result, RequestRefused | Unavailable)
    elif isinstance(result, RequestRefused):
        assert call.key is not None
        assert result.code in KEPT
    else:
        assert isinstance(result, OutcomeUnknown)


def check_requests(io: ScriptedIo, uncertain: list[int], kind: str, wait_s: float) -> None:
    sent = [attempt.sent for attempt in io.attempts]
    if uncertain:
        assert len(set(sent[uncertain[0] :])) == 1, "another request after one that may have acted"
    if kind != "acquire" or not wait_s:
        assert len({request[:-1] for request in sent}) == 1, "another request"
        assert len(set(sent)) <= 2, "one key, or none"
    if kind == "own key":
        assert {attempt.call.key for attempt in io.attempts} == {"mine"}
    if kind == "change" and uncertain:
        assert uncertain == [len(sent) - 1], "asked again without a key"


def test_every_code_that_a_key_keeps_says_that_nothing_was_done():
    assert {PROBLEMS[code].status for code in KEPT} == {404, 409}
