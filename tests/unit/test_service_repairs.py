"""Forcing, asking, checking, and several locks after their grant, on virtual time."""

import pytest

from gorilla.domain.commands import SHARED, Acquire, AcquireAll, Plain
from gorilla.domain.outcomes import (
    ForcedAway,
    Granted,
    GrantedAll,
    KeyConflict,
    NotFound,
    NotHolder,
    Outcome,
    ReleasedAll,
    ReleaseWished,
    RenewedAll,
    Replayed,
    TtlTooShort,
)
from gorilla.service.errors import NoLeaderError
from gorilla.service.keys import Key
from gorilla.service.locks import LockSettings
from gorilla.service.repairs import NumberCheck
from tests.support.service import Fate, Node, on_virtual_time


async def done(node: Node, command: Plain) -> Outcome:
    return await node.proposals.submit(command, node.loop.time() + 5)


async def granted(node: Node, holder: str = "ann", slots: int = 1) -> Granted:
    outcome = await done(node, Acquire("db", holder, 60_000, f"secret-{holder}", slots=slots))
    assert isinstance(outcome, Granted)
    return outcome


async def granted_all(node: Node) -> GrantedAll:
    outcome = await done(node, AcquireAll(("a", "b"), "ann", 60_000, "group"))
    assert isinstance(outcome, GrantedAll)
    return outcome


@on_virtual_time
async def test_every_holder_is_made_to_let_go():
    node = Node()
    tokens = [
        (await granted(node, holder, SHARED)).lease.fencing_token for holder in ("ann", "bob")
    ]

    forced = await node.repairs.force("db", reason="stuck", by="carla")
    again = await node.repairs.force("db", reason="stuck", by="carla")

    assert forced == ForcedAway(("ann", "bob"), tuple(tokens))
    assert again == ForcedAway((), ())
    assert node.replica.table.holders("db") == ()


@on_virtual_time
async def test_holders_are_asked_to_let_go():
    node = Node()
    free = await node.repairs.ask_release("db", by="bob")
    await granted(node)

    asked = await node.repairs.ask_release("db", by="bob", reason="a fix waits")

    assert (free, asked) == (ReleaseWished(()), ReleaseWished(("ann",)))
    wish = node.replica.table.holders("db")[0].wish
    assert wish is not None
    assert (wish.by, wish.reason) == ("bob", "a fix waits")


@on_virtual_time
async def test_a_number_is_current_while_its_holder_holds():
    node = Node()
    token = (await granted(node)).lease.fencing_token

    assert await node.repairs.check("db", token) == NumberCheck(True, True, token)
    assert await node.repairs.check("db", token + 1) == NumberCheck(False, True, token)
    assert await node.repairs.check("free", token) == NumberCheck(False, False, None)
    node.consensus.lose_leader()
    stale = await node.repairs.check("db", token, stale=True)
    assert (stale.is_current, stale.age_ms is not None) == (True, True)
    with pytest.raises(NoLeaderError):
        await node.repairs.check("db", token)


@on_virtual_time
async def test_several_are_renewed_and_released_at_once():
    node = Node(settings=LockSettings(max_timeout_ms=90_000))
    first = await granted_all(node)

    foreign = await node.repairs.renew_all("group", ttl_ms=80_000, holder="bob")
    short = await node.repairs.renew_all("group", ttl_ms=1)
    renewed = await node.repairs.renew_all("group", ttl_ms=1_000_000)
    dead = await node.repairs.release_all("group")

    assert (foreign, short) == (NotHolder("ann"), TtlTooShort(60_000))
    assert isinstance(renewed, RenewedAll)
    assert renewed.remaining_ms == 90_000
    assert [lease.lock for lease in renewed.leases] == ["a", "b"]
    assert {lease.secret for lease in renewed.leases}.isdisjoint(
        {lease.secret for lease in first.leases}
    )
    assert dead == NotFound()
    released = await node.repairs.release_all(renewed.leases[0].group)
    assert isinstance(released, ReleasedAll)
    assert len(released.fencing_tokens) == 2


@on_virtual_time
async def test_what_can_be_no_secret_is_not_found_without_asking_anybody():
    node = Node()
    for wrong in ("", "x" * 65):
        assert await node.repairs.release_all(wrong) == NotFound()
        assert await node.repairs.renew_all(wrong, ttl_ms=1) == NotFound()
    assert node.consensus.offered == []


@on_virtual_time
async def test_a_renewal_whose_answer_was_lost_gives_its_secrets_again_under_the_key():
    node = Node()
    await granted_all(node)
    key = Key("renew it", b"fingerprint-1")

    first = await node.repairs.renew_all("group", ttl_ms=80_000, key=key)
    again = await node.repairs.renew_all("group", ttl_ms=80_000, key=key)
    other = await node.repairs.renew_all("group", ttl_ms=80_000, key=Key("renew it", b"other"))

    assert isinstance(first, RenewedAll)
    assert isinstance(again, Replayed)
    assert isinstance(again.outcome, RenewedAll)
    assert again.outcome.leases == first.leases
    assert other == KeyConflict()


@on_virtual_time
async def test_time_that_passed_before_the_answer_is_not_promised():
    node = Node()
    await granted_all(node)
    node.consensus.fates.extend([Fate.DROP])

    renewed = await node.repairs.renew_all("group", ttl_ms=80_000)

    assert isinstance(renewed, RenewedAll)
    assert 78_000 < renewed.remaining_ms < 80_000
