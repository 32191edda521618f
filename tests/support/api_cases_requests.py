"""Cases of the API: bodies, media types, methods, paths, headers."""

from typing import Any

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api_caller import (
    Caller,
    case,
    expect_lock,
    expect_problem,
)


@case
async def bodies_that_are_not_json_objects_are_refused(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    for data in (
        b"", b" ", b"{", b"[]", b"null", b"7", b'"x"', b'{"owner": "a"} x', b"{'owner': 'a'}",
        b"\xff\xfe", b'{"owner": "\xff", "timeout": 1}', b"\xef\xbb\xbf{}",
        b'{"a": ' + b"[" * 20_000 + b"]" * 20_000 + b"}", b'{"owner": "a",}',
    ):  # fmt: skip
        for answered in (
            await caller.acquire(data=data),
            await caller.extend(lock["token"], data=data),
        ):
            expect_problem(answered, ProblemCode.INVALID_JSON)


@case
async def a_body_of_64_kib_is_read_and_one_byte_more_is_not(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    body = b'{"owner": "anna", "timeout": 30}'
    fits = body + b" " * (65_536 - len(body))

    async def chunked(data: bytes) -> Any:
        yield data[:1_000]
        yield data[1_000:]

    expect_lock(await caller.acquire(data=fits))
    expect_lock(await caller.acquire(data=chunked(fits)))
    expect_problem(await caller.acquire(data=fits + b" "), ProblemCode.BODY_TOO_LARGE)
    expect_problem(await caller.acquire(data=chunked(fits + b" ")), ProblemCode.BODY_TOO_LARGE)


@case
async def only_json_is_taken(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    data = b'{"owner": "anna", "timeout": 30}'
    for media_type in (
        "application/json", "application/json; charset=utf-8", 'application/json;charset="UTF-8"',
        "APPLICATION/JSON", "application/vnd.api+json", "application/json; profile=x",
    ):  # fmt: skip
        expect_lock(await caller.acquire(data=data, headers={"Content-Type": media_type}))
    # Clients that say nothing are believed to send JSON.
    expect_lock(await caller.acquire(data=data))
    for media_type in (
        "text/plain", "application/x-www-form-urlencoded", "application/jsonx", "json", "x+json",
        "application/json; charset=latin-1", "multipart/form-data; boundary=x",
    ):  # fmt: skip
        answered = await caller.acquire(data=data, headers={"Content-Type": media_type})
        expect_problem(answered, ProblemCode.UNSUPPORTED_MEDIA_TYPE)
    headers = {"Content-Encoding": "gzip", "Content-Type": "application/json"}
    answered = await caller.acquire(data=data, headers=headers)
    expect_problem(answered, ProblemCode.UNSUPPORTED_MEDIA_TYPE)


@case
async def bodies_of_calls_without_one_are_ignored(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    path = caller.path(lock["token"])
    expect_lock(await caller.ask("GET", path, data=b"{ not json"))
    assert (await caller.ask("DELETE", path, data=b"{ not json")).status == 204


@case
async def wrong_methods_are_told_the_right_ones(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    for method, path, allowed in [
        ("PUT", caller.path(), "DELETE, GET, HEAD, POST"),
        ("PATCH", caller.path(), "DELETE, GET, HEAD, POST"),
        ("GET", caller.path("request-release"), "POST"),
        ("POST", caller.path("token"), "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", caller.path("token"), "DELETE, GET, HEAD, PUT"),
        ("DELETE", "/api/v1/locks", "GET, HEAD, POST"),
        ("PUT", caller.path("explain"), "GET, HEAD"),
        ("DELETE", "/api/v1/cluster", "GET, HEAD"),
        ("POST", "/_ready", "GET, HEAD"),
    ]:
        answered = await caller.ask(method, path)
        expect_problem(answered, ProblemCode.METHOD_NOT_ALLOWED)
        assert answered.headers["allow"] == allowed


@case
async def unknown_paths_are_not_found(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for path in ("/nope", "/api", "/api/v1", "/api/v2/locks/x", "/api/v1/locks/a/b/c", "//", "/_h"):
        for method in ("GET", "POST", "DELETE"):
            expect_problem(await caller.ask(method, path), ProblemCode.NOT_FOUND)


@case
async def request_ids_are_echoed(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for good in ("abc", "x" * 128, "a b/c~!"):
        answered = await caller.ask("GET", "/nope", headers={"X-Request-Id": good})
        assert answered.headers["x-request-id"] == good
        assert answered.json["requestId"] == good
    seen = set()
    for bad in ("", "x" * 129, "ü", "a\tb"):
        answered = await caller.ask("GET", "/_health", headers={"X-Request-Id": bad})
        assert answered.headers["x-request-id"] not in {"", bad}
        seen.add(answered.headers["x-request-id"])
    assert len(seen) == 4


@case
async def head_answers_like_get_without_the_body(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    for path in (caller.path(), caller.path(lock["token"]), "/api/v1/locks", "/_health", "/docs"):
        answered = await caller.ask("HEAD", path)
        assert answered.status == 200
        assert answered.content == b""
        assert int(answered.headers["content-length"]) > 0
