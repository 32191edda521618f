"""Each checker of the simulation rejects a small history that breaks its promise.

A checker that never objects proves nothing; these are the histories that each must object to, and
the ones next to them that it must let pass.
"""

from types import SimpleNamespace
from typing import Any

import pytest

from tests.support.sim import checkers
from tests.support.sim.checkers import (
    acks,
    apply_order,
    digests,
    elections,
    linearizable,
    logs,
    majority,
    mishaps,
    progress,
    rosters,
    votes,
)
from tests.support.sim.history import (
    Changed,
    Committed,
    Counted,
    History,
    Kind,
    Led,
    Loaded,
    LogSeen,
    Opened,
    Result,
    Standing,
    Voted,
)
from tests.support.sim.observing import Observer
from tests.support.sim.telling import Told, applied, objections
from tests.support.sim.telling_queues import Log, acquire

# Elections, logs, states


def test_two_leaders_in_one_term_are_found():
    history = History(led=[Led(1.0, "n0", 3), Led(2.0, "n1", 3)])

    assert objections(elections.check, history)


def test_one_leader_per_term_is_fine_even_when_it_leads_twice():
    history = History(led=[Led(1.0, "n0", 3), Led(2.0, "n1", 4), Led(3.0, "n1", 4)])

    assert not objections(elections.check, history)


def test_two_votes_of_one_node_in_a_term_are_found():
    history = History(votes=[Voted(1.0, "n0", 3, "n0"), Voted(2.0, "n0", 3, "n1")])

    assert objections(votes.check, history)


@pytest.mark.parametrize(("term", "vote"), [(3, None), (3, "n2"), (2, "n1")])
def test_a_vote_that_a_restart_forgot_is_found(term: int, vote: str | None):
    told = [Voted(1.0, "n0", 3, "n1")]

    assert objections(votes.check, History(votes=told, opened=[Opened(2.0, "n0", term, vote)]))


def test_a_vote_may_be_remembered_or_outdated():
    told = [Voted(1.0, "n0", 3, "n1"), Voted(4.0, "n0", 5, "n0")]
    opened = [Opened(2.0, "n0", 3, "n1"), Opened(3.0, "n0", 4, None), Opened(5.0, "n0", 5, "n0")]

    assert not objections(votes.check, History(votes=told, opened=opened))


@pytest.mark.parametrize("is_there", [True, False])
def test_an_acknowledgement_of_what_is_not_there_is_found(is_there: bool):
    history = History(counted=[Counted(1.0, "n0", "n1", 3, 7, is_there)])

    assert bool(objections(acks.check, history)) is not is_there


@pytest.mark.parametrize(
    ("holders", "rosters"),
    [
        ("a", ["abc"]),
        ("ab", ["abcd"]),
        ("ax", ["abc"]),  # x learns, or was removed
        ("ab", ["abcd", "bcde"]),
        ("", []),
    ],
)
def test_an_entry_applied_before_a_majority_has_it_is_found(holders: str, rosters: list[str]):
    history = History(commits=[committed(holders, rosters)])

    assert objections(majority.check, history)


@pytest.mark.parametrize(
    ("holders", "rosters"), [("a", ["a"]), ("ab", ["abc"]), ("ab", ["abcd", "abc"])]
)
def test_an_entry_of_a_majority_of_a_roster_of_its_time_is_fine(holders: str, rosters: list[str]):
    history = History(commits=[committed(holders, rosters)])

    assert not objections(majority.check, history)


def committed(holders: str, rosters: list[str]) -> Committed:
    return Committed(1.0, "n0", 7, 3, tuple(holders), tuple(map(tuple, rosters)))


def test_a_leader_without_what_was_applied_before_is_found():
    history = History(led=[Led(1.0, "n0", 3), Led(2.0, "n1", 4, lacks=(7,))])

    assert objections(elections.check, history)


