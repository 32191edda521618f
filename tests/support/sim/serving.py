"""The edge of a node: turns a client's request into a call of the service, and back."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gorilla.domain.outcomes import (
    Deadlock,
    Granted,
    Held,
    Lease,
    Mismatch,
    NotFound,
    Released,
    Renewed,
    Reserved,
    TtlTooShort,
)
from gorilla.service.errors import NotServedError, OutcomeUnknownError
from gorilla.service.locks import LeaseView, LockService, LockView
from gorilla.service.waits import WaitEnded
from tests.support.sim.history import Kind, Result
from tests.support.sim.parts import asking
from tests.support.sim.workload import Answer, Request

if TYPE_CHECKING:
    from tests.support.sim.node import SimNode

Reply = Callable[[Request, Answer], None]


def serve(node: "SimNode", request: Request, reply: Reply) -> None:
    """Serve one request on the node's loop; a dead node answers nothing."""
    if node.process is not None:
        node.run_task(_serve(node.process.locks, request, reply))


async def _serve(locks: LockService, request: Request, reply: Reply) -> None:
    asking.set(request.operation)
    try:
        answer = present(await _call(locks, request))
    except NotServedError:
        answer = Answer(Result.DEFINITE)
    except OutcomeUnknownError:
        answer = Answer(Result.UNKNOWN)
    reply(request, answer)


async def _call(locks: LockService, request: Request) -> Any:
    operation, token = request.operation, request.operation.token or ""
    match operation.kind:
        case Kind.ACQUIRE:
            return await locks.acquire(
                lock=operation.resource,
                holder=operation.client,
                ttl_ms=request.timeout_ms,
                wait_ms=request.wait_ms,
            )
        case Kind.RELEASE:
            return await locks.release(operation.resource, token)
        case Kind.RENEW:
            return await locks.renew(operation.resource, token, ttl_ms=request.timeout_ms)
        case Kind.STATUS:
            return await locks.status(operation.resource, token)
        case Kind.LOOK:
            return await locks.show(operation.resource)


def present(outcome: Any) -> Answer:
    """Return what the client is told."""
    match outcome:
        case Granted(lease=lease, remaining_ms=remaining_ms):
            return _lease(Result.GRANTED, lease, remaining_ms)
        case Renewed(lease=lease, remaining_ms=remaining_ms):
            return _lease(Result.RENEWED, lease, remaining_ms)
        case LeaseView(lease=lease):
            return Answer(Result.VALID, fencing=lease.fencing_token, holder=lease.holder)
        case Held():
            return Answer(Result.HELD, fencing=outcome.fencing_token, holder=outcome.holder)
        case LockView():
            return _show(outcome)
        case _:
            return Answer(_PLAIN[type(outcome)])


_PLAIN: dict[type, Result] = {
    Released: Result.RELEASED,
    NotFound: Result.NOT_FOUND,
    TtlTooShort: Result.TOO_SHORT,
    Reserved: Result.NOT_NOW,
    Deadlock: Result.NOT_NOW,
    Mismatch: Result.NOT_NOW,
    WaitEnded: Result.NOT_NOW,
}


def _show(lock: LockView) -> Answer:
    if not lock.held:
        return Answer(Result.FREE)
    lease = lock.holders[0].lease
    return Answer(Result.HELD, fencing=lease.fencing_token, holder=lease.holder)


def _lease(result: Result, lease: Lease, remaining_ms: int) -> Answer:
    return Answer(
        result,
        fencing=lease.fencing_token,
        token=lease.secret,
        holder=lease.holder,
        remaining_ms=remaining_ms,
    )
