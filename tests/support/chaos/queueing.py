"""Clients that queue for a few locks, give up, ask again at other nodes, and write all down."""

import asyncio
import itertools
import math
import random
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote

import aiohttp

from tests.support.chaos.workload import BALANCED

WAITS_S = (1.0, 10.0)
TIMEOUTS_S = (3.0, 6.0)
TOLD_S_MAX = 12.0
"""So long after its wait is over a call is answered: the command that decided it has 5 s, and the
claim at the last moment 5 more."""
KEPT_S = 60.0
"""What a caller asks for who will hang up: a lock that is not taken back is seen at the end."""
SEEN_S_MAX = 1.0
LOOK_EVERY_S = 0.02
LOOK_S_MAX = 7.0
ASKED_MAX = 5
QUIET_S_MAX = 15.0
NO_ANSWERS = {0, 503, 504}
"""After these the same request may be asked again under its key."""
CODES = {"wait_timeout", "lock_held"}


@dataclass(slots=True, kw_only=True)
class Call:
    """One caller that queues once. Times are those of its own clock, in seconds."""

    owner: str
    resources: tuple[str, ...]
    node: str
    """Where it was asked first."""
    sent_at: float
    wait_s: float
    timeout_s: float
    is_shared: bool = False
    limit: int = 1
    key: str | None = None
    asked: int = 0
    """How many times: under its key it may be asked again."""
    status: int = 0
    """Of the last answer; 0: none."""
    answered_at: float = math.inf
    answers: list[tuple[int, str, tuple[int, ...]]] = field(default_factory=list)
    """All that said something: status, code, fencing numbers."""
    fencing: tuple[int, ...] = ()
    certain_until: float = -math.inf
    """The lock is its own from its answer until then."""
    queued_at: dict[str, float] = field(default_factory=dict)
    """By resource: when somebody had seen it in the queue."""
    waited_at: float = -math.inf
    """At this time it was not granted yet: a look that was sent then saw it in the queue."""
    hung_up_at: float | None = None
    overdue_at: float | None = None
    """When it gave up, neither served nor told."""
    path: str = ""
    """What is deleted to give it back."""


