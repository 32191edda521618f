"""The guards between peers and PySyncObj, one by one. Hazard numbers: docs/track-record.md."""

import random

import pytest
from hypothesis import given, strategies as st

from gorilla.consensus.guards import (
    AckLedger,
    Append,
    Conflict,
    VoteBox,
    coalesce,
    heartbeat_only,
    is_majority,
    is_up_to_date,
    learn_term,
    rewrite_append,
    start_of_conflict,
)


class ListLog:
    """A log of terms: entry ``first + i`` has ``terms[i]``."""

    def __init__(self, terms, first=1):
        self.terms = list(terms)
        self.first_index = first

    @property
    def last_index(self):
        return self.first_index + len(self.terms) - 1

    @property
    def last_term(self):
        return self.terms[-1]

    def term_at(self, index):
        if self.first_index <= index <= self.last_index:
            return self.terms[index - self.first_index]
        return None


def append(previous, previous_term, terms, commit=0):
    entries = [[b"c", previous + 1 + i, term] for i, term in enumerate(terms)]
    return {
        "type": "append_entries",
        "term": 9,
        "commit_index": commit,
        "prevLogIdx": previous,
        "prevLogTerm": previous_term,
        "entries": entries,
        "seq": 1,
    }


def library_takes(log, message):
    """What the library does with an append: truncate behind prevLogIdx, then add (syncobj.py)."""
    previous = message["prevLogIdx"]
    if previous is None or previous > log.last_index or log.term_at(previous) is None:
        return None
    if log.term_at(previous) != message["prevLogTerm"]:
        return None
    kept = log.terms[: previous - log.first_index + 1]
    return kept + [term for _, _, term in message["entries"]]


def test_an_append_that_is_already_there_drops_nothing_behind_it():  # H5
    log = ListLog([0, 1, 1, 1])
    plan = rewrite_append(append(1, 0, [1]), log, committed=2)
    assert library_takes(log, plan.message) == log.terms
    assert plan.ack_cap == 3


def test_an_old_heartbeat_acknowledges_only_what_it_proves():
    log = ListLog([0, 1, 1, 1])
    plan = rewrite_append(append(2, 1, [], commit=4), log, committed=1)
    assert plan.ack_cap == 3
    assert plan.message["commit_index"] == 2


def test_a_conflicting_suffix_is_replaced():
    log = ListLog([0, 1, 2, 2])
    plan = rewrite_append(append(1, 0, [1, 3, 3]), log, committed=2)
    assert library_takes(log, plan.message) == [0, 1, 3, 3]


@pytest.mark.parametrize("message", [append(1, 0, [3]), append(2, 3, [])])
def test_a_leader_that_contradicts_a_committed_entry_is_a_conflict(message):
    assert rewrite_append(message, ListLog([0, 1, 1]), committed=2) == Conflict(2)


def test_a_gap_is_passed_on_so_that_the_answer_says_where_the_log_ends():
    plan = rewrite_append(append(9, 1, [1]), ListLog([0, 1]), committed=1)
    assert isinstance(plan, Append)
    assert plan.is_gap


def test_an_append_from_before_the_first_kept_entry_is_cut_to_what_is_new():
    log = ListLog([4, 4], first=10)
    plan = rewrite_append(append(7, 3, [4, 4, 4, 4, 5], commit=12), log, committed=10)
    assert library_takes(log, plan.message) == [4, 4, 5]


def test_an_append_wholly_before_the_first_kept_entry_proves_what_is_committed():
    plan = rewrite_append(append(3, 1, [1]), ListLog([4, 4, 4], first=10), committed=11)
    assert plan.ack_cap == 12


@st.composite
def histories(draw):
    """A leader's log, a follower's that shares a prefix with it, and a committed index."""
    shared = draw(st.lists(st.integers(1, 3), min_size=1, max_size=6).map(sorted))
    top = shared[-1]
    mine = shared + sorted(draw(st.lists(st.integers(top, 5), max_size=4)))
    theirs = shared + sorted(draw(st.lists(st.integers(6, 9), max_size=4)))
    committed = draw(st.integers(1, len(shared)))
    first = draw(st.integers(1, committed))
    previous = draw(st.integers(1, len(theirs)))
    count = draw(st.integers(0, len(theirs) - previous))
    commit = draw(st.integers(0, committed))
    return mine, theirs, committed, first, previous, count, commit


