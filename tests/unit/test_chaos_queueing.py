"""What judges the clients that queue under faults finds what it is there to find."""

import math

import pytest

from tests.support.chaos.judge import judge
from tests.support.chaos.queue_judge import figures, grants, judge_queues
from tests.support.chaos.queueing import Call, left_in
from tests.support.chaos.workload import BALANCED

HEALED_AT = 20.0


def queued(owner: str, fencing: int = 0, *, sent: float = 0.0, told: float = 1.0, **more) -> Call:
    """Make a call that was seen in the queue of ``db`` in between, if ``seen`` says when."""
    seen = more.pop("seen", None)
    resources = more.pop("resources", ("db",))
    call = Call(
        owner=owner,
        resources=resources,
        node=more.pop("node", BALANCED),
        sent_at=sent,
        wait_s=5.0,
        timeout_s=4.0,
        asked=more.pop("asked", 1),
        status=200 if fencing else 409,
        answered_at=told,
        fencing=(fencing,) * len(resources) if fencing else (),
        certain_until=more.pop("until", told) if fencing else -math.inf,
        **more,
    )
    if seen is not None:
        call.queued_at = dict.fromkeys(resources, seen)
    return call


def found(*calls: Call) -> str:
    violations, _ = judge([], grants(calls))
    return "\n".join([*violations, *judge_queues(calls, HEALED_AT)])


def test_callers_who_are_served_one_after_the_other_break_nothing():
    anna = queued("anna", 1, told=1.0, until=2.0)
    bert = queued("bert", 2, sent=0.5, told=2.1, until=3.0, seen=1.0)
    carl = queued("carl", 3, sent=1.5, told=3.1, until=4.0, seen=2.0)

    assert found(anna, bert, carl, queued("dora", told=6.0)) == ""
    assert figures([anna, bert, carl])["pairs in order"] == 1


# -- who holds together


def test_two_who_both_rely_on_a_lock_they_queued_for_are_seen():
    anna, bert = queued("anna", 1, told=1.0, until=3.0), queued("bert", 2, told=2.0, until=4.0)

    assert "two certain holders" in found(anna, bert)


def test_sharers_hold_together_and_one_that_wants_it_alone_does_not():
    anna = queued("anna", 1, told=1.0, until=5.0, is_shared=True)
    bert = queued("bert", 2, told=2.0, until=5.0, is_shared=True)
    carl = queued("carl", 3, told=3.0, until=5.0)

    assert found(anna, bert) == ""
    assert "two certain holders" in found(anna, bert, carl)


def test_as_many_hold_as_the_limit_says_and_no_more():
    own = [queued(f"o{at}", at, told=float(at), until=9.0, limit=2) for at in (1, 2, 3)]

    assert found(*own[:2]) == ""
    assert "3 certain holders of 2" in found(*own)


def test_a_lock_that_was_got_among_several_is_held_like_any_other():
    anna = queued("anna", 1, told=1.0, until=5.0, resources=("other", "db"))
    bert = queued("bert", 2, told=2.0, until=5.0)

    assert "db: two certain holders" in "\n".join(judge_queues([anna, bert], HEALED_AT))


# -- numbers and order


@pytest.mark.parametrize("number", [6, 7])
def test_a_number_that_goes_back_or_comes_twice_is_seen_across_queues(number):
    anna = queued("anna", 7, told=1.0)
    bert = queued("bert", number, sent=2.0, told=3.0, resources=("another",))

    assert "fencing: " in found(anna, bert)


def overtaking(**more) -> tuple[Call, Call]:
    """Anna was seen in the queue before Bert was sent, and got the greater number."""
    anna = queued("anna", 9, sent=0.0, seen=1.0, told=5.0, **more)
    return anna, queued("bert", 8, sent=1.1, told=4.0, **more)


def test_who_overtakes_a_caller_that_was_seen_in_the_queue_is_found():
    assert "overtook" in found(*overtaking())


def test_an_order_that_is_not_certain_is_not_judged():
    anna, bert = overtaking()
    bert.sent_at = 0.9

    assert found(anna, bert) == ""
    assert found(*overtaking(asked=2)) == ""
    assert found(*overtaking(is_shared=True)) == ""
    assert found(*overtaking(limit=2)) == ""


# -- keys


@pytest.mark.parametrize("second", [(200, "", (2,)), (409, "wait_timeout", ())])
def test_one_key_that_has_two_effects_is_found(second):
    anna = queued("anna", 1, key="k", asked=2, answers=[(200, "", (1,)), second])
    bert = queued("bert", 3, key="l", sent=2.0, told=3.0, asked=2, answers=[(200, "", (3,))] * 2)

    assert "one key, several answers" in found(anna)
    assert found(bert) == ""


# -- who is forgotten


def test_who_is_neither_served_nor_told_is_found_unless_a_fault_may_be_why():
    assert "neither served nor told" in found(queued("anna", overdue_at=HEALED_AT + 9.0))
    assert found(queued("bert", overdue_at=HEALED_AT + 1.0)) == ""


def view(waiters: list[str], holders: list[str]) -> dict[str, dict]:
    return {
        "db": {
            "waiters": [{"owner": owner} for owner in waiters],
            "holders": [{"owner": owner} for owner in holders],
        }
    }


def test_a_waiter_who_is_left_in_the_queue_is_found():
    assert list(left_in(view([], ["anna"]), [], set())) == []
    assert "anna is left" in next(left_in(view(["anna"], []), [], set()))
    assert "no view" in next(left_in({"db": None}, [], set()))


def test_a_lock_of_somebody_who_hung_up_is_found_unless_its_node_was_killed():
    own = [queued("anna", hung_up_at=3.0, node="n1"), queued("bert", hung_up_at=3.0)]
    held = view([], ["anna", "bert"])

    assert len(list(left_in(held, own, set()))) == 2
    assert "bert hung up" in next(left_in(held, own[1:], set()))
    assert list(left_in(held, own, {"n1"})) == []
    assert ["anna" in text for text in left_in(held, own, {"n2"})] == [True]
