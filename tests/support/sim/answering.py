"""The edge of a node for clients that queue: a call of the services, hang-ups, and the answer."""

import hashlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from gorilla.domain.commands import Policy
from gorilla.domain.outcomes import (
    Cooling,
    Deadlock,
    Done,
    ForcedAway,
    Granted,
    GrantedAll,
    Held,
    KeyConflict,
    Lease,
    Mismatch,
    NotFound,
    PolicyRefused,
    Released,
    ReleasedAll,
    Renewed,
    Replayed,
    Reserved,
    SessionAlive,
    SessionEnded,
    SessionNotFound,
    TimedOut,
    TtlTooShort,
)
from gorilla.service.errors import NotServedError, OutcomeUnknownError
from gorilla.service.keys import Key
from gorilla.service.waits import WaitEnded
from tests.support.sim.history import Asked, Result, Wish
from tests.support.sim.parts import Process, asking
from tests.support.sim.queueing import Call, Told

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode

Reply = Callable[[Call, Told], None]


def serve(node: "SimNode", call: Call, reply: Reply) -> None:
    """Serve one call on the node's loop; a dead node answers nothing."""
    if node.process is not None:
        call.life, call.hung_up = node.life, node.loop.create_future()
        call.task = node.run_task(_serve(node.process, call, reply))


def hang_up(node: "SimNode", call: Call) -> None:
    """Let the process that serves a call hear that its caller has gone."""
    if call.hung_up is None or call.task is None or call.life != node.life:
        return
    if call.is_cancelled:
        call.task.cancel()
    elif not call.hung_up.done():
        call.hung_up.set_result(None)


async def _serve(process: Process, call: Call, reply: Reply) -> None:
    asking.set(call.operation)
    try:
        told = present(await _do(process, call))
    except NotServedError:
        told = Told(Result.DEFINITE)
    except OutcomeUnknownError:
        told = Told(Result.UNKNOWN)
    reply(call, told)


def _do(process: Process, call: Call) -> Awaitable[Any]:
    wish, owner, key = call.operation.wish, call.operation.client, _key(call.operation.wish)
    lock = wish.locks[0] if wish.locks else ""
    sessions, repairs, locks = process.sessions, process.repairs, process.locks
    policies = process.policies
    ttl_ms = wish.timeout_ms
    calls: dict[Asked, Callable[[], Awaitable[Any]]] = {
        Asked.ACQUIRE: lambda: locks.acquire(lock=lock, **_asked(call, key)),
        Asked.SEVERAL: lambda: locks.acquire_all(locks=wish.locks, **_asked(call, key)),
        Asked.RELEASE: lambda: locks.release(lock, wish.token, key=key),
        Asked.EXTEND: lambda: locks.renew(lock, wish.token, ttl_ms=ttl_ms, key=key),
        Asked.RELEASE_ALL: lambda: repairs.release_all(wish.token, key=key),
        Asked.FORCE: lambda: repairs.force(lock, reason="simulated", by=owner, key=key),
        Asked.OPEN: lambda: sessions.open(holder=owner, ttl_ms=ttl_ms, key=key),
        Asked.KEEP: lambda: sessions.keep(wish.session, key=key),
        Asked.END: lambda: sessions.end(wish.session, key=key),
        Asked.RULE: lambda: policies.set(wish.policy or Policy(wish.prefix), key=key),
        Asked.DROP: lambda: policies.drop(wish.prefix, key=key),
    }
    return calls[wish.kind]()


def _asked(call: Call, key: Key | None) -> dict[str, Any]:
    wish = call.operation.wish
    return {
        "holder": call.operation.client,
        "ttl_ms": wish.timeout_ms,
        "slots": wish.slots,
        "wait_ms": wish.wait_ms,
        "keep_ms": wish.keep_ms,
        "session": wish.session,
        "key": key,
        "hung_up": call.hung_up,
    }


def _key(wish: Wish) -> Key | None:
    if not wish.key:
        return None
    return Key(wish.key, hashlib.blake2b(repr(wish).encode(), digest_size=16).digest())


def present(outcome: Any) -> Told:
    """Return what the client is told."""
    match outcome:
        case Replayed(outcome=earlier):
            return present(earlier)
        case Granted(lease=lease, remaining_ms=left_ms):
            return Told(Result.GRANTED, (_row(lease),), lease.secret, left_ms, not lease.ttl_ms)
        case Renewed(lease=lease, remaining_ms=left_ms):
            return Told(Result.RENEWED, (_row(lease),), lease.secret, left_ms, not lease.ttl_ms)
        case GrantedAll(leases=leases, remaining_ms=left_ms):
            return Told(
                Result.GRANTED,
                tuple(map(_row, leases)),
                leases[0].group,
                left_ms,
                not any(one.ttl_ms for one in leases),
            )
        case SessionAlive(session=session, remaining_ms=left_ms):
            return Told(Result.ALIVE, (), session.id, left_ms)
        case _:
            return Told(_PLAIN[type(outcome)], kept_ms=_kept_ms(outcome))


def _kept_ms(outcome: Any) -> int:
    place = outcome.place if isinstance(outcome, WaitEnded) else None
    return 0 if place is None else place.kept_ms


def _row(lease: Lease) -> tuple[str, int, str]:
    return (lease.lock, lease.fencing_token, lease.secret)


_PLAIN: dict[type, Result] = {
    Released: Result.RELEASED,
    ReleasedAll: Result.RELEASED,
    SessionEnded: Result.RELEASED,
    ForcedAway: Result.FORCED,
    Done: Result.RULED,
    NotFound: Result.NOT_FOUND,
    SessionNotFound: Result.NOT_FOUND,
    TtlTooShort: Result.TOO_SHORT,
    Held: Result.HELD,
    Reserved: Result.NOT_NOW,
    Deadlock: Result.NOT_NOW,
    Mismatch: Result.NOT_NOW,
    Cooling: Result.NOT_NOW,
    PolicyRefused: Result.NOT_NOW,
    TimedOut: Result.NOT_NOW,
    WaitEnded: Result.NOT_NOW,
    KeyConflict: Result.CONFLICT,
}