def test_what_a_new_leader_must_have_is_what_was_committed_before_its_term():
    has_it = SimpleNamespace(
        id="n0",
        journal=SimpleNamespace(getCurrentTerm=lambda: 7),
        holds=lambda index, term: (index, term) == (36, 3),
        look_at_roster=lambda: None,
        voters=("n0",),
    )
    lacks_it = SimpleNamespace(holds=lambda index, term: False)
    seen = Observer(SimpleNamespace(now=1.0))
    seen.nodes["n0"] = has_it

    seen.applies(has_it, 36, 3)  # an entry of term 3, committed by the leader of term 7

    assert seen.led_without(lacks_it, 8) == (36,)
    assert seen.led_without(has_it, 8) == ()
    assert seen.led_without(lacks_it, 6) == ()  # its votes were older, and only came late


def changed(index: int, kind: str, member: str = "n3", node: str = "n0") -> Changed:
    return Changed(1.0, node, index, kind, member, "n3:1")


@pytest.mark.parametrize(
    "changes",
    [
        [changed(5, "rem"), changed(9, "add")],
        [changed(5, "rem"), changed(9, "set")],
        [changed(5, "rem"), changed(5, "rem", "n4", "n1")],
        [changed(5, "add"), changed(5, "rem", node="n1")],
    ],
)
def test_a_removed_member_that_counts_again_and_changes_that_differ_are_found(
    changes: list[Changed],
):
    assert objections(rosters.check, History(changes=changes))


def test_members_that_come_move_and_go_are_fine():
    changes = [changed(5, "add"), changed(6, "set"), changed(9, "rem"), changed(12, "add", "n4")]

    assert not objections(rosters.check, History(changes=[*changes, *changes]))


@pytest.mark.parametrize("other", [{"payload": b"y"}, {"term": 2}])
def test_one_index_applied_with_two_entries_is_found(other: dict[str, Any]):
    history = History(applied=[applied("n0", 5), applied("n1", 5, **other)])

    assert objections(logs.check, history)


def test_logs_that_agree_later_but_differ_earlier_are_found():
    one = LogSeen(1.0, "n0", {1: (1, 11), 2: (1, 12), 3: (2, 13)})
    two = LogSeen(1.0, "n1", {1: (1, 11), 2: (1, 99), 3: (2, 13)})

    assert objections(logs.check, History(logs=[one, two]))


def test_logs_that_differ_only_behind_their_last_common_term_are_fine():
    one = LogSeen(1.0, "n0", {1: (1, 11), 2: (1, 12), 3: (2, 13)})
    two = LogSeen(1.0, "n1", {1: (1, 11), 2: (1, 12), 3: (3, 99)})

    assert not objections(logs.check, History(logs=[one, two]))


@pytest.mark.parametrize("second", [4, 5])
def test_an_index_applied_again_in_one_life_is_found(second: int):
    history = History(applied=[applied("n0", 5), applied("n0", second, at=6.0)])

    assert objections(apply_order.check, history)


def test_a_snapshot_that_takes_a_node_back_is_found():
    history = History(applied=[applied("n0", 5)], loaded=[Loaded(6.0, "n0", 1, 3, "d3")])

    assert objections(apply_order.check, history)


def test_a_restart_may_apply_again():
    history = History(applied=[applied("n0", 5), applied("n0", 5, life=2, at=9.0)])

    assert not objections(apply_order.check, history)


def test_different_tables_at_one_index_are_found():
    history = History(applied=[applied("n0", 5), applied("n1", 5, digest="other")])

    assert objections(digests.check, history)


def test_a_snapshot_that_differs_from_the_state_it_stands_for_is_found():
    history = History(applied=[applied("n0", 5)], loaded=[Loaded(6.0, "n1", 1, 5, "other")])

    assert objections(digests.check, history)


# Linearizable


def test_a_grant_while_another_holds_the_lock_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=10.0)
    told.grant("b", 2, "t2", until=20.0)

    assert objections(linearizable.check, told.history)


def test_a_grant_after_the_first_one_may_have_expired_is_fine():
    told = Told()
    told.grant("a", 1, "t1", until=3.0)
    told.grant("b", 2, "t2", until=20.0, at=2.5)

    assert not objections(linearizable.check, told.history)


