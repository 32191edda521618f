"""Calls whose endpoints are not all nodes: something else is at an address, or in the way."""

import random

import pytest

from gorilla.client import errors
from gorilla.client.asking import Answered, ask
from gorilla.client.blocking import run_now
from gorilla.client.calls import Call, locks
from gorilla.client.endpoints import Endpoints
from gorilla.client.errors import OutcomeUnknown, Unavailable
from gorilla.wire.problems import ProblemCode as Code
from tests.support.scripted import ScriptedIo, lost, ok, page, problem, refused

NODES = ("http://a:4000", "http://b:4000", "http://c:4000")
WRITE = locks.release("a", "secret")
READ = Call(method="GET", path="/", decode=lambda _body: None)


def asked(io: ScriptedIo, call: Call[None] = WRITE) -> Answered[None]:
    return run_now(ask(io, Endpoints(NODES, random.Random(7)), call, 15.0, 6.0))


@pytest.mark.parametrize("status", [301, 400, 404, 405, 418])
def test_something_else_at_all_addresses_is_told_as_that(status):
    io = ScriptedIo([page(status)])

    with pytest.raises(errors.UnexpectedAnswer, match="none of Gorilla's") as caught:
        asked(io)

    assert caught.value.status == status
    assert len(io.attempts) == len(NODES)


@pytest.mark.parametrize("call", [WRITE, READ])
def test_something_else_at_one_of_the_addresses_is_passed_over(call):
    io = ScriptedIo([page(404), ok()])

    assert asked(io, call).endpoint == io.attempts[1].endpoint


def test_a_refusal_after_something_else_is_definite():
    with pytest.raises(errors.LockNotFound):
        asked(ScriptedIo([page(404), problem(Code.LOCK_NOT_FOUND)]))


def test_something_else_at_an_address_while_no_node_answers_is_no_refusal():
    with pytest.raises(Unavailable):
        asked(ScriptedIo([page(404), refused()]))


def test_something_else_says_nothing_of_an_earlier_attempt():
    with pytest.raises(OutcomeUnknown) as caught:
        asked(ScriptedIo([lost(), page(404)]))

    assert caught.value.refusal is not None
