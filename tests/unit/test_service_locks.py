"""The lock service against an honest in-memory consensus, on virtual time."""

import asyncio
import re

import pytest

from gorilla.domain.outcomes import (
    Granted,
    Held,
    NotFound,
    NotHolder,
    Recovering,
    Released,
    Renewed,
    TtlTooShort,
)
from gorilla.domain.restoring import restored
from gorilla.domain.table import LockTable
from gorilla.service.errors import NoLeaderError, OutcomeUnknownError, StartingError
from gorilla.service.locks import PAGE_MAX, LockSettings, new_secret
from gorilla.service.ports import MemberProgress
from tests.support.service import WALL_START_MS, Fate, Node, member, on_virtual_time


async def acquire(node: Node, lock: str, holder: str = "ann", ttl_ms: int = 60_000) -> Granted:
    outcome = await node.locks.acquire(lock=lock, holder=holder, ttl_ms=ttl_ms)
    assert isinstance(outcome, Granted)
    return outcome


# Commands


@on_virtual_time
async def test_a_free_lock_is_granted_and_a_held_one_is_not():
    node = Node()

    granted = await acquire(node, "db", "ann")
    held = await node.locks.acquire(lock="db", holder="bob", ttl_ms=1_000)

    assert granted.is_new
    assert granted.remaining_ms == 60_000
    assert isinstance(held, Held)
    assert held.holder == "ann"


@on_virtual_time
async def test_a_holder_that_asks_again_gets_the_same_lease_with_the_same_secret():
    node = Node()
    first = await acquire(node, "db")

    second = await acquire(node, "db")

    assert not second.is_new
    assert second.lease.secret == first.lease.secret
    assert second.lease.fencing_token == first.lease.fencing_token


@on_virtual_time
async def test_metadata_comes_back_as_it_was_given():
    node = Node()
    await node.locks.acquire(lock="db", holder="ann", ttl_ms=1_000, metadata=b'["x",{"y":1}]')

    shown = await node.locks.show("db")

    assert shown.holders[0].lease.metadata == b'["x",{"y":1}]'


@on_virtual_time
async def test_a_ttl_above_the_maximum_is_lowered_to_it_in_acquire_and_renew():
    node = Node(settings=LockSettings(max_timeout_ms=10_000))

    granted = await acquire(node, "db", ttl_ms=3_600_000)
    renewed = await node.locks.renew("db", granted.lease.secret, ttl_ms=3_600_000)

    assert granted.remaining_ms == 10_000
    assert isinstance(renewed, Renewed)
    assert renewed.remaining_ms == 10_000


@on_virtual_time
async def test_a_release_frees_the_lock_once():
    node = Node()
    granted = await acquire(node, "db")

    first = await node.locks.release("db", granted.lease.secret)
    second = await node.locks.release("db", granted.lease.secret)

    assert first == Released(granted.lease.fencing_token)
    assert second == NotFound()


@on_virtual_time
async def test_a_renewed_lease_has_a_new_secret_and_the_old_one_is_dead():
    node = Node()
    granted = await acquire(node, "db")

    renewed = await node.locks.renew("db", granted.lease.secret, ttl_ms=90_000)

    assert isinstance(renewed, Renewed)
    assert renewed.lease.secret != granted.lease.secret
    assert renewed.lease.fencing_token == granted.lease.fencing_token
    assert await node.locks.status("db", granted.lease.secret) == NotFound()
    assert await node.locks.release("db", granted.lease.secret) == NotFound()


@on_virtual_time
async def test_a_renewal_is_refused_for_another_holder_and_for_less_time_than_is_left():
    node = Node()
    secret = (await acquire(node, "db", "ann", ttl_ms=60_000)).lease.secret

    wrong = await node.locks.renew("db", secret, ttl_ms=90_000, holder="bob")
    short = await node.locks.renew("db", secret, ttl_ms=1_000, holder="ann")

    assert wrong == NotHolder("ann")
    assert isinstance(short, TtlTooShort)


@pytest.mark.parametrize("secret", ["", "x" * 65, "x" * 10_000])
@on_virtual_time
async def test_a_secret_that_no_lease_can_have_is_not_found_and_never_proposed(secret):
    node = Node()
    await acquire(node, "db")
    before = len(node.consensus.offered)

    assert await node.locks.release("db", secret) == NotFound()
    assert await node.locks.renew("db", secret, ttl_ms=1_000) == NotFound()
    assert await node.locks.status("db", secret) == NotFound()
    assert len(node.consensus.offered) == before