@given(histories())
def test_no_append_of_a_legal_leader_drops_an_entry_that_the_leader_has(history):
    mine, theirs, committed, first, previous, count, commit = history
    log = ListLog(mine[first - 1 :], first=first)
    message = append(previous, theirs[previous - 1], theirs[previous : previous + count], commit)

    plan = rewrite_append(message, log, committed)

    assert isinstance(plan, Append)
    after = library_takes(log, plan.message)
    if after is None:
        return
    equal = 0
    while equal < min(len(mine), len(theirs)) and mine[equal] == theirs[equal]:
        equal += 1
    kept = first - 1 + len(after)
    assert kept >= min(equal, len(mine))
    assert after[: equal - first + 1] == mine[first - 1 : equal]


def test_a_snapshot_phase_message_commits_nothing():  # H1
    quiet = heartbeat_only({"type": "append_entries", "term": 4, "commit_index": 99})
    assert quiet["commit_index"] == 0
    assert "prevLogIdx" not in quiet


def test_back_tracking_skips_a_whole_conflicting_term_but_nothing_committed():  # H27
    log = ListLog([0, 1, 1, 2, 2, 2, 2])
    assert start_of_conflict(log, 7, committed=3) == 4
    assert start_of_conflict(log, 7, committed=5) == 6
    assert start_of_conflict(log, 99, committed=3) == 99


def ack(index, term=3, *, success=True, reset=False, echo=0):
    return {
        "type": "next_node_idx",
        "next_node_idx": index + 1,
        "term": term,
        "success": success,
        "reset": reset,
        "echo": echo,
    }


def ledger(term=3):
    book = AckLedger()
    book.begin(term)
    return book


def test_an_acknowledgement_of_an_earlier_term_does_not_count():  # H6
    assert ledger().judge("b", ack(5, term=2), last_index=9, sent=1) is None


def test_an_acknowledgement_beyond_the_log_does_not_count():
    assert ledger().judge("b", ack(10), last_index=9, sent=1) is None


def test_a_reset_that_answers_an_append_from_before_the_last_one_is_ignored():  # H27
    book = ledger()
    assert book.judge("b", ack(4, success=False, reset=True, echo=7), 9, sent=8)["reset"]
    assert not book.judge("b", ack(2, success=False, reset=True, echo=8), 9, sent=9)["reset"]
    assert book.judge("b", ack(2, success=False, reset=True, echo=9), 9, sent=10)["reset"]


def test_a_follower_cannot_take_back_what_it_acknowledged_in_this_term():  # H16
    book = ledger()
    book.judge("b", ack(6), 9, sent=1)
    back = book.judge("b", ack(3, success=False, reset=True, echo=5), 9, sent=7)
    assert (back["reset"], back["next_node_idx"]) == (True, 7)
    book.begin(4)
    back = book.judge("b", ack(3, term=4, success=False, reset=True, echo=8), 9, sent=8)
    assert (back["reset"], back["next_node_idx"]) == (True, 4)


def test_a_member_votes_once_in_a_term():  # H49
    box = VoteBox()
    assert box.take("b", 3)
    assert not box.take("b", 3)
    assert box.take("c", 3)
    assert box.take("b", 4)
    assert not box.take("c", 3)
    assert not box.take("b", 4)


@given(st.integers(0, 9), st.integers(1, 9))
def test_two_majorities_always_share_a_member(count, members):
    other = members - count
    assert not (is_majority(count, members) and is_majority(other, members))


def test_learning_a_term_never_asks_for_a_vote_that_could_be_granted():  # H33
    message = learn_term(8)
    assert message["term"] == 8
    assert not is_up_to_date(ListLog([0]), message["last_log_term"], message["last_log_index"])


def test_an_empty_append_before_a_fuller_one_is_left_out():
    empty, full = append(4, 2, [], commit=3), append(4, 2, [2], commit=3)
    other = append(4, 2, [], commit=3)
    vote = {"type": "request_vote"}
    assert coalesce([("b", empty), ("c", other), ("b", vote), ("b", full)]) == [
        ("c", other),
        ("b", vote),
        ("b", full),
    ]


@given(st.integers(0, 2**32))
def test_coalescing_keeps_every_entry_and_the_last_commit_index(seed):
    rng = random.Random(seed)
    outbox, at = [], 3
    for _ in range(rng.randint(1, 8)):
        terms = [1] * rng.randint(0, 2)
        outbox.append(("b", append(at, 1, terms, commit=rng.randint(0, 9))))
        at += len(terms)
    kept = [message for _, message in coalesce(outbox)]
    all_entries = [e for _, m in outbox for e in m["entries"]]
    assert [e for m in kept for e in m["entries"]] == all_entries
    assert kept[-1] == outbox[-1][1]
