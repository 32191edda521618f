"""Clients that write to the nodes directly and keep account of every answer they got.

The account is what a restart is held to: an acknowledged grant is there with its number and token
until its owner asked to end it, an acknowledged release stays. What got no answer is unknown, and
stays unknown until somebody asks.
"""

import asyncio
import itertools
import random
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from urllib.parse import quote

import aiohttp

from tests.support.clients import Hold

CALL_S_MAX = 20.0
LEASE_S = 36_000
CHECKS_AT_ONCE = 32
PAGE = 1_000


@dataclass
class Grant:
    """A lock that somebody was told to have."""

    resource: str
    owner: str
    number: int
    token: str

    @property
    def path(self) -> str:
        return f"/api/v1/locks/{quote(self.resource, safe='')}/{self.token}"


@dataclass
class Account:
    """What the clients were told, over any number of restarts."""

    held: dict[str, Grant] = field(default_factory=dict)
    """By resource; nobody has asked to end these, and their tokens are certain."""
    released: list[Grant] = field(default_factory=list)
    extending: list[Grant] = field(default_factory=list)
    """Held for certain, but an extension got no answer: the token may be another by now."""
    asked: dict[str, tuple[str, float]] = field(default_factory=dict)
    """By resource: the owner whose acquire got no answer, and when it asked."""
    holds: list[Hold] = field(default_factory=list)
    """Every grant with the time of question and answer, for the rules of fencing tokens."""
    unexpected: list[str] = field(default_factory=list)

    def granted(self, resource: str, owner: str, lock: dict, asked_at: float) -> Grant:
        number = lock["fencingToken"]
        grant = Grant(resource, owner, number, lock["token"])
        self.held[resource] = grant
        self.holds.append(Hold(resource, owner, number, asked_at, time.monotonic()))
        return grant

    @property
    def largest(self) -> int:
        return max((hold.fencing_token for hold in self.holds), default=0)


class Session:
    """Calls to nodes by their URLs; (0, {}) stands for no answer."""

    def __init__(self, urls: Sequence[str]) -> None:
        self.urls = urls
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=CALL_S_MAX)
        self._http = aiohttp.ClientSession(connector=connector, timeout=timeout)

    async def __aenter__(self) -> "Session":
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self._http.close()

    async def call(self, url: str, method: str, path: str, body: object = None) -> tuple[int, dict]:
        try:
            async with self._http.request(method, url + path, json=body) as answer:
                text = await answer.json(content_type=None) if answer.status != 204 else {}
                return answer.status, text
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}


class Writers:
    """Clients that acquire fresh resources, and release or extend some of them."""

    def __init__(self, session: Session, account: Account, *, count: int, seed: str) -> None:
        self.session = session
        self.account = account
        self._stop = asyncio.Event()
        self._seed = seed
        self._count = count
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Writers":
        self._tasks = [
            asyncio.create_task(self._write(number, random.Random(f"{self._seed}-{number}")))
            for number in range(self._count)
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)

    async def _write(self, client: int, rng: random.Random) -> None:
        urls = self.session.urls
        for number in itertools.count():
            if self._stop.is_set():
                return
            url = urls[(client + number) % len(urls)]
            grant = await self._acquire(url, f"{self._seed}/{client}/{number}", f"owner-{client}")
            if grant is not None and rng.random() < 0.3:
                await self._release(rng.choice(urls), grant)
            elif grant is not None and rng.random() < 0.2:
                await self._extend(rng.choice(urls), grant)
            await self._pause(rng.uniform(0.0, 0.01 if grant else 0.1))

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    async def _acquire(self, url: str, resource: str, owner: str) -> Grant | None:
        path = f"/api/v1/locks/{quote(resource, safe='')}"
        asked_at = time.monotonic()
        body = {"owner": owner, "timeout": LEASE_S}
        status, lock = await self.session.call(url, "POST", path, body)
        if status == 200:
            return self.account.granted(resource, owner, lock, asked_at)
        if status in {0, 504}:
            self.account.asked[resource] = (owner, asked_at)
        elif status != 503:
            self.account.unexpected.append(f"acquire {resource}: {status} {lock}")
        return None

    async def _release(self, url: str, grant: Grant) -> None:
        account = self.account
        del account.held[grant.resource]
        status, problem = await self.session.call(url, "DELETE", grant.path)
        if status == 204:
            account.released.append(grant)
        elif status == 503:  # nothing was done
            account.held[grant.resource] = grant
        elif status not in {0, 504}:
            account.unexpected.append(f"release {grant.resource}: {status} {problem}")

    async def _extend(self, url: str, grant: Grant) -> None:
        account = self.account
        del account.held[grant.resource]
        body = {"timeout": 2 * LEASE_S}
        status, lock = await self.session.call(url, "PUT", grant.path, body)
        if status == 200:
            account.held[grant.resource] = Grant(
                grant.resource, grant.owner, grant.number, lock["token"]
            )
        elif status == 503:
            account.held[grant.resource] = grant
        else:
            account.extending.append(grant)
            if status not in {0, 504}:
                account.unexpected.append(f"extend {grant.resource}: {status} {lock}")


