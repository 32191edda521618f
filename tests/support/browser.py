"""A real browser without a window, spoken to over its debugging protocol."""

import asyncio
import base64
import contextlib
import itertools
import json
import shutil
import subprocess
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import aiohttp

PROGRAMS = ("chromium", "chromium-browser", "google-chrome")
OPTIONS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--window-size=1280,900",
    "--remote-debugging-port=0",
)
START_S_MAX = 60.0
CALL_S_MAX = 30.0
POLL_S = 0.05


class Page:
    """One page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse) -> None:
        self._socket = socket
        self._numbers = itertools.count(1)
        self.complaints: list[str] = []
        """What the page's console and its security policy complained of."""

    async def send(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Call a method of the protocol and wait for its result."""
        number = next(self._numbers)
        await self._socket.send_json({"id": number, "method": method, "params": parameters})
        async with asyncio.timeout(CALL_S_MAX):
            while True:
                message = json.loads(await self._socket.receive_str())
                if message.get("id") == number:
                    assert "error" not in message, message
                    return message["result"]
                self._note(message)

    def _note(self, event: dict[str, Any]) -> None:
        if event["method"] in {"Log.entryAdded", "Runtime.exceptionThrown"}:
            self.complaints.append(json.dumps(event["params"])[:500])

    async def open(self, url: str) -> None:
        for domain in ("Page", "Runtime", "Log"):
            await self.send(f"{domain}.enable")
        await self.send("Page.navigate", url=url)

    async def evaluate(self, expression: str) -> Any:
        """Value of a JavaScript expression in the page."""
        answer = await self.send("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    async def text(self, selector: str = "body") -> str:
        """What a person reads there; "" when it isn't there."""
        quoted = json.dumps(selector)
        return await self.evaluate(f"document.querySelector({quoted})?.innerText ?? ''") or ""

    async def texts(self, selector: str) -> list[str]:
        quoted = json.dumps(selector)
        return await self.evaluate(
            f"[...document.querySelectorAll({quoted})].map((one) => one.innerText)"
        )

    async def until(self, text: str, selector: str = "body", within_s: float = 20.0) -> None:
        """Wait until that text is to be read."""
        deadline_s = time.monotonic() + within_s
        while text not in (seen := await self.text(selector)):
            assert time.monotonic() < deadline_s, f"{text!r} is not in {selector}:\n{seen}"
            await asyncio.sleep(POLL_S)

    async def until_gone(self, text: str, selector: str = "body", within_s: float = 20.0) -> None:
        deadline_s = time.monotonic() + within_s
        while text in (seen := await self.text(selector)):
            assert time.monotonic() < deadline_s, f"{text!r} is still in {selector}:\n{seen}"
            await asyncio.sleep(POLL_S)

    async def type(self, selector: str, text: str) -> None:
        await self.evaluate(f"document.querySelector({json.dumps(selector)}).focus()")
        await self.send("Input.insertText", text=text)

    async def resize(self, width: int, height: int) -> None:
        await self.send(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    async def prefer(self, scheme: str) -> None:
        """``light`` or ``dark``."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        await self.send("Emulation.setEmulatedMedia", features=features)

    async def screenshot(self, path: Path) -> None:
        shot = await self.send("Page.captureScreenshot", format="png")
        await asyncio.to_thread(path.write_bytes, base64.b64decode(shot["data"]))


@contextlib.contextmanager
def _browser(directory: Path) -> Iterator[int]:
    """Run the browser with a fresh profile; gives its debugging port."""
    program = next(found for name in PROGRAMS if (found := shutil.which(name)))
    profile = directory / "profile"
    with (directory / "browser.log").open("wb") as log:
        process = subprocess.Popen(
            [program, *OPTIONS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        yield _port(process, profile / "DevToolsActivePort")
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _port(process: "subprocess.Popen[bytes]", file: Path) -> int:
    deadline_s = time.monotonic() + START_S_MAX
    while time.monotonic() < deadline_s:
        assert process.poll() is None, "the browser ended"
        if file.exists() and (lines := file.read_text().split()):
            return int(lines[0])
        time.sleep(POLL_S)
    raise AssertionError("the browser did not start")


@contextlib.asynccontextmanager
async def browser_page(directory: Path) -> AsyncIterator[Page]:
    """Start the browser, its files in ``directory``; end it whatever happened."""
    with _browser(directory) as port:
        async with aiohttp.ClientSession() as session:
            async with session.get(f"http://127.0.0.1:{port}/json/list") as answer:
                pages = [one for one in await answer.json() if one["type"] == "page"]
            address = pages[0]["webSocketDebuggerUrl"]
            async with session.ws_connect(address, max_msg_size=64 * 1024 * 1024) as socket:
                yield Page(socket)
