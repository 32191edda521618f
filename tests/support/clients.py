"""Clients that take and give back locks under faults, and what their history must satisfy.

A client knows what it was promised: from the answer of an acquire until request time + timeout, on
its own clock, the lock is its own. Everything here follows from that and from the answers.
"""

import asyncio
import itertools
import random
import time
from dataclasses import dataclass, field

import aiohttp

DEFINITE_REFUSALS = {409, 503}
CALL_S_MAX = 20.0


@dataclass
class Hold:
    """One lease, as its owner knows it (its own monotonic clock, seconds)."""

    resource: str
    owner: str
    fencing_token: int
    asked_at: float
    answered_at: float
    spans: list[tuple[float, float]] = field(default_factory=list)
    """When the owner was certain: [answer, request + timeout), cut where it asked to release."""

    def certain(self, asked_at: float, answered_at: float, timeout_s: float) -> None:
        self.spans.append((answered_at, asked_at + timeout_s))

    def given_up(self, at: float) -> None:
        self.spans = [(start, min(end, at)) for start, end in self.spans if start < at]


class Clients:
    """Concurrent clients at one URL."""

    def __init__(self, url: str, *, count: int = 16, resources: int = 24, seed: int = 1) -> None:
        self.url = url
        self.count = count
        self.resources = [f"shared/{n}" for n in range(resources)]
        self.holds: list[Hold] = []
        self.successes: list[float] = []
        self.statuses: dict[int | str, int] = {}
        self.violations: list[str] = []
        self._rng = random.Random(seed)
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Clients":
        connector = aiohttp.TCPConnector(limit=0)
        timeout = aiohttp.ClientTimeout(total=CALL_S_MAX)
        self._session = aiohttp.ClientSession(connector=connector, timeout=timeout)
        # An extension that was done and is sent again without a word would find no lock.
        self._session._retry_connection = False
        self._tasks = [
            asyncio.create_task(self._live(random.Random(self._rng.random())))
            for _ in range(self.count)
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    # -- one call

    async def call(self, method: str, path: str, body: object = None) -> tuple[int, dict]:
        """Ask; (0, {}) stands for no answer at all."""
        try:
            async with self._session.request(method, self.url + path, json=body) as answer:
                text = await answer.json(content_type=None) if answer.status != 204 else {}
                status = answer.status
        except (aiohttp.ClientError, TimeoutError, ValueError) as error:
            self._count(type(error).__name__)
            return 0, {}
        self._count(status)
        if status in {200, 204, 409}:
            self.successes.append(time.monotonic())
        return status, text

    def _count(self, what: int | str) -> None:
        self.statuses[what] = self.statuses.get(what, 0) + 1

    @staticmethod
    def path(resource: str, token: str = "") -> str:
        name = resource.replace("/", "%2F")
        return f"/api/v1/locks/{name}" + (f"/{token}" if token else "")

    # -- a life

    async def _live(self, rng: random.Random) -> None:
        while not self._stop.is_set():
            resource = rng.choice(self.resources)
            timeout_s = rng.choice([1.0, 2.0, 4.0, 8.0])
            owner = f"owner-{next(self._numbers)}"
            asked_at = time.monotonic()
            body = {"owner": owner, "timeout": timeout_s}
            status, lock = await self.call("POST", self.path(resource), body)
            if status == 200:
                answered_at = time.monotonic()
                hold = Hold(resource, owner, lock["fencingToken"], asked_at, answered_at)
                hold.certain(asked_at, answered_at, timeout_s)
                self.holds.append(hold)
                await self._hold(rng, hold, lock)
            await self._pause(rng.uniform(0.0, 0.02 if status == 200 else 0.1))

    async def _hold(self, rng: random.Random, hold: Hold, lock: dict) -> None:
        token = lock["token"]
        await self._pause(rng.uniform(0.0, 0.2))
        if rng.random() < 0.3:
            token = await self._extend(hold, token)
        if rng.random() < 0.3:
            await self._look(hold, token)
        if rng.random() < 0.85 and token:
            end = self._certain_until(hold)
            asked_at = time.monotonic()
            hold.given_up(asked_at)
            status, _ = await self.call("DELETE", self.path(hold.resource, token))
            if status == 404 and time.monotonic() < end:
                self.violations.append(f"{hold.resource}: {hold.owner}'s lock vanished (release)")

    async def _extend(self, hold: Hold, token: str) -> str:
        end, asked_at = self._certain_until(hold), time.monotonic()
        body = {"timeout": 10.0}
        status, lock = await self.call("PUT", self.path(hold.resource, token), body)
        if status == 200:
            hold.certain(asked_at, time.monotonic(), 10.0)
            return lock["token"]
        if status == 404 and time.monotonic() < end:
            self.violations.append(f"{hold.resource}: {hold.owner}'s lock vanished (extend)")
        # No answer: the old token may be dead already, so nothing more is claimed with it.
        return "" if status not in DEFINITE_REFUSALS else token

    async def _look(self, hold: Hold, token: str) -> None:
        end = self._certain_until(hold)
        status, lock = await self.call("GET", self.path(hold.resource, token))
        if not token:
            return
        if status == 404 and time.monotonic() < end:
            self.violations.append(f"{hold.resource}: {hold.owner}'s lock vanished (status)")
        if status == 200 and lock["fencingToken"] != hold.fencing_token:
            self.violations.append(f"{hold.resource}: {hold.owner} sees another grant")

    @staticmethod
    def _certain_until(hold: Hold) -> float:
        return max(end for _, end in hold.spans)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return

    # -- the verdict

    def longest_gap(self, since: float, until: float) -> float:
        """Longest time without any definite answer to a call, between two points (seconds)."""
        times = [since, *sorted(t for t in self.successes if since < t < until), until]
        return max(b - a for a, b in itertools.pairwise(times))

    def check(self) -> list[str]:
        """Everything that must not have happened and did."""
        return [*self.violations, *overlaps(self.holds), *fencing_faults(self.holds)]


def overlaps(holds: list[Hold]) -> list[str]:
    """Two owners certain of one lock at one time."""
    found = []
    spans: dict[str, list[tuple[float, float, Hold]]] = {}
    for hold in holds:
        for start, end in hold.spans:
            if end > start:
                spans.setdefault(hold.resource, []).append((start, end, hold))
    for resource, all_spans in spans.items():
        latest: tuple[float, Hold] | None = None
        for start, end, hold in sorted(all_spans, key=lambda span: span[0]):
            if latest is not None and start < latest[0] and latest[1] is not hold:
                found.append(f"{resource}: {latest[1].owner} and {hold.owner} at once")
            if latest is None or end > latest[0]:
                latest = (end, hold)
    return found


def fencing_faults(holds: list[Hold]) -> list[str]:
    """Fencing tokens that repeat, or go down in real time, over all resources."""
    found = []
    tokens = [hold.fencing_token for hold in holds]
    if len(set(tokens)) != len(tokens):
        found.append("a fencing token was given twice")
    events = sorted(
        [(hold.answered_at, 0, hold) for hold in holds] + [(h.asked_at, 1, h) for h in holds],
        key=lambda event: event[:2],
    )
    largest = 0
    before: dict[int, int] = {}
    for _, kind, hold in events:
        if kind == 1:
            before[id(hold)] = largest
        else:
            largest = max(largest, hold.fencing_token)
    found += [
        f"{hold.resource}: token {hold.fencing_token} after {before[id(hold)]}"
        for hold in holds
        if hold.fencing_token <= before[id(hold)]
    ]
    return found
