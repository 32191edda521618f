"""The page at ``/`` in a real browser, of a real cluster."""

import asyncio
import os
from pathlib import Path

import pytest

from tests.support.browser import browser_page
from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire, call

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
