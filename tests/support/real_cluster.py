"""A cluster of real nodes for a test or a module, and plain calls to it."""

import asyncio
import contextlib
import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from email.message import Message
from pathlib import Path
from typing import Any

from tests.support.nodes import Balancer, Nodes

CALL_S_MAX = 20.0
POLL_S = 0.05


@dataclass(frozen=True)
class Reply:
    """An answer, read to the end; ``body`` is {} when there is none."""

    status: int
    body: dict[str, Any]
    headers: Message


@contextlib.contextmanager
def running_nodes(directory: Path, *, count: int = 3, **settings: str) -> Iterator[Nodes]:
    """Start nodes and wait until all are ready; end them whatever happened."""
    nodes = Nodes(directory, count, **settings)
    try:
        nodes.start()
        asyncio.run(nodes.until_ready())
        yield nodes
    finally:
        nodes.close()


@contextlib.contextmanager
def running_balancer(nodes: Nodes) -> Iterator[Balancer]:
    """Start HAProxy in front of ``nodes`` and wait until it has found one."""
    balancer = Balancer(nodes)
    try:
        balancer.start()
        asyncio.run(balancer.until_ready())
        yield balancer
    finally:
        balancer.close()


def call(url: str, method: str, path: str, body: object = None) -> Reply:
    """Ask once; ``path`` is percent-encoded already.

    Raises:
        OSError: There was no answer.

    """
    request = urllib.request.Request(
        url + path,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
        method=method,
    )
    try:
        with urllib.request.urlopen(request, timeout=CALL_S_MAX) as answer:
            return Reply(answer.status, json.loads(answer.read() or b"{}"), answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return Reply(error.code, json.loads(error.read() or b"{}"), error.headers)


def acquire(url: str, resource: str, owner: str = "anna", timeout_s: float = 600) -> dict[str, Any]:
    """Acquire; fails the test when the lock was not given."""
    reply = call(url, "POST", f"/api/v1/locks/{resource}", {"owner": owner, "timeout": timeout_s})
    assert reply.status == 200, reply
    return reply.body


def until(condition: Callable[[], object], what: str, within_s: float = 30.0) -> None:
    """Wait for what no event tells of."""
    deadline_s = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline_s, f"not within {within_s:.0f} s: {what}"
        time.sleep(POLL_S)


async def until_equal(nodes: Nodes, within_s: float = 15.0) -> None:
    """Wait until all nodes have applied the same entries; then their states must be equal."""
    deadline_s = time.monotonic() + within_s
    views: list[dict[str, Any] | None] = []
    while time.monotonic() < deadline_s:
        views = [nodes.ask(name, "/api/v1/cluster") for name in nodes.names]
        known = [view for view in views if view is not None]
        if len(known) == len(views) and len({view["appliedIndex"] for view in known}) == 1:
            assert len({view["chain"] for view in known}) == 1
            return
        await asyncio.sleep(POLL_S)
    raise AssertionError(f"the nodes did not become equal: {views}")
