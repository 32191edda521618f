"""The page at ``/`` in a real browser, of a real cluster."""

import asyncio
import contextlib
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from gorilla.storage import migrating
from gorilla.storage.embedded import EmbeddedPostgres
from tests.support.browser import Page, browser_page
from tests.support.nodes import Nodes
from tests.support.postgres import FAST, reachable_directory
from tests.support.real_cluster import acquire, call, until

pytestmark = pytest.mark.e2e

HOSTILE = '<b id="x">&"\'grüße/锁'
HOSTILE_PATH = "%3Cb%20id=%22x%22%3E&%22'gr%C3%BC%C3%9Fe%2F%E9%94%81"


@pytest.fixture
async def nodes(tmp_path):
    made = Nodes(tmp_path)
    try:
        made.start()
        await made.until_ready()
        yield made
    finally:
        made.close()


@pytest.fixture
def shots(tmp_path) -> Path:
    """Where screenshots go: GORILLA_TEST_SHOTS, for people who want to look at them."""
    path = Path(os.environ.get("GORILLA_TEST_SHOTS") or tmp_path)
    path.mkdir(parents=True, exist_ok=True)
    return path


async def test_the_page_shows_members_leader_and_locks_as_they_change(nodes, tmp_path, shots):
    leader = nodes.leader()
    follower = next(name for name in nodes.names if name != leader)
    lock = await asyncio.to_thread(acquire, nodes.url("n1"), HOSTILE_PATH, "<i>anna</i>")
    for number in range(12):
        await asyncio.to_thread(acquire, nodes.url("n2"), f"deploy-{number:02}", f"team-{number}")

    async with browser_page(tmp_path) as page:
        await page.open(f"{nodes.url(follower)}/")
        await page.until("deploy-11", "#locks")
        facts = await page.text("#facts")
        members = await page.texts("#members article")
        rows = await page.texts("#locks tr")
        await page.screenshot(shots / "page.png")
        await page.prefer("dark")
        await page.screenshot(shots / "page-dark.png")
        await page.prefer("light")
        await page.resize(400, 1400)
        await page.screenshot(shots / "page-narrow.png")
        await page.resize(1280, 900)

        # Nothing was read as HTML, nothing was blocked, nothing is asked for in vain.
        assert page.complaints == []
        assert len(members) == 3
        assert [text.split()[0] for text in members] == nodes.names
        assert await page.text("#members article.leader .value") == leader
        assert f"{follower} (this node)" in [text.split("\n")[0] for text in members]
        assert leader in facts.splitlines()
        assert len(rows) == 13
        assert [row for row in rows if HOSTILE in row and "<i>anna</i>" in row]
        assert await page.text("#count") == "(13)"

        await asyncio.to_thread(acquire, nodes.url(leader), "zebra", "later")
        await page.until("zebra", "#locks")
        path = f"/api/v1/locks/{HOSTILE_PATH}/{lock['token']}"
        gone = await asyncio.to_thread(call, nodes.url(leader), "DELETE", path)
        assert gone.status == 204
        await page.until_gone(HOSTILE, "#locks")

        await page.type("#prefix", "deploy-03")
        await page.until_gone("deploy-04", "#locks")
        assert len(await page.texts("#locks tr")) == 1
        assert page.complaints == []


async def test_the_page_says_that_there_is_no_leader_and_that_its_node_is_gone(
    nodes, tmp_path, shots
):
    follower = next(name for name in nodes.names if name != nodes.leader())
    others = [name for name in nodes.names if name != follower]
    await asyncio.to_thread(acquire, nodes.url("n1"), "kept")

    async with browser_page(tmp_path) as page:
        await page.open(f"{nodes.url(follower)}/")
        await page.until("kept", "#locks")
        nodes.kill(*others)
        await page.until("No leader", "#banner")
        await page.until("not connected", "#members")
        assert "kept" in await page.text("#locks")
        await page.screenshot(shots / "page-no-leader.png")

        nodes.kill(follower)
        await page.until("This node can't be reached", "#banner")
        await page.screenshot(shots / "page-gone.png")

        nodes.start()
        await page.until_gone("can't be reached", "#banner", within_s=60)
        await page.until_gone("No leader", "#banner", within_s=60)
        await page.until("kept", "#locks")
        assert len(await page.texts("#members article.off")) == 0


WAITS_S = 60
"""How long waiters queue: longer than the test looks at them."""


@contextlib.contextmanager
def queueing(url: str, path: str, *owners: str, **more: object) -> Iterator[None]:
    """Let owners queue, one behind the other, until the lock is forced free for each of them."""
    threads = []
    state = f"/api/v1/locks/{path}"
    for owner in owners:
        body = {"owner": owner, "timeout": 60, "wait": WAITS_S, **more}
        threads.append(threading.Thread(target=call, args=(url, "POST", state, body)))
        threads[-1].start()
        until(lambda: len(call(url, "GET", state).body["waiters"]) == len(threads), "it queues")
    try:
        yield
    finally:
        for _ in range(len(owners) + 1):
            call(url, "DELETE", f"{state}?reason=over")
        for thread in threads:
            thread.join()


async def click(page: Page, lock: str) -> None:
    """Focus the lock's button, then press it."""
    await page.evaluate(
        "for (const button of document.querySelectorAll('button.lock'))"
        f" if (button.textContent === {json.dumps(lock)}) {{ button.focus(); button.click(); }}"
    )


