"""What judges the faults on real processes finds what it is there to find."""

import dataclasses
import math

import pytest

from tests.support.chaos.availability import Minority, first_success, longest_gap
from tests.support.chaos.judge import judge
from tests.support.chaos.machine import FOREIGN_AT_START_MAX, FOREIGN_MAX, LATE_S_MAX, Business
from tests.support.chaos.report import Report, markdown
from tests.support.chaos.round import Verdict
from tests.support.chaos.workload import BALANCED, Workload
from tests.support.sim.history import Kind, Operation, Result

IDLE = Business(load=0.1, foreign=0.0, late_s=0.0)


class Story:
    """A history told step by step; every operation is answered 0.1 s after it was asked."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def says(self, kind: Kind, result: Result, at: float, client: str = "anna", **more: object):
        timeout_s = more.pop("timeout_s", 10.0)
        one = Operation(
            number=len(self.operations) + 1,
            client=client,
            kind=kind,
            resource=str(more.pop("resource", "r")),
            node=str(more.pop("node", BALANCED)),
            invoked_at=at,
            returned_at=math.inf if result is Result.UNKNOWN else at + 0.1,
            result=result,
            **more,
        )
        if kind in {Kind.ACQUIRE, Kind.RENEW}:
            one.certain_until = at + timeout_s
        self.operations.append(one)
        return one

    def grant(self, at: float, client: str, fencing: int, **more: object):
        token = f"token-{client}-{fencing}"
        return self.says(
            Kind.ACQUIRE, Result.GRANTED, at, client, fencing=fencing, given_token=token, **more
        )

    def release(self, at: float, granted: Operation, result: Result = Result.RELEASED):
        token = granted.given_token
        return self.says(Kind.RELEASE, result, at, granted.client, token=token)


@pytest.fixture
def story():
    return Story()


def found(story: Story) -> str:
    violations, undecided = judge(story.operations)
    assert undecided == []
    return "\n".join(violations)


def test_a_history_without_fault_is_none(story):
    first = story.grant(0.0, "anna", 1)
    story.says(Kind.LOOK, Result.HELD, 1.0, "carl", holder="anna", fencing=1)
    story.release(2.0, first)
    story.says(Kind.LOOK, Result.FREE, 3.0, "carl")
    story.grant(4.0, "bert", 2)

    assert found(story) == ""


def test_two_owners_who_both_rely_on_one_lock_are_an_overlap(story):
    story.grant(0.0, "anna", 1)
    story.grant(5.0, "bert", 2)

    assert "overlap: two certain holders" in found(story)


def test_a_grant_after_the_lease_of_the_other_is_none(story):
    story.grant(0.0, "anna", 1, timeout_s=4.0)
    story.grant(4.5, "bert", 2)

    assert found(story) == ""


def test_an_acknowledged_grant_that_nobody_knows_any_more_is_lost(story):
    granted = story.grant(0.0, "anna", 1)
    story.says(Kind.STATUS, Result.NOT_FOUND, 2.0, "anna", token=granted.given_token)

    assert "acknowledged: the token of" in found(story)


def test_an_acknowledged_grant_that_others_do_not_see_is_lost(story):
    story.grant(0.0, "anna", 1)
    story.says(Kind.LOOK, Result.FREE, 2.0, "carl")

    assert "acknowledged: " in found(story)


def test_a_release_that_was_answered_and_is_undone_is_seen(story):
    granted = story.grant(0.0, "anna", 1)
    story.release(1.0, granted)
    story.says(Kind.STATUS, Result.VALID, 2.0, "anna", token=granted.given_token, fencing=1)

    assert "works again" in found(story)


@pytest.mark.parametrize("number", [6, 7])
def test_a_fencing_number_that_goes_back_or_comes_twice_is_seen(number, story):
    story.release(1.0, story.grant(0.0, "anna", 7))
    story.grant(2.0, "bert", number, resource="another")

    assert "fencing: " in found(story)


def test_a_fencing_number_that_goes_back_from_round_to_round_is_seen(tmp_path):
    report = Report(tmp_path, {})
    report.add(Verdict("one", 1, fencing=(1, 50)))
    report.add(Verdict("two", 2, fencing=(50, 90)))

    assert report.verdicts[0].violations == []
    assert "fencing: 50" in report.verdicts[1].violations[0]
    assert report.is_unsafe


def test_a_read_from_the_past_is_seen(story):
    story.release(2.0, story.grant(0.0, "anna", 1, timeout_s=60.0))
    story.says(Kind.LOOK, Result.HELD, 3.0, "carl", holder="anna", fencing=1)

    assert "linearizable: r: no order explains" in found(story)


def test_a_refusal_because_of_a_holder_that_was_never_there_is_seen(story):
    story.says(Kind.ACQUIRE, Result.HELD, 1.0, "carl", holder="ghost", fencing=3)

    assert "linearizable: " in found(story)


def test_a_request_without_an_answer_explains_what_it_may_have_done(story):
    story.says(Kind.ACQUIRE, Result.UNKNOWN, 0.0, "anna")
    story.says(Kind.ACQUIRE, Result.HELD, 3.0, "carl", holder="anna", fencing=1)

    assert found(story) == ""


# -- who may answer


def minority_of(story: Story, statuses: dict[int, int], *, is_cut_off: bool = True) -> list[str]:
    workload = Workload({BALANCED: "", "n1": ""}, prefix="r", seed="1", balanced=1)
    workload.operations = story.operations
    workload.ended = {number: (status, 7.0) for number, status in statuses.items()}
    return list(Minority(["n1"], 1.0, 10.0, is_cut_off).violations(workload))


def test_an_answer_from_a_minority_is_seen(story):
    story.says(Kind.LOOK, Result.FREE, 2.0, "carl", node="n1")

    assert "answered without a majority" in minority_of(story, {1: 200})[0]


def test_a_refusal_that_takes_a_majority_is_seen_when_a_minority_gives_it(story):
    story.says(Kind.ACQUIRE, Result.HELD, 2.0, "carl", node="n1", holder="anna", fencing=1)

    assert "answered without a majority" in minority_of(story, {1: 409})[0]


def test_a_minority_may_say_503_and_504_but_not_keep_silent(story):
    story.says(Kind.LOOK, Result.DEFINITE, 2.0, node="n1")
    story.says(Kind.ACQUIRE, Result.UNKNOWN, 2.0, node="n1")
    story.says(Kind.ACQUIRE, Result.UNKNOWN, 2.0, node="n1")

    violations = minority_of(story, {1: 503, 2: 504, 3: 0})

    assert [text[:9] for text in violations] == ["no answer"]


def test_a_node_that_must_know_that_it_is_alone_takes_nothing_more(story):
    story.says(Kind.ACQUIRE, Result.UNKNOWN, 5.0, node="n1")

    assert "504 where nothing" in minority_of(story, {1: 504})[0]
    assert minority_of(story, {1: 504}, is_cut_off=False) == []


def test_what_a_majority_answers_and_what_was_asked_before_is_nobodys_fault(story):
    story.says(Kind.LOOK, Result.FREE, 2.0, node="n2")
    story.says(Kind.LOOK, Result.FREE, 0.95, node="n1")

    assert minority_of(story, {1: 200, 2: 200}) == []


# -- how long nobody answered


def test_the_longest_gap_counts_only_answers_that_take_a_majority(story):
    story.says(Kind.LOOK, Result.FREE, 0.9)
    story.says(Kind.LOOK, Result.DEFINITE, 2.0)
    story.says(Kind.LOOK, Result.FREE, 2.0, node="n1")
    story.says(Kind.LOOK, Result.FREE, 3.9)

    assert longest_gap(story.operations, 0.5, 4.5) == pytest.approx(3.0)


def test_silence_to_the_end_is_a_gap(story):
    story.says(Kind.LOOK, Result.FREE, 0.9)

    assert longest_gap(story.operations, 0.5, 9.0) == pytest.approx(8.0)


def test_the_first_success_is_of_a_request_that_was_sent_after_the_fault(story):
    story.says(Kind.LOOK, Result.FREE, 0.95)
    story.says(Kind.LOOK, Result.FREE, 2.9)

    assert first_success(story.operations, 1.0) == pytest.approx(2.0)
    assert first_success(story.operations, 3.0) is None


# -- the verdict


def test_a_broken_bound_is_a_violation_unless_the_machine_was_overloaded():
    slow = Verdict("kill leader", 1, "n1 killed", gap_s=3.2, gap_s_max=3.0)
    excused = Verdict("kill leader", 1, "n1 killed", gap_s=3.2, gap_s_max=3.0, is_overloaded=True)

    slow.judge_bounds()
    excused.judge_bounds()

    assert [len(slow.violations), len(slow.late)] == [1, 0]
    assert [len(excused.violations), len(excused.late)] == [0, 1]


def test_a_machine_is_overloaded_by_what_others_do_and_by_long_waits():
    half = Business(load=3.0, foreign=0.5, late_s=0.0)

    assert not IDLE.is_overload()
    assert not half.is_overload()
    assert half.is_overload(FOREIGN_AT_START_MAX)
    assert Business(load=3.0, foreign=FOREIGN_MAX + 0.1, late_s=0.0).is_overload()
    assert Business(load=0.0, foreign=0.0, late_s=LATE_S_MAX * 2).is_overload()


def test_no_success_at_all_breaks_the_bound():
    verdict = Verdict("kill all", 1, "all killed", first_s=None, first_s_max=5.0)

    verdict.judge_bounds()

    assert "never" in verdict.violations[0]


def test_a_fault_that_did_not_act_bounds_nothing():
    verdict = Verdict("kill leader", 1, None, gap_s=9.0, gap_s_max=3.0)

    verdict.judge_bounds()

    assert verdict.violations == []


def test_reports_of_several_runs_are_one_table():
    verdict = Verdict("kill leader", 1, "n1 killed", faults=1, operations=10, business=IDLE)
    rounds = [{**dataclasses.asdict(verdict), "gap_s": gap_s} for gap_s in (0.5, 0.7)]
    document = {"seed": "s", "nodes": 3, "rounds": rounds[:1]}

    told = markdown([document, {**document, "rounds": rounds[1:]}])

    assert "| kill leader | 2 | 0 | 2 | 20 | 0.50 / 0.60 / 0.70 |" in told