class Queuers:
    """Callers of one round, at each place; their locks are their own."""

    def __init__(self, places: dict[str, str], *, prefix: str, seed: str, balanced: int) -> None:
        """Ask at ``places`` (name -> URL): ``balanced`` at the balancer, two at each node."""
        self.calls: list[Call] = []
        self.unexpected: list[str] = []
        self._alone = [f"{prefix}/alone-{number}" for number in range(3)]
        self._shared, self._counted = f"{prefix}/shared", f"{prefix}/counted"
        self.resources = [*self._alone, self._shared, self._counted]
        self._places = places
        self._seed = seed
        self._clients = [BALANCED] * balanced + [one for one in places if one != BALANCED] * 2
        self._numbers = itertools.count(1)
        self._by_owner: dict[str, Call] = {}
        self._stop = asyncio.Event()
        self._ended = asyncio.Event()

    async def __aenter__(self) -> "Queuers":
        self._session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0))
        self._session._retry_connection = False  # as in Workload
        self._lives = [
            asyncio.create_task(self._live(place, random.Random(f"{self._seed}-queue-{number}")))
            for number, place in enumerate(self._clients)
        ]
        self._looker = asyncio.create_task(self._look_at_queues())
        return self

    async def __aexit__(self, *_error: object) -> None:
        """Let everybody who waits be served or told."""
        self._stop.set()
        await asyncio.gather(*self._lives)
        self._ended.set()
        await self._looker
        await self._session.close()

    # -- a life

    async def _live(self, place: str, rng: random.Random) -> None:
        while not self._stop.is_set():
            call = self._new(place, rng)
            await self._queue(call, rng)
            if call.path:
                if call.resources[0] in self._alone and rng.random() < 0.3:
                    await self._hang_up_behind(call, rng)
                await self._pause(rng.uniform(0.0, 0.1))
                await self._give_back(call)
            await self._pause(rng.uniform(0.005, 0.06))

    def _new(self, place: str, rng: random.Random) -> Call:
        resource = rng.choice(self.resources)
        resources = (resource,)
        if resource in self._alone and rng.random() < 0.3:
            resources = tuple(rng.sample(self._alone, 2))
        return self._called(
            resources,
            place,
            rng.uniform(*WAITS_S),
            rng.uniform(*TIMEOUTS_S),
            is_shared=resource == self._shared and rng.random() < 0.7,
            limit=2 if resource == self._counted else 1,
            key=f"{self._seed}-{next(self._numbers)}" if rng.random() < 0.3 else None,
        )

    def _called(
        self, resources: tuple[str, ...], place: str, wait_s: float, timeout_s: float, **more: Any
    ) -> Call:
        call = Call(
            owner=f"queuer-{next(self._numbers)}",
            resources=resources,
            node=place,
            sent_at=time.monotonic(),
            wait_s=round(wait_s, 3),
            timeout_s=round(timeout_s, 3),
            **more,
        )
        self.calls.append(call)
        self._by_owner[call.owner] = call
        return call

    async def _queue(self, call: Call, rng: random.Random) -> None:
        """Ask; under a key ask again elsewhere while the outcome is unknown, and at times anew."""
        await self._ask(call, call.node)
        while call.key is not None and call.asked < ASKED_MAX:
            is_answered = call.status not in NO_ANSWERS
            if is_answered and (not call.path or rng.random() < 0.7):
                return
            if not is_answered:
                await asyncio.sleep(rng.uniform(0.05, 0.6))
            others = [place for place in self._places if place != call.node]
            await self._ask(call, rng.choice(others))

    async def _hang_up_behind(self, holder: Call, rng: random.Random) -> None:
        """Another caller queues behind this one, and goes away while it still has the lock."""
        place = rng.choice(list(self._places))
        call = self._called(holder.resources[:1], place, WAITS_S[1], KEPT_S)
        asking = asyncio.create_task(self._ask(call, call.node))
        until = min(time.monotonic() + SEEN_S_MAX, holder.certain_until - 0.5)
        while time.monotonic() < until and not call.queued_at and not asking.done():
            await asyncio.sleep(0.01)
        if asking.done():
            await self._give_back(call)
            return
        if call.queued_at and time.monotonic() < holder.certain_until - 0.1:
            call.hung_up_at = time.monotonic()
        asking.cancel()
        await asyncio.gather(asking, return_exceptions=True)
        await asyncio.sleep(rng.uniform(0.0, 0.2))

    async def _give_back(self, call: Call) -> None:
        if not call.path:
            return
        call.certain_until = min(call.certain_until, time.monotonic())
        others = [place for place in self._places if place != call.node]
        for place in [call.node, *others]:  # a release that is repeated does nothing more
            status, _ = await self._call("DELETE", self._places[place] + call.path, LOOK_S_MAX)
            if status not in NO_ANSWERS:
                return
            await asyncio.sleep(0.1)

    # -- one request

    async def _ask(self, call: Call, place: str) -> None:
        body: dict[str, Any] = {
            "owner": call.owner,
            "timeout": call.timeout_s,
            "wait": call.wait_s,
            "mode": "shared" if call.is_shared else "exclusive",
        }
        path = "/api/v1/locks"
        if len(call.resources) > 1:
            body["resources"] = list(call.resources)
        else:
            path += f"/{quote(call.resources[0], safe='')}"
        if call.limit > 1:
            body["limit"] = call.limit
            del body["mode"]
        headers = {"Idempotency-Key": call.key} if call.key else {}
        call.asked += 1
        sent_at = time.monotonic()
        patience_s = call.wait_s + TOLD_S_MAX
        status, told = await self._call(
            "POST", self._places[place] + path, patience_s, body, headers
        )
        now = time.monotonic()
        if status == 0 and now - sent_at >= patience_s:
            call.overdue_at = now
        self._note(call, status, told, sent_at)

    def _note(self, call: Call, status: int, told: dict[str, Any], sent_at: float) -> None:
        call.status = status
        if status in NO_ANSWERS:
            return
        locks = told.get("locks", [told]) if status == 200 else []
        fencing = tuple(lock["fencingToken"] for lock in locks)
        call.answers.append((status, told.get("code", ""), fencing))
        call.answered_at = min(call.answered_at, time.monotonic())
        if status == 200:
            call.fencing = call.fencing or fencing
            left_s = min(lock["timeout"] for lock in locks)
            base = max(sent_at, call.waited_at)
            call.certain_until = max(call.certain_until, base + left_s)
            if "group" in told:
                call.path = f"/api/v1/groups/{told['group']}"
            else:
                resource = quote(call.resources[0], safe="")
                call.path = f"/api/v1/locks/{resource}/{told['token']}"
            if left_s > call.timeout_s + 0.001:
                self.unexpected.append(f"queue: {call}: {left_s} s, more than asked for")
        elif status != 409 or told.get("code") not in CODES:
            self.unexpected.append(f"queue: {call}: {status} {told}")

    async def _call(
        self,
        method: str,
        url: str,
        patience_s: float,
        body: object = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, dict[str, Any]]:
        """Ask once; (0, {}) stands for no answer."""
        timeout = aiohttp.ClientTimeout(total=patience_s, sock_connect=1.0)
        try:
            async with self._session.request(
                method, url, json=body, headers=headers, timeout=timeout
            ) as answer:
                told = await answer.json(content_type=None) if answer.status != 204 else {}
                return answer.status, told
        except (aiohttp.ClientError, TimeoutError, ValueError):
            return 0, {}

    # -- looking

    async def _look_at_queues(self) -> None:
        for resource in itertools.cycle(self.resources):
            if self._ended.is_set():
                return
            sent_at = time.monotonic()
            view = await self._view(resource)
            if view is not None:
                self._saw(resource, view, sent_at)
            await asyncio.sleep(LOOK_EVERY_S)

    def _saw(self, resource: str, view: dict[str, Any], sent_at: float) -> None:
        for waiter in view["waiters"]:
            call = self._by_owner[waiter["owner"]]
            call.queued_at.setdefault(resource, time.monotonic())
            call.waited_at = max(call.waited_at, sent_at)

    async def _view(self, resource: str) -> dict[str, Any] | None:
        url = f"{self._places[BALANCED]}/api/v1/locks/{quote(resource, safe='')}"
        status, view = await self._call("GET", url, LOOK_S_MAX)
        return view if status == 200 else None

    async def left_over(self, restarted: Iterable[str]) -> list[str]:
        """Look until nobody waits and nobody who hung up holds; returns what is left after all."""
        excused = set(restarted)
        deadline = time.monotonic() + QUIET_S_MAX
        async with aiohttp.ClientSession() as self._session:
            while True:
                views = {one: await self._view(one) for one in self.resources}
                found = list(left_in(views, self.calls, excused))
                if not found or time.monotonic() > deadline:
                    return found
                await asyncio.sleep(0.1)

    async def _pause(self, seconds: float) -> None:
        try:
            await asyncio.wait_for(self._stop.wait(), seconds)
        except TimeoutError:
            return


def left_in(
    views: dict[str, dict[str, Any] | None], calls: Iterable[Call], restarted: set[str]
) -> Iterator[str]:
    """Yield whoever waits though nobody asks any more, and who holds what it hung up on.

    A node that was killed may have had no time to take back what was granted in that moment: who
    hung up there is not looked at, nor who hung up at the balancer when any node was.
    """
    gone = {call.owner for call in calls if call.hung_up_at and not _is_excused(call, restarted)}
    for resource, view in views.items():
        if view is None:
            yield f"queue: {resource}: no view of it at the quiet end"
            continue
        for waiter in view["waiters"]:
            yield f"queue: {resource}: {waiter['owner']} is left in the queue"
        for holder in view["holders"]:
            if holder["owner"] in gone:
                yield f"queue: {resource}: {holder['owner']} hung up and holds it"


def _is_excused(call: Call, restarted: set[str]) -> bool:
    return call.node in restarted or (call.node == BALANCED and bool(restarted))