def hold_some(url: str) -> None:
    """Hold an exclusive, a shared and a counted lock, and have a session."""
    exclusive = {"owner": "<i>anna</i>", "timeout": 600, "reason": "<u>release</u>"}
    counted = {"owner": "gpu-1", "timeout": 60, "limit": 4}
    asked: list[tuple[str, dict[str, object]]] = [
        (f"locks/{HOSTILE_PATH}", exclusive),
        *(
            ("locks/report", {"owner": f"reader-{n}", "timeout": 300, "mode": "shared"})
            for n in (1, 2)
        ),
        ("locks/gpu", counted),
        ("sessions", {"owner": "s", "ttl": 60}),
    ]
    for path, body in asked:
        assert call(url, "POST", f"/api/v1/{path}", body).status in {200, 201}


async def test_a_lock_opens_to_its_queue_and_stays_open_with_the_focus(nodes, tmp_path, shots):
    url = nodes.url(nodes.leader())
    await asyncio.to_thread(hold_some, url)

    def queued() -> contextlib.AbstractContextManager[None]:
        return queueing(url, HOSTILE_PATH, "<b>ben</b>", "carla", reason="<s>hotfix</s>")

    async with on_a_thread(queued()), browser_page(tmp_path) as page:
        await page.open(f"{nodes.url('n1')}/")
        await page.until("report", "#locks")
        rows = {row.split("\t")[0].strip(): row for row in await page.texts("#locks tr")}
        assert rows["report"].split("\t")[1:5] == ["reader-1, reader-2", "shared", "2", "0"]
        assert rows["gpu"].split("\t")[1:5] == ["gpu-1", "up to 4", "1 of 4", "0"]
        assert rows[HOSTILE].split("\t")[1:5] == ["<i>anna</i>", "exclusive", "1", "2"]
        facts = (await page.text("#facts")).split("\n")
        assert facts[facts.index("Waiting") + 1] == "2"
        assert facts[facts.index("Sessions") + 1] == "1"
        assert facts[facts.index("History") + 1] == "none"

        await click(page, HOSTILE)
        await page.until("carla", "#locks tr.detail")
        detail = await page.text("#locks tr.detail")
        waiters = await page.texts("#locks tr.detail .scroll:last-of-type tbody tr")
        await look(page, shots, "page-open")
        assert "<u>release</u>" in detail
        assert "2 come first in the queue" in detail
        assert waiters[0].split("\t")[:2] == ["1", "<b>ben</b>"]
        assert waiters[1].split("\t")[:2] == ["2", "carla"]
        assert waiters[0].split("\t")[3:] == ["exclusive", "<s>hotfix</s>", "waits"]
        assert await page.evaluate("document.activeElement.ariaExpanded") == "true"

        # Its turn lasts but a moment, so the page is asked what it would say of it.
        ready = {"position": 1, "owner": "ben", "since": "2025-05-04T03:12:00", "ready": True}
        line = await page.evaluate(f"waiterLine({json.dumps(ready)}).values.join('|')")
        assert line == "1|ben|2025-05-04 03:12:00|exclusive||its turn: kept for it"

        # A row comes before it: the open one stays, and so does the keyboard's focus.
        await asyncio.to_thread(acquire, url, "!first")
        await page.until("!first", "#locks")
        assert await page.evaluate("document.activeElement.textContent") == HOSTILE
        await click(page, HOSTILE)
        assert await page.texts("#locks tr.detail") == []
        assert page.complaints == []


async def look(page: Page, shots: Path, name: str) -> None:
    """Take it in light and dark, wide and narrow."""
    for width, height in ((1200, 1100), (400, 2400)):
        await page.resize(width, height)
        for scheme in ("light", "dark"):
            await page.prefer(scheme)
            await page.screenshot(shots / f"{name}-{scheme}-{width}.png")
    await page.resize(1280, 900)


@contextlib.asynccontextmanager
async def on_a_thread(blocking):
    """Enter and leave what blocks without blocking the loop."""
    await asyncio.to_thread(blocking.__enter__)
    try:
        yield
    finally:
        await asyncio.to_thread(blocking.__exit__, None, None, None)


@pytest.fixture
def server() -> Iterator[EmbeddedPostgres]:
    """A server of this test's own, to be stopped."""
    with reachable_directory() as directory:
        made = EmbeddedPostgres(directory / "postgres", settings=FAST)
        migrating.upgrade(made.start())
        yield made
        made.stop()


async def test_the_page_of_every_node_tells_that_the_history_fails(tmp_path, server, shots):
    with contextlib.closing(Nodes(tmp_path, GORILLA_DATABASE_URL=server.url())) as nodes:
        nodes.start()
        await nodes.until_ready()
        leader = nodes.leader()
        follower = next(name for name in nodes.names if name != leader)
        async with browser_page(tmp_path) as page:
            for name in (leader, follower):
                await page.open(f"{nodes.url(name)}/")
                await page.until("up to date", "#facts", within_s=30)
                assert await page.text("#banner") == ""
            for behind, told in ((8192, ""), (8193, "The history is 8,193 events behind")):
                health = json.dumps({"configured": True, "behind": behind, "failingSince": None})
                alarm = await page.evaluate(f"historyAlarm({health})")
                assert alarm.startswith(told)
                assert bool(alarm) is bool(told)
            await asyncio.to_thread(server.stop)
            await asyncio.to_thread(acquire, nodes.url(leader), "goes-on")
            await page.until("The history can't be read", "#banner", within_s=30)
            await page.until("goes-on", "#locks")
            await page.open(f"{nodes.url(leader)}/")
            await page.until("The history can't be written since", "#banner", within_s=30)
            await look(page, shots, "page-history")
            await asyncio.to_thread(server.start)
            await page.until_gone("history", "#banner", within_s=60)
            await page.until("up to date", "#facts", within_s=30)
