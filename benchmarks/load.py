"""The load: a process of its own, so that it takes nothing from the nodes but processor time.

``python -m benchmarks.load MODE CONNECTIONS SECONDS HOST:PORT…`` keeps one request under way on
every connection and prints one JSON document. It speaks just enough HTTP for these answers: a
client library would cost more than the server.
"""

import asyncio
import json
import secrets
import sys
import time
from dataclasses import asdict, dataclass
from typing import cast

import uvloop
from typing_extensions import override

MODES = ("acquire", "pair")
WARM_UP_S = 0.5
LATE_S_MAX = 10.0
"""How long after the end an answer is waited for."""


@dataclass
class Figures:
    """What one run gave; latencies in milliseconds."""

    count: int
    errors: int
    seconds: float
    p50_ms: float
    p99_ms: float
    max_ms: float


class Connection(asyncio.Protocol):
    """One client: acquires fresh names one after the other, and releases them in mode ``pair``."""

    def __init__(self, run: "Run", number: int) -> None:
        self.run = run
        self.name = f"{run.prefix}-{number}"
        self.owner = number
        self.count = 0
        self.buffer = b""
        self.asked_s = 0.0
        self.is_releasing = False
        self.done = asyncio.get_running_loop().create_future()

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self.acquire()

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.run.errors += 1
            self.done.set_result(None)

    def acquire(self) -> None:
        if time.perf_counter() >= self.run.ends_s:
            self.done.set_result(None)
            self.transport.close()
            return
        self.count += 1
        self.is_releasing = False
        body = b'{"owner":"o%d","timeout":600}' % self.owner
        self.asked_s = time.perf_counter()
        self.transport.write(
            b"POST /api/v1/locks/%s-%d HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
            b"Content-Length: %d\r\n\r\n%s" % (self.name.encode(), self.count, len(body), body)
        )

    def release(self, token: bytes) -> None:
        self.is_releasing = True
        self.transport.write(
            b"DELETE /api/v1/locks/%s-%d/%s HTTP/1.1\r\nHost: x\r\n\r\n"
            % (self.name.encode(), self.count, token)
        )

    @override
    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n") + 4
        if end < 4:
            return
        body = self.body_from(end)
        if body is None:
            return
        status = self.buffer[9:12]
        self.buffer = b""
        self.answered(status, body)

    def body_from(self, end: int) -> bytes | None:
        """The whole body, empty without a Content-Length; None while some is missing."""
        at = self.buffer.find(b"Content-Length: ", 0, end)
        if at < 0:
            return b""
        length = int(self.buffer[at + 16 : self.buffer.find(b"\r", at)])
        return self.buffer[end:] if len(self.buffer) >= end + length else None

    def answered(self, status: bytes, body: bytes) -> None:
        if status not in {b"200", b"204"}:
            self.run.errors += 1
            self.acquire()
        elif self.run.mode == "pair" and not self.is_releasing:
            self.release(json.loads(body)["token"].encode())
        else:
            now_s = time.perf_counter()
            if self.asked_s >= self.run.begins_s:
                self.run.latencies_s.append(now_s - self.asked_s)
            self.acquire()


class Run:
    """All connections, for one length of time."""

    def __init__(self, mode: str, connections: int, seconds: float, addresses: list[str]) -> None:
        self.mode = mode
        self.connections = connections
        self.seconds = seconds
        self.addresses = [address.rsplit(":", 1) for address in addresses]
        self.prefix = f"bench-{secrets.token_hex(4)}"
        self.latencies_s: list[float] = []
        self.errors = 0
        self.begins_s = self.ends_s = 0.0

    async def measure(self) -> Figures:
        loop = asyncio.get_running_loop()
        self.begins_s = time.perf_counter() + WARM_UP_S
        self.ends_s = self.begins_s + self.seconds
        opened = []
        for number in range(self.connections):
            host, port = self.addresses[number % len(self.addresses)]
            made = await loop.create_connection(
                lambda number=number: Connection(self, number), host, int(port)
            )
            opened.append(made[1].done)
        late = self.ends_s - time.perf_counter() + LATE_S_MAX
        _, unanswered = await asyncio.wait(opened, timeout=late)
        self.errors += len(unanswered)
        return self.figures()

    def figures(self) -> Figures:
        ordered = sorted(self.latencies_s) or [0.0]
        return Figures(
            count=len(self.latencies_s),
            errors=self.errors,
            seconds=self.seconds,
            p50_ms=ordered[len(ordered) // 2] * 1e3,
            p99_ms=ordered[int(len(ordered) * 0.99)] * 1e3,
            max_ms=ordered[-1] * 1e3,
        )


def main() -> None:
    mode, connections, seconds, *addresses = sys.argv[1:]
    assert mode in MODES
    run = Run(mode, int(connections), float(seconds), addresses)
    print(json.dumps(asdict(uvloop.run(run.measure()))))


if __name__ == "__main__":
    main()
