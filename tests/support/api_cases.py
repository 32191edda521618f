"""Every row of the documented API as a case that runs against any node of any cluster.

A case takes an aiohttp session and the base URL of a node, uses resources of its own, and leaves
nothing held for long. :data:`CASES` lists them all.
"""

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


# Acquire


@case
async def acquire_answers_with_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata=["build", {"number": 7}], timeout=30)

    assert lock["owner"] == "anna"
    assert lock["resource"] == caller.resource
    assert lock["metadata"] == ["build", {"number": 7}]
    assert isinstance(lock["id"], int)
    assert len(lock["token"]) >= 22  # 128 random bits or more
    assert 0 < lock["timeout"] <= 30
    assert lock["createdAt"] == lock["updatedAt"]
    assert 28 <= seconds_between(lock["createdAt"], lock["expireAt"]) <= 31


@case
async def acquire_of_a_held_lock_is_refused_with_its_holder(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()

    answered = await caller.acquire({"owner": "bert", "timeout": 1})

    problem = expect_problem(answered, ProblemCode.LOCK_HELD)
    holder = problem["holder"]
    assert set(holder) == {"owner", "expireAt", "fencingToken"}
    assert holder["owner"] == "anna"
    assert holder["fencingToken"] == lock["id"]
    assert TIMESTAMP.fullmatch(holder["expireAt"])
    assert 0 < problem["retryAfter"] <= 30
    assert lock["token"].encode() not in answered.content


@case
async def acquire_by_the_holder_gives_the_same_lock_until_the_later_expiry(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    first = await caller.held(timeout=30)
    shorter = await caller.held(timeout=1)
    longer = await caller.held(timeout=600)

    assert {lock["id"] for lock in (first, shorter, longer)} == {first["id"]}
    assert {lock["token"] for lock in (first, shorter, longer)} == {first["token"]}
    assert shorter["timeout"] > 20
    assert longer["timeout"] > 590
    assert longer["createdAt"] == first["createdAt"]


@case
async def ids_grow_with_every_grant(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    ids = []
    for _ in range(4):
        lock = await caller.held()
        ids.append(lock["id"])
        await caller.release(lock["token"])

    assert ids == sorted(set(ids))


@case
async def metadata_becomes_a_list(session: aiohttp.ClientSession, base_url: str) -> None:
    given: list[tuple[Any, Any]] = [
        ([], []),
        ([1, [2.5, None]], [1, [2.5, None]]),
        ("text", ["text"]),
        ({"a": "ü"}, [{"a": "ü"}]),
        (7, [7]),
        (None, [None]),
        (False, [False]),
    ]
    for value, expected in given:
        assert (await Caller(session, base_url).held(metadata=value))["metadata"] == expected
    assert (await Caller(session, base_url).held())["metadata"] == []


@case
async def timeouts_are_numbers_or_strings_of_them(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    for given, least, most in [
        ("30", 29, 30),
        ("1.5", 0.5, 1.5),
        ("2e1", 19, 20),
        (30.0, 29, 30),
        (2.25, 1.2, 2.25),
    ]:
        lock = await Caller(session, base_url).held(timeout=given)
        assert least < lock["timeout"] <= most


@case
async def too_long_a_timeout_is_lowered(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=1e300)

    assert lock["timeout"] <= 10 * 365 * 24 * 3600
    assert (await caller.release(lock["token"])).status == 204


_BAD_TIMEOUTS = [
    "0", "-0", "-1", "0.0", "1e-400", "-1e400", "1e400", "true", "false", "null", "[]", "{}",
    '""', '" 30 "', '"30 s"', '"030"', '"+5"', '".5"', '"5."', '"1e400"', '"1e-400"', '"-1"',
    '"0"', '"NaN"', '"nan"', '"Infinity"', '"inf"', '"0x10"', '"1_000"', '"\\u0663"', '"1,5"',
    '"' + "9" * 65 + '"', "9" * 400, '"1e999999999"',
]  # fmt: skip


@case
async def bad_timeouts_are_refused(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(resource=caller.resource + "-held")
    for bad in _BAD_TIMEOUTS:
        data = f'{{"owner": "anna", "timeout": {bad}}}'.encode()
        headers = {"Content-Type": "application/json"}
        expect_bad_fields(await caller.acquire(data=data, headers=headers), "timeout")
        path = caller.path(lock["token"], caller.resource + "-held")
        answered = await caller.ask("PUT", path, data=data, headers=headers)
        expect_bad_fields(answered, "timeout")
    for not_json in ("NaN", "Infinity", "-Infinity", "01", "+1", ".5", "1.", "0x10", '"\\ud800"'):
        data = f'{{"owner": "anna", "timeout": {not_json}}}'.encode()
        expect_problem(await caller.acquire(data=data), ProblemCode.INVALID_JSON)


@case
async def bad_owners_are_refused(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for owner in ("", "x" * 256, "a\nb", "\x00", "a\x7f", "\x85", 7, None, True, [], {}):
        answered = await caller.acquire({"owner": owner, "timeout": 1})
        expect_bad_fields(answered, "owner")


@case
async def every_bad_field_is_named_at_once(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    expect_bad_fields(await caller.acquire({}), "owner", "timeout")
    body = {"timeout": -1, "metadata": "x" * 5_000, "color": "red", "wait": 5}
    answered = await caller.acquire(body, resource="x" * 256)
    expect_bad_fields(answered, "resource", "owner", "timeout", "metadata", "color", "wait")
    lock = await caller.held()
    answered = await caller.extend(lock["token"], {"owner": "", "timeuot": 1})
    expect_bad_fields(answered, "timeout", "owner", "timeuot")


@case
async def metadata_is_bounded(session: aiohttp.ClientSession, base_url: str) -> None:
    fits = ["x" * 4_092]
    assert (await Caller(session, base_url).held(metadata=fits))["metadata"] == fits
    answered = await Caller(session, base_url).acquire(
        {"owner": "anna", "timeout": 1, "metadata": ["x" * 4_093]}
    )
    expect_bad_fields(answered, "metadata")


@case
async def names_of_up_to_255_characters_work(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    name = (caller.resource + "ü" * 255)[:255]
    owner = "ö" * 255
    lock = await caller.held(resource=name, owner=owner)
    assert (lock["resource"], lock["owner"]) == (name, owner)
    expect_bad_fields(await caller.acquire(resource=name + "x"), "resource")
    assert (await caller.release(lock["token"], name)).status == 204


@case
async def names_are_taken_as_they_are_encoded(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    unique = caller.resource
    for name in (
        f"{unique}/a/b", f"{unique}/a%2Fb", f"{unique}//", f"/{unique}", f"{unique} +&=?#;:@!$,",
        f"{unique}/../x", f"{unique}/./x", f"{unique}\\x",
        f"{unique}-grüße-锁-🦍", f'{unique}"\'<>',
        f"{unique}{{resource}}", f"{unique}%", f"{unique}%zz",
    ):  # fmt: skip
        lock = await caller.held(resource=name)
        assert lock["resource"] == name
        assert expect_lock(await caller.status(lock["token"], name))["id"] == lock["id"]
        assert (await caller.release(lock["token"], name)).status == 204


@case
async def names_that_differ_only_in_their_encoding_are_different_locks(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    unique = caller.resource
    names = [f"{unique}/x", f"{unique}%2Fx", f"{unique}%252Fx", f"{unique}x", f"{unique}/X"]
    locks = [await caller.held(resource=name, owner=f"owner of {name}") for name in names]
    assert len({lock["id"] for lock in locks}) == len(names)
    for name, lock in zip(names, locks, strict=True):
        assert (await caller.release(lock["token"], name)).status == 204


@case
async def paths_that_can_not_be_decoded_are_refused(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    for bad in ("%", "%2", "%zz", "a%GGb", "%FF", "%C3", "%C0%80", "%ED%A0%80", "%00", "a%0Ab"):
        path = f"/api/v1/locks/{bad}"
        body = {"owner": "anna", "timeout": 1}
        expect_bad_fields(await caller.ask("POST", path, json=body), "resource")
        expect_bad_fields(await caller.ask("GET", path), "resource")
        for method in ("GET", "DELETE"):
            answered = await caller.ask(method, f"{path}/token")
            expect_bad_fields(answered, "resource")
            answered = await caller.ask(method, caller.path() + f"/{bad}")
            expect_bad_fields(answered, "token")
    answered = await caller.ask("POST", "/api/v1/locks/", json={"owner": "anna", "timeout": 1})
    expect_bad_fields(answered, "resource")


# Release


@case
async def release_frees_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()

    answered = await caller.release(lock["token"])

    assert answered.status == 204
    assert answered.content == b""
    assert "content-length" not in answered.headers
    assert "content-type" not in answered.headers
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.release(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.extend(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.held(owner="bert"))["id"] > lock["id"]


@case
async def a_token_of_another_resource_is_not_found(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller, other = Caller(session, base_url), Caller(session, base_url)
    token = (await other.held())["token"]
    await caller.held()
    for wrong in (token, "nonsense", "x" * 300, "ü", "", ".", ".."):
        for method in ("GET", "DELETE"):
            answered = await caller.ask(method, caller.path() + "/" + quote(wrong, safe=""))
            expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)
        answered = await caller.ask(
            "PUT", caller.path() + "/" + quote(wrong, safe=""), json={"timeout": 1}
        )
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)


# Status


@case
async def status_shows_the_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata={"a": 1})
    shown = expect_lock(await caller.status(lock["token"]))

    assert 0 < shown["timeout"] <= lock["timeout"]
    moving = {"timeout", "expireAt"}
    assert {name: shown[name] for name in LOCK_FIELDS - moving} == {
        name: lock[name] for name in LOCK_FIELDS - moving
    }
    assert abs(seconds_between(lock["expireAt"], shown["expireAt"])) <= 2


@case
async def an_expired_lock_is_gone(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=0.05)
    # Nothing tells when it is over but asking: bert keeps asking until he has it.
    for _ in range(2_000):
        answered = await caller.acquire({"owner": "bert", "timeout": 30})
        if answered.status == 200:
            break
        expect_problem(answered, ProblemCode.LOCK_HELD)

    assert expect_lock(answered)["id"] > lock["id"]
    expect_problem(await caller.status(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.extend(lock["token"]), ProblemCode.LOCK_NOT_FOUND)
    expect_problem(await caller.release(lock["token"]), ProblemCode.LOCK_NOT_FOUND)


# Extend


@case
async def extend_gives_a_new_token_and_kills_the_old(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(metadata=["m"])

    extended = expect_lock(await caller.extend(lock["token"], {"timeout": 90, "owner": "anna"}))

    assert extended["token"] != lock["token"]
    assert 80 < extended["timeout"] <= 90
    for same in ("id", "createdAt", "owner", "resource", "metadata"):
        assert extended[same] == lock[same]
    for answered in (
        await caller.status(lock["token"]),
        await caller.extend(lock["token"]),
        await caller.release(lock["token"]),
    ):
        expect_problem(answered, ProblemCode.LOCK_NOT_FOUND)
    assert (await caller.release(extended["token"])).status == 204


@case
async def extend_refuses_another_owner(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held()
    answered = await caller.extend(lock["token"], {"timeout": 60, "owner": "bert"})
    expect_problem(answered, ProblemCode.NOT_OWNER)
    assert expect_lock(await caller.extend(lock["token"], {"timeout": 60, "owner": None}))


@case
async def extend_refuses_to_shorten(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    lock = await caller.held(timeout=30)
    problem = expect_problem(
        await caller.extend(lock["token"], {"timeout": 5}), ProblemCode.TIMEOUT_TOO_SHORT
    )
    assert 5 < problem["remaining"] <= 30
    assert expect_lock(await caller.status(lock["token"]))


# Bodies, methods, paths


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
        ("PUT", caller.path(), "GET, HEAD, POST"),
        ("DELETE", caller.path(), "GET, HEAD, POST"),
        ("PATCH", caller.path(), "GET, HEAD, POST"),
        ("POST", caller.path("token"), "DELETE, GET, HEAD, PUT"),
        ("OPTIONS", caller.path("token"), "DELETE, GET, HEAD, PUT"),
        ("POST", "/api/v1/locks", "GET, HEAD"),
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


# Looking


@case
async def show_tells_who_holds_a_lock(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    free = (await caller.ask("GET", caller.path())).json
    lock = await caller.held(metadata=[1])
    answered = await caller.ask("GET", caller.path() + "?consistency=linearizable")
    shown = answered.json

    assert free == {
        "resource": caller.resource, "held": False, "mode": "exclusive", "limit": 1,
        "holders": [], "waiters": [], "fencingToken": None,
    }  # fmt: skip
    assert (shown["held"], shown["fencingToken"]) == (True, lock["id"])
    assert [holder["owner"] for holder in shown["holders"]] == ["anna"]
    assert set(shown["holders"][0]) == LOCK_FIELDS - {"token"}
    assert lock["token"].encode() not in answered.content
    assert "x-gorilla-age-ms" not in answered.headers


@case
async def stale_reads_say_how_old_they_are(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for path in (caller.path(), "/api/v1/locks"):
        answered = await caller.ask("GET", path + "?consistency=stale")
        assert answered.status == 200
        assert int(answered.headers["x-gorilla-age-ms"]) >= 0


@case
async def locks_are_listed_page_by_page_without_tokens(
    session: aiohttp.ClientSession, base_url: str
) -> None:
    caller = Caller(session, base_url)
    prefix = f"{caller.resource}/ü "
    names = sorted(f"{prefix}{number}" for number in range(5))
    tokens = [
        (await caller.held(resource=name, owner=f"{caller.resource}-{number % 2}"))["token"]
        for number, name in enumerate(names)
    ]
    listed, cursor, pages = [], "", 0
    while cursor is not None:
        query = f"?prefix={quote(prefix)}&limit=2" + (f"&cursor={cursor}" if cursor else "")
        answered = await caller.ask("GET", "/api/v1/locks" + query)
        assert not any(token.encode() in answered.content for token in tokens)
        listed += [lock["resource"] for lock in answered.json["locks"]]
        cursor, pages = answered.json["cursor"], pages + 1

    assert listed == names
    assert pages == 3
    of_owner = await caller.ask("GET", f"/api/v1/locks?owner={caller.resource}-1&limit=1000")
    assert [lock["resource"] for lock in of_owner.json["locks"]] == names[1::2]
    assert of_owner.json["cursor"] is None


@case
async def bad_queries_are_refused(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for query, field in [
        ("limit=0", "limit"),
        ("limit=1001", "limit"),
        ("limit=-1", "limit"),
        ("limit=1.5", "limit"),
        ("limit=%D9%A3", "limit"),
        ("limit=", "limit"),
        ("limit=1&limit=2", "limit"),
        ("consistency=eventual", "consistency"),
        ("cursor=%3F", "cursor"),
        ("cursor=", "cursor"),
        ("owner=", "owner"),
        ("owner=" + "x" * 256, "owner"),
        ("prefix=a%0Ab", "prefix"),
        ("prefix=%FF", "query"),
        ("prefix=%zz", "query"),
        ("color=red", "color"),
    ]:
        expect_bad_fields(await caller.ask("GET", f"/api/v1/locks?{query}"), field)


# Machines and people


@case
async def the_node_says_how_it_is(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    assert (await caller.ask("GET", "/_health")).json == {"status": "ok"}
    ready = (await caller.ask("GET", "/_ready")).json
    assert set(ready) == {"ready", "leader"}
    assert ready["ready"] is True
    verbose = (await caller.ask("GET", "/_ready?verbose")).json
    assert all(check["ok"] for check in verbose["checks"])
    leads = await caller.ask("GET", "/_ready?role=leader")
    assert (leads.status == 200) == ready["leader"]
    expect_bad_fields(await caller.ask("GET", "/_ready?role=king"), "role")


@case
async def the_cluster_is_shown(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    await caller.held()
    answered = await caller.ask("GET", "/api/v1/cluster")
    cluster = answered.json
    assert cluster["node"] == answered.headers["x-gorilla-node"]
    assert cluster["leader"]["name"] in {member["name"] for member in cluster["members"]}
    assert cluster["term"] >= 1
    assert cluster["commitIndex"] >= cluster["appliedIndex"] >= 1


@case
async def documents_are_served(session: aiohttp.ClientSession, base_url: str) -> None:
    caller = Caller(session, base_url)
    for path, media_type in [
        ("/openapi.json", "application/json"),
        ("/docs", "text/html; charset=utf-8"),
        ("/", "text/html; charset=utf-8"),
        ("/metrics", "text/plain; version=0.0.4; charset=utf-8"),
    ]:
        answered = await caller.ask("GET", path)
        assert answered.status == 200
        assert answered.headers["content-type"] == media_type
        assert answered.content
