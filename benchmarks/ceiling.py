"""The ceiling: the same HTTP server and lock table in one process, without the cluster.

``python -m benchmarks.ceiling`` prints its port and serves until its input closes. No log, no
disk, no other node: what is left is what HTTP, the API and the state machine cost.
"""

import asyncio
import sys

import uvloop

from tests.support.api import running_api


async def serve() -> None:
    async with running_api() as api:
        print(api.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)


if __name__ == "__main__":
    uvloop.run(serve())