async def ask_again(session: Session, account: Account) -> None:
    """Repeat every acquire that got no answer, as its owner would: now each gets one."""
    for number, (resource, (owner, asked_at)) in enumerate(account.asked.items()):
        url = session.urls[number % len(session.urls)]
        path = f"/api/v1/locks/{quote(resource, safe='')}"
        body = {"owner": owner, "timeout": LEASE_S}
        status, lock = await session.call(url, "POST", path, body)
        assert status == 200, (resource, status, lock)
        account.granted(resource, owner, lock, asked_at)
    account.asked.clear()


async def lost(session: Session, account: Account, grants: Iterable[Grant]) -> list[str]:
    """Acknowledged grants that a node does not show by their token, with their number."""
    questions = [(url, grant) for grant in grants for url in session.urls]
    found: list[str] = []

    async def check(url: str, grant: Grant) -> None:
        status, lock = await session.call(url, "GET", grant.path)
        if (status, lock.get("id"), lock.get("owner")) != (200, grant.number, grant.owner):
            found.append(f"{grant} is not at {url}: {status} {lock}")

    await _all(check, questions)
    for number, grant in enumerate(account.extending):
        url = session.urls[number % len(session.urls)]
        _, shown = await session.call(url, "GET", grant.path.rpartition("/")[0])
        if [holder["fencingToken"] for holder in shown.get("holders", [])] != [grant.number]:
            found.append(f"{grant}, being extended, is not at {url}: {shown}")
    return found


async def undone(session: Session, released: Sequence[Grant]) -> list[str]:
    """Acknowledged releases of which a node still shows the lock."""
    questions = [(url, grant) for grant in released for url in session.urls]
    found: list[str] = []

    async def check(url: str, grant: Grant) -> None:
        status, _ = await session.call(url, "GET", grant.path)
        if status != 404:
            found.append(f"{grant} was released, and {url} says {status}")

    await _all(check, questions)
    return found


async def missing_from_lists(session: Session, account: Account) -> list[str]:
    """Acknowledged grants that are not in a node's list with their owner and number."""
    found = []
    for url in session.urls:
        listed = await _listed(session, url)
        found += [
            f"{grant} is not in the list of {url}, but {listed.get(grant.resource)}"
            for grant in account.held.values()
            if listed.get(grant.resource) != (grant.owner, grant.number)
        ]
    return found


async def _listed(session: Session, url: str) -> dict[str, tuple[str, int]]:
    listed: dict[str, tuple[str, int]] = {}
    cursor: str | None = ""
    while cursor is not None:
        after = f"&cursor={quote(cursor, safe='')}" if cursor else ""
        status, page = await session.call(url, "GET", f"/api/v1/locks?limit={PAGE}{after}")
        assert status == 200, (url, status, page)
        listed |= {one["resource"]: (one["owner"], one["fencingToken"]) for one in page["locks"]}
        cursor = page["cursor"]
    return listed


async def _all(
    check: Callable[[str, Grant], Awaitable[None]], questions: list[tuple[str, Grant]]
) -> None:
    """Ask all questions, some at a time."""
    left = iter(questions)

    async def work() -> None:
        for url, grant in left:
            await check(url, grant)

    await asyncio.gather(*(work() for _ in range(CHECKS_AT_ONCE)))
