"""The checker of policies rejects small logs that break them, and knows what they leave alone."""

from typing import Any

import pytest

from gorilla.domain.commands import DropPolicy, Policy, Renew, SetPolicy
from gorilla.domain.events import Extended
from gorilla.domain.outcomes import Done, Full, Renewed, Replayed
from tests.support.sim.checkers import left_behind, policies
from tests.support.sim.telling import objections
from tests.support.sim.telling_queues import TTL_MS, Log, acquire, lease_of

ANN, BOB = acquire("ann"), acquire("bob")
COUNTED = 2


def ruled(prefix: str = "r", **rules: Any) -> Log:
    """Return a log that begins with a policy."""
    log = Log()
    log.do(SetPolicy(Policy(prefix, **rules)), Done())
    return log


def extend(log: Log, ttl_ms: int, **more: Any) -> None:
    """Extend what ann holds."""
    event = Extended(*log.fields("r", "ann"), 1, ttl_ms)
    log.do(Renew("r", "s-ann", "t", ttl_ms), Renewed(lease_of(ANN, "r", 1), ttl_ms), event, **more)


@pytest.mark.parametrize(
    "rules",
    [
        {"ttl_ms_max": TTL_MS - 1},
        {"lifetime_ms_max": TTL_MS - 1},
        {"owners": ("bob", "anna*", "an")},
    ],
)
def test_a_grant_that_a_policy_does_not_allow_is_found(rules):
    log = ruled(**rules)
    log.grant(ANN, 1)

    assert objections(policies.check, log.history)


@pytest.mark.parametrize(
    "rules",
    [{"ttl_ms_max": TTL_MS}, {"lifetime_ms_max": TTL_MS}, {"owners": ("bob", "an*")}, {}],
)
def test_a_grant_as_a_policy_allows_it_is_fine(rules):
    log = ruled(**rules)
    log.grant(ANN, 1)

    assert not objections(policies.check, log.history)


@pytest.mark.parametrize(("most", "is_found"), [(1, True), (2, False)])
def test_more_holders_than_a_policy_allows_are_found(most: int, *, is_found: bool):
    log = ruled(holders_max=most)
    for number in (1, 2):
        log.grant(acquire(f"owner-{number}", slots=COUNTED), number)

    assert bool(objections(policies.check, log.history)) is is_found


@pytest.mark.parametrize(("after_ms", "is_found"), [(298, True), (299, False)])
def test_a_grant_too_early_after_another_is_found(after_ms: int, *, is_found: bool):
    log = ruled(gap_ms=300)
    log.grant(ANN, 1)
    log.release(ANN, 1)
    log.grant(BOB, 2, after_ms=after_ms)

    assert bool(objections(policies.check, log.history)) is is_found


@pytest.mark.parametrize("is_dropped", [True, False])
def test_the_gap_is_that_of_the_earlier_grant(is_dropped: bool):
    log = ruled(gap_ms=300)
    log.grant(ANN, 1)
    log.do(DropPolicy("r") if is_dropped else SetPolicy(Policy("r", gap_ms=1)), Done())
    log.release(ANN, 1)
    log.grant(BOB, 2)

    assert objections(policies.check, log.history)


@pytest.mark.parametrize(
    ("rules", "ttl_ms", "is_found"),
    [
        ({"lifetime_ms_max": 1_500}, 1_000, False),
        ({"lifetime_ms_max": 1_500}, 1_001, True),
        ({"ttl_ms_max": 700}, 700, False),
        ({"ttl_ms_max": 700}, 701, True),
        ({"lifetime_ms_max": 100}, 500, False),  # as long as it would have lasted anyway
        ({"lifetime_ms_max": 1_500}, 0, True),
        ({"ttl_ms_max": 700}, 0, False),
    ],
)
def test_an_extension_beyond_what_a_policy_allows_is_found(rules, ttl_ms, *, is_found: bool):
    log = Log()
    log.grant(ANN, 1)
    log.do(SetPolicy(Policy("r", **rules)), Done())
    extend(log, ttl_ms, after_ms=499)

    assert bool(objections(policies.check, log.history)) is is_found


@pytest.mark.parametrize(("after_ms", "is_found"), [(TTL_MS, False), (TTL_MS + 1, True)])
def test_what_is_held_beyond_its_end_is_found(after_ms: int, *, is_found: bool):
    log = Log()
    log.grant(ANN, 1)
    log.entry(after_ms=after_ms)

    assert bool(objections(policies.check, log.history)) is is_found


def test_a_wait_for_longer_than_a_policy_allows_is_found():
    for allowed_ms in (4_999, 5_000):
        log = Log()
        log.grant(ANN, 1)
        log.do(SetPolicy(Policy("", wait_ms_max=allowed_ms)), Done())
        log.queue(BOB, 1)

        assert bool(objections(policies.check, log.history)) is (allowed_ms < 5_000)


def test_the_longest_prefix_rules_alone_and_a_dropped_policy_rules_nothing():
    log = ruled("", owners=("bob",))
    log.do(SetPolicy(Policy("r")), Done())
    log.do(SetPolicy(Policy("rr", owners=("bob",))), Done())
    log.grant(ANN, 1)

    assert not objections(policies.check, log.history)

    log.do(DropPolicy("r"), Done())
    log.grant(acquire("cay", slots=0), 2)

    assert objections(policies.check, log.history)


@pytest.mark.parametrize("outcome", [Full("policies_max"), Replayed(Done())])
def test_a_policy_that_was_refused_or_set_before_is_not_in_force(outcome):
    log = Log()
    log.do(SetPolicy(Policy("r", owners=("bob",))), outcome)
    log.grant(ANN, 1)

    assert not objections(policies.check, log.history)


@pytest.mark.parametrize("rules", [{"gap_ms": 5_000}, {"holders_max": 1}, {}])
def test_only_who_is_kept_by_a_policy_may_be_left_untold(rules):
    log = ruled(**rules)
    log.grant(acquire("ann", slots=COUNTED), 1)
    log.queue(acquire("bob", slots=COUNTED), 1)

    assert bool(objections(left_behind.check, log.history)) is not bool(rules)


def test_an_extension_of_what_is_not_held_is_found():
    log = ruled()
    extend(log, TTL_MS)

    assert objections(policies.check, log.history)
