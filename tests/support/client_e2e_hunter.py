"""One program of a hunt for double holds: it takes locks, tells when it was sure of them, goes on.

``python -m tests.support.client_e2e_hunter FACE SEED SECONDS OUT RESOURCE-PORT URL…``: what it was
sure of goes to the file OUT, a line for each hold. While it holds a lock, and after it was lost, it
writes to a resource that a :class:`FencingGuard` guards, as a program that does not look would.
"""

import asyncio
import contextlib
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from pathlib import Path
from typing import Any

from gorilla.client import AsyncClient, Client, GorillaError, LockLost
from gorilla.client.clock import now_s

ACTORS = 3
LEASE_S = 1.5
WAIT_S = 4.0
STEP_S = 0.05
LOCKS = ("hunt/a", "hunt/b")
SLOTS = "hunt/slots"
LIMIT = 2
RESOURCE_S = 2.0


class Diary:
    """What the actors of this program were sure of."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("a")
        self._guard = threading.Lock()
        self.ends: Counter[str] = Counter()

    def tell(self, actor: str, span: "Span", end: str) -> None:
        row = {"actor": actor, "numbers": span.numbers, "from": span.from_s, "to": span.to_s}
        with self._guard:
            self.ends[end] += 1
            self._file.write(json.dumps(row) + "\n")
            self._file.flush()

    def count(self, what: str) -> None:
        with self._guard:
            self.ends[what] += 1


class Span:
    """From when to when a hold was certain: every look in between said so."""

    def __init__(self, held: Any) -> None:
        self.from_s = self.to_s = 0.0
        self.numbers: dict[str, int] = {}
        self._held = held

    def look(self) -> None:
        """Take one more moment; raises when the lock is lost."""
        moment_s = now_s()
        numbers = (
            self._held.fencing_tokens
            if hasattr(self._held, "fencing_tokens")
            else {self._held.resource: self._held.fencing_token}
        )
        assert not self.numbers or numbers == self.numbers, "one hold, one number"
        # The clock was read before the look: at that moment it was held for certain.
        self.from_s = self.from_s or moment_s
        self.to_s = moment_s
        self.numbers = numbers


def wish(client: Any, rng: random.Random) -> tuple[Any, Any]:
    """Return a lock to take, and the session to take it in, if any."""
    options = {"timeout": LEASE_S, "wait": WAIT_S}
    which = rng.randrange(6)
    if which < 3:
        return client.lock(rng.choice(LOCKS), **options), None
    if which == 3:
        return client.locks(rng.sample(LOCKS, 2), **options), None
    if which == 4:
        return client.semaphore(SLOTS, limit=LIMIT, **options), None
    return rng.choice(LOCKS), client.session(ttl=LEASE_S)


def steps(rng: random.Random) -> int:
    """How many steps a hold lasts: a few, now and then for longer than its lease."""
    return rng.randrange(40, 100) if rng.random() < 0.25 else rng.randrange(1, 8)


def write(port: int, numbers: dict[str, int]) -> None:
    """Write to the resource; nobody looks before whether the lock is still held."""
    with (
        contextlib.suppress(OSError),
        socket.create_connection(("127.0.0.1", port), RESOURCE_S) as there,
    ):
        there.sendall(json.dumps(numbers).encode() + b"\n")
        there.recv(1)


def live(
    client: Any, name: str, rng: random.Random, diary: Diary, until_s: float, port: int
) -> None:
    def under(lock: Any) -> None:
        with lock as held:
            span = Span(held)
            end = "lost"
            try:
                for _ in range(steps(rng)):
                    span.look()
                    if held.resource != SLOTS and rng.random() < 0.2:
                        write(port, span.numbers)
                    time.sleep(rng.uniform(0, 2 * STEP_S))
                end = "held"
            finally:
                diary.tell(name, span, end)
                if end == "lost":
                    write(port, span.numbers)

    while now_s() < until_s:
        lock, session = wish(client, rng)
        try:
            if session is None:
                under(lock)
            else:
                with session as one:
                    under(one.lock(lock, wait=WAIT_S))
        except GorillaError as error:
            diary.count(type(error).__name__)
            time.sleep(0.0 if isinstance(error, LockLost) else rng.uniform(0, 0.2))


async def live_async(
    client: Any, name: str, rng: random.Random, diary: Diary, until_s: float, port: int
) -> None:
    async def under(lock: Any) -> None:
        async with lock as held:
            span = Span(held)
            end = "lost"
            try:
                for _ in range(steps(rng)):
                    span.look()
                    if held.resource != SLOTS and rng.random() < 0.2:
                        await asyncio.to_thread(write, port, span.numbers)
                    await asyncio.sleep(rng.uniform(0, 2 * STEP_S))
                end = "held"
            finally:
                diary.tell(name, span, end)
                if end == "lost":
                    await asyncio.to_thread(write, port, span.numbers)

    while now_s() < until_s:
        lock, session = wish(client, rng)
        # Some are cancelled, in the queue or while they hold it.
        patience_s = rng.uniform(0.1, 3.0) if rng.random() < 0.2 else 60.0
        try:
            async with asyncio.timeout(patience_s):
                if session is None:
                    await under(lock)
                else:
                    async with session as one:
                        await under(one.lock(lock, wait=WAIT_S))
        except (GorillaError, TimeoutError) as error:
            diary.count(type(error).__name__)
            await asyncio.sleep(0.0 if isinstance(error, LockLost) else rng.uniform(0, 0.2))


def main(face: str, seed: str, seconds: str, out: str, port: str, *urls: str) -> None:
    until_s = now_s() + float(seconds)
    diary = Diary(Path(out))
    options = {"attempt_s": 1.0, "deadline_s": 3.0, "name": f"{face}-{seed}"}
    turns = [(f"{face}-{seed}.{n}", random.Random(f"{seed}.{n}")) for n in range(ACTORS)]
    if face == "blocking":
        with Client(*urls, **options) as client:
            threads = [
                threading.Thread(target=live, args=(client, *turn, diary, until_s, int(port)))
                for turn in turns
            ]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    else:

        async def run() -> None:
            async with AsyncClient(*urls, **options) as client, asyncio.TaskGroup() as group:
                for turn in turns:
                    group.create_task(live_async(client, *turn, diary, until_s, int(port)))

        asyncio.run(run())
    print(json.dumps(diary.ends))


if __name__ == "__main__":
    main(*sys.argv[1:])
