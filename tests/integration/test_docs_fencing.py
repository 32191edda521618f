"""``docs/guides/fencing.md``: its SQL on a real PostgreSQL, its Python as it stands.

The concurrent tests have two holders write at the same moment, at READ COMMITTED, by each recipe of
the page; one has them do what the page warns of, and sees it go wrong.
"""

import asyncio
import re
import sqlite3
import subprocess
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.util import setup_testing_defaults

import psycopg
import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer
from psycopg.conninfo import make_conninfo
from sqlalchemy import make_url

from gorilla.client import Client, StaleFencingToken
from tests.support.api import running_api
from tests.support.object_store import running_object_store
from tests.support.pages import Block, blocks_of

pytestmark = pytest.mark.integration

PAGE = "guides/fencing"
TABLES, UPDATE, UPSERT, FENCES, FENCE = [block.code for block in blocks_of(PAGE, "sql")]
PYTHON = blocks_of(PAGE, "python")
ROUNDS = 150
WITHIN_S = 20.0
OLD, NEW = 17, 18


def for_psycopg(statement: str) -> str:
    """Write the named values of the page as psycopg wants them."""
    return re.sub(r":(\w+)", r"%(\1)s", statement)


def python_under(heading: str) -> Block:
    """Return the one Python block under a heading, of those that need no client."""
    found = [one for one in PYTHON if one.heading == heading and "client: Client" not in one.code]
    assert len(found) == 1, heading
    return found[0]


def run(block: Block) -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(block.code, f"{PAGE}.md, {block.heading}", "exec"), names)
    return names


@pytest.fixture
def orders(empty_database: str) -> str:
    """Where the page's tables are, and an order that is open."""
    url = make_url(empty_database)
    place = make_conninfo(
        host=str(url.host or url.query.get("host")), user=url.username, password=url.password,
        dbname=url.database,
    )  # fmt: skip
    with psycopg.connect(place) as connection:
        connection.execute(TABLES)
        connection.execute(FENCES)
        connection.execute("INSERT INTO orders (id, state) VALUES (42, 'open')")
    return place


def state(place: str) -> tuple[Any, ...] | None:
    with psycopg.connect(place) as connection:
        return connection.execute(
            "SELECT state, fencing_token FROM orders WHERE id = 42"
        ).fetchone()


Write = Callable[[psycopg.Connection, str, int], bool]


def by_column(connection: psycopg.Connection, text: str, token: int) -> bool:
    values = {"id": 42, "state": text, "token": token}
    return connection.execute(for_psycopg(UPDATE), values).rowcount == 1


def by_upsert(connection: psycopg.Connection, text: str, token: int) -> bool:
    values = {"id": 42, "state": text, "token": token}
    return connection.execute(for_psycopg(UPSERT), values).rowcount == 1


def by_fences(connection: psycopg.Connection, text: str, token: int) -> bool:
    values = {"resource": "orders/42", "token": token}
    if connection.execute(for_psycopg(FENCE), values).rowcount == 0:
        return False
    done = connection.execute(
        "UPDATE orders SET state = %s, fencing_token = %s WHERE id = 42", [text, token]
    )
    return done.rowcount == 1


RECIPES = pytest.mark.parametrize("write", [by_column, by_upsert, by_fences])


@RECIPES
def test_who_comes_late_writes_nothing_and_the_same_holder_writes_again(orders: str, write: Write):
    with psycopg.connect(orders, autocommit=True) as connection:
        assert write(connection, "paid", OLD)
        assert write(connection, "packed", OLD)
        assert write(connection, "sent", NEW)
        assert not write(connection, "open", OLD)
        assert write(connection, "sent again", NEW)

    assert state(orders) == ("sent again", NEW)


def test_the_upsert_makes_the_row_that_is_not_there(orders: str):
    with psycopg.connect(orders) as connection:
        connection.execute("DELETE FROM orders")
        assert by_upsert(connection, "new", OLD)

    assert state(orders) == ("new", OLD)


@contextmanager
def two_connections(place: str) -> Iterator[tuple[psycopg.Connection, psycopg.Connection]]:
    with psycopg.connect(place) as one, psycopg.connect(place) as other:
        yield one, other


def is_waiting_for_a_lock(place: str, process: int) -> bool:
    with psycopg.connect(place) as connection:
        found = connection.execute("SELECT cardinality(pg_blocking_pids(%s))", [process]).fetchone()
    return found is not None and found[0] > 0


