"""Clients that contend for a few locks, through the balancer and directly, and write all down."""

import asyncio
import itertools
import math
import random
import time
from urllib.parse import quote

import aiohttp

from tests.support.sim.history import Kind, Operation, Result

CALL_S_MAX = 7.0
TIMEOUTS_S = (0.5, 1.0, 2.0, 4.0)
WAITS_S = (0.3, 1.0, 2.0)
WAITING = 0.3
"""Part of the requests for a lock that queue for it."""
BALANCED = "balancer"
METHODS = {
    Kind.ACQUIRE: "POST",
    Kind.RENEW: "PUT",
    Kind.RELEASE: "DELETE",
    Kind.STATUS: "GET",
    Kind.LOOK: "GET",
}
SUCCESS = {
    Kind.ACQUIRE: Result.GRANTED,
    Kind.RENEW: Result.RENEWED,
    Kind.RELEASE: Result.RELEASED,
    Kind.STATUS: Result.VALID,
}
REFUSALS = {
    Kind.ACQUIRE: {409: Result.HELD, 503: Result.DEFINITE},
    Kind.RENEW: {404: Result.NOT_FOUND, 409: Result.TOO_SHORT, 503: Result.DEFINITE},
    Kind.RELEASE: {404: Result.NOT_FOUND, 503: Result.DEFINITE},
    Kind.STATUS: {404: Result.NOT_FOUND, 503: Result.DEFINITE},
    Kind.LOOK: {503: Result.DEFINITE},
}
NOT_NOW = {"wait_timeout", "wait_replaced"}
TOLD_NOTHING = {Result.UNKNOWN, Result.DEFINITE}
VISITOR_EVERY_S = 0.2
"""So often somebody new asks each node: who waits for an answer asks nothing more."""


