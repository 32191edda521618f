"""The replica: cluster time, pulses, resolving, digests, on a clock that is set by hand."""

import pytest

from gorilla.domain import codec
from gorilla.domain.codec import FormatError
from gorilla.domain.commands import Batch, Entry, Release, Stamp
from gorilla.domain.events import Acquired, Event
from gorilla.domain.lease_clock import deadline_ms
from gorilla.domain.outcomes import Granted
from gorilla.service.replica import CHAINS_KEPT, TIME_MARK_MS
from tests.support.replicas import OURS, Stand, acquire

# Cluster time


def test_cluster_time_starts_where_the_state_stands_and_runs_with_the_leaders_clock():
    stand = Stand()
    stand.apply(Entry(1, Stamp(3, 70_000, stand.clock.wall)))
    stand.pass_ms(60_000)

    stand.replica.lead(4)
    stand.pass_ms(1_234.5)

    assert stand.replica.now_ms() == 71_234
    assert stand.propose(acquire("db")).stamp == Stamp(4, 71_234, stand.clock.wall)


def test_cluster_time_never_goes_back_when_the_clock_does():
    stand = Stand()
    stand.replica.lead(1)
    stand.pass_ms(5_000)
    before_ms = stand.replica.now_ms()

    stand.clock.seconds -= 3.0

    assert stand.replica.now_ms() == before_ms
    assert stand.propose(acquire("db")).stamp.now_ms == before_ms


def test_cluster_time_stands_still_while_nobody_leads():
    stand = Stand()
    stand.replica.lead(1)
    stand.pass_ms(1_000)
    stand.propose(acquire("db", ttl_ms=10_000))
    stand.replica.follow()

    stand.pass_ms(3_600_000)
    stand.replica.lead(2)

    assert stand.replica.now_ms() == 1_000
    assert not stand.replica.pulse_due()
    assert stand.replica.table.lease("db") is not None


def test_a_follower_estimates_cluster_time_from_the_last_entry_on():
    stand = Stand()
    stand.apply(Entry(1, Stamp(1, 70_000, stand.clock.wall)))

    stand.pass_ms(250)

    assert stand.replica.now_ms() == 70_250


def test_a_term_older_than_the_state_can_not_be_led():
    stand = Stand()
    stand.apply(Entry(1, Stamp(5, 100, stand.clock.wall)))

    with pytest.raises(AssertionError):
        stand.replica.lead(4)


# Pulses


def test_nothing_is_composed_while_nothing_is_proposed_or_due():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000))

    stand.pass_ms(deadline_ms(0, 1_000) - 0.5)

    assert stand.compose() is None
    assert not stand.replica.pulse_due()
    assert stand.replica.next_pulse_in_s() == 0.001


def test_a_due_expiry_is_composed_once_and_stays_due_until_it_is_applied():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000))
    stand.pass_ms(deadline_ms(0, 1_000) + 0.5)

    pulse = stand.compose()
    again = stand.compose()

    assert pulse is not None
    assert pulse.batches == ()
    assert again is None
    assert stand.replica.pulse_due()
    assert stand.replica.next_pulse_in_s() is None
    stand.apply(pulse)
    assert not stand.replica.pulse_due()
    assert stand.replica.table.held == 0


def test_while_a_lock_is_held_time_is_written_so_often_that_a_new_leader_hardly_lengthens_it():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=60_000))
    written = 0
    for _ in range(590):
        stand.pass_ms(100)
        mark = stand.compose()
        if mark is not None:
            written += 1
            stand.apply(mark)

    stand.replica.follow()
    stand.replica.lead(2)

    assert 59_000 - TIME_MARK_MS <= stand.replica.now_ms() <= 59_000
    assert written == 59_000 // TIME_MARK_MS


def test_a_mark_of_time_is_due_in_time_and_holds_up_no_read():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=60_000))
    stand.pass_ms(TIME_MARK_MS - 500)
    soon_s = stand.replica.next_pulse_in_s()
    stand.pass_ms(500)

    due_s, held_up = stand.replica.next_pulse_in_s(), stand.replica.pulse_due()
    mark = stand.compose()

    assert (soon_s, due_s, held_up) == (0.5, 0, False)
    assert mark is not None
    assert stand.compose() is None, "one is on its way"
    stand.apply(mark)
    assert stand.replica.next_pulse_in_s() == TIME_MARK_MS / 1_000


def test_commands_on_their_way_make_a_pulse_needless():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000))
    stand.pass_ms(2_000)

    entry = stand.compose(Batch(OURS, 1, False, ((2, acquire("other")),)))

    assert entry is not None
    assert stand.compose() is None


def test_an_expiry_after_the_stamp_in_flight_gets_its_own_pulse():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000), acquire("other", ttl_ms=2_000))
    stand.pass_ms(deadline_ms(0, 1_000) + 0.5)
    first = stand.compose()
    stand.apply(first)
    stand.pass_ms(2_000)

    second = stand.compose()

    assert second is not None
    stand.apply(second)
    assert stand.replica.table.held == 0


def test_a_pulse_lost_with_its_leadership_is_composed_again_by_the_next():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000))
    stand.pass_ms(5_000)
    lost = stand.compose()
    stand.replica.follow()

    stand.replica.lead(2)
    stand.pass_ms(5_000)

    assert lost is not None
    assert stand.compose() is not None


def test_only_the_leader_has_pulses():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db", ttl_ms=1_000))
    stand.pass_ms(5_000)

    stand.replica.follow()

    assert not stand.replica.pulse_due()
    assert stand.replica.next_pulse_in_s() is None