@RECIPES
@pytest.mark.parametrize("first", [OLD, NEW])
def test_who_waits_for_the_others_transaction_looks_again_when_it_has_ended(
    orders: str, write: Write, first: int
):
    second = OLD + NEW - first
    with two_connections(orders) as (one, other), ThreadPoolExecutor(1) as pool:
        assert write(one, str(first), first)
        waiting = pool.submit(write, other, str(second), second)
        while not waiting.done() and not is_waiting_for_a_lock(orders, other.info.backend_pid):
            pass
        assert not waiting.done(), "it did not wait"
        one.commit()
        assert waiting.result(WITHIN_S) == (second == NEW)
        other.commit()

    assert state(orders) == (str(NEW), NEW)


@RECIPES
def test_of_two_who_write_at_the_same_moment_the_older_never_wins(orders: str, write: Write):
    start = threading.Barrier(2)

    def live(connection: psycopg.Connection, own: int) -> list[bool]:
        done = []
        for number in range(ROUNDS):
            start.wait(WITHIN_S)
            token = 100 + 2 * number + own
            done.append(write(connection, f"{token}", token))
            connection.commit()
            start.wait(WITHIN_S)
            with psycopg.connect(orders) as reader:
                found = reader.execute("SELECT state, fencing_token FROM orders").fetchone()
            newest = 100 + 2 * number + 1
            assert found == (f"{newest}", newest), number
        return done

    with two_connections(orders) as (one, other), ThreadPoolExecutor(2) as pool:
        lives = [pool.submit(live, one, 0), pool.submit(live, other, 1)]
        older, newer = [each.result(60) for each in lives]

    assert all(newer)
    assert len(older) == ROUNDS


def test_at_serializable_who_had_to_wait_is_told_to_begin_anew(orders: str):
    with two_connections(orders) as (one, other), ThreadPoolExecutor(1) as pool:
        other.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        other.execute("SELECT 1 FROM orders")
        assert by_column(one, "new", NEW)
        waiting = pool.submit(by_column, other, "old", OLD)
        while not waiting.done() and not is_waiting_for_a_lock(orders, other.info.backend_pid):
            pass
        one.commit()
        with pytest.raises(psycopg.errors.SerializationFailure):
            waiting.result(WITHIN_S)
        other.rollback()
        assert not by_column(other, "old", OLD)

    assert state(orders) == ("new", NEW)


def test_looking_first_and_writing_then_goes_wrong_as_the_page_says(orders: str):
    with two_connections(orders) as (late, newer):
        looked = late.execute("SELECT fencing_token FROM orders WHERE id = 42").fetchone()
        assert looked == (0,)
        assert by_column(newer, "new", NEW)
        newer.commit()
        late.execute("UPDATE orders SET state = 'old', fencing_token = %s", [OLD])
        late.commit()

    assert state(orders) == ("old", OLD)


def test_the_fence_in_python_lets_go_on_or_undoes_the_transaction(orders: str):
    names = run(python_under("A table of fences"))

    names["send"](orders, 42, NEW)
    assert state(orders) == ("sent", 0)
    with psycopg.connect(orders) as connection:
        connection.execute("UPDATE orders SET state = 'returned'")
    with pytest.raises(RuntimeError, match="a holder of orders/42 later than 17"):
        names["send"](orders, 42, OLD)

    assert state(orders) == ("returned", 0)
    assert " ".join(names["FENCE"].split()) == " ".join(for_psycopg(FENCE).rstrip("\n;").split())


def test_sqlite_takes_the_statements_as_they_are():
    connection = sqlite3.connect(":memory:")
    with connection:
        connection.execute(TABLES)
        connection.execute(FENCES)
    values = {"id": 42, "state": "paid", "token": NEW}
    late = {"id": 42, "state": "open", "token": OLD}

    assert connection.execute(UPSERT, values).rowcount == 1
    for statement in (UPSERT, UPDATE):
        assert connection.execute(statement, late).rowcount == 0
        assert connection.execute(statement, values).rowcount == 1
    counts = [
        connection.execute(FENCE, {"resource": "orders/42", "token": token}).rowcount
        for token in (NEW, OLD, NEW)
    ]
    assert counts == [1, 0, 1]
    assert connection.execute("SELECT * FROM orders").fetchall() == [(42, "paid", NEW)]
    connection.close()


