"""``deploy/haproxy.cfg`` in the real HAProxy; the nodes behind it are stand-ins that misbehave."""

import asyncio
import contextlib
import json
import re
import shutil
from pathlib import Path

import aiohttp
import pytest
from aiohttp import web

from gorilla.config import load_config
from tests.support.local_cluster import free_ports

ROOT = Path(__file__).parents[2]
CONFIGURATION = ROOT / "deploy" / "haproxy.cfg"
DEADLINE_S = 20


class Node:
    """Says that it is ready, counts what it is asked, and answers as a test wants."""

    def __init__(self):
        self.asked = []
        self.answers = True

    async def start(self, port):
        app = web.Application()
        app.router.add_get("/_ready", self._ready)
        app.router.add_route("*", "/{path:.*}", self._serve)
        self.runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()

    async def _ready(self, _request):
        return web.json_response({})

    async def _serve(self, request):
        await request.read()
        self.asked.append((request.method, request.raw_path, request.headers["X-Request-Id"]))
        if not self.answers:
            request.transport.close()
        return web.json_response({})


class Balanced:
    def __init__(self, session, port, ports):
        self.session = session
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self.ports = ports
        self.nodes = []

    async def start_nodes(self, count):
        for port in self.ports[:count]:
            node = Node()
            await node.start(port)
            self.nodes.append(node)
        await self.until(200)

    async def until(self, status):
        async with asyncio.timeout(DEADLINE_S):
            while (await self.ask("GET", "/_ready"))[0] != status:
                await asyncio.sleep(0.02)

    async def ask(self, method, path, **headers):
        async with self.session.request(method, self.url + path, headers=headers) as answer:
            return answer.status, json.loads(await answer.read()), answer.headers

    def asked(self):
        return [asked for node in self.nodes for asked in node.asked]


@pytest.fixture
async def balanced(tmp_path):
    front, *ports = free_ports(4)
    text = CONFIGURATION.read_text().replace("127.0.0.1:4080", f"127.0.0.1:{front}")
    for number, port in enumerate(ports):
        text = text.replace(f"127.0.0.1:{4000 + number}", f"127.0.0.1:{port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    haproxy = await asyncio.create_subprocess_exec(
        shutil.which("haproxy") or "/usr/sbin/haproxy",
        *("-db", "-q", "-f", str(tmp_path / "haproxy.cfg")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await is_open(front):
                await asyncio.sleep(0.02)
        # One request a connection, and no repeating by the client's library.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            made = Balanced(session, front, ports)
            yield made
        for node in made.nodes:
            await node.runner.cleanup()
    finally:
        haproxy.kill()
        await haproxy.wait()


async def is_open(port):
    with contextlib.suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        await writer.wait_closed()
        return True
    return False


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_write_that_got_no_answer_is_not_sent_again(balanced, method):
    await balanced.start_nodes(3)
    for node in balanced.nodes:
        node.answers = False

    status, problem, headers = await balanced.ask(
        method, "/api/v1/locks/a", **{"X-Request-Id": "q"}
    )

    assert balanced.asked() == [(method, "/api/v1/locks/a", "q")]
    assert (status, problem["status"], problem["code"]) == (504, 504, "outcome_unknown")
    assert problem["requestId"] == "q"
    assert headers["Content-Type"] == "application/problem+json"


async def test_a_write_on_a_kept_connection_that_got_no_answer_is_not_sent_again(balanced):
    await balanced.start_nodes(3)
    reader, writer = await asyncio.open_connection("127.0.0.1", balanced.port)
    head = "HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"
    writer.write(f"POST /first {head}".encode())
    assert b"200 OK" in await reader.readuntil(b"\r\n\r\n{}")
    for node in balanced.nodes:
        node.answers = False

    writer.write(f"POST /second {head}".encode())
    async with asyncio.timeout(DEADLINE_S):
        await reader.read()

    assert sorted(path for _, path, _ in balanced.asked()) == ["/first", "/second"]
    writer.close()
    await writer.wait_closed()


async def test_without_a_ready_node_the_answer_is_that_nothing_was_done(balanced):
    await balanced.until(503)

    status, problem, headers = await balanced.ask("POST", "/api/v1/locks/a")

    assert (status, problem["code"], headers["Retry-After"]) == (503, "no_quorum", "1")


async def test_a_node_that_refuses_connections_is_passed_over_at_once(balanced):
    await balanced.start_nodes(2)
    await balanced.nodes[0].runner.cleanup()

    answers = [await balanced.ask("POST", f"/api/v1/locks/{number}") for number in range(10)]

    assert [status for status, _, _ in answers] == [200] * 10
    assert len(balanced.nodes[1].asked) == 10


async def test_an_encoded_slash_reaches_the_node_as_it_was_sent_with_a_request_id(balanced):
    await balanced.start_nodes(1)

    async with aiohttp.ClientSession() as session:
        path = aiohttp.client.URL(f"{balanced.url}/api/v1/locks/team%2Fa", encoded=True)
        async with session.post(path) as answer:
            assert answer.status == 200

    ((_, path, request_id),) = balanced.asked()
    assert path == "/api/v1/locks/team%2Fa"
    assert len(request_id) == 36


def test_the_balancer_waits_longer_for_an_answer_than_a_node_takes_to_give_one():
    text = CONFIGURATION.read_text()
    waits_s = float(re.search(r"timeout server (\d+)s", text).group(1))
    idle_s = float(re.search(r"timeout http-keep-alive (\d+)s", text).group(1))
    example = load_config(ROOT / "cluster.example.toml", {})

    assert waits_s > example.locks.request_deadline_s + example.locks.leader_grace_s
    assert idle_s < example.http.keepalive_s
    assert re.findall(r"server (n\d) (\S+)", text) == [(m.name, m.http) for m in example.members]
