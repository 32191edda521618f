"""The checkers of single promises about locks reject small histories that break them."""

from tests.support.sim.checkers import acknowledged, definite, fencing, overlap
from tests.support.sim.history import Kind, Result
from tests.support.sim.telling import Told, applied, objections

# Fencing


def test_a_fencing_number_given_to_two_owners_is_found():
    told = Told()
    told.grant("a", 7, "t1", until=2.0)
    told.grant("b", 7, "t2", until=9.0, resource="s")

    assert objections(fencing.check, told.history)


def test_a_fencing_number_smaller_than_one_answered_before_is_found():
    told = Told()
    told.grant("a", 7, "t1", until=2.0)
    told.grant("b", 6, "t2", until=9.0, resource="s")

    assert objections(fencing.check, told.history)


def test_numbers_of_grants_that_overlap_in_time_may_come_in_any_order():
    told = Told()
    told.grant("a", 7, "t1", until=2.0, at=0.0)
    told.grant("b", 6, "t2", until=9.0, at=0.5, resource="s")

    assert not objections(fencing.check, told.history)


def test_an_owner_may_hear_late_of_a_number_it_got_when_its_answer_was_lost():
    told = Told()
    told.add("b", Kind.ACQUIRE, Result.UNKNOWN, at=0.0)
    told.grant("a", 7, "t1", until=20.0, at=1.0, resource="s")
    told.grant("b", 6, "t2", until=9.0, at=3.0)

    assert not objections(fencing.check, told.history)


# Certain holders


def test_two_certain_holders_at_once_are_found():
    told = Told()
    told.grant("a", 1, "t1", until=10.0)
    told.grant("b", 2, "t2", until=20.0)

    assert objections(overlap.check, told.history)


def test_a_holder_after_the_first_one_asked_for_the_release_is_fine():
    told = Told()
    told.grant("a", 1, "t1", until=10.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)
    told.grant("b", 2, "t2", until=20.0)

    assert not objections(overlap.check, told.history)


def test_a_renewal_keeps_its_holder_certain():
    told = Told()
    told.grant("a", 1, "t1", until=3.0)
    told.show("a", Kind.RENEW, "t1", Result.RENEWED, given_token="t2", certain_until=10.0)
    told.grant("b", 2, "t3", until=20.0, at=4.0)

    assert objections(overlap.check, told.history)


def test_an_owner_with_an_unanswered_release_of_its_token_is_not_certain():
    for token, is_certain in (("t1", False), ("t0", True)):
        told = Told()
        told.show("a", Kind.RELEASE, token, Result.UNKNOWN)
        told.grant("a", 1, "t1", until=10.0)
        told.grant("b", 2, "t2", until=20.0)

        assert bool(objections(overlap.check, told.history)) is is_certain


# Acknowledged


def test_a_grant_that_a_later_status_does_not_know_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=10.0)
    told.show("a", Kind.STATUS, "t1", Result.NOT_FOUND)

    assert objections(acknowledged.check, told.history)


def test_a_grant_that_a_later_look_does_not_see_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=10.0)
    told.look(None)

    assert objections(acknowledged.check, told.history)


def test_a_grant_may_be_gone_after_its_time_or_when_its_release_is_under_way():
    told = Told()
    told.grant("a", 1, "t1", until=3.0)
    told.look(None, at=2.5)
    told.show("a", Kind.STATUS, "t1", Result.NOT_FOUND, at=4.0)
    told.grant("a", 2, "t2", until=30.0, at=5.0)
    told.show("a", Kind.RELEASE, "t2", Result.UNKNOWN, at=7.0)
    told.look(None, at=9.0)

    assert not objections(acknowledged.check, told.history)


def test_a_release_that_is_undone_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)
    told.show("a", Kind.STATUS, "t1", Result.VALID)

    assert objections(acknowledged.check, told.history)


def test_a_token_that_works_after_it_was_replaced_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=30.0)
    told.show("a", Kind.RENEW, "t1", Result.RENEWED, given_token="t2", certain_until=40.0)
    told.show("a", Kind.RELEASE, "t1", Result.RELEASED)

    assert objections(acknowledged.check, told.history)


def test_a_token_given_to_two_owners_is_found():
    told = Told()
    told.grant("a", 1, "t1", until=1.0)
    told.grant("b", 2, "t1", until=9.0)

    assert objections(acknowledged.check, told.history)


# Definite failures


def test_a_command_answered_as_not_done_and_applied_is_found():
    told = Told()
    told.add("a", Kind.ACQUIRE, Result.DEFINITE, mark=b"secret-1")
    told.history.applied = [applied("n0", 4, payload=b"..secret-1..")]

    assert objections(definite.check, told.history)


def test_a_command_of_unknown_outcome_may_be_applied():
    told = Told()
    told.add("a", Kind.ACQUIRE, Result.UNKNOWN, mark=b"secret-1")
    told.history.applied = [applied("n0", 4, payload=b"..secret-1..")]

    assert not objections(definite.check, told.history)
