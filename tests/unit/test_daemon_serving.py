"""The event loop as the proposals see it."""

import asyncio

from gorilla.daemon.serving import FailStopLoop


async def test_an_exception_in_a_callback_of_the_proposals_ends_the_node():
    failures = []
    seen = asyncio.Event()

    def fail(error):
        failures.append(error)
        seen.set()

    loop = FailStopLoop(asyncio.get_running_loop(), fail)
    loop.call_soon(lambda: 1 / 0)
    await asyncio.wait_for(seen.wait(), 5)
    seen.clear()
    loop.call_at(loop.time() + 0.001, lambda: {}["missing"])
    await asyncio.wait_for(seen.wait(), 5)

    assert [type(error) for error in failures] == [ZeroDivisionError, KeyError]