@on_virtual_time
async def test_a_restored_cluster_says_how_long_it_makes_no_new_grants():
    node = Node(table=restored(LockTable(), fencing_floor=0, hold_ms=30_000))

    outcome = await node.locks.acquire(lock="db", holder="ann", ttl_ms=1_000)

    assert outcome == Recovering(30_000)


@on_virtual_time
async def test_a_command_without_an_answer_is_unknown_at_the_deadline():
    node = Node(settings=LockSettings(request_deadline_s=3.0))
    node.consensus.fate = Fate.DROP
    started_s = node.loop.time()

    with pytest.raises(OutcomeUnknownError):
        await acquire(node, "db")

    assert node.loop.time() - started_s == pytest.approx(3.0, abs=0.01)


@on_virtual_time
async def test_what_an_answer_says_is_left_counts_from_the_answer_and_not_from_the_grant():
    node = Node()
    node.is_deaf = True
    asked = asyncio.ensure_future(acquire(node, "db", ttl_ms=60_000))
    await asyncio.sleep(0.5)
    node.is_deaf = False

    late = await asked
    prompt = await node.locks.renew("db", late.lease.secret, ttl_ms=60_000)

    assert late.remaining_ms == pytest.approx(59_000, abs=10), "offered again after a second"
    assert isinstance(prompt, Renewed)
    assert prompt.remaining_ms == 60_000


def test_secrets_have_at_least_128_random_bits_and_need_no_escaping():
    made = {new_secret() for _ in range(1_000)}

    assert len(made) == 1_000
    assert all(re.fullmatch(r"[A-Za-z0-9_-]{24}", secret) for secret in made)


# Reads


@on_virtual_time
async def test_status_shows_what_is_left_of_the_lease():
    node = Node()
    secret = (await acquire(node, "db", ttl_ms=60_000)).lease.secret
    await asyncio.sleep(20)

    view = await node.locks.status("db", secret)

    assert not isinstance(view, NotFound)
    assert 39_990 <= view.remaining_ms <= 40_020
    assert view.expires_wall_ms == view.lease.expires_wall_ms


@on_virtual_time
async def test_a_lease_that_is_over_is_gone_from_every_read():
    node = Node()
    secret = (await acquire(node, "db", ttl_ms=1_000)).lease.secret
    await asyncio.sleep(1.1)

    assert await node.locks.status("db", secret) == NotFound()
    assert not (await node.locks.show("db")).held
    assert (await node.locks.list()).leases == ()


@on_virtual_time
async def test_a_free_lock_is_shown_with_the_largest_number_it_ever_had():
    node = Node()
    granted = await acquire(node, "db")
    await node.locks.release("db", granted.lease.secret)

    used = await node.locks.show("db")
    unused = await node.locks.show("other")

    assert (used.held, used.holders, used.fencing_token) == (False, (), 1)
    assert (unused.held, unused.holders, unused.fencing_token) == (False, (), None)
    assert (used.slots, used.waiters) == (1, ())


@on_virtual_time
async def test_a_read_waits_for_a_leader_and_fails_definitely_without_one():
    node = Node()
    await acquire(node, "db")
    node.consensus.lose_leader()
    started_s = node.loop.time()

    with pytest.raises(NoLeaderError):
        await node.locks.show("db")

    assert node.loop.time() - started_s == pytest.approx(2.0, abs=0.01)


@on_virtual_time
async def test_pages_follow_each_other_without_gap_or_repeat():
    node = Node()
    for number in range(7):
        await acquire(node, f"job/{number}")
    await acquire(node, "other")
    seen, cursor = [], None
    while True:
        page = await node.locks.list(prefix="job/", after=cursor, limit=3)
        seen.append([view.lease.lock for view in page.leases])
        cursor = page.cursor
        if cursor is None:
            break

    assert seen == [["job/0", "job/1", "job/2"], ["job/3", "job/4", "job/5"], ["job/6"]]


@on_virtual_time
async def test_a_full_last_page_has_no_cursor():
    node = Node()
    for number in range(3):
        await acquire(node, f"job/{number}")

    page = await node.locks.list(limit=3)

    assert len(page.leases) == 3
    assert page.cursor is None