def test_a_read_of_the_past_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)
    told.look("a", 1)

    assert objections(linearizable.check, told.history)


def test_a_read_while_the_release_is_under_way_may_see_either():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED, at=2.0, took=3.0)
    told.look("a", 1, at=2.5)
    told.look(None, at=4.0)

    assert not objections(linearizable.check, told.history)


def test_reads_that_go_back_are_found_even_while_the_release_is_under_way():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED, at=2.0, took=5.0)
    told.look(None, at=2.5)
    told.look("a", 1, at=4.0)

    assert objections(linearizable.check, told.history)


def test_a_refusal_that_names_somebody_who_never_held_it_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.add("b", Kind.ACQUIRE, Result.HELD, holder="c", fencing=1)

    assert objections(linearizable.check, told.history)


def test_an_expiry_that_is_taken_back_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=3.0)
    told.look(None, at=4.0)
    told.show("a", Kind.STATUS, "t1", Result.VALID, at=6.0)

    assert objections(linearizable.check, told.history)


def test_an_unanswered_acquire_may_have_happened_or_not():
    happened, not_happened = Told(), Told()
    for told in (happened, not_happened):
        told.add("a", Kind.ACQUIRE, Result.UNKNOWN, certain_until=30.0)
    happened.look("a", 4)
    not_happened.grant("b", 5, "t1", until=50.0)

    assert not objections(linearizable.check, happened.history)
    assert not objections(linearizable.check, not_happened.history)


def test_an_unanswered_acquire_that_happened_can_not_happen_anew():
    told = Told()
    told.add("a", Kind.ACQUIRE, Result.UNKNOWN, certain_until=3.0)
    told.look("a", 4)
    told.look(None, at=4.0)
    told.look("a", 5)

    assert objections(linearizable.check, told.history)


def test_an_unanswered_renewal_keeps_the_lock_or_not():
    for number, holder in ((1, "a"), (2, "b")):
        told = Told()
        told.grant("a", 1, "t1", until=3.0)
        told.show("a", Kind.RENEW, "t1", Result.UNKNOWN, certain_until=30.0, at=2.0)
        if holder == "b":
            told.grant("b", 2, "t2", until=50.0, at=5.0)
        told.look(holder, number, at=8.0)

        assert not objections(linearizable.check, told.history)


def test_a_grant_with_a_number_below_that_of_the_last_one_is_found():
    told = Told()
    told.grant("a", 5, "t1", until=30.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)
    told.grant("b", 4, "t2", until=50.0)

    assert objections(linearizable.check, told.history)


def test_a_second_answer_to_the_holder_must_repeat_number_and_token():
    told = Told()
    told.grant("a", 5, "t1", until=30.0)
    told.grant("a", 5, "t2", until=30.0)

    assert objections(linearizable.check, told.history)


# Progress


def test_nodes_that_do_not_converge_and_resources_that_stay_locked_are_found():
    standings = [Standing("n0", True, 9, "d"), Standing("n1", True, 8, "e")]
    down = [Standing("n0", False, 0, "")]

    assert objections(progress.check, History(standings=standings))
    assert objections(progress.check, History(standings=down))
    assert objections(progress.check, History(unavailable=["lock-0"]))


def test_nodes_that_count_others_than_there_are_and_what_is_never_done_are_found():
    standings = [Standing("n0", True, 9, "d", ("n0",)), Standing("n1", True, 9, "d", ("n0", "n1"))]

    assert objections(progress.check, History(standings=standings))
    assert objections(progress.check, History(leftovers=["n3 was removed and goes on"]))


def test_a_node_that_stops_without_a_fault_is_found():
    assert objections(mishaps.check, History(mishaps=["n0 stopped at 1.000: KeyError"]))


def test_an_uneventful_history_passes_every_checker():
    log, told = Log(), Told()
    log.grant(acquire("a"), 1)
    log.release(acquire("a"), 1, after_ms=2_500)
    told.history = log.history
    told.grant("a", 1, "t1", until=30.0)
    told.look("a", 1)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)
    told.look(None)

    assert checkers.violations(told.history) == []