def test_nothing_held_means_no_pulse():
    stand = Stand()
    stand.replica.lead(1)

    assert stand.replica.next_pulse_in_s() is None
    assert not stand.replica.pulse_due()


# Composing


def test_everyones_batches_stand_in_one_entry():
    stand = Stand()
    stand.replica.lead(1)
    theirs = Batch("gorilla-2/b", 0, True, ((1, acquire("one")),))
    ours = Batch(OURS, 0, True, ((1, acquire("two")),))

    entry = stand.compose(theirs, ours)

    assert entry is not None
    assert entry.batches == (theirs, ours)


@pytest.mark.parametrize(
    "bad",
    [
        pytest.param(b"\xc1garbage", id="no msgpack"),
        pytest.param(b"", id="empty"),
        pytest.param(
            codec.encode_batch(Batch(OURS, 0, True, ((1, acquire("x" * 256)),))), id="name too long"
        ),
        pytest.param(
            codec.encode_batch(Batch(OURS, 0, True, ((0, acquire("db")),))), id="number 0"
        ),
    ],
)
def test_a_bad_batch_is_left_out_and_counted_and_the_others_go_on(bad, caplog):
    stand = Stand()
    stand.replica.lead(1)
    good = codec.encode_batch(Batch("gorilla-2/b", 0, True, ((1, acquire("db")),)))

    payload = stand.replica.compose([bad, good])

    assert payload is not None
    assert [batch.origin for batch in codec.decode_entry(payload).batches] == ["gorilla-2/b"]
    assert stand.replica.batches_refused == 1
    assert "left a batch" in caplog.text
    assert stand.replica.compose([bad]) is None


# Applying


def test_only_our_own_commands_are_resolved():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("theirs"), origin="gorilla-2/b")

    stand.propose(acquire("ours"), first=7)

    assert [number for number, _ in stand.resolved] == [7]
    assert isinstance(stand.resolved[0][1], Granted)


def test_an_entry_that_can_not_be_read_raises_and_changes_nothing():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db"))
    before = stand.replica.table.digest()

    with pytest.raises(FormatError):
        stand.replica.apply(2, b"\xc1damage")

    assert stand.replica.table.digest() == before
    assert stand.replica.applied_index == 1


def test_an_index_is_never_applied_twice():
    stand = Stand()
    stand.replica.lead(1)
    entry = stand.propose(acquire("db"))
    stand.index -= 1

    with pytest.raises(AssertionError):
        stand.apply(entry)


def test_watchers_are_told_of_events_with_their_index():
    stand = Stand()
    seen: list[tuple[int, list[type[Event]]]] = []
    stand.replica.watch(lambda index, events: seen.append((index, [type(e) for e in events])))
    stand.replica.lead(1)

    stand.propose(acquire("db"))
    stand.propose(Release("nothing", "none"), first=2)

    assert seen == [(1, [Acquired])]


def test_refusals_are_passed_on():
    stand = Stand()

    stand.replica.refused(17)

    assert stand.refused == [17]


# Digests and snapshots


def test_two_replicas_have_equal_digests_at_equal_indices():
    one, two = Stand(), Stand()
    one.replica.lead(1)
    entries = [one.propose(acquire(f"lock-{n}"), first=n) for n in range(1, 6)]

    for entry in entries:
        two.apply(entry)

    chains = [one.replica.chain_at(index) for index in range(1, 6)]
    assert chains == [two.replica.chain_at(index) for index in range(1, 6)]
    assert len(set(chains)) == 5


def test_an_index_without_an_entry_has_the_digest_of_the_one_before():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("one"))
    stand.index = 4
    stand.propose(acquire("two"), first=2)

    assert stand.replica.chain_at(4) == stand.replica.chain_at(1)
    assert stand.replica.chain_at(5) == stand.replica.chain_at(99) == stand.replica.table.chain
    assert stand.replica.chain_at(0) is None


def test_the_oldest_digests_are_forgotten():
    stand = Stand()
    stand.replica.lead(1)
    for number in range(1, CHAINS_KEPT + 2):
        stand.propose(Release("nothing", "none"), first=number)

    assert stand.replica.chain_at(1) is None
    assert stand.replica.chain_at(2) is not None


def test_a_loaded_snapshot_takes_the_place_of_the_state():
    source, target = Stand(), Stand()
    source.replica.lead(3)
    source.pass_ms(9_000)
    source.propose(acquire("db", ttl_ms=60_000))
    frozen = source.replica.freeze()
    source.propose(acquire("later"), first=2)

    target.replica.load(12, frozen.chunks())

    assert target.replica.applied_index == 12
    assert target.replica.table.held == 1
    assert target.replica.chain_at(12) == source.replica.chain_at(1)
    assert target.replica.chain_at(11) is None
    target.replica.lead(4)
    assert target.replica.now_ms() == 9_000


def test_a_damaged_snapshot_leaves_the_state_as_it_was():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db"))
    stand.replica.follow()
    before = stand.replica.table.digest()

    with pytest.raises(FormatError):
        stand.replica.load(9, iter([b"damage"]))

    assert stand.replica.table.digest() == before
    assert stand.replica.applied_index == 1


def test_how_long_ago_the_last_entry_was_stamped_goes_by_the_wall_clocks():
    stand = Stand()
    stand.replica.lead(1)
    stand.propose(acquire("db"))

    stand.pass_ms(4_000)
    later_ms = stand.replica.stamped_ago_ms()
    stand.clock.wall -= 60_000

    assert later_ms == 4_000
    assert stand.replica.stamped_ago_ms() == 0