@on_virtual_time
async def test_a_list_can_be_of_one_holder():
    node = Node()
    await acquire(node, "a", "ann")
    await acquire(node, "b", "bob")
    await acquire(node, "c", "ann")

    page = await node.locks.list(holder="ann")

    assert [view.lease.lock for view in page.leases] == ["a", "c"]


@on_virtual_time
async def test_one_page_of_a_holder_looks_at_so_many_locks_at_most_and_the_next_goes_on(
    monkeypatch,
):
    monkeypatch.setattr("gorilla.service.reading.LOOKED_AT_MAX", 3)
    node = Node()
    for number in range(8):
        await acquire(node, f"job/{number}", "ann" if number in {4, 6, 7} else "bob")
    pages, cursor = [], None
    while True:
        page = await node.locks.list(holder="ann", after=cursor, limit=1)
        pages.append([view.lease.lock for view in page.leases])
        cursor = page.cursor
        if cursor is None:
            break

    assert pages == [[], ["job/4"], ["job/6"], ["job/7"]]


@pytest.mark.parametrize(("limit", "shown"), [(0, 1), (-5, 1), (10**9, 3)])
@on_virtual_time
async def test_the_size_of_a_page_is_bounded(limit, shown):
    node = Node()
    for lock in "abc":
        await acquire(node, lock)

    page = await node.locks.list(limit=limit)

    assert len(page.leases) == shown <= PAGE_MAX


# The time of day


@on_virtual_time
async def test_after_cluster_time_stood_still_the_shown_expiry_moves_along():
    node = Node()
    secret = (await acquire(node, "db", ttl_ms=60_000)).lease.secret
    node.consensus.lose_leader()
    await asyncio.sleep(30)
    node.consensus.elect()
    await acquire(node, "other")

    view = await node.locks.status("db", secret)

    assert not isinstance(view, NotFound)
    assert view.lease.expires_wall_ms == pytest.approx(WALL_START_MS + 60_000, abs=50)
    assert view.expires_wall_ms == pytest.approx(WALL_START_MS + 90_000, abs=50)
    assert view.remaining_ms == pytest.approx(60_000, abs=50)


@on_virtual_time
async def test_a_long_lease_is_shown_with_its_own_expiry_while_the_clocks_agree():
    node = Node()
    day_ms = 24 * 3_600 * 1_000
    secret = (await acquire(node, "db", ttl_ms=day_ms)).lease.secret
    node.clock.wall_step_ms = 900
    await acquire(node, "other")

    view = await node.locks.status("db", secret)

    assert not isinstance(view, NotFound)
    assert view.expires_wall_ms == view.lease.expires_wall_ms == WALL_START_MS + day_ms


# Stale reads


@on_virtual_time
async def test_a_stale_read_is_answered_at_once_without_a_leader():
    node = Node()
    await acquire(node, "db")
    node.consensus.lose_leader()
    await asyncio.sleep(7)
    started_s = node.loop.time()

    shown = await node.locks.show("db", stale=True)
    page = await node.locks.list(stale=True)

    assert shown.held
    assert shown.age_ms == pytest.approx(7_000, abs=10)
    assert page.age_ms == pytest.approx(7_000, abs=10)
    assert node.loop.time() == started_s


@on_virtual_time
async def test_a_linearizable_read_has_no_age():
    node = Node()
    await acquire(node, "db")

    assert (await node.locks.show("db")).age_ms is None
    assert (await node.locks.list()).age_ms is None


@on_virtual_time
async def test_a_follower_that_has_caught_up_is_as_old_as_its_contact_with_the_leader():
    node = Node()
    leader = member("gorilla-2")
    node.consensus.elect(leader)
    await acquire(node, "db")
    await asyncio.sleep(30)
    node.consensus.progress = (MemberProgress(member=leader, connected=True, heard_s=0.25),)

    shown = await node.locks.show("db", stale=True)

    assert shown.age_ms == 250


@on_virtual_time
async def test_a_leader_is_as_old_as_its_contact_with_a_majority():
    node = Node()
    await acquire(node, "db")
    node.consensus.progress = tuple(
        MemberProgress(member=member(f"gorilla-{n}"), connected=True, heard_s=heard_s)
        for n, heard_s in ((2, 0.5), (3, 0.1), (4, None), (5, 9.0))
    )

    shown = await node.locks.show("db", stale=True)

    assert shown.age_ms == 500


@on_virtual_time
async def test_a_node_without_any_state_answers_no_stale_read():
    node = Node(elected=False)

    with pytest.raises(StartingError):
        await node.locks.show("db", stale=True)
