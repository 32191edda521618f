"""The example for browsers in ``docs/guides/events.md``, run in a real one."""

import asyncio
import re
import time

import pytest

from tests.support.browser import Page, browser_page
from tests.support.local_cluster import ROOT
from tests.support.nodes import Nodes
from tests.support.real_cluster import acquire

pytestmark = pytest.mark.e2e

SCRIPT = re.compile(r"```js\n(.*?)```", re.DOTALL)
TIME_S_MAX = 40.0

RECORDING = """
window.seen = [];
console.log = (...words) => { window.seen.push(words.join(" ")); };
"""


async def test_the_example_for_browsers_goes_on_without_a_gap_when_its_node_comes_back(tmp_path):
    (script,) = SCRIPT.findall((ROOT / "docs" / "guides" / "events.md").read_text())
    nodes = Nodes(tmp_path, 1)
    try:
        nodes.start()
        await nodes.until_ready()
        url = nodes.url("n1")
        await asyncio.to_thread(acquire, url, "first")
        async with browser_page(tmp_path) as page:
            await page.open(f"{url}/")
            await page.until("first", "#locks")
            await page.evaluate(f"{RECORDING}{script}; 0")
            await until_seen(page, ["acquired first"])
            assert await asyncio.to_thread(nodes.stop, "n1") == [0]
            nodes.start("n1")
            await nodes.until_ready()
            await asyncio.to_thread(acquire, url, "second")

            await until_seen(page, ["acquired first", "acquired second"])
            assert await page.evaluate("last") == "2"
    finally:
        nodes.close()


async def until_seen(page: Page, expected: list[str]) -> None:
    deadline_s = time.monotonic() + TIME_S_MAX
    while (seen := await page.evaluate("window.seen")) != expected:
        assert time.monotonic() < deadline_s, seen
        await asyncio.sleep(0.05)
