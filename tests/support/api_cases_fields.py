"""Cases of the API: what a field may be, and that every bad one is named."""

import aiohttp

from gorilla.wire.problems import ProblemCode
from tests.support.api_caller import (
    Caller,
    case,
    expect_bad_fields,
    expect_lock,
    expect_problem,
)

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
    body = {"timeout": -1, "metadata": "x" * 5_000, "color": "red", "wait": -5}
    answered = await caller.acquire(body, resource="x" * 256)
    expect_bad_fields(answered, "resource", "owner", "timeout", "metadata", "wait", "color")
    lock = await caller.held()
    answered = await caller.extend(lock["token"], {"owner": "", "timeuot": 1})
    expect_bad_fields(answered, "timeout", "owner", "timeuot")


@case
async def metadata_is_bounded(session: aiohttp.ClientSession, base_url: str) -> None:
    fits = ["x" * 4_092]
    assert (await Caller(session, base_url).held(metadata=fits))["metadata"] == fits
    one = "x" * 4_094
    assert (await Caller(session, base_url).held(metadata=one))["metadata"] == [one]
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
