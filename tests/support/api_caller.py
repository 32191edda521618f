"""What the cases of the API are written with; :mod:`tests.support.api_cases` lists them."""

import itertools
import re
import secrets
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import quote

import aiohttp

from gorilla.wire.problems import PROBLEMS, ProblemCode
from tests.support.api import Answered, ask

Case = Callable[[aiohttp.ClientSession, str], Awaitable[None]]

CASES: list[Case] = []

LOCK_FIELDS = {
    "id", "owner", "resource", "token", "timeout", "metadata", "createdAt", "updatedAt",
    "expireAt", "fencingToken",
}  # fmt: skip
TIMESTAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d")

_numbers = itertools.count()


def case(function: Case) -> Case:
    CASES.append(function)
    return function


class Caller:
    """One session at one node, with a resource that nobody else uses."""

    def __init__(self, session: aiohttp.ClientSession, base_url: str) -> None:
        self._session = session
        self._base_url = base_url
        self.resource = f"case-{secrets.token_hex(4)}-{next(_numbers)}"

    async def ask(self, method: str, path: str, **options: Any) -> Answered:
        if "json" not in options:
            # Without a word from the test, aiohttp would call bytes an octet stream.
            options.setdefault("skip_auto_headers", ["Content-Type"])
        answered = await ask(self._session, self._base_url, method, path, **options)
        assert answered.headers["x-request-id"]
        assert answered.headers["x-gorilla-node"]
        return answered

    def path(self, token: str | None = None, resource: str | None = None) -> str:
        path = "/api/v1/locks/" + quote(resource or self.resource, safe="")
        return path if token is None else f"{path}/{quote(token, safe='')}"

    async def acquire(
        self, body: Any = None, resource: str | None = None, **options: Any
    ) -> Answered:
        if "data" not in options:
            options["json"] = {"owner": "anna", "timeout": 30} if body is None else body
        return await self.ask("POST", self.path(resource=resource), **options)

    async def held(self, resource: str | None = None, **fields: Any) -> dict[str, Any]:
        body = {"owner": "anna", "timeout": 30, **fields}
        return expect_lock(await self.acquire(body, resource))

    async def release(self, token: str, resource: str | None = None) -> Answered:
        return await self.ask("DELETE", self.path(token, resource))

    async def status(self, token: str, resource: str | None = None) -> Answered:
        return await self.ask("GET", self.path(token, resource))

    async def extend(self, token: str, body: Any = None, **options: Any) -> Answered:
        if "data" not in options:
            options["json"] = {"timeout": 60} if body is None else body
        return await self.ask("PUT", self.path(token), **options)


def expect_lock(answered: Answered, status: int = 200) -> dict[str, Any]:
    assert answered.status == status, answered
    assert answered.headers["content-type"] == "application/json"
    lock = answered.json
    assert isinstance(lock, dict)
    assert set(lock) == LOCK_FIELDS
    assert lock["fencingToken"] == lock["id"]
    assert all(TIMESTAMP.fullmatch(lock[name]) for name in ("createdAt", "updatedAt", "expireAt"))
    return lock


def expect_problem(answered: Answered, code: ProblemCode) -> dict[str, Any]:
    assert answered.status == PROBLEMS[code].status, answered
    assert answered.headers["content-type"] == "application/problem+json"
    problem = answered.json
    assert isinstance(problem, dict)
    assert problem["code"] == code
    assert problem["status"] == answered.status
    assert problem["title"] == PROBLEMS[code].title
    assert problem["type"]
    assert problem["detail"] == problem["errorMessage"]
    assert problem["requestId"] == answered.headers["x-request-id"]
    return problem


def expect_bad_fields(answered: Answered, *fields: str) -> None:
    problem = expect_problem(answered, ProblemCode.INVALID_REQUEST)
    assert [error["field"] for error in problem["errors"]] == list(fields)
    assert all(error["message"] for error in problem["errors"])


def seconds_between(earlier: str, later: str) -> float:
    points = (datetime.fromisoformat(text).replace(tzinfo=UTC) for text in (earlier, later))
    first, second = points
    return (second - first).total_seconds()
