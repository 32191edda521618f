"""``gorillad up``: what it starts, what it tells, and how it ends. Its nodes are tiny programs."""

import asyncio
import io
import os
import signal
import socket
import sys

import pytest
from aiohttp import web

from gorilla.config import ClusterConfig, load_config
from gorilla.daemon.failures import CommandError, Exit
from gorilla.daemon.supervisor import Supervisor
from tests.support.local_cluster import free_ports

DEADLINE_S = 20

NODE = """
import signal, sys
signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
print(f"{sys.argv[1]} is up", flush=True)
signal.sigwait({signal.SIGTERM})
print(f"{sys.argv[1]} stops in order", flush=True)
"""
STUBBORN = """
import signal, sys
signal.signal(signal.SIGTERM, signal.SIG_IGN)
print(f"{sys.argv[1]} is up", flush=True)
sys.stdin.read()
"""
LOADING = """
import sys
print(f"{sys.argv[1]} is loading", flush=True)
sys.stdin.read()
"""
FAILS = """
import sys
print("no disk", file=sys.stderr)
sys.exit(3)
"""
TALKS = """
import os
os.write(1, b"x" * 200_000 + b"\\nthe last words, \\xff and no newline")
"""
CLOSED_PORTS = "n1=127.0.0.1:{0}/127.0.0.1:{1},n2=127.0.0.1:{2}/127.0.0.1:{3}"


class Lines(io.StringIO):
    """Keeps what is written, and lets a test wait for it."""

    def __init__(self):
        super().__init__()
        self.written = asyncio.Event()

    def write(self, text):
        self.written.set()
        return super().write(text)

    async def until(self, *wanted):
        async with asyncio.timeout(DEADLINE_S):
            while not all(text in self.getvalue() for text in wanted):
                self.written.clear()
                await self.written.wait()


def two_members(stop_deadline_s=5.0, ports=None):
    return load_config(
        None,
        {
            "GORILLA_MEMBERS": CLOSED_PORTS.format(*(ports or free_ports(4))),
            "GORILLA_DATABASE_URL": "postgresql://not-asked/here",
            "GORILLA_NODE_STOP_DEADLINE_S": str(stop_deadline_s),
        },
    )


def supervise(config: ClusterConfig, programs, migrated=None):
    """Start a supervisor whose nodes run ``programs[name]``; return its task and its lines."""
    lines = Lines()
    supervisor = Supervisor(
        config,
        dict(os.environ),
        lambda name: [sys.executable, "-c", programs.get(name, NODE), name],
        migrate=(migrated if migrated is not None else []).append,
        out=lines,
    )
    return asyncio.create_task(supervisor.run()), lines


async def finished(task):
    async with asyncio.timeout(DEADLINE_S):
        return await task


def send(number=signal.SIGTERM):
    os.kill(os.getpid(), number)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_stops_every_node_in_order(number):
    migrated = []
    task, lines = supervise(two_members(), {}, migrated)
    await lines.until("n1 is up", "n2 is up")

    send(number)

    assert await finished(task) == Exit.DONE
    assert migrated == ["postgresql://not-asked/here"]
    assert "n1      | n1 stops in order" in lines.getvalue()
    assert "n2      | n2 stops in order" in lines.getvalue()
    assert lines.getvalue().endswith("gorilla | stopped\n")


async def test_a_node_that_is_stopped_while_it_still_loads_has_not_failed():
    task, lines = supervise(two_members(), {"n1": LOADING})
    await lines.until("n1 is loading", "n2 is up")

    send()

    assert await finished(task) == Exit.DONE
    assert "n1 was ended" not in lines.getvalue()


async def test_a_node_that_ends_is_told_of_and_the_others_go_on():
    task, lines = supervise(two_members(), {"n1": FAILS})

    await lines.until("n1 ended with exit code 3", "n2 is up")
    send()

    assert await finished(task) == Exit.FAILED
    assert "n1      | no disk" in lines.getvalue()
    assert "n2      | n2 stops in order" in lines.getvalue()


async def test_when_no_node_is_left_the_supervisor_ends_by_itself():
    task, lines = supervise(two_members(), {"n1": FAILS, "n2": FAILS})

    assert await finished(task) == Exit.FAILED
    assert "no node is left" in lines.getvalue()


async def test_a_second_signal_kills_what_does_not_stop():
    task, lines = supervise(two_members(stop_deadline_s=600), {"n1": STUBBORN})
    await lines.until("n1 is up", "n2 is up")

    send()
    await lines.until("n2 stops in order")
    send()

    assert await finished(task) == Exit.FAILED
    assert "n1 has not stopped in time: killed" in lines.getvalue()


async def test_a_node_that_does_not_stop_is_killed_after_the_deadline(monkeypatch):
    monkeypatch.setattr("gorilla.daemon.supervisor.STOP_MARGIN_S", 0.1)
    task, lines = supervise(two_members(stop_deadline_s=0.1), {"n1": STUBBORN})
    await lines.until("n1 is up", "n2 is up")

    send()

    assert await finished(task) == Exit.FAILED
    assert "n1 has not stopped in time: killed" in lines.getvalue()


async def test_endless_lines_and_broken_text_of_a_node_are_passed_on():
    task, lines = supervise(two_members(), {"n1": TALKS})

    await lines.until("n1      | the last words, \ufffd and no newline")
    send()

    await finished(task)
    assert lines.getvalue().count("x") >= 200_000


async def test_a_database_that_refuses_stops_everything_before_a_node_is_started():
    def refuse(_url):
        raise CommandError("the database refuses")

    lines = Lines()
    supervisor = Supervisor(two_members(), {}, lambda _: ["false"], migrate=refuse, out=lines)

    with pytest.raises(CommandError, match="the database refuses"):
        await supervisor.run()

    assert "stopping the nodes" not in lines.getvalue()


async def test_a_port_in_use_is_told_with_the_key_that_changes_it():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        config = two_members(ports=[*free_ports(3), port])
        task, _ = supervise(config, {})

        with pytest.raises(CommandError) as caught:
            await finished(task)

    assert caught.value.code == Exit.USAGE
    assert str(caught.value) == (
        f"127.0.0.1:{port} (peer of n2) is in use: stop what listens there "
        f"(ss -ltnp 'sport = :{port}'), or change peer of member n2 (or GORILLA_MEMBER_N2_PEER)"
    )


async def test_the_first_leader_is_shown_with_where_to_look_and_later_ones_too():
    answer = {"term": 3, "leader": {"name": "n2", "http": "x"}, "members": []}

    async def cluster(_request):
        return web.json_response(answer)

    ports = free_ports(4)
    task, lines = supervise(two_members(ports=ports), {})
    await lines.until("n1 is up")  # the ports were found free by now
    app = web.Application()
    app.router.add_get("/api/v1/cluster", cluster)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", ports[2]).start()

    await lines.until("ready: n2 leads 2 nodes (term 3)", f"http://127.0.0.1:{ports[0]}/")
    answer.update(term=4, leader={"name": "n1", "http": "x"})
    await lines.until("n1 leads now (term 4)")

    send()
    assert await finished(task) == Exit.DONE
    await runner.cleanup()
