"""The checker of what is shown rejects answers that are not so, of small logs."""

from typing import Any

import pytest
from msgspec.structs import replace

from gorilla.domain.commands import AskRelease, Renew
from gorilla.domain.events import Extended, ReleaseAsked
from gorilla.domain.explaining import ExplainedHolder, Explanation
from gorilla.domain.links import Link
from gorilla.domain.outcomes import ReleaseWished, Renewed, Wish
from gorilla.domain.waiters import Waiter
from gorilla.service.locks import LeasePage, LeaseView, LockView
from gorilla.service.reading import WaiterView
from gorilla.service.repairs import NumberCheck
from tests.support.sim.checkers import views
from tests.support.sim.history import Look, Looked
from tests.support.sim.lock_log import SHARED
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import Log, acquire, lease_of

ANN, BOB = acquire("ann"), acquire("bob")
HELD = LeaseView(lease_of(ANN, "r", 1), 500, 9_000, holders=1, waiting=1)
BEHIND = Waiter(2, "n0/1", ("r",), "bob", 0, "s", 1, 1_000, b"", "", False, 0, 0, 5_000)
LINK = Link("bob", "r", "ann", holds=True)


def queued() -> Log:
    """Return a log in which ann holds r and bob waits for it, at entry 2."""
    log = Log()
    log.grant(ANN, 1)
    log.queue(BOB, 2)
    return log


def look(log: Log, answer: Any, *, index: int = 2, **more: Any) -> list[str]:
    """Return what is objected to an answer of what was so at an entry."""
    kinds = {LockView: Looked.SHOW, LeasePage: Looked.LIST, NumberCheck: Looked.CHECK}
    values: dict[str, Any] = {"lock": "r", "owner": None, "number": 1, "is_stale": False}
    values |= {"node": "n0", "invoked_at": 0.0} | more
    kind = kinds.get(type(answer), Looked.EXPLAIN)
    log.history.looks.append(Look(kind=kind, index=index, answer=answer, **values))
    return objections(views.check, log.history)


def waiter(ticket: int, holder: str, position: int) -> WaiterView:
    return WaiterView(replace(BEHIND, ticket=ticket, holder=holder), position)


SHOWN = LockView(
    lock="r", held=True, holders=(HELD,), waiters=(waiter(2, "bob", 1),), fencing_token=1
)


def test_what_is_so_is_fine():
    assert not look(queued(), SHOWN)


@pytest.mark.parametrize(
    "wrong",
    [
        {"holders": ()},
        {"held": False},
        {"waiters": ()},
        {"waiters": (waiter(2, "bob", 2),)},
        {"waiters": (waiter(2, "cay", 1),)},
        {"fencing_token": 2},
        {"fencing_token": None},
        {"slots": SHARED},
        {"holders": (LeaseView(replace(HELD.lease, wish=Wish("cay", "", 0)), 500, 9_000),)},
    ],
)
def test_a_lock_that_is_shown_otherwise_is_found(wrong):
    assert look(queued(), replace(SHOWN, **wrong))


def test_an_answer_is_of_the_entry_that_the_node_had_applied():
    before = replace(SHOWN, waiters=())

    assert not look(queued(), before, index=1)
    assert look(queued(), SHOWN, index=1)


@pytest.mark.parametrize(("is_stale", "is_found"), [(False, True), (True, False)])
def test_an_old_answer_is_found_where_the_latest_was_asked_for(is_stale: bool, is_found: bool):
    before = replace(SHOWN, waiters=())

    found = look(queued(), before, index=1, invoked_at=0.003, is_stale=is_stale)

    assert bool(found) is is_found


@pytest.mark.parametrize(
    ("page", "is_found"),
    [
        (LeasePage(leases=(HELD,)), False),
        (LeasePage(leases=()), True),
        (LeasePage(leases=(), cursor="r"), True),
        (LeasePage(leases=(replace(HELD, waiting=0),)), True),
        (LeasePage(leases=(HELD, HELD)), True),
    ],
)
def test_a_page_that_lacks_something_is_found(page: LeasePage, is_found: bool):
    assert bool(look(queued(), page, lock="")) is is_found


