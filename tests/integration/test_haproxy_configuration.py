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
SHORT_S = 1
"""What a test makes of the balancer's patience with clients and nodes."""

HEARTBEAT_S = 0.4
WAITS_S = 2.5
LONG = "x" * 20_000


class Node:
    """Says that it is ready, counts what it is asked, and answers as a test wants."""

    def __init__(self):
        self.asked = []
        self.answers = True
        self.status = 200
        self.takes_s = 0.0
        self.gone = 0

    async def start(self, port):
        app = web.Application()
        app.router.add_get("/_ready", self._ready)
        app.router.add_route("*", "/{path:.*}", self._serve)
        # A real node's handlers are told otherwise; what counts here is that the connection ends.
        self.runner = web.AppRunner(app, shutdown_timeout=0.1, handler_cancellation=True)
        await self.runner.setup()
        await web.TCPSite(self.runner, "127.0.0.1", port).start()

    async def _ready(self, _request):
        return web.json_response({})

    async def _serve(self, request):
        await request.read()
        self.asked.append((request.method, request.raw_path, request.headers["X-Request-Id"]))
        if not self.answers:
            request.transport.close()
        if request.path == "/api/v1/events" and self.status == 200:
            return await self._stream(request)
        try:
            await asyncio.sleep(self.takes_s)
        except asyncio.CancelledError:
            self.gone += 1
            raise
        return web.json_response({}, status=self.status)

    async def _stream(self, request):
        stream = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await stream.prepare(request)
        try:
            while True:
                await stream.write(b": still here\n\n")
                await asyncio.sleep(HEARTBEAT_S)
        except (asyncio.CancelledError, ConnectionError):
            self.gone += 1
            raise


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
    async with balancing(tmp_path, CONFIGURATION.read_text()) as made:
        yield made


@pytest.fixture
async def impatient(tmp_path):
    """The same, but what takes 15 s or a minute there takes a second here."""
    text = CONFIGURATION.read_text()
    for setting in ("timeout server 15s", "timeout client 60s"):
        assert text.count(f"    {setting}\n") == 1
        text = text.replace(setting, f"{setting.rpartition(' ')[0]} {SHORT_S}s")
    async with balancing(tmp_path, text) as made:
        yield made


@contextlib.asynccontextmanager
async def balancing(tmp_path, text):
    front, *ports = free_ports(4)
    text = text.replace("127.0.0.1:4080", f"127.0.0.1:{front}")
    for number, port in enumerate(ports):
        text = text.replace(f"127.0.0.1:{4000 + number}", f"127.0.0.1:{port}")
    (tmp_path / "haproxy.cfg").write_text(text)
    haproxy = await asyncio.create_subprocess_exec(
        shutil.which("haproxy") or "/usr/sbin/haproxy",
        *("-db", "-q", "-f", str(tmp_path / "haproxy.cfg")),
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    made = None
    try:
        async with asyncio.timeout(DEADLINE_S):
            while not await is_open(front):
                await asyncio.sleep(0.02)
        # One request a connection, and no repeating by the client's library.
        connector = aiohttp.TCPConnector(force_close=True)
        async with aiohttp.ClientSession(connector=connector) as session:
            made = Balanced(session, front, ports)
            yield made
    finally:
        # First, as its checks would connect to nodes that are being closed.
        haproxy.kill()
        await haproxy.wait()
        for node in () if made is None else made.nodes:
            await node.runner.cleanup()


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


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/api/v1/locks/a", {"owner": "o", "timeout": 9, "wait": 30}),
        ("/api/v1/locks/a", {"owner": "o", "timeout": 9, "wait": "1.5"}),
        ("/api/v1/locks", {"resources": ["a", "b"], "owner": "o", "wait": 0.5}),
        ("/api/v1/locks/a", {"metadata": [LONG], "owner": "o", "wait": 30}),
        ("/api/v1/locks/a", {"metadata": [LONG], "owner": "o"}),
    ],
)
async def test_who_waits_for_a_lock_is_answered_long_after_others_are_given_up(
    impatient, path, body
):
    await impatient.start_nodes(1)
    impatient.nodes[0].takes_s = WAITS_S

    async with impatient.session.post(impatient.url + path, json=body) as answer:
        assert answer.status == 200
    assert len(impatient.asked()) == 1


