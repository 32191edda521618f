"""The two indexes beside the table, each against the plainest form of itself."""

from hypothesis import given, strategies as st

from gorilla.domain.expiry_index import ExpiryIndex
from gorilla.domain.lock_names import LockNames
from gorilla.domain.outcomes import Lease


def lease(token: int, expires_at_ms: int) -> Lease:
    return Lease(f"lock-{token}", "ann", "s", token, 1, expires_at_ms, b"[]", 0, 0, 0)


def drained(index: ExpiryIndex, now_ms: int) -> list[Lease]:
    due = []
    while (first := index.pop_due(now_ms)) is not None:
        due.append(first)
    return due


deadlines = st.integers(0, 5_000) | st.sampled_from([1_023, 1_024, 1_025, 2_048])


@given(
    steps=st.lists(
        st.one_of(
            st.tuples(st.just("add"), deadlines),
            st.tuples(st.just("move"), deadlines),
            st.tuples(st.just("remove"), st.integers(0, 9)),
            st.tuples(st.just("pass"), deadlines),
        ),
        max_size=60,
    )
)
def test_the_expiry_index_gives_what_a_sorted_list_would(steps: list[tuple[str, int]]):
    index, live = ExpiryIndex(), dict[int, Lease]()
    for token, (step, value) in enumerate(steps):
        chosen = live[list(live)[value % len(live)]] if live else None
        if step == "add":
            live[token] = lease(token, value)
            index.add(live[token])
        elif step == "pass":
            due = [x for x in live.values() if x.expires_at_ms <= value]
            due.sort(key=lambda x: (x.expires_at_ms, x.fencing_token))
            assert drained(index, value) == due
            live = {token: x for token, x in live.items() if x not in due}
        elif chosen is not None:
            index.remove(live.pop(chosen.fencing_token))
            if step == "move":
                live[chosen.fencing_token] = lease(chosen.fencing_token, value)
                index.add(live[chosen.fencing_token])
        assert index.next_ms() == min((x.expires_at_ms for x in live.values()), default=None)


def test_a_lease_that_ends_where_a_bucket_begins_is_due_at_that_millisecond():
    index = ExpiryIndex()
    index.add(lease(1, 2_048))

    assert drained(index, 2_047) == []
    assert drained(index, 2_048) == [lease(1, 2_048)]


def test_a_lease_whose_deadline_moved_within_a_bucket_takes_its_new_place():
    index = ExpiryIndex()
    index.add(lease(1, 100))
    index.add(lease(2, 200))
    assert index.next_ms() == 100

    index.remove(lease(1, 100))
    index.add(lease(1, 300))

    assert index.next_ms() == 200
    assert drained(index, 300) == [lease(2, 200), lease(1, 300)]


def test_leases_that_come_and_go_leave_a_bounded_trace_in_a_bucket_in_use():
    index = ExpiryIndex()
    index.add(lease(0, 100))
    for token in range(1, 1_000):
        index.add(lease(token, 101))
        assert index.next_ms() == 100
        index.remove(lease(token, 101))

    (bucket,) = index._buckets.values()
    assert bucket.heap is None or len(bucket.heap) < 200


def test_buckets_that_come_and_go_leave_a_bounded_trace():
    index = ExpiryIndex()
    for token in range(1_000):
        index.add(lease(token, token * 2_000))
        index.remove(lease(token, token * 2_000))

    assert len(index._order) < 200
    assert index.next_ms() is None


names = st.sampled_from(["", "a", "a/", "a/1", "a/2", "b", "é", "\U0001f98d", "\uffff"])


@given(changes=st.lists(names, max_size=40), looks=st.lists(st.tuples(names, names), max_size=3))
def test_the_name_index_gives_what_a_sorted_set_would(changes: list[str], looks: list):
    index, present = LockNames(["a", "b"]), {"a", "b"}
    for i, name in enumerate(changes):
        if name in present:
            present.remove(name)
            index.remove(name)
        else:
            present.add(name)
            index.add(name)
        if i % 7 == 0:
            assert index.ordered() == sorted(present)
    for prefix, after in looks:
        expected = [name for name in sorted(present) if name.startswith(prefix) and name > after]
        assert list(index.starting_with(prefix, after)) == expected


def test_the_name_index_puts_off_a_bounded_number_of_changes():
    index = LockNames([])
    for i in range(10_000):
        index.add(f"{i:05}")
        assert len(index._added) < 5_000
    for i in range(10_000):
        index.remove(f"{i:05}")
        assert len(index._removed) < 5_000
    index.add("left")

    assert index.ordered() == ["left"]