@pytest.mark.parametrize(
    ("told", "is_found"),
    [((True, True, 1), False), ((False, True, 1), True), ((True, True, None), True)],
)
def test_a_number_that_is_judged_wrongly_is_found(told, is_found: bool):
    assert bool(look(queued(), NumberCheck(*told))) is is_found


HOLDER = ExplainedHolder(
    holder="ann", since_wall_ms=0, until_wall_ms=0, remaining_ms=500, held_ms=0, reason="",
    fencing_token=1, slots=1, waits_for=(),
)  # fmt: skip
EXPLAINED = Explanation(
    lock="r", owner="bob", held=True, position=1, holders=(HOLDER,), sentence="'ann' holds 'r'."
)


@pytest.mark.parametrize(
    "wrong",
    [
        {"position": 2},
        {"position": None, "ahead": 1},
        {"ready": True},
        {"holders": ()},
        {"own_ms": 500},
        {"cooling_ms": 10},
        {"sentence": "'cay' holds 'r'."},
        {"holders": (replace(HOLDER, waits_for=(Link("ann", "s", "cay", holds=True),)),)},
    ],
)
def test_an_explanation_that_is_none_is_found(wrong):
    assert not look(queued(), EXPLAINED, owner="bob")
    assert look(queued(), replace(EXPLAINED, **wrong), owner="bob")


@pytest.mark.parametrize(
    ("chain", "is_found"), [((LINK,), False), ((), True), ((LINK, LINK), True)]
)
def test_what_keeps_the_first_in_the_queue_is_to_be_told_as_it_is(chain, is_found: bool):
    told = replace(EXPLAINED, owner="cay", position=None, ahead=1, first_waits_for=chain)

    assert bool(look(queued(), told, owner="cay")) is is_found


def test_a_holder_beside_whom_there_is_room_keeps_nobody():
    log = Log()
    log.grant(acquire("ann", "r", slots=2), 1)
    log.grant(acquire("cay", "s", slots=2), 2)
    log.grant(acquire("dan", "s", slots=2), 3)
    log.queue(acquire("bob", "r", "s", slots=2), 4)
    link = Link("bob", "s", "cay", holds=True)
    holder = replace(HOLDER, slots=2)
    told = replace(EXPLAINED, owner="eve", position=None, ahead=1, holders=(holder,))

    assert not look(log, replace(told, first_waits_for=(link,)), index=4, owner="eve")
    assert look(log, replace(told, first_waits_for=(LINK,)), index=4, owner="eve")


def asked(log: Log, *holders: str, number: int = 1) -> None:
    event = ReleaseAsked(*log.fields("r", "ann"), number, "bob", "mine")
    log.do(AskRelease("r", "bob", "mine"), ReleaseWished(holders), event)


def extended(log: Log, wish: Wish | None) -> list[str]:
    lease = replace(lease_of(ANN, "r", 1), wish=wish)
    event = Extended(*log.fields("r", "ann"), 1, 1_000)
    log.do(Renew("r", "s-ann", "t", 1_000), Renewed(lease, 1_000), event)
    return objections(views.check, log.history)


@pytest.mark.parametrize(("holders", "number"), [((), 1), (("cay",), 1), (("ann",), 7)])
def test_a_holder_that_is_not_asked_is_found(holders, number: int):
    log = queued()
    asked(log, *holders, number=number)

    assert objections(views.check, log.history)


@pytest.mark.parametrize(
    ("wish", "is_found"),
    [(Wish("bob", "mine", 0), False), (None, True), (Wish("bob", "yours", 0), True)],
)
def test_a_wish_that_is_not_told_at_the_next_extension_is_found(wish, is_found: bool):
    log = queued()
    asked(log, "ann")

    assert bool(extended(log, wish)) is is_found