class Workload:
    """Clients of one round. Its resources are its own, so that each history stays short."""

    def __init__(self, places: dict[str, str], *, prefix: str, seed: str, balanced: int) -> None:
        """Ask at ``places`` (name -> URL): ``balanced`` at the balancer, two at each node."""
        self.operations: list[Operation] = []
        self.statuses: dict[str, int] = {}
        self.ended: dict[int, tuple[int, float]] = {}
        """By the operation's number: its status (0: no answer), and when the client knew."""
        self.unexpected: list[str] = []
        self.waited = 0
        """Grants that were queued for."""
        self._places = places
        self._prefix = prefix
        self._seed = seed
        self._clients = [BALANCED] * balanced + [p for p in places if p != BALANCED] * 2
        self._resources = [f"{prefix}/{number}" for number in range(len(self._clients))]
        self._numbers = itertools.count(1)
        self._stop = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    async def __aenter__(self) -> "Workload":
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=CALL_S_MAX, sock_connect=1.0),
        )
        # A connection that breaks off under a request may have carried it to its effect. aiohttp
        # would send PUT and DELETE again by itself; the second one meets a dead token, and its 404
        # would be told as the answer to the first.
        self._session._retry_connection = False
        self._tasks = [
            asyncio.create_task(self._live(place, random.Random(f"{self._seed}-{number}")))
            for number, place in enumerate(self._clients)
        ]
        self._tasks += [
            asyncio.create_task(self._send_visitors(place, random.Random(f"{self._seed}-{place}")))
            for place in self._places
            if place != BALANCED
        ]
        return self

    async def __aexit__(self, *_error: object) -> None:
        self._stop.set()
        await asyncio.gather(*self._tasks)
        await self._session.close()

    # -- a life

    async def _live(self, place: str, rng: random.Random) -> None:
        """Take a lock, look, extend, give back; after an unknown outcome be somebody else."""
        while not self._stop.is_set():
            owner = f"owner-{next(self._numbers)}"
            resource = rng.choice(self._resources)
            if rng.random() < 0.15:
                await self._ask(Kind.LOOK, owner, resource, place)
            else:
                await self._take(owner, resource, place, rng)
            await self._pause(rng.uniform(0.005, 0.06))

    async def _send_visitors(self, place: str, rng: random.Random) -> None:
        """Each asks once, whatever became of those before; only the last ones are waited for."""
        visitors: set[asyncio.Task[Operation]] = set()
        while not self._stop.is_set():
            owner, resource = f"visitor-{next(self._numbers)}", rng.choice(self._resources)
            kind, timeout_s = rng.choice([(Kind.LOOK, 0.0), (Kind.ACQUIRE, TIMEOUTS_S[0])])
            asking = self._ask(kind, owner, resource, place, timeout_s=timeout_s)
            visitor = asyncio.create_task(asking)
            visitors.add(visitor)
            visitor.add_done_callback(visitors.discard)
            await self._pause(VISITOR_EVERY_S)
        await asyncio.gather(*visitors)

    async def _take(self, owner: str, resource: str, place: str, rng: random.Random) -> None:
        timeout_s = rng.choice(TIMEOUTS_S)
        wait_s = rng.choice(WAITS_S) if rng.random() < WAITING else 0.0
        got = await self._ask(
            Kind.ACQUIRE, owner, resource, place, timeout_s=timeout_s, wait_s=wait_s
        )
        token, dead = got.given_token, None
        if token is not None and wait_s:
            # Its timeout began with the grant, whenever that was: what is left counts from here.
            left = await self._ask(Kind.STATUS, owner, resource, place, token=token)
            if left.result is Result.VALID:
                got.certain_until = max(got.certain_until, left.certain_until)
        for kind in (Kind.STATUS, Kind.RENEW, Kind.RELEASE):
            if token is None:
                return
            await self._pause(rng.uniform(0.0, 0.08))
            if rng.random() < (0.85 if kind is Kind.RELEASE else 0.3):
                more_s = timeout_s + rng.choice(TIMEOUTS_S) if kind is Kind.RENEW else 0.0
                told = await self._ask(kind, owner, resource, place, token=token, timeout_s=more_s)
                is_spent = told.result in {Result.RENEWED, Result.RELEASED}
                dead = token if is_spent else dead
                token = told.given_token or (None if told.result is Result.UNKNOWN else token)
            if dead is not None and rng.random() < 0.1:
                await self._ask(Kind.STATUS, owner, resource, place, token=dead)

    async def _ask(
        self,
        kind: Kind,
        owner: str,
        resource: str,
        place: str,
        *,
        token: str | None = None,
        timeout_s: float = 0.0,
        wait_s: float = 0.0,
    ) -> Operation:
        path = f"/api/v1/locks/{quote(resource, safe='')}" + (f"/{token}" if token else "")
        body: dict[str, object] | None = {"timeout": timeout_s} if timeout_s else None
        if body is not None and kind is Kind.ACQUIRE:
            body["owner"] = owner
            if wait_s:
                body["wait"] = wait_s
        number = len(self.operations) + 1
        now = time.monotonic()
        one = Operation(
            number=number,
            client=owner,
            kind=kind,
            resource=resource,
            node=place,
            invoked_at=now,
            certain_until=now + timeout_s if timeout_s else math.inf,
            token=token,
        )
        self.operations.append(one)
        status, told = await self._call(METHODS[kind], self._places[place] + path, body)
        self.ended[one.number] = (status, time.monotonic())
        self._count(place, status)
        self._note(one, status, told, timeout_s)
        return one

    async def _call(self, method: str, url: str, body: object) -> tuple[int, dict]:
        """Ask once; (0, {}) stands for no answer."""
        try:
            async with self._session.request(method, url, json=body) as answer:
                told = await answer.json(content_type=None) if answer.status != 204 else {}
                return answer.status, told
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    def _count(self, place: str, status: int) -> None:
        side = "balanced" if place == BALANCED else "direct"
        self.statuses[f"{side} {status}"] = self.statuses.get(f"{side} {status}", 0) + 1

    def _note(self, one: Operation, status: int, told: dict, timeout_s: float) -> None:
        one.result = self._result(one, status, told)
        if one.result is Result.UNKNOWN:
            return
        one.returned_at = time.monotonic()
        if one.result in {Result.GRANTED, Result.RENEWED, Result.VALID}:
            one.fencing = told["fencingToken"]
        if one.result in {Result.GRANTED, Result.RENEWED}:
            one.given_token = told["token"]
            one.certain_until = one.invoked_at + told["timeout"]
            self.waited += "waited" in told
            if told["timeout"] > timeout_s + 0.001:
                self.unexpected.append(f"{one}: {told['timeout']} s, more than asked for")
        if one.result is Result.VALID:
            one.certain_until = one.invoked_at + told["timeout"]
        if one.result is Result.HELD:
            holder = told["holder"] if one.kind is Kind.ACQUIRE else told["holders"][0]
            one.holder, one.fencing = holder["owner"], holder["fencingToken"]

    def _result(self, one: Operation, status: int, told: dict) -> Result:
        if status in {0, 504}:
            return Result.UNKNOWN
        if one.kind is Kind.LOOK and status == 200:
            return Result.HELD if told["held"] else Result.FREE
        if status in {200, 204}:
            return SUCCESS[one.kind]
        if status == 409 and (told["code"] in NOT_NOW or "reservedFor" in told):
            return Result.NOT_NOW
        known = REFUSALS[one.kind].get(status)
        if known is None:
            self.unexpected.append(f"{one}: {status} {told}")
        return known or Result.UNKNOWN

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return
