"""The real API on a real socket, over the real service on an in-memory consensus."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from typing import Any

import aiohttp
import msgspec
from prometheus_client import CollectorRegistry
from yarl import URL

from gorilla.api.app import Api, build_app
from gorilla.api.dependencies import ApiDependencies, SnapshotOperations
from gorilla.api.feeding import EventFeed
from gorilla.api.limits import HttpLimits
from gorilla.api.server import ApiServer, serve
from gorilla.dashboard import dashboard_page
from gorilla.service.membership import MembershipService
from gorilla.service.ports import Membership
from gorilla.service.snapshots import StoredSnapshot
from tests.support.membership import MemoryMembership
from tests.support.service import Node

NODE_NAME = "gorilla-1"


class Answered(msgspec.Struct):
    """What came back: everything of it, read to the end."""

    status: int
    headers: dict[str, str]
    content: bytes

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


async def ask(
    session: aiohttp.ClientSession, base_url: str, method: str, path: str, **options: Any
) -> Answered:
    """Send a request whose path is already percent-encoded, and read its answer."""
    url = URL(base_url + path, encoded=True)
    async with session.request(method, url, **options) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Answered(answer.status, headers, await answer.read())


async def until(condition: Callable[[], bool], timeout_s: float = 5.0) -> None:
    """Wait for what no event tells of."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.002)


class RawAnswer(msgspec.Struct):
    """What came back on a raw socket, up to its end or to the end of one answer."""

    status: int
    headers: dict[str, str]
    content: bytes
    closed: bool

    @property
    def json(self) -> Any:
        return msgspec.json.decode(self.content)


async def read_raw(reader: asyncio.StreamReader, timeout_s: float = 5.0) -> RawAnswer:
    """Read one answer, and whether the connection ended right after it."""
    async with asyncio.timeout(timeout_s):
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        status_line, *lines = head.split("\r\n")
        headers = {name.lower(): value for name, value in (ln.split(": ", 1) for ln in lines if ln)}
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        return RawAnswer(
            int(status_line.split(" ")[1]),
            headers,
            content,
            headers.get("connection") == "close" and await reader.read(1) == b"",
        )


@contextlib.asynccontextmanager
async def raw_connection(
    port: int,
) -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """Connect to a port and see to it that the connection ends."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def send_raw(port: int, request: bytes, timeout_s: float = 5.0) -> RawAnswer:
    """Send bytes as they are, and read one answer."""
    async with raw_connection(port) as (reader, writer):
        writer.write(request)
        return await read_raw(reader, timeout_s)


class Snapshots:
    """Snapshots in memory; ``failure`` is raised instead when it is set."""

    def __init__(self) -> None:
        self.stored: list[StoredSnapshot] = []
        self.failure: Exception | None = None

    async def list(self, limit: int) -> list[StoredSnapshot]:
        self._check()
        return self.stored[::-1][:limit]

    async def take(self) -> StoredSnapshot:
        self._check()
        snapshot = StoredSnapshot(
            id=len(self.stored) + 1,
            cluster_id="cluster",
            node=NODE_NAME,
            taken_at=datetime(2025, 5, 4, 10, 11, 12, 999_000, tzinfo=UTC),
            term=1,
            applied_index=7,
            cluster_now_ms=1,
            lock_count=2,
            fencing_counter=41,
            chain="ab",
            format_version=1,
            digest="cd",
            size_bytes=123,
        )
        self.stored.append(snapshot)
        return snapshot

    def _check(self) -> None:
        if self.failure is not None:
            raise self.failure


class RunningApi:
    """An API that listens, and what is behind it."""

    def __init__(self, node: Node, api: Api, server: ApiServer) -> None:
        self.node = node
        self.api = api
        self.server = server
        self.port = server.port
        self.base_url = f"http://127.0.0.1:{server.port}"
        self.session = aiohttp.ClientSession()

    async def ask(self, method: str, path: str, **options: Any) -> Answered:
        return await ask(self.session, self.base_url, method, path, **options)


def dependencies(
    node: Node, snapshots: SnapshotOperations | None = None, **changes: Any
) -> ApiDependencies:
    fields: dict[str, Any] = {
        "node": NODE_NAME,
        "version": "1.2.3",
        "locks": node.locks,
        "repairs": node.repairs,
        "sessions": node.sessions,
        "policies": node.policies,
        "cluster": node.cluster,
        "registry": CollectorRegistry(),
        "dashboard": dashboard_page(),
        "snapshots": snapshots,
        "feed": EventFeed(node.events, changes.get("limits", HttpLimits())),
    }
    return ApiDependencies(**{**fields, **changes})


@contextlib.asynccontextmanager
async def running_api(
    node: Node | None = None,
    *,
    snapshots: SnapshotOperations | None = None,
    **changes: Any,
) -> AsyncIterator[RunningApi]:
    """Serve the API of a node (by default of a new one that leads) on a free port."""
    node = node or Node()
    api = build_app(dependencies(node, snapshots, **changes))
    server = await serve(api, "127.0.0.1", 0)
    running = RunningApi(node, api, server)
    try:
        yield running
    finally:
        await running.session.close()
        await server.close(1.0)


@contextlib.asynccontextmanager
async def changeable_api(
    membership: Membership | None = None, **changes: Any
) -> AsyncIterator[RunningApi]:
    """Serve the API of a node whose cluster can be changed, by default one of three members."""
    service = MembershipService(membership or MemoryMembership(), asyncio.get_running_loop())
    async with running_api(membership=service, **changes) as api:
        yield api