def test_holders_who_publish_at_the_same_moment_leave_the_pointer_with_the_newest(tmp_path: Path):
    [recipe, *_] = [block for block in blocks_of(PAGE, "sh") if "publish()" in block.code]
    lives = []
    with running_object_store() as store:
        for own in range(3):
            directory = tmp_path / str(own)
            directory.mkdir()
            calls = "".join(
                f"echo {token} > data; publish report {token} data || [ $? -eq 1 ]\n"
                for token in range(1 + own, 30, 3)
            )
            shell = subprocess.Popen(["/bin/sh", "-euc", recipe.code + calls], cwd=directory,
                                     env={"PATH": "/usr/bin:/bin", "S3": store.url},
                                     stdout=subprocess.PIPE, text=True)  # fmt: skip
            lives.append(shell)
        told = [shell.communicate(timeout=WITHIN_S)[0] for shell in lives]

    pointers = [content for path, content in store.written if path == "/bucket/report/current"]
    numbers = [int(content.split()[0]) for content in pointers]
    assert [shell.returncode for shell in lives] == [0, 0, 0], told
    assert numbers == sorted(numbers)
    assert numbers[-1] == 29
    assert "".join(told).count("published") == len(numbers)


def test_the_guard_of_the_page_does_what_the_page_asserts():
    names = run(python_under("In a program's memory"))

    with pytest.raises(StaleFencingToken):
        names["set_state"](42, "open", 8)
    assert names["states"] == {42: "sent"}


async def test_a_guard_that_begins_after_a_restart_refuses_every_grant_before_it():
    [block] = [one for one in PYTHON if "client: Client" in one.code]
    make = run(block)["guard_after_restart"]
    async with running_api() as api:
        with Client(api.base_url) as client:

            def live() -> tuple[bool, bool]:
                make(client)
                before = client.acquire("orders/42", owner="anna", timeout=60)
                guard = make(client)
                after = client.acquire("orders/43", owner="anna", timeout=60)
                return (
                    guard.try_admit("orders/42", before.fencing_token),
                    guard.try_admit("orders/43", after.fencing_token),
                )

            assert await asyncio.to_thread(live) == (False, True)


async def test_the_aiohttp_service_refuses_who_comes_late_or_without_a_number():
    names = run(http_block("aiohttp"))
    written: list[str] = []

    async def write(request: web.Request) -> web.Response:
        written.append(await request.text())
        return web.Response(text="written")

    async def read(_request: web.Request) -> web.Response:
        return web.Response(text="read")

    app = web.Application(middlewares=[names["fenced"]])
    app.router.add_put("/orders/{id}", write)
    app.router.add_get("/orders/{id}", read)
    statuses = []
    async with TestClient(TestServer(app)) as client:
        for order, number in [
            (1, "7"),
            (1, "9"),
            (1, "7"),
            (2, "7"),
            (1, None),
            (1, "-9"),
            (1, "x"),
        ]:
            headers = {} if number is None else {"X-Fencing-Token": number}
            answer = await client.put(f"/orders/{order}", data=f"{order} {number}", headers=headers)
            statuses.append(answer.status)
        assert (await client.get("/orders/1")).status == 200

    assert statuses == [200, 200, 412, 200, 428, 428, 428]
    assert written == ["1 7", "1 9", "2 7"]


def test_the_wsgi_service_refuses_who_comes_late_or_without_a_number():
    names = run(http_block("WSGI"))

    def application(_environ, start_response):
        start_response("200 OK", [])
        return [b"written"]

    service = names["Fenced"](application)

    def put(path: str, number: str | None, method: str = "PUT") -> str:
        environ: dict[str, Any] = {"REQUEST_METHOD": method, "PATH_INFO": path}
        if number is not None:
            environ["HTTP_X_FENCING_TOKEN"] = number
        setup_testing_defaults(environ)
        answered: list[str] = []
        content = b"".join(service(environ, lambda status, _headers: answered.append(status)))
        assert content
        return answered[0][:3]

    asked = [("/a", "7"), ("/a", "9"), ("/a", "7"), ("/b", "7"), ("/a", None), ("/a", "0")]
    assert [put(*each) for each in asked] == ["200", "200", "412", "200", "428", "428"]
    assert put("/a", None, "GET") == "200"


def http_block(kind: str) -> Block:
    """Return the example of a service for aiohttp, or for WSGI."""
    aiohttp, wsgi = [block for block in PYTHON if block.heading == "An HTTP service"]
    return aiohttp if kind == "aiohttp" else wsgi


def test_every_block_of_python_on_the_page_is_run_here():
    assert [block.heading for block in PYTHON] == [
        "In a program's memory",
        "In a program's memory",
        "A table of fences",
        "An HTTP service",
        "An HTTP service",
    ]
