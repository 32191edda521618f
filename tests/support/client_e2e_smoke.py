"""A small run of both faces against a cluster: ``python client_e2e_smoke.py URL…``.

It needs nothing but what the client needs, so that it runs on any Python that the client runs on.
"""

import asyncio
import sys
import threading

from gorilla.client import AsyncClient, Client, LockHeld, LockLost, WaitTimeout

LEASE_S = 1.0
UNTIL_S = 15.0


def blocking(*urls: str) -> None:
    with Client(*urls) as client:
        extended = threading.Event()
        with client.lock(
            "smoke", timeout=LEASE_S, on_extended=lambda _held: extended.set()
        ) as held:
            assert extended.wait(UNTIL_S)
            try:
                client.lock("smoke", timeout=LEASE_S, wait=0.1, owner="other").acquire()
            except WaitTimeout as error:
                told = error.explain
            assert told is not None
            number = held.fencing_token
        with client.session(ttl=5) as session, session.locks(["smoke", "smoke-2"]) as both:
            assert both.fencing_tokens["smoke"] > number
        with client.semaphore("smoke-3", limit=2, timeout=5), client.election("smoke") as term:
            leader = client.leader("smoke")
            assert leader is not None
            assert leader.owner == term.owner
        lost = threading.Event()
        try:
            with client.lock("smoke", timeout=LEASE_S, on_lost=lambda _error: lost.set()):
                client.force_release("smoke", "a test")
                assert lost.wait(UNTIL_S)
        except LockLost as error:
            what = error.resource
        assert what == "smoke"
        assert list(client.list_locks(prefix="smoke")) == []


async def asynchronous(*urls: str) -> None:
    async with AsyncClient(*urls) as client, asyncio.timeout(4 * UNTIL_S):
        extended = asyncio.Event()
        wanted = client.lock("smoke", timeout=LEASE_S, on_extended=lambda _held: extended.set())
        async with wanted as held:
            await extended.wait()
            try:
                await client.lock("smoke", timeout=LEASE_S, owner="other").acquire()
            except LockHeld as error:
                holder = error.holder
            assert holder is not None
            assert holder.owner == held.owner
            waits = asyncio.ensure_future(client.lock("smoke", timeout=5, wait=5).acquire())
            await asyncio.sleep(0.2)
            waits.cancel()
            await asyncio.gather(waits, return_exceptions=True)
            assert waits.cancelled()
        async with client.session(ttl=5) as session, session.locks(["smoke", "smoke-2"]) as both:
            assert len(both.fencing_tokens) == 2
        try:
            async with client.lock("smoke", timeout=LEASE_S, cancel_on_lost=True):
                await client.force_release("smoke", "a test")
                await asyncio.sleep(UNTIL_S)
            raise AssertionError("the loss was not told")
        except LockLost as error:
            what = error.resource
        assert what == "smoke"
    assert asyncio.all_tasks() == {asyncio.current_task()}


def main() -> None:
    blocking(*sys.argv[1:])
    asyncio.run(asynchronous(*sys.argv[1:]))
    assert threading.active_count() == 1, threading.enumerate()
    print(f"both faces work on Python {sys.version.split()[0]}")


if __name__ == "__main__":
    main()