@pytest.mark.parametrize(
    ("method", "path", "body"),
    [
        ("POST", "/api/v1/locks/a", {"owner": "wait", "timeout": 9}),
        ("POST", "/api/v1/sessions", {"owner": "o", "wait": 30}),
        ("PUT", "/api/v1/locks/a/t", {"timeout": 9, "wait": 30}),
        ("GET", "/api/v1/locks/wait", None),
    ],
)
async def test_whatever_does_not_wait_for_a_lock_is_given_up_as_soon_as_ever(
    impatient, method, path, body
):
    await impatient.start_nodes(1)
    impatient.nodes[0].takes_s = WAITS_S

    async with impatient.session.request(method, impatient.url + path, json=body) as answer:
        assert answer.status == 504
        assert (await answer.json(content_type=None))["code"] == "outcome_unknown"


async def test_a_node_hears_at_once_that_a_client_which_waits_hung_up(balanced):
    await balanced.start_nodes(1)
    (node,) = balanced.nodes
    node.takes_s = DEADLINE_S
    body = json.dumps({"owner": "o", "timeout": 9, "wait": 60}).encode()
    _, writer = await asyncio.open_connection("127.0.0.1", balanced.port)
    writer.write(b"POST /api/v1/locks/a HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n")
    writer.write(b"Content-Length: %d\r\n\r\n%b" % (len(body), body))
    async with asyncio.timeout(DEADLINE_S):
        while not node.asked:
            await asyncio.sleep(0.01)
    assert node.gone == 0

    writer.close()
    await writer.wait_closed()

    async with asyncio.timeout(2):
        while not node.gone:
            await asyncio.sleep(0.01)


async def test_a_stream_of_events_lives_on_its_heartbeats_and_ends_with_its_reader(impatient):
    await impatient.start_nodes(1)
    (node,) = impatient.nodes
    stream = await impatient.session.get(f"{impatient.url}/api/v1/events")
    for _ in range(int(3 * SHORT_S / HEARTBEAT_S)):
        assert await stream.content.readuntil(b"\n\n") == b": still here\n\n"
    assert node.gone == 0

    stream.close()

    async with asyncio.timeout(2):
        while not node.gone:
            await asyncio.sleep(0.01)


async def test_a_stream_that_one_node_refuses_is_asked_of_another_and_nothing_else_is(balanced):
    await balanced.start_nodes(2)
    balanced.nodes[0].status = 503

    for _ in range(6):
        async with balanced.session.get(f"{balanced.url}/api/v1/events") as stream:
            assert stream.status == 200
    assert balanced.nodes[0].asked

    for method, path in (("POST", "/api/v1/locks/a"), ("GET", "/api/v1/locks/a")):
        for node in balanced.nodes:
            node.asked.clear()
        answers = [await balanced.ask(method, path) for _ in range(6)]
        assert 503 in [status for status, _, _ in answers]
        assert len(balanced.asked()) == 6


def test_the_balancer_waits_longer_for_an_answer_than_a_node_takes_to_give_one():
    text = CONFIGURATION.read_text()
    waits_s = float(re.search(r"timeout server (\d+)s", text).group(1))
    idle_s = float(re.search(r"timeout http-keep-alive (\d+)s", text).group(1))
    example = load_config(ROOT / "cluster.example.toml", {})
    long_s = float(re.search(r"set-timeout server (\d+)s", text).group(1))
    answer_s = example.locks.request_deadline_s + example.locks.leader_grace_s

    assert waits_s > answer_s
    assert long_s > example.locks.max_wait_s + answer_s
    assert int(re.search(r" maxconn (\d+)\n", text.partition("default-server")[2]).group(1)) < (
        example.http.max_connections
    )
    assert idle_s < example.http.keepalive_s
    assert re.findall(r"server (n\d) (\S+)", text) == [(m.name, m.http) for m in example.members]
