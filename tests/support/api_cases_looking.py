"""Cases of the API: looking at locks, nodes and documents."""

from urllib.parse import quote

import aiohttp

from tests.support.api_caller import (
    LOCK_FIELDS,
    Caller,
    case,
    expect_bad_fields,
)


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
        query = f"?prefix={quote(prefix)}&limit=2" + (f"&cursor={quote(cursor)}" if cursor else "")
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
        ("cursor=%0A", "cursor"),
        ("cursor=", "cursor"),
        ("owner=", "owner"),
        ("owner=" + "x" * 256, "owner"),
        ("prefix=a%0Ab", "prefix"),
        ("prefix=%FF", "query"),
        ("prefix=%zz", "query"),
        ("color=red", "color"),
    ]:
        expect_bad_fields(await caller.ask("GET", f"/api/v1/locks?{query}"), field)


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
