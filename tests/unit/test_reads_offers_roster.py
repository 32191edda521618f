"""Read rounds, the leader's queue of batches, and the roster out of the log."""

import msgspec

from gorilla.consensus.codec import LogCodec, MemberNode
from gorilla.consensus.offers import ENTRY_BATCH_BYTES, QUEUE_BYTES_MAX, Offer, OfferQueue
from gorilla.consensus.reads import RESEND_S, WAITING_MAX, LeaderRounds, PendingReads
from gorilla.consensus.roster import (
    REMOVED_MAX,
    Roster,
    change_in_flight,
    decode_roster,
    encode_members,
    encode_roster,
    roster_after,
)
from gorilla.service.ports import Member, ReadPoint


def member(name):
    return Member(id=name * 8, name=name, peer=f"{name}:1", http=f"{name}:2")


A, B, C, D = (member(name) for name in "abcd")


def change(kind, who, index, term=1):
    return (b"\x02" + LogCodec.dumps([kind, who.id, MemberNode(who)]), index, term)


def plain(index, term=1):
    return (b"\x00" + LogCodec.dumps((0, (b"x",))), index, term)


def test_the_newest_roster_of_the_log_counts_committed_or_not():  # H13
    entries = [plain(2), change("add", D, 3), plain(4), change("rem", A, 5)]
    assert roster_after(Roster((A, B, C)), entries, since=1) == Roster((B, C, D), (A.id,))


def test_a_snapshot_carries_the_roster_as_of_its_index():  # H14
    entries = [change("add", D, 3), change("rem", A, 5)]
    assert roster_after(Roster((A, B, C)), entries, since=1, until=4) == Roster((A, B, C, D))
    assert roster_after(Roster((A, B, C, D)), entries, since=3) == Roster((B, C, D), (A.id,))


def test_other_addresses_take_the_place_of_a_members_and_of_nobody_elses():
    moved = Member(id=B.id, name="b", peer="b:7", http="b:8")
    entries = [change("set", moved, 3), change("set", D, 4)]
    assert roster_after(Roster((A, B, C)), entries, since=1) == Roster((A, moved, C))


def test_removed_ids_are_remembered_up_to_a_bound_the_newest_of_them():
    roster = Roster((A, B))
    for number in range(REMOVED_MAX + 2):
        roster = roster.after("rem", member(f"x{number}"))
    assert len(roster.removed) == REMOVED_MAX
    assert roster.removed[-1] == member(f"x{REMOVED_MAX + 1}").id
    assert roster.members == (A, B)


def test_a_membership_change_is_in_flight_until_it_is_committed():  # H12
    entries = [plain(2), change("add", D, 3)]
    assert change_in_flight(entries, committed=2)
    assert not change_in_flight(entries, committed=3)


def test_a_roster_round_trips():
    assert decode_roster(encode_roster(Roster((A, B), (C.id,)))) == Roster((A, B), (C.id,))


def test_a_roster_that_nobody_left_is_written_and_read_in_the_older_form():
    older = msgspec.msgpack.encode((A, B, C))
    assert encode_members([C, A, B]) == encode_roster(Roster((A, B, C))) == older
    assert decode_roster(older) == Roster((A, B, C))


def test_a_read_is_confirmed_by_a_majority_that_answered_a_later_append():  # H24
    points, rounds = [], LeaderRounds()
    rounds.ask(points.append)
    rounds.open(term=4, sent=10, index=7)

    rounds.acked("b", term=4, echo=10)
    rounds.acked("b", term=3, echo=99)
    rounds.close(3, lambda: 50)
    assert points == []

    rounds.acked("b", term=4, echo=11)
    rounds.close(3, lambda: 50)
    assert points == [ReadPoint(7, 50)]


def test_a_read_of_a_leader_that_lost_its_office_is_not_confirmed():
    points, rounds = [], LeaderRounds()
    rounds.ask(points.append)
    rounds.open(term=4, sent=10, index=7)
    rounds.ask(points.append)
    rounds.abandon()
    assert points == [None, None]


def test_what_a_node_answered_before_it_was_removed_confirms_no_read():
    points, rounds = [], LeaderRounds()
    rounds.ask(points.append)
    rounds.open(term=4, sent=10, index=7)
    rounds.acked("c", term=4, echo=11)
    rounds.forget("c")
    rounds.close(2, lambda: 50)
    assert points == []


def test_a_confirmed_read_waits_until_its_index_is_applied_here():
    points, reads = [], PendingReads(5)
    reads.add(points.append, deadline=9.0)
    reads.answered(reads.take(1.0), ReadPoint(7, 50))
    reads.resolve(6)
    assert points == []
    reads.resolve(7)
    assert points == [ReadPoint(7, 50)]
    assert not reads.any


def test_a_read_that_gets_no_answer_is_sent_again_and_given_up_at_its_deadline():
    points, reads = [], PendingReads(5)
    reads.add(points.append, deadline=2.0)
    first = reads.take(1.0)
    reads.put_back(1.0 + RESEND_S / 2, everything=False)
    assert not reads.unsent
    reads.put_back(1.1 + RESEND_S, everything=False)
    assert reads.unsent
    reads.answered(first, ReadPoint(1, 1))
    assert points == []
    reads.expire(2.0)
    assert points == [None]
    assert not reads.any


def test_reads_that_wait_are_bounded_wherever_they_wait():
    points, reads = [], PendingReads(5)
    for _ in range(WAITING_MAX // 2):
        reads.add(points.append, deadline=9.0)
    reads.take(1.0)
    for _ in range(WAITING_MAX // 2):
        reads.add(points.append, deadline=9.0)
    assert points == []
    reads.add(points.append, deadline=9.0)
    assert points == [None]


def test_batches_leave_the_queue_in_order_and_within_the_size_of_an_entry():
    queue = OfferQueue()
    batches = [bytes([i]) * (ENTRY_BATCH_BYTES // 3) for i in range(4)]
    assert all(queue.put(Offer(None, i, batch)) for i, batch in enumerate(batches))
    assert queue.take() == batches[:3]
    assert queue.take() == batches[3:]
    assert queue.take() == []


def test_a_full_queue_and_an_oversized_batch_are_refused():
    queue = OfferQueue()
    assert not queue.put(Offer(None, 1, b"x" * (ENTRY_BATCH_BYTES + 1)))
    batch = b"x" * ENTRY_BATCH_BYTES
    taken = 0
    while queue.put(Offer("b", taken, batch)):
        taken += 1
    assert taken == QUEUE_BYTES_MAX // ENTRY_BATCH_BYTES
    assert len(queue.clear()) == taken
    assert queue.put(Offer("b", 0, batch))
