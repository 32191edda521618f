"""The cluster version: in the state and its snapshots, who raises it when, who stops at it."""

import msgspec
import pytest

from gorilla.consensus.peers.handshake import Speaker
from gorilla.domain import codec
from gorilla.domain.commands import Batch, Entry, Release
from gorilla.domain.snapshot_format import read
from gorilla.domain.table import LockTable
from gorilla.domain.versions import ClusterVersionError, batch_level
from gorilla.service.ports import MemberProgress
from gorilla.service.upgrading import Upgrading
from tests.support.domain import acquire, batch, entry, stamp
from tests.support.replicas import Stand
from tests.support.service import Node, member, on_virtual_time
from tests.unit.test_domain_snapshot import EARLIER_BYTES


def raising(now_ms: int, level: int) -> Entry:
    return Entry(1, stamp(now_ms), (), level)


def raised(level: int) -> LockTable:
    table = LockTable()
    table.apply(raising(10, level))
    return table


def whole(table: LockTable) -> bytes:
    return b"".join(table.freeze().chunks())


# The state


def test_a_new_cluster_is_of_version_1_and_the_version_only_grows():
    table = LockTable()
    seen = [table.cluster_version]

    for level in (3, 2, 0, 4):
        table.apply(raising(10, level))
        seen.append(table.cluster_version)

    assert seen == [1, 3, 3, 3, 4]


def test_an_entry_that_raises_nothing_has_the_bytes_of_earlier_releases():
    parts = [codec.encode_batch(batch((1, acquire())))]

    assert codec.join_entry(stamp(5), parts) == msgspec.msgpack.encode(
        [1, stamp(5), [msgspec.Raw(parts[0])]]
    )
    assert codec.decode_entry(codec.join_entry(stamp(5), parts, 7)).raises_to == 7


def test_raising_shows_in_the_running_digest():
    table, other = LockTable(), LockTable()

    table.apply(raising(10, 2))
    other.apply(entry(10))

    assert table.chain != other.chain


def test_a_snapshot_carries_the_cluster_version():
    loaded = LockTable.load([whole(raised(3))], supported=3)

    assert loaded.cluster_version == 3
    assert whole(loaded) == whole(raised(3))


def test_a_snapshot_that_names_no_cluster_version_is_of_version_1():
    # The bytes that a build without cluster versions wrote.
    assert read([EARLIER_BYTES]).marks.cluster_version == 1


def test_a_snapshot_of_a_later_cluster_version_is_refused_with_the_remedy():
    with pytest.raises(ClusterVersionError, match="start a release on this node that supports"):
        LockTable.load([whole(raised(2))], supported=1)


# The replica


def test_a_node_that_meets_a_later_cluster_version_stops_before_it_applies_anything():
    stand = Stand()

    with pytest.raises(ClusterVersionError, match="supports feature level 1 at most"):
        stand.apply(raising(10, 2))

    assert stand.replica.applied_index == 0
    assert stand.replica.table.now_ms == 0


def test_the_leader_raises_by_an_entry_of_its_own_at_once_and_once():
    stand = Stand()
    stand.replica.supported = 2
    stand.replica.lead(1)

    stand.replica.raise_to(2)

    assert stand.replica.next_pulse_in_s() == 0
    written = stand.compose()
    assert written is not None
    assert written.raises_to == 2
    assert stand.compose() is None
    stand.apply(written)
    assert stand.replica.table.cluster_version == 2


def test_a_raise_that_was_not_written_ends_with_the_leadership():
    stand = Stand()
    stand.replica.supported = 2
    stand.replica.lead(1)
    stand.replica.raise_to(2)

    stand.replica.follow()
    stand.replica.lead(2)

    assert stand.replica.next_pulse_in_s() is None
    assert stand.compose() is None


def test_a_command_of_a_later_level_is_left_out_of_the_log_until_the_version_is_raised(monkeypatch):
    levels = {Release: 2}
    monkeypatch.setattr("gorilla.service.replica.batch_level", lambda it: batch_level(it, levels))
    stand = Stand()
    stand.replica.supported = 2
    stand.replica.lead(1)
    later = Batch("n2/a", 0, True, ((1, Release("db", "s")),))

    assert stand.compose(later) is None
    assert stand.replica.batches_refused == 1
    stand.replica.raise_to(2)
    stand.apply(stand.compose())
    assert stand.compose(later).batches == (later,)


# Who raises it


def progress(name: str, level: int | None = 2, *, connected: bool = True) -> MemberProgress:
    return MemberProgress(member=member(name), connected=connected, level=level)


def upgrading(allowed: int = 2) -> tuple[Node, Upgrading]:
    node = Node()
    node.replica.supported = 2
    node.consensus.progress = (progress("n2"), progress("n3"))
    return node, Upgrading(node.consensus, node.replica, allowed)


@on_virtual_time
async def test_the_version_is_raised_once_all_members_are_connected_and_support_it():
    node, ours = upgrading()

    ours.step()
    node.consensus._commit()

    assert node.replica.table.cluster_version == 2
    ours.step()
    assert node.replica.next_pulse_in_s() is None


@on_virtual_time
@pytest.mark.parametrize(
    ("other", "obstacle"),
    [
        (progress("n3", 1), "n3 supports feature level 1"),
        (progress("n3", None), "n3 is not connected"),
        (progress("n3", 2, connected=False), "n3 is not connected"),
    ],
)
async def test_one_member_that_does_not_support_it_holds_it_back(other, obstacle, caplog):
    caplog.set_level("INFO")
    node, ours = upgrading()
    node.consensus.progress = (progress("n2"), other)

    ours.step()
    ours.step()

    assert node.replica.next_pulse_in_s() is None
    assert caplog.text.count(obstacle) == 1


@on_virtual_time
async def test_without_the_operators_word_nothing_is_raised():
    node, ours = upgrading(allowed=1)

    ours.step()

    assert node.replica.next_pulse_in_s() is None


@on_virtual_time
async def test_a_follower_raises_nothing():
    node, ours = upgrading()
    node.consensus.elect(member("n2"))

    ours.step()

    assert node.replica.next_pulse_in_s() is None


@on_virtual_time
async def test_a_word_beyond_what_the_software_supports_counts_as_far_as_that():
    node, ours = upgrading(allowed=9)

    ours.step()
    node.consensus._commit()

    assert node.replica.table.cluster_version == 2
    assert node.cluster.view().cluster_version == 2


# The handshake


def test_a_peer_that_tells_no_level_supports_the_first():
    told = {"name": "n1", "id": "one", "version": "0.1"}

    assert msgspec.convert(told, Speaker).level == 1
    assert msgspec.convert({**told, "level": 4}, Speaker).level == 4
